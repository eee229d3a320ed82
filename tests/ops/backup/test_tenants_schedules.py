"""Schedules of a tenant that comes back: off until somebody says so, or without a due time that it had already."""

from __future__ import annotations

from datetime import timedelta

import asyncpg
import pytest
from tests.engine.triggers.scheduling import NOON, Scheduling, scheduling
from tests.factories import identity
from tests.factories.identity import Person
from tests.ops.backup.conftest import House
from tests.ops.backup.test_tenants import owner, restored, rows

from weft.core.actor import Actor, system_actor
from weft.db.database import Database
from weft.db.scope import enter
from weft.domain.workflows.service import triggers
from weft.engine.triggers.schedules import key_of
from weft.ops.backup.tenants import Wanted

__all__ = ["owner"]

HOUR = timedelta(hours=1)


@pytest.fixture
async def ada(database: Database) -> Person:
    return await identity.tenant(database, "ada")


@pytest.fixture
def actor(ada: Person) -> Actor:
    return system_actor(ada.tenant_id)


async def due(plan: Scheduling) -> set[str]:
    """The due times of which executions are there: their keys."""
    return {row["idempotency_key"] for row in await plan.executions()}


async def test_without_run_no_schedule_starts_anything_until_it_is_enabled(
    house: House, database: Database, actor: Actor, owner: asyncpg.Connection
) -> None:
    async with scheduling(database, actor) as plan:
        hourly = await plan.trigger(every="1h", catch_up="all", overlap="allow")
        queue = await plan.trigger(name="queue", every="1h", overlap="queue")
        off = await plan.trigger(name="off", every="1h")
        await plan.change(off, enabled=False)
        await plan.at(HOUR)
        await plan.at(HOUR)
        assert await plan.statuses(queue) == ["STARTED", "QUEUED"]
        made = await house.backup()
        for _ in range(3):
            await plan.at(HOUR)
        done = await restored(house, made.id, Wanted("ada", replace=True))
        assert [one.trigger for one in done.held_schedules] == ["nightly", "queue"], (
            "what was off is not let go with it"
        )
        before = await due(plan)
        await plan.at(2 * HOUR)
        assert await due(plan) == before
        assert await plan.statuses(queue) == ["STARTED", "SKIPPED"], "nor does what waited"
        logged = await owner.fetchval(
            "select after from weft.audit_logs where action = 'tenant.restore' order by at desc limit 1"
        )
        assert str(hourly) in logged
        assert str(off) not in logged
        await plan.change(hourly, enabled=True)
        await plan.at(HOUR)
        assert await due(plan) - before == {key_of(hourly, plan.clock.now)}, "it goes on from now"


async def test_with_run_no_due_time_comes_twice(
    house: House, database: Database, actor: Actor, owner: asyncpg.Connection
) -> None:
    async with scheduling(database, actor) as plan:
        hourly = await plan.trigger(every="1h", catch_up="all", overlap="allow")
        queue = await plan.trigger(name="queue", every="1h", overlap="queue")
        deleted = await plan.trigger(name="deleted", every="1h", catch_up="all", overlap="allow")
        await plan.at(HOUR)
        await plan.at(HOUR)
        made = await house.backup()
        waiting = await plan.runs(queue)
        await plan.end(waiting[0]["execution_id"])
        for _ in range(3):
            await plan.at(HOUR)
        assert (await plan.statuses(queue))[:2] == ["STARTED", "STARTED"], "what waited ran since"
        async with enter(database, actor) as scope:
            await triggers.delete(scope, plan.workflow_id, deleted)
        before = await plan.schedule(hourly)
        ran = await due(plan)
        plan.clock.now += 2 * HOUR  # two that nobody has had
        done = await restored(house, made.id, Wanted("ada", replace=True, run=True))
        assert done.held_schedules == []
        assert (await plan.schedule(hourly))["epoch"] > before["epoch"], "whoever holds it may not write any more"
        left = await due(plan)
        await plan.at(timedelta())
        for trigger in (hourly, deleted):
            started = [run["due_at"] for run in await plan.runs(trigger)]
            assert started == [NOON + HOUR * n for n in (1, 2, 6, 7)], "what was had is not caught up with; the rest is"
        assert await plan.statuses(queue) == ["STARTED", "STARTED", "MISSED", "QUEUED"], (
            "nor does what waited then start again"
        )
        assert not (await due(plan) - left) & ran


async def test_a_copy_starts_nothing_that_waited(
    house: House, database: Database, actor: Actor, owner: asyncpg.Connection
) -> None:
    async with scheduling(database, actor) as plan:
        await plan.trigger(every="1h", overlap="queue")
        await plan.at(HOUR)
        await plan.at(HOUR)
        made = await house.backup()
    done = await restored(house, made.id, Wanted("ada", "twin", run=True))
    assert await rows(owner, "schedule_runs", done.new_id) == 2
    found = await owner.fetch(
        "select status, open from weft.schedule_runs where tenant_id = $1 order by due_at", done.new_id
    )
    assert [tuple(row) for row in found] == [("STARTED", True), ("SKIPPED", False)]
    assert await owner.fetchval("select wake_at from weft.workflow_schedules where tenant_id = $1", done.new_id) is None
