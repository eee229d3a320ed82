"""B9: reads and writes over the API (list 50, get, create clients) against the same statements by asyncpg alone.

Both at the same number of connections, one after the other in the same run; the first round is warm-up.
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

from benches import lab as labs
from benches.lab import Lab, middle, percentile
from weft.core.actor import system_actor
from weft.core.ids import new_id
from weft.db.context import opening

CLIENTS = 8
ROWS = 500

COLUMNS = "id, name, email, phone, address, company, notes, is_active, row_version, created_at, updated_at"
LIST = f"""select {COLUMNS} from weft.clients where tenant_id = $1 and deleted_at is null
order by created_at desc, id desc limit 51"""
GET = f"select {COLUMNS} from weft.clients where tenant_id = $1 and id = $2 and deleted_at is null"
CREATE = f"insert into weft.clients (tenant_id, id, name, name_key) values ($1, $2, $3, $3) returning {COLUMNS}"

Question = Callable[[Any], Awaitable[Any]]


def run(*, quick: bool) -> dict[str, Any]:
    seconds, rounds = (1.5, 1) if quick else (4.0, 3)
    with labs.lab() as lab:
        tenant, headers = asyncio.run(_tenant(lab))
        port = labs.free_port()
        server = lab.start("weft", "serve", WEFT_PORT=str(port))
        labs.wait_for(f"http://127.0.0.1:{port}/healthz", server)
        url = f"http://127.0.0.1:{port}/v1/clients"
        known = asyncio.run(_fill(lab, tenant))
        asyncio.run(lab.settle())
        asked: dict[str, tuple[tuple[str, str, Any], Question]] = {
            "list": (("GET", f"{url}?limit=50", None), lambda c: c.fetch(LIST, tenant)),
            "get": (("GET", f"{url}/{known}", None), lambda c: c.fetchrow(GET, tenant, known)),
            "create": (("POST", url, {"name": "Someone"}), lambda c: c.fetchrow(CREATE, tenant, new_id(), "Someone")),
        }
        return {
            name: _compare(lab, tenant, headers, request, question, seconds, rounds)
            for name, (request, question) in asked.items()
        }


def _compare(
    lab: Lab,
    tenant: UUID,
    headers: dict[str, str],
    request: tuple[str, str, Any],
    question: Question,
    seconds: float,
    rounds: int,
) -> dict[str, Any]:
    ours, alone = [], []
    method, url, body = request
    for _ in range(rounds + 1):
        alone.append(asyncio.run(_alone(lab, tenant, question, seconds)))
        ours.append(_load(method, url, CLIENTS, seconds, headers, body))
    if failures := sum(found["failures"] for found in ours):
        raise RuntimeError(f"{failures} requests failed: the figures would mean nothing")
    rate, ceiling = middle([r["per_second"] for r in ours[1:]]), middle([r["per_second"] for r in alone[1:]])
    return {
        "per_second": round(rate),
        "asyncpg_per_second": round(ceiling),
        "ratio": round(rate / ceiling, 2),
        "p50_ms": round(middle([r["p50_ms"] for r in ours[1:]]), 2),
        "p99_ms": round(middle([r["p99_ms"] for r in ours[1:]]), 2),
        "asyncpg_p50_ms": round(middle([r["p50_ms"] for r in alone[1:]]), 2),
    }


async def _tenant(lab: Lab) -> tuple[UUID, dict[str, str]]:
    from tests.factories import identity

    database = await lab.database()
    try:
        owner = await identity.tenant(database, "bench")
        return owner.tenant_id, await identity.bearer(database, owner)
    finally:
        await database.close()


async def _fill(lab: Lab, tenant: UUID) -> UUID:
    """Rows to list; one of them is asked for again and again."""
    import asyncpg

    ids = [new_id() for _ in range(ROWS)]
    connection = await asyncpg.connect(lab.app_dsn)
    try:
        await connection.execute(opening(system_actor(tenant)))
        await connection.executemany(
            "insert into weft.clients (tenant_id, id, name, name_key) values ($1, $2, $3, $3)",
            [(tenant, i, f"Client {n}") for n, i in enumerate(ids)],
        )
        await connection.execute("COMMIT")
    finally:
        await connection.close()
    return ids[-1]


async def _alone(lab: Lab, tenant: UUID, question: Question, seconds: float) -> dict[str, float]:
    """The same transaction without an API: context, statement, commit."""
    import asyncpg

    begin = opening(system_actor(tenant))
    latencies: list[float] = []
    until = time.perf_counter() + seconds

    async def ask() -> None:
        connection = await asyncpg.connect(lab.app_dsn)
        try:
            while (begun := time.perf_counter()) < until:
                await connection.execute(begin)
                await question(connection)
                await connection.execute("COMMIT")
                latencies.append(time.perf_counter() - begun)
        finally:
            await connection.close()

    begun = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(CLIENTS)))
    took = time.perf_counter() - begun
    return {"per_second": len(latencies) / took, "p50_ms": percentile(latencies, 0.5) * 1000}


def _load(method: str, url: str, clients: int, seconds: float, headers: dict[str, str], body: Any) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "benches.load", url, str(clients), str(seconds), method, json.dumps(headers)],
        input=b"" if body is None else json.dumps(body).encode(), stdout=subprocess.PIPE, check=True,
        timeout=seconds + 60,
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout)
    return found
