"""A page of a list costs the same whatever lies in the table: every list of the API, on tables with 100,000 rows.

What is asked are the routes themselves: a new list is found and asked, too. Each statement that it sends is explained
as the application gets it, under row security.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import httpx2
import pytest
from sqlalchemy import event
from tests.conftest import Cluster, TestDatabase
from tests.db import crowd
from tests.db.crowd import Crowd
from tests.factories import identity

from weft.api import openapi
from weft.api.assemble import assembled
from weft.db.database import Database
from weft.db.hot import transaction
from weft.domain.identity.access import open_scope
from weft.http.state import Services

Plan = dict[str, Any]

SORTED_AT_MOST = 500
"""Rows that a plan may sort: what a page's neighbours have, never a table."""
READ_AT_MOST = 5_000
"""Cost of a page, in the planner's unit: a table of 100,000 rows read whole costs more than any page may."""

NOW = datetime.now(UTC)
DAY = {"from": (NOW - timedelta(days=3)).isoformat(), "to": (NOW - timedelta(days=2)).isoformat()}

FILTERED: dict[str, list[dict[str, str]]] = {
    "/v1/executions": [
        {"status": "FAILED"}, {"workflow_id": "{workflow_id}"}, {"order": "asc"},
        {"created_from": DAY["from"], "created_to": DAY["to"]},
    ],
    "/v1/audit": [
        {"resource_type": "clients", "resource_id": "7"}, {"actor_id": "7"}, {"correlation_id": "77"}, DAY,
        {"order": "asc"},
    ],
    "/v1/events": [{"type": "paid"}, {"type": "paid", "correlation": "7"}],
    "/v1/questions": [{"status": "ANSWERED"}, {"execution_id": "{execution_id}"}],
    "/v1/clients": [{"order": "asc"}],
    "/v1/workflows": [{"status": "ACTIVE"}, {"order": "asc"}],
    "/v1/dead-jobs": [{"execution_id": "{execution_id}"}],
}  # fmt: skip
"""Filters worth asking, beside the list without any."""


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[tuple[Database, httpx2.AsyncClient, Any]]:
    database = await Database.open(dsn, size=2, hot_size=2, master_key=bytes(32))
    try:
        async with assembled(Services(database, open_scope, bytes(32), public_url="http://weft.test")) as app:
            transport = httpx2.ASGITransport(app=app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://weft.test") as client:
                yield database, client, app
    finally:
        await database.close()


@pytest.fixture(scope="module")
def crowded(cluster: Cluster, template: str) -> Iterator[tuple[TestDatabase, Crowd]]:
    """Made once for this module."""
    test = TestDatabase(f"weft_test_{uuid4().hex}", cluster)

    async def administer(*statements: str) -> None:
        admin = await asyncpg.connect(cluster.dsn("postgres"))
        try:
            for statement in statements:
                await admin.execute(statement)
        finally:
            await admin.close()

    async def fill() -> Crowd:
        database = await Database.open(test.app, size=2, hot_size=2, master_key=bytes(32))
        try:
            return await crowd.gather(database, test.admin)
        finally:
            await database.close()

    cloned = f"template {template} strategy {cluster.strategy} owner weft_owner"
    asyncio.run(administer(f"create database {test.name} {cloned}"))
    try:
        asyncio.run(administer(f"grant connect on database {test.name} to weft_app"))
        yield test, asyncio.run(fill())
    finally:
        asyncio.run(administer(f"drop database {test.name} with (force)"))


def lists_of(app: Any) -> list[str]:
    """The addresses whose answer is a page, from the document that describes them."""
    document = openapi.describe(app)
    found = []
    for path, methods in document["paths"].items():
        answer = json.dumps(methods.get("get", {}).get("responses", {}).get("200", {}))
        if re.search(r"schemas/Page_", answer):
            found.append(path)
    return found


class Asked:
    """Sends requests and gathers the statements that they lead to, with the plan of each."""

    def __init__(self, database: Database, client: httpx2.AsyncClient, people: Crowd) -> None:
        self.database, self.client, self.people = database, client, people

    async def plans(self, path: str, query: dict[str, str]) -> tuple[list[tuple[str, Plan]], dict[str, Any]]:
        seen: list[tuple[str, Any]] = []

        def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
            seen.append((statement, values))

        engine = self.database.engine.sync_engine
        event.listen(engine, "before_cursor_execute", note)
        try:
            answer = await self.client.get(path, params=query, headers=self.people.headers)
        finally:
            event.remove(engine, "before_cursor_execute", note)
        assert answer.status_code == 200, f"{path}: {answer.text}"
        actor = await identity.actor(self.database, self.people.owner)
        plans = []
        async with transaction(self.database, actor, read_only=True) as connection:
            for statement, values in seen:
                found = await connection.fetchval(f"explain (format json) {statement}", *values)
                plans.append((statement, (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]))
        return plans, answer.json()


def nodes(plan: Plan) -> Iterator[Plan]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def grown(name: str) -> bool:
    """Whether this is one of the tables with 100,000 rows, or a month of one that holds some."""
    return re.sub(r"_\d{6}$", "", name) in crowd.FILLED and not re.search(r"_\d{6}$", name)


def faults(statement: str, plan: Plan) -> list[str]:
    found = []
    for node in nodes(plan):
        table = str(node.get("Relation Name", ""))
        if node["Node Type"] == "Seq Scan" and (grown(table) or (table and node["Plan Rows"] > SORTED_AT_MOST)):
            found.append(f"reads {table} whole")
        if node["Node Type"] == "Sort" and node["Plans"][0]["Plan Rows"] > SORTED_AT_MOST:
            found.append(f"sorts {node['Plans'][0]['Plan Rows']} rows by {node['Sort Key']}")
    if plan["Total Cost"] > READ_AT_MOST:
        found.append(f"costs {plan['Total Cost']:.0f}")
    return [f"{fault}\n    {' '.join(statement.split())[:300]}" for fault in found]


async def test_a_page_of_every_list_walks_an_index(crowded: tuple[TestDatabase, Crowd]) -> None:
    test, people = crowded
    wrong: list[str] = []
    asked = 0
    async with opened(test.app) as (database, client, app):
        lists = lists_of(app)
        assert len(lists) >= 20
        ask = Asked(database, client, people)
        for path in lists:
            unknown = set(re.findall(r"\{(\w+)\}", path)) - people.path.keys()
            assert not unknown, f"{path}: give crowd.Crowd a value for {unknown}"
            address = path.format(**people.path)
            for filters in [{}, *FILTERED.get(path, [])]:
                query = {name: value.format(**people.path) for name, value in filters.items()}
                plans, page = await ask.plans(address, query | {"limit": "20"})
                wrong += [f"{path} {query}: {fault}" for text, plan in plans for fault in faults(text, plan)]
                asked += len(plans)
                if page["next_cursor"]:
                    plans, _ = await ask.plans(address, query | {"limit": "20", "cursor": page["next_cursor"]})
                    wrong += [f"{path} {query}, next: {fault}" for text, plan in plans for fault in faults(text, plan)]
    assert wrong == [], "\n".join(wrong)
    assert asked > 30, "the lists were really asked"


async def test_lists_have_pages_where_there_is_much(crowded: tuple[TestDatabase, Crowd]) -> None:
    """So that the test above has looked at pages of full tables."""
    test, people = crowded
    async with opened(test.app) as (_, client, app):
        without = []
        for path in lists_of(app):
            answer = await client.get(path.format(**people.path), params={"limit": "3"}, headers=people.headers)
            if answer.json()["next_cursor"] is None:
                without.append(path)
    assert set(without) <= {
        "/v1/executions/{execution_id}/logs", "/v1/workflows/{workflow_id}/versions/{number}/steps",
        "/v1/workflows/{workflow_id}/versions/{number}/transitions",
    }  # fmt: skip


def months_read(plan: Plan, parent: str) -> set[str]:
    return {str(node["Relation Name"]) for node in nodes(plan) if str(node.get("Relation Name", "")).startswith(parent)}


@pytest.mark.parametrize("days", [1, 30])
async def test_the_audit_log_of_a_period_is_read_from_its_months(
    crowded: tuple[TestDatabase, Crowd], days: int
) -> None:
    test, people = crowded
    since, until = NOW - timedelta(days=days), NOW - timedelta(days=days - 1)
    async with opened(test.app) as (database, client, _):
        ask = Asked(database, client, people)
        plans, page = await ask.plans("/v1/audit", {"from": since.isoformat(), "to": until.isoformat(), "limit": "5"})
        assert page["items"]
        read = set().union(*(months_read(plan, "audit_logs_") for _, plan in plans))
        assert read
        assert read <= {f"audit_logs_{at:%Y%m}" for at in (since, until)}
        everything, _ = await ask.plans("/v1/audit", {"limit": "5"})
        assert len(set().union(*(months_read(plan, "audit_logs_") for _, plan in everything))) >= 4


async def test_the_fault_finder_finds(crowded: tuple[TestDatabase, Crowd]) -> None:
    """A list that is ordered by what no index has would be seen."""
    test, people = crowded
    async with opened(test.app) as (database, _, _app):
        actor = await identity.actor(database, people.owner)

        async def plan_of(statement: str) -> Plan:
            async with transaction(database, actor, read_only=True) as connection:
                found = await connection.fetchval(f"explain (format json) {statement}")
            plan: Plan = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
            return plan

        ask: Callable[[str], Awaitable[Plan]] = plan_of
        by_phone = "select * from weft.clients order by phone limit 20"
        assert any("whole" in fault or "sorts" in fault for fault in faults(by_phone, await ask(by_phone)))
        by_age = "select * from weft.clients order by created_at desc, id desc limit 20"
        assert faults(by_age, await ask(by_age)) == []
