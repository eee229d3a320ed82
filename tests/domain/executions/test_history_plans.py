"""History does not slow the hot path: months of finished executions, and every statement finds its rows by index, in
the months that can have them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from tests.conftest import Cluster, TestDatabase, lasting_database, make_tenant
from tests.factories import executions
from tests.ops.test_retention import make_months

from weft.core.actor import Actor
from weft.db.database import Database
from weft.db.hot import transaction
from weft.db.scope import enter
from weft.domain.executions import changes, queries, rules
from weft.domain.executions.rules import Position
from weft.domain.retention import queries as retention
from weft.engine import repeated, store, watching
from weft.interpreter.state import Status

Plan = dict[str, Any]
NOW = datetime.now(UTC)
MONTHS = 5
EACH = 600


@dataclass(frozen=True)
class History:
    """Finished executions of several months, and one that runs."""

    database: Database
    actor: Actor
    workflow_id: UUID
    running: UUID
    began: datetime
    filled: set[str]
    """The journal's months that hold rows."""

    async def explained(self, statement: str, *values: Any) -> Plan:
        """The plan as the application gets it. Nothing is carried out."""
        async with transaction(self.database, self.actor) as connection:
            answer = await connection.fetchval(f"explain (format json) {statement}", *values)
        plan: Plan = (json.loads(answer) if isinstance(answer, str) else answer)[0]["Plan"]
        return plan


@pytest.fixture(scope="module")
def test_database(cluster: Cluster, template: str) -> Iterator[TestDatabase]:
    """One for all tests of this module: they look, and leave nothing."""
    yield from lasting_database(cluster, f"template {template}")


@pytest.fixture(scope="module")
def filled(test_database: TestDatabase) -> History:
    return asyncio.run(_filled(test_database))


@pytest.fixture
def history(database: Database, filled: History) -> History:
    return replace(filled, database=database)  # connections belong to the test's event loop


async def _filled(test_database: TestDatabase) -> History:
    this = NOW.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    firsts = [this]
    for _ in range(MONTHS):
        firsts.append((firsts[-1] - timedelta(days=1)).replace(day=1))
    await make_months(test_database, *firsts)
    database = await Database.open(test_database.app, size=1, hot_size=1)
    try:
        ada, bob = await make_tenant(database, "ada"), await make_tenant(database, "bob")
        workflow_id = await executions.workflow(database, ada)
        for actor, workflow in ((ada, workflow_id), (bob, await executions.workflow(database, bob))):
            for first in firsts[1:]:
                await executions.fill(database, actor, workflow, EACH, since=first + timedelta(days=3))
    finally:
        await database.close()
    began = NOW - timedelta(minutes=5)
    admin = await asyncpg.connect(test_database.admin)
    try:
        await admin.execute(
            "insert into weft.execution_logs (tenant_id, execution_id, id, visit, attempt, status, started_at,"
            " saved_in) select e.tenant_id, e.id, gen_random_uuid(), v, 1, 'COMPLETED', e.created_at, 1"
            " from weft.workflow_executions e, generate_series(1, 3) v"
        )
        running = await admin.fetchval(
            "insert into weft.workflow_executions (tenant_id, id, workflow_id, version_id, number, status, created_at)"
            " select tenant_id, gen_random_uuid(), id, current_version_id, 1, 'RUNNING', $2 from weft.workflows"
            " where id = $1 returning id", workflow_id, began,
        )  # fmt: skip
        await admin.execute("checkpoint")  # commits that are not yet on disk would keep pages from being all-visible
        await admin.execute("vacuum analyze weft.workflow_executions")
        await admin.execute("analyze weft.execution_logs")
    finally:
        await admin.close()
    return History(
        database, ada, workflow_id, UUID(int=running.int), began, {f"execution_logs_{at:%Y%m}" for at in firsts[1:]}
    )


def nodes(plan: Plan) -> Iterator[Plan]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def scans(plan: Plan, table: str) -> list[Plan]:
    found = [node for node in nodes(plan) if str(node.get("Relation Name", "")).startswith(table)]
    return [node for node in found if node["Node Type"] != "ModifyTable"]


def indexes(plan: Plan) -> set[str]:
    return {str(node["Index Name"]) for node in nodes(plan) if "Index Name" in node}


def months_read(plan: Plan) -> set[str]:
    return {str(scan["Relation Name"]) for scan in scans(plan, "execution_logs")}


def between(since: datetime, until: datetime) -> set[str]:
    return {f"execution_logs_{at:%Y%m}" for at in (since, until)}


async def test_executions_are_loaded_by_their_key(history: History) -> None:
    for statement, values in (
        (store.LOAD, (history.actor.tenant_id, [history.running])),
        (watching.VERSIONS, (history.actor.tenant_id, [history.running])),
    ):
        plan = await history.explained(statement, *values)
        assert indexes(plan) == {"workflow_executions_pkey"}
        assert all(scan["Node Type"] != "Seq Scan" for scan in scans(plan, "workflow_executions"))


async def test_results_are_read_from_the_months_of_the_execution(history: History) -> None:
    since, until = history.began - rules.SKEW, NOW + rules.SKEW
    plan = await history.explained(store.OUTPUTS, history.actor.tenant_id, [history.running], [1], since, until)
    assert months_read(plan) <= between(since, until)


async def test_an_old_execution_s_results_are_found_by_index(history: History) -> None:
    """One that waited for months: more months are asked, each by its index."""
    since, until = (NOW - timedelta(days=31 * MONTHS)).replace(day=1), NOW + rules.SKEW
    plan = await history.explained(store.OUTPUTS, history.actor.tenant_id, [history.running], [1], since, until)
    full = {scan["Relation Name"] for scan in scans(plan, "execution_logs") if scan["Node Type"] == "Seq Scan"}
    assert full & history.filled == set(), "only months without a row are read whole"
    assert months_read(plan) & history.filled
    names = tuple(history.filled)
    by_index = [node for node in nodes(plan) if str(node.get("Index Name", "")).startswith(names)]
    conditions = [str(node["Index Cond"]) for node in by_index]
    assert conditions
    assert all("execution_id" in condition for condition in conditions)


async def test_journal_rows_are_settled_in_their_month(history: History) -> None:
    plan = await history.explained(
        store.SETTLE, history.actor.tenant_id, [history.running], [1], [1], [NOW], ["COMPLETED"], [NOW], [None], [None],
        [None], [2], NOW, NOW,
    )  # fmt: skip
    assert months_read(plan) == between(NOW, NOW)


async def test_a_repeated_start_is_recognised_by_its_key(history: History) -> None:
    plan = await history.explained(
        repeated.EARLIER, history.actor.tenant_id, history.workflow_id, "k-1", None, None, None
    )
    assert indexes(plan) == {"workflow_executions_idempotency_key"}


async def test_changes_are_found_by_their_execution(history: History) -> None:
    period = rules.journal_period(history.began, None, "RUNNING", NOW)
    tenant = history.actor.tenant_id
    statement = changes._journal(tenant, history.running, period, Position(1), 2, data=False).limit(10)
    async with enter(history.database, history.actor, read_only=True) as scope:
        connection = await scope.session.connection()
        text = str(statement.compile(connection.sync_engine, compile_kwargs={"literal_binds": True}))
    plan = await history.explained(text)
    assert months_read(plan) <= between(*period)


async def test_counts_read_no_table(history: History) -> None:
    statuses = [status.value for status in Status]
    plan = await history.explained(queries.COUNT_ALL, history.actor.tenant_id, NOW - timedelta(days=30), NOW, statuses)
    assert indexes(plan) == {"workflow_executions_status_idx", "workflow_executions_simulation_idx"}
    assert {scan["Node Type"] for scan in scans(plan, "workflow_executions")} == {"Index Only Scan"}


async def test_what_is_too_old_stands_at_the_end_of_an_index(history: History) -> None:
    """What is kept is not read, however much it is."""
    cutoff = NOW - timedelta(days=31 * (MONTHS - 1))
    final = list(retention.FINAL)
    tenant = history.actor.tenant_id
    for plan in (
        await history.explained(
            retention.DUE, tenant, cutoff, final, datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0), 500
        ),
        await history.explained(retention.COUNT_DUE, tenant, cutoff, final, 10_001),
    ):
        used = scans(plan, "workflow_executions")
        assert all(scan["Node Type"] != "Seq Scan" for scan in used), used
        walk = next(node for node in nodes(plan) if node.get("Index Name") == "workflow_executions_status_idx")
        assert "created_at <" in walk["Index Cond"]
        assert indexes(plan) <= {
            "workflow_executions_status_idx", "workflow_executions_pkey", "workflow_executions_parent_id_idx",
        }  # fmt: skip


async def test_a_claim_reads_the_queue_and_nothing_else(history: History, test_database: TestDatabase) -> None:
    admin = await asyncpg.connect(test_database.admin)
    try:
        async with admin.transaction():
            await admin.fetch("select * from weft.claim_jobs('me', 10, 2, $1, '30 s', '{}')", UUID(int=0))
            rows = await admin.fetch(
                "select relname from pg_stat_xact_user_tables where seq_scan + coalesce(idx_scan, 0) > 0"
                " and schemaname = 'weft'"
            )
    finally:
        await admin.close()
    assert {row["relname"] for row in rows} == {"dispatch_jobs"}
