"""B13: the studio on a table of ten million rows: its first page, a filter that an index has, and the last page.

Each against the same statement by asyncpg alone, and against a tenant with a thousand rows. The table grows in pieces
and no longer than its time allows, so that it ends by itself; the figures say how many rows there were.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx2

from benches import lab as labs
from benches.lab import Lab, middle, percentile
from weft.core.actor import system_actor
from weft.core.ids import new_id
from weft.db.context import opening
from weft.migrations.models import METADATA
from weft.studio import catalogue, keyset, statements
from weft.studio.admin import DERIVE
from weft.studio.statements import Question, Statement
from weft.studio.views import BACK, filter_words

TABLE = catalogue.read(METADATA, DERIVE)["clients"]
SHOWN = ["id", "name", "email", "created_at"]
PIECE = 500_000
SECONDS = 900
"""How long the table may grow."""

FILL = """
insert into weft.clients (tenant_id, id, name, name_key, is_active, created_at, updated_at, row_version)
select $1, ('0199c0aa-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'Client ' || n, 'client ' || n, true,
       now() - interval '1 second' * n, now(), 1
  from generate_series($2::bigint, $3::bigint) as n"""

Ask = Callable[[], Awaitable[Any]]


def run(*, quick: bool) -> dict[str, Any]:
    wanted, times = (200_000, 20) if quick else (10_000_000, 100)
    with labs.lab() as lab:
        small, _ = asyncio.run(_filled(lab, "small", 1_000))
        large, rows = asyncio.run(_filled(lab, "large", wanted))
        asyncio.run(lab.settle())
        figures: dict[str, Any] = {"rows": rows}
        few = _pages(lab, "small", small, 1_000, times)
        many = _pages(lab, "large", large, rows, times)
        for name, found in many.items():
            figures[name] = found | {"ratio_to_small": round(found["ms"] / few[name]["ms"], 2)}
    return figures


async def _filled(lab: Lab, slug: str, wanted: int) -> tuple[UUID, int]:
    """A tenant with as many clients as the time allows."""
    import asyncpg

    tenant, until = new_id(), time.monotonic() + SECONDS
    connection = await asyncpg.connect(lab.admin_dsn)
    try:
        await connection.execute("set session_replication_role = replica; set synchronous_commit = off")
        await connection.execute("insert into weft.tenants (id, slug, name) values ($1, $2, $2)", tenant, slug)
        there = 0
        while there < wanted and time.monotonic() < until:
            more = min(PIECE, wanted - there)
            await connection.execute(FILL, tenant, there + 1, there + more)
            there += more
        return tenant, there
    finally:
        await connection.close()


def _pages(lab: Lab, slug: str, tenant: UUID, rows: int, times: int) -> dict[str, dict[str, Any]]:
    places = [UUID(int=0) for _ in statements.order_columns(TABLE, None)[0]]
    some = f"client {rows // 2}"
    questions = {
        "first": ({}, Question()),
        "filtered": (
            {"filter": filter_words({"name_key": some})},
            Question(condition=lambda arguments: f"name_key = {arguments.put(some)}"),
        ),
        "last": ({"page": BACK + str(keyset.cursor(places))}, Question(place=places, back=True)),
    }
    ours = _by_studio(lab, slug, {name: query for name, (query, _) in questions.items()}, times)
    found = {}
    for name, (_, question) in questions.items():
        alone = asyncio.run(_alone(lab, tenant, statements.page(TABLE, tenant, question, SHOWN), times))
        found[name] = {
            "ms": round(middle(ours[name]) * 1000, 2),
            "p99_ms": round(percentile(ours[name], 0.99) * 1000, 2),
            "asyncpg_ms": round(middle(alone) * 1000, 2),
            "ratio": round(middle(alone) / middle(ours[name]), 4),
        }
    return found


def _by_studio(lab: Lab, slug: str, queries: dict[str, dict[str, str]], times: int) -> dict[str, list[float]]:
    """Seconds of each page, as a browser gets it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "weft", "db", "studio", "--json", "--port", "0", "--tenant", slug],
        env=lab.environment(WEFT_DATABASE_OWNER_URL=lab.owner_dsn), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    lab.processes.append(process)
    try:
        said = b"".join(process.stdout.readline() for _ in range(3)) if process.stdout else b""
        return asyncio.run(_looked_at(json.loads(said)["url"], queries, times))
    finally:
        lab.stop(process)


async def _looked_at(url: str, queries: dict[str, dict[str, str]], times: int) -> dict[str, list[float]]:
    home = str(httpx2.URL(url).join("/"))
    async with httpx2.AsyncClient(follow_redirects=True, trust_env=False, base_url=home, timeout=60) as client:
        (await client.get(url)).raise_for_status()
        return {
            name: await _timed(_page_of(client, {**query, "cols": ",".join(SHOWN)}), times)
            for name, query in queries.items()
        }


def _page_of(client: httpx2.AsyncClient, query: dict[str, str]) -> Ask:
    async def ask() -> None:
        answer = await client.get("/clients/list", params=query)
        if answer.status_code != 200 or ">Client " not in answer.text:
            raise RuntimeError(f"the page {query} was not shown: {answer.status_code}")

    return ask


async def _alone(lab: Lab, tenant: UUID, statement: Statement, times: int) -> list[float]:
    """The same transaction without a studio: context, statement, commit."""
    import asyncpg

    begin = opening(system_actor(tenant))
    connection = await asyncpg.connect(lab.app_dsn)

    async def ask() -> None:
        await connection.execute(begin)
        await connection.fetch(statement.text, *statement.values)
        await connection.execute("COMMIT")

    try:
        return await _timed(ask, times)
    finally:
        await connection.close()


async def _timed(ask: Ask, times: int) -> list[float]:
    """Seconds of each, the first few left out."""
    took = []
    for _ in range(times + 3):
        begun = time.perf_counter()
        await ask()
        took.append(time.perf_counter() - begun)
    return took[3:]
