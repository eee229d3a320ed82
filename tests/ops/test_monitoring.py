"""The checks of health: each goes from ok to warn to red by what is really there, and is told everywhere alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from tests.conftest import TestDatabase

from weft.db.database import Database
from weft.ops.doctor import Verdict, health
from weft.ops.monitoring import checks, facts, runs
from weft.ops.monitoring.checks import Looking, Result, State
from weft.ops.monitoring.facts import Facts, Sampler, Slot
from weft.ops.monitoring.runs import Run
from weft.settings_upkeep import MonitorSettings

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
LIMITS = MonitorSettings(transaction_warns_seconds=100, slot_lag_bytes=1000)


@pytest.fixture
async def connection(test_database: TestDatabase) -> AsyncIterator[asyncpg.Connection]:
    opened = await asyncpg.connect(test_database.app)
    try:
        yield opened
    finally:
        await opened.close()


async def states(seen: Facts, connection: Any, *, maintains: bool = False) -> dict[str, State]:
    found = await checks.run(Looking(seen, NOW, LIMITS, connection, maintains))
    for one in found:
        assert one.sentence.endswith(".")
        assert bool(one.next_step) == (one.state is not State.ok)
    return {one.name: one.state for one in found}


async def test_a_new_database_lacks_nothing_but_a_worker(connection: Any) -> None:
    seen = await facts.look(connection)
    found = await states(seen, connection)
    assert {name for name, state in found.items() if state is not State.ok} == {"worker"}
    assert found.keys() == set(checks.names()) - {"replication slots", "maintenance"}, "those have nothing to say"


def run(kind: str = runs.MAINTENANCE, *, days: float = 1, is_ok: bool = True) -> dict[str, Run]:
    at = NOW - timedelta(days=days)
    return {kind: Run(kind, at, at, is_ok, at if is_ok else None, {})}


@pytest.mark.parametrize(
    ("name", "change", "state"),
    [
        ("database", {"connections": {"idle": 79}, "connections_allowed": 100}, State.ok),
        ("database", {"connections": {"idle": 50, "active": 30}, "connections_allowed": 100}, State.warn),
        ("migration", {"revision": None}, State.red),
        ("row security", {"is_row_security_active": False}, State.red),
        ("oldest transaction", {"oldest_transaction": 99.0}, State.ok),
        ("oldest transaction", {"oldest_transaction": 100.0}, State.warn),
        ("oldest transaction", {"oldest_transaction": 600.0}, State.red),
        ("transaction ids", {"xid_age": 500_000_000}, State.warn),
        ("transaction ids", {"xid_age": 1_500_000_000}, State.red),
        ("replication slots", {"slots": (Slot("a", True, "reserved", 999),)}, State.ok),
        ("replication slots", {"slots": (Slot("a", True, "reserved", 1000),)}, State.warn),
        ("replication slots", {"slots": (Slot("a", False, "lost", 0),)}, State.red),
        ("partitions", {"runway": {"a": 90.0, "b": 44.0}}, State.warn),
        ("partitions", {"runway": {"a": 90.0, "b": -4.0}}, State.red),
        ("partitions", {"runway": {}}, State.red),
        ("worker", {"worker_silence": 1.0}, State.ok),
        ("worker", {"worker_silence": 61.0}, State.red),
        ("queue", {"queue": {"ready": (5, 59.0), "scheduled": (9, 9e9)}}, State.ok),
        ("queue", {"queue": {"ready": (5, 60.0)}}, State.warn),
        ("queue", {"queue": {"ready": (5, 900.0)}}, State.red),
        ("dead rows", {"dead_rows": {"a": 99_999}, "live_rows": {"a": 0}}, State.ok),
        ("dead rows", {"dead_rows": {"a": 100_000}, "live_rows": {"a": 200_000}}, State.warn),
        ("dead rows", {"dead_rows": {"a": 100_000}, "live_rows": {"a": 200_001}}, State.ok),
        ("maintenance", {"runs": run()}, State.ok),
        ("maintenance", {"runs": run(is_ok=False)}, State.warn),
        ("maintenance", {"runs": run(days=9)}, State.warn),
        ("maintenance", {"runs": {}}, State.warn),
    ],
)
async def test_what_is_well_and_what_is_not(name: str, change: dict[str, Any], state: State, connection: Any) -> None:
    seen = replace(await facts.look(connection), **change)
    assert (await states(seen, connection, maintains=True))[name] is state


@pytest.mark.parametrize(
    ("kind", "needs", "state", "next_step"),
    [
        ("expand", None, State.warn, "Update soon"),
        ("contract", "0.0.1", State.warn, "Update soon"),
        ("contract", "99.0", State.red, "Start that"),
        (None, None, State.red, "Start the weft that migrated it"),
    ],
)
async def test_a_newer_schema_is_red_only_where_this_version_may_not_work(
    kind: str | None, needs: str | None, state: State, next_step: str, connection: Any, test_database: TestDatabase
) -> None:
    """During every update: the database is migrated first, and the older processes work on, see `/readyz`."""
    admin = await asyncpg.connect(test_database.admin)
    await admin.execute("update weft.alembic_version set version_num = '9999'")
    if kind is not None:
        await admin.execute(
            "insert into weft.migration_history (id, revision, kind, direction, version, needs)"
            " values (gen_random_uuid(), '9999', $1, 'up', '0.9', $2)", kind, needs
        )  # fmt: skip
    await admin.close()
    found = await checks.run(Looking(await facts.look(connection), NOW, LIMITS, connection))
    [migration] = [one for one in found if one.name == "migration"]
    assert migration.state is state
    assert migration.next_step.startswith(next_step)


async def test_what_is_really_there_is_seen(connection: Any, test_database: TestDatabase) -> None:
    admin = await asyncpg.connect(test_database.admin)
    other = await asyncpg.connect(test_database.app, server_settings={"application_name": "weft worker"})
    try:
        for ahead in (2, 3):
            await admin.execute(f"drop table weft.audit_logs_{await _month(admin, ahead)}")
        await admin.execute(
            "insert into weft.dispatch_jobs (tenant_id, id, kind, run_at)"
            " select gen_random_uuid(), gen_random_uuid(), 'x', now() - interval '2 minutes' from generate_series(1, 3)"
        )
        async with other.transaction():
            await other.fetchval("select 1")
            seen = await facts.look(connection)
    finally:
        await admin.close()
        await other.close()
    assert 0 < seen.oldest_transaction < 60
    assert seen.worker_silence is not None
    assert seen.connections["idle in transaction"] >= 1, "those of other databases are connections, too"
    assert 28 < seen.runway["audit_logs"] < 63 < seen.runway["execution_logs"]
    assert seen.queue["ready"][0] == 3
    assert seen.queue["ready"][1] == pytest.approx(120, abs=30)


async def _month(connection: Any, ahead: int) -> str:
    month = "to_char(now() at time zone 'utc' + make_interval(months => $1), 'YYYYMM')"
    return str(await connection.fetchval(f"select {month}", ahead))


async def test_a_check_that_fails_is_a_warning_and_the_others_are_asked(
    connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def verified(looking: Looking) -> Result | None:
        await looking.connection.fetchval("select * from nothing_there")
        return None

    monkeypatch.setitem(checks._CHECKS, "last verified backup", verified)
    found = await checks.run(Looking(await facts.look(connection), NOW, LIMITS, connection))
    assert found[-1].name == "last verified backup"
    assert found[-1].state is State.warn
    assert len(found) > 5
    with pytest.raises(LookupError):
        checks.check("database")(verified)


async def test_facts_are_asked_once_however_many_want_them(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "PATIENCE", 60.0)
    now = [0.0]
    sampler = Sampler(database, 15, counter=lambda: now[0])
    first = await sampler.fresh()
    assert await sampler.fresh() is first
    now[0] = 15.0
    assert await sampler.fresh() is not first
    await database.pool.close()
    assert await sampler.fresh() is not None, "they are still young enough"
    now[0] = 30.0
    assert await sampler.fresh() is None
    assert not sampler.is_current


async def test_doctor_asks_the_same_checks(connection: Any, test_database: TestDatabase) -> None:
    owner = await asyncpg.connect(test_database.owner)
    await runs.record(owner, runs.MAINTENANCE, NOW, is_ok=False)
    await owner.close()
    answers = {one.topic: one for one in await health.answers(connection, None, NOW)}
    assert answers.keys() == {"oldest transaction", "transaction ids", "dead rows", "maintenance"}
    assert answers["maintenance"].verdict is Verdict.warning
    assert "--status" in answers["maintenance"].next_step
