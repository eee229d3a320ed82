"""How the database finds executions: which index, which partitions. Under the application role and row security."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import event
from tests.conftest import Cluster, TestDatabase, lasting_database, make_tenant
from tests.factories import executions

from weft.core.actor import Actor
from weft.db.database import Database
from weft.db.scope import Scope, enter
from weft.domain.executions import queries, rules, service
from weft.domain.executions.queries import Filters
from weft.http.paging import Order, PageQuery
from weft.interpreter.state import Status

Plan = dict[str, Any]
SINCE = datetime.now(UTC).replace(day=15, hour=12)
"""In the middle of a month: what the journal may have of these executions lies in one month, which has rows."""


@pytest.fixture(scope="module")
def test_database(cluster: Cluster, template: str) -> Iterator[TestDatabase]:
    """One for all tests of this module: they look at plans, and none minds what another adds to the journal."""
    yield from lasting_database(cluster, f"template {template}")


@pytest.fixture(scope="module")
def made(test_database: TestDatabase) -> tuple[Actor, UUID]:
    return asyncio.run(_made(test_database))


@pytest.fixture
def ada(made: tuple[Actor, UUID]) -> Actor:
    return made[0]


@pytest.fixture
def filled(made: tuple[Actor, UUID]) -> UUID:
    return made[1]


async def _made(test_database: TestDatabase) -> tuple[Actor, UUID]:
    """Two tenants with 10,000 executions each, of two workflows; statistics as autovacuum would have made them.

    Returns an actor of the first, and its first workflow.
    """
    filled = []
    database = await Database.open(test_database.app, size=1, hot_size=1)
    try:
        ada, bob = await make_tenant(database, "ada"), await make_tenant(database, "bob")
        for actor in (ada, ada, bob, bob):
            workflow = await executions.workflow(database, actor)
            await executions.fill(database, actor, workflow, 5_000, since=SINCE)
            filled.append(workflow)
    finally:
        await database.close()
    admin = await asyncpg.connect(test_database.admin)
    try:
        await admin.execute("checkpoint")  # commits that are not yet on disk would keep pages from being all-visible
        await admin.execute("vacuum analyze weft.workflow_executions")
        await admin.execute("analyze weft.workflows")
        await admin.execute("analyze weft.workflow_versions")
    finally:
        await admin.close()
    return ada, filled[0]


@pytest.fixture
async def scope(database: Database, ada: Actor) -> AsyncIterator[Scope]:
    async with enter(database, ada, read_only=True) as opened:
        yield opened


async def explained(scope: Scope, statement: str, *values: Any) -> Plan:
    answer = await scope.raw.fetchval(f"explain (format json) {statement}", *values)
    plan: Plan = (json.loads(answer) if isinstance(answer, str) else answer)[0]["Plan"]
    return plan


async def plans_of(scope: Scope, ask: Callable[[], Awaitable[object]]) -> list[Plan]:
    """Run something and explain every statement that SQLAlchemy sent for it."""
    seen: list[tuple[str, Any]] = []
    engine = scope.database.engine.sync_engine

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        seen.append((statement, values))

    event.listen(engine, "before_cursor_execute", note)
    try:
        await ask()
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return [await explained(scope, statement, *values) for statement, values in seen]


def nodes(plan: Plan) -> Iterator[Plan]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def scans(plan: Plan, table: str = "workflow_executions") -> list[Plan]:
    return [node for node in nodes(plan) if str(node.get("Relation Name", "")).startswith(table)]


def sorts(plan: Plan) -> list[Plan]:
    return [node for node in nodes(plan) if node["Node Type"] == "Sort"]


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ({}, "workflow_executions_created_at_idx"),
        ({"status": "FAILED"}, "workflow_executions_status_idx"),
        ({"status": "RUNNING"}, "workflow_executions_status_idx"),
        ({"workflow_id": True}, "workflow_executions_workflow_id_idx"),
        ({"created_from": SINCE + timedelta(minutes=10)}, "workflow_executions_created_at_idx"),
        ({"simulation": False}, "workflow_executions_created_at_idx"),
        ({"simulation": True}, "workflow_executions_simulation_idx"),
    ],
)
async def test_a_list_walks_one_index_in_order(filled: UUID, scope: Scope, filters: dict[str, Any], index: str) -> None:
    if filters.get("workflow_id"):
        filters = filters | {"workflow_id": filled}
    first = await service.listed(scope, Filters(**filters), PageQuery(key=bytes(32), limit=50))
    for cursor in {None, first.next_cursor}:
        query = PageQuery(key=bytes(32), limit=50, cursor=cursor)
        (plan,) = await plans_of(scope, lambda query=query: service.listed(scope, Filters(**filters), query))  # type: ignore[misc]  # a default binds
        (scan,) = scans(plan)
        assert (scan["Node Type"], scan["Index Name"]) == ("Index Scan", index)
        assert "tenant_id" in scan["Index Cond"]
        assert ("ROW(" in scan["Index Cond"]) is (cursor is not None)
        assert sorts(plan) == []


async def test_one_execution_is_found_by_its_key(filled: UUID, scope: Scope) -> None:
    some = await service.listed(scope, Filters(workflow_id=filled), PageQuery(key=bytes(32), limit=1))
    (plan,) = await plans_of(scope, lambda: service.get(scope, some.items[0].id))
    (scan,) = scans(plan)
    assert scan["Index Name"] == "workflow_executions_pkey"


async def test_all_are_counted_without_reading_the_table(filled: UUID, scope: Scope) -> None:
    statuses = [status.value for status in Status]
    plan = await explained(scope, queries.COUNT_ALL, scope.tenant_id, SINCE, SINCE + timedelta(days=1), statuses)
    found = [(scan["Node Type"], scan["Index Name"]) for scan in scans(plan)]
    assert found == [
        ("Index Only Scan", "workflow_executions_status_idx"),
        ("Index Only Scan", "workflow_executions_simulation_idx"),
    ]
    assert all("created_at" in scan["Index Cond"] for scan in scans(plan))


async def test_those_of_a_workflow_are_counted_in_their_period(filled: UUID, scope: Scope) -> None:
    until = SINCE + timedelta(minutes=10)
    plan = await explained(scope, queries.COUNT_WORKFLOW, scope.tenant_id, SINCE, until, filled)
    assert {scan.get("Index Name") for scan in nodes(plan) if "Index Name" in scan} == {
        "workflow_executions_workflow_id_idx"
    }
    assert all(scan["Node Type"] != "Seq Scan" for scan in scans(plan))


async def test_a_journal_is_read_from_the_months_that_can_have_it(
    database: Database, filled: UUID, scope: Scope, test_database: TestDatabase
) -> None:
    some = (await service.listed(scope, Filters(workflow_id=filled), PageQuery(key=bytes(32), limit=1))).items[0]
    order = Order.asc
    _, plan = await plans_of(
        scope, lambda: service.journal(scope, some.id, PageQuery(key=bytes(32), limit=50, order=order))
    )
    partitions = {scan["Relation Name"] for scan in scans(plan, "execution_logs")}
    since, until = rules.journal_period(some.created_at, some.completed_at, some.status, scope.now())
    months = {f"execution_logs_{at:%Y%m}" for at in (since, until)}
    assert partitions <= months
    assert partitions
    admin = await asyncpg.connect(test_database.admin)
    try:
        all_of_them = await admin.fetchval(
            "select count(*) from pg_inherits where inhparent = 'weft.execution_logs'::regclass"
        )
    finally:
        await admin.close()
    assert all_of_them > len(months)


async def test_a_journal_is_found_by_its_execution(
    database: Database, ada: Actor, test_database: TestDatabase, filled: UUID, scope: Scope
) -> None:
    """Among very many rows of the same tenant in the same month."""
    some = (await service.listed(scope, Filters(workflow_id=filled), PageQuery(key=bytes(32), limit=1))).items[0]
    admin = await asyncpg.connect(test_database.admin)
    try:
        await admin.execute(
            "insert into weft.execution_logs (tenant_id, execution_id, id, visit, attempt, status, started_at)"
            " select e.tenant_id, e.id, gen_random_uuid(), v, 1, 'COMPLETED', e.created_at + v * interval '1 ms'"
            " from weft.workflow_executions e, generate_series(1, 5) v"
        )
        await admin.execute("analyze weft.execution_logs")
    finally:
        await admin.close()
    async with enter(database, ada, read_only=True) as again:
        query = PageQuery(key=bytes(32), limit=3, order=Order.asc)
        first = await service.journal(again, some.id, query)
        for cursor in (None, first.next_cursor):
            query = PageQuery(key=bytes(32), limit=3, order=Order.asc, cursor=cursor)
            _, plan = await plans_of(again, lambda query=query: service.journal(again, some.id, query))  # type: ignore[misc]  # a default binds
            for scan in scans(plan, "execution_logs"):
                assert scan["Node Type"] != "Seq Scan"
            conditions = [str(node.get("Index Cond")) for node in nodes(plan) if "Index Cond" in node]
            assert conditions
            assert all("execution_id" in condition for condition in conditions)
