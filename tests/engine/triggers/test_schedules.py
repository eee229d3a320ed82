"""What schedulers do: once for each due time, under every policy, and after every kind of pause."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.conftest import TestDatabase, make_tenant
from tests.engine.triggers.scheduling import NOON, Scheduling, scheduling
from tests.factories import executions

from weft.core.actor import Actor
from weft.core.errors import Unavailable
from weft.db.database import Database
from weft.domain.workflows.schedules.due import LONGEST_QUEUE
from weft.domain.workflows.schedules.recurrence import Recurrence
from weft.engine.start_requests import StartRequest, StartResult
from weft.engine.starts import Starter
from weft.engine.triggers import schedule_store
from weft.engine.triggers.schedules import BROKEN, Schedules, key_of

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@pytest.fixture
async def plan(database: Database, ada: Actor) -> AsyncIterator[Scheduling]:
    async with scheduling(database, ada) as opened:
        yield opened


async def test_a_due_time_is_one_execution(plan: Scheduling) -> None:
    trigger_id = await plan.trigger(cron="0 9 * * *", timezone="Europe/Berlin")
    assert (await plan.schedule(trigger_id))["next_run_at"] == datetime(2026, 11, 26, 8, tzinfo=UTC)
    await plan.at(datetime(2026, 11, 26, 7, 59, 59, tzinfo=UTC))
    assert await plan.runs() == []
    await plan.at(datetime(2026, 11, 26, 8, tzinfo=UTC))
    (row,) = await plan.executions()
    (run,) = await plan.runs()
    assert (run["status"], run["execution_id"], run["due_at"]) == ("STARTED", row["id"], plan.clock.now)
    assert (row["trigger"], row["trigger_id"], row["workflow_id"]) == ("SCHEDULE", trigger_id, plan.workflow_id)
    assert row["input"] == {"scheduled_at": "2026-11-26T09:00:00+01:00"}
    assert row["idempotency_key"] == key_of(trigger_id, plan.clock.now) == f"schedule:{trigger_id}:2026-11-26T08:00:00Z"
    schedule = await plan.schedule(trigger_id)
    assert (schedule["last_run_at"], schedule["next_run_at"]) == (plan.clock.now, plan.clock.now + 24 * HOUR)
    assert schedule["wake_at"] == schedule["next_run_at"]
    await plan.at(timedelta())
    assert len(await plan.runs()) == 1


async def test_a_mapping_makes_the_input(plan: Scheduling) -> None:
    mapping = {"day": "{{ scheduled_at[:10] }}", "by": "{{ trigger.name }}", "where": "{{ trigger.timezone }}", "n": 1}
    await plan.trigger(cron="30 12 * * *", timezone="Asia/Tokyo", input=mapping)
    await plan.at(NOON + 24 * HOUR)
    (row,) = await plan.executions()
    assert row["input"] == {"day": "2026-11-26", "by": "nightly", "where": "Asia/Tokyo", "n": 1}


async def test_a_start_that_is_refused_is_recorded_and_the_next_is_tried(plan: Scheduling) -> None:
    strict = {"type": "object", "required": ["amount"]}
    picky = await executions.workflow(plan.database, plan.actor, input=strict)
    trigger_id = await plan.trigger(every="1h", workflow_id=picky)
    broken = await plan.trigger(every="1h", input={"n": "{{ 1 / 0 }}"})
    await plan.at(HOUR)
    await plan.at(HOUR)
    assert await plan.statuses(trigger_id) == await plan.statuses(broken) == ["FAILED", "FAILED"]
    (run, _) = await plan.runs(trigger_id)
    assert "amount" in run["reason"]
    assert await plan.executions() == []


async def test_a_schedule_that_breaks_stops_no_other(plan: Scheduling, monkeypatch: pytest.MonkeyPatch) -> None:
    """What its calendar raises is shown on it, and it is put off alone; mended, it goes on."""
    bad = await plan.trigger(rrule="FREQ=HOURLY;BYSECOND=0", overlap="allow", catch_up="all")
    good = await plan.trigger(every="1h", name="good")
    original = Recurrence.after

    def breaks(self: Recurrence, moment: datetime) -> Iterator[datetime]:
        if "BYSECOND" in self.parts:
            raise IndexError("list index out of range")
        return original(self, moment)

    monkeypatch.setattr(Recurrence, "after", breaks)
    await plan.at(HOUR)
    await plan.at(HOUR)
    assert await plan.statuses(good) == ["STARTED", "SKIPPED"]
    (run,) = await plan.runs(bad)
    assert (run["status"], run["due_at"], run["open"]) == ("FAILED", NOON + HOUR, False)
    assert "IndexError" in run["reason"]
    schedule = await plan.schedule(bad)
    assert (schedule["next_run_at"], schedule["wake_at"]) == (NOON + HOUR, plan.clock.now + BROKEN)
    monkeypatch.undo()
    await plan.at(HOUR)
    assert await plan.statuses(bad) == ["STARTED"] * 3
    assert len([row for row in await plan.executions() if row["trigger_id"] == bad]) == 3


async def test_a_loop_sleeps_until_the_next_due_time_and_hears_of_changes(plan: Scheduling) -> None:
    trigger_id = await plan.trigger(every="10m")
    assert (await plan.loop.run_once(NOON)).next_at == NOON + 10 * MINUTE
    await plan.change(trigger_id, config={"every": "3m", "anchor": NOON.isoformat()})
    assert (await plan.loop.run_once(NOON)).next_at == NOON + 3 * MINUTE


async def test_a_running_loop_is_woken_by_a_new_trigger(plan: Scheduling, test_database: TestDatabase) -> None:
    """Nothing but the notification can wake it: it would sleep for an hour."""
    loop = plan.scheduler(listen_dsn=test_database.app, longest=HOUR)
    running = asyncio.create_task(loop.run())
    try:
        await plan.found(
            "select 1 from pg_stat_activity where datname = current_database() and application_name = 'weft schedules'"
            " and state = 'idle' and query ilike 'listen%'"
        )
        await plan.trigger(every="1s", anchor=(NOON - HOUR).isoformat())
        plan.clock.now += timedelta(seconds=5)
        await plan.trigger(name="new year", cron="0 0 1 1 *")
        await plan.found("select id from weft.workflow_executions")
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


# -- overlap -------------------------------------------------------------------------------------------------


async def test_skip_waits_for_the_end_of_the_one_before(plan: Scheduling) -> None:
    await plan.trigger(every="1h", overlap="skip")
    for _ in range(3):
        await plan.at(HOUR)
    assert await plan.statuses() == ["STARTED", "SKIPPED", "SKIPPED"]
    (_, run, _) = await plan.runs()
    assert run["reason"] == "The execution before it had not ended."
    (row,) = await plan.executions()
    await plan.end(row["id"])
    await plan.at(HOUR)
    assert await plan.statuses() == ["STARTED", "SKIPPED", "SKIPPED", "STARTED"]


async def test_allow_does_not_look_at_the_one_before(plan: Scheduling) -> None:
    await plan.trigger(every="1h", overlap="allow")
    for _ in range(3):
        await plan.at(HOUR)
    assert await plan.statuses() == ["STARTED"] * 3
    assert not any(row["open"] for row in await plan.runs())


async def test_cancel_previous_cancels_and_says_so(plan: Scheduling) -> None:
    await plan.trigger(every="1h", overlap="cancel_previous", name="refresh")
    for _ in range(3):
        await plan.at(HOUR)
    assert await plan.statuses() == ["STARTED"] * 3
    assert [row["status"] for row in await plan.executions()] == ["CANCELLED", "CANCELLED", "PENDING"]
    notes = await plan.fetch("select message from weft.execution_logs where step_key is null and message is not null")
    assert notes[0]["message"] == "Cancelled by schedule refresh. The schedule was due again."


async def test_a_queue_goes_on_when_the_one_before_ends_oldest_first(plan: Scheduling) -> None:
    trigger_id = await plan.trigger(every="1h", overlap="queue")
    for _ in range(3):
        await plan.at(HOUR)
    assert await plan.statuses() == ["STARTED", "QUEUED", "QUEUED"]
    wake_at = (await plan.schedule(trigger_id))["wake_at"]
    assert plan.clock.now < wake_at <= plan.clock.now + timedelta(seconds=15)
    plan.loop = plan.scheduler()  # another process: the queue is rows
    for expected in (["STARTED", "STARTED", "QUEUED"], ["STARTED"] * 3):
        await plan.end((await plan.executions())[-1]["id"])
        await plan.at(timedelta(seconds=20))
        assert await plan.statuses() == expected
    times = [row["input"]["scheduled_at"][11:13] for row in await plan.executions()]
    assert times == ["13", "14", "15"]
    schedule = await plan.schedule(trigger_id)
    assert schedule["wake_at"] == schedule["next_run_at"]


async def test_a_queue_has_an_end(plan: Scheduling) -> None:
    await plan.trigger(every="1m", overlap="queue", catch_up="all", catch_up_limit=200)
    await plan.at(timedelta(minutes=LONGEST_QUEUE + 5))
    found = await plan.statuses()
    assert found == ["STARTED", *["QUEUED"] * LONGEST_QUEUE, *["SKIPPED"] * 4]


# -- catching up ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [
        ({"catch_up": "none"}, ["MISSED"] * 6),
        ({"catch_up": "last"}, ["MISSED"] * 5 + ["STARTED"]),
        ({"catch_up": "all"}, ["STARTED"] * 6),
        ({"catch_up": "all", "catch_up_limit": 2}, ["MISSED"] * 4 + ["STARTED"] * 2),
        ({"catch_up": "all", "catch_up_window": "3h"}, ["MISSED"] * 3 + ["STARTED"] * 3),
        ({"catch_up": "last", "catch_up_window": "5m"}, ["MISSED"] * 6),
    ],
)
async def test_after_a_pause_of_all_workers(plan: Scheduling, catch_up: dict[str, Any], expected: list[str]) -> None:
    await plan.trigger(every="1h", overlap="allow", **catch_up)
    await plan.at(6 * HOUR + 10 * MINUTE)
    assert await plan.statuses() == expected
    assert len(await plan.executions()) == expected.count("STARTED")
    missed = [row for row in await plan.runs() if row["status"] == "MISSED"]
    assert all("catches up" in row["reason"] for row in missed)
    await plan.at(NOON + 7 * HOUR)
    assert (await plan.statuses())[len(expected) :] == ["STARTED"]


async def test_a_due_time_that_is_a_little_late_is_no_missed_one(plan: Scheduling) -> None:
    await plan.trigger(every="10s", overlap="allow", catch_up="none")
    await plan.at(timedelta(seconds=45))
    assert await plan.statuses() == ["STARTED"] * 4


async def test_many_missed_due_times_are_one_row(plan: Scheduling) -> None:
    await plan.trigger(every="1m", overlap="allow", catch_up="last", name="a")
    await plan.at(timedelta(hours=1, seconds=30))
    missed, started = await plan.runs()
    assert (missed["status"], missed["times"], missed["due_at"]) == ("MISSED", 59, NOON + MINUTE)
    assert (missed["until"], started["due_at"]) == (NOON + 59 * MINUTE, NOON + HOUR)
    await plan.at(timedelta(days=365))
    runs = await plan.runs()
    assert (runs[2]["status"], runs[2]["times"]) == ("MISSED", 0), "too many to count, and nobody counted"
    assert len(runs) == 4


# -- pausing -------------------------------------------------------------------------------------------------


async def test_a_paused_schedule_neither_runs_nor_catches_up(plan: Scheduling) -> None:
    trigger_id = await plan.trigger(every="1h", overlap="queue", catch_up="all")
    await plan.at(HOUR)
    await plan.at(HOUR)
    assert await plan.statuses() == ["STARTED", "QUEUED"]
    await plan.change(trigger_id, enabled=False)
    await plan.at(timedelta())
    assert await plan.statuses() == ["STARTED", "SKIPPED"]
    assert (await plan.schedule(trigger_id))["wake_at"] is None
    await plan.at(5 * HOUR)
    await plan.change(trigger_id, enabled=True)
    await plan.at(timedelta())
    assert len(await plan.runs()) == 2
    await plan.end((await plan.executions())[0]["id"])
    await plan.at(HOUR)
    assert await plan.statuses() == ["STARTED", "SKIPPED", "STARTED"]


async def test_a_workflow_that_is_not_active_has_no_due_times(plan: Scheduling) -> None:
    trigger_id = await plan.trigger(every="1h", catch_up="all")
    await plan.move("deactivate")
    assert (await plan.schedule(trigger_id))["next_run_at"] is None
    await plan.at(5 * HOUR)
    await plan.move("activate")
    await plan.at(timedelta())
    assert await plan.runs() == []
    await plan.at(HOUR)
    assert await plan.statuses() == ["STARTED"]


async def test_what_a_deactivation_overtook_is_not_started(plan: Scheduling, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheduler had decided; the workflow was stopped before it could start."""
    await plan.trigger(every="1h")
    submit = Starter.submit

    async def stopped_first(self: Starter, actor: Actor, request: StartRequest) -> StartResult:
        await plan.move("deactivate")
        return await submit(self, actor, request)

    monkeypatch.setattr(Starter, "submit", stopped_first)
    await plan.at(HOUR)
    assert await plan.executions() == []
    assert await plan.statuses() == ["SKIPPED"]


# -- when something goes wrong -------------------------------------------------------------------------------


class Crash(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("where", ["before recording", "before starting", "after starting"])
async def test_a_crash_loses_nothing_and_repeats_nothing(
    plan: Scheduling, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trigger_id = await plan.trigger(every="1h", catch_up="none")
    submit = Starter.submit

    async def crash(*_: Any) -> Any:
        raise Crash

    async def crash_after(self: Starter, actor: Actor, request: StartRequest) -> StartResult:
        await submit(self, actor, request)
        raise Crash

    with monkeypatch.context() as patch:
        match where:
            case "before recording":
                patch.setattr("weft.engine.triggers.schedule_store.record", crash)
            case "before starting":
                patch.setattr(Starter, "submit", crash)
            case _:
                patch.setattr(Starter, "submit", crash_after)
        with pytest.raises(Crash):
            await plan.at(HOUR)
    await plan.at(timedelta(seconds=19))
    assert await plan.statuses() in ([], ["PENDING"]), "the lease is not over"
    await plan.at(timedelta(seconds=1))
    assert await plan.statuses() == ["STARTED"]
    assert list((await plan.keys()).values()) == [1]
    (run,), (row,) = await plan.runs(), await plan.executions()
    assert (run["execution_id"], run["due_at"]) == (row["id"], NOON + HOUR)
    assert (await plan.schedule(trigger_id))["wake_at"] == NOON + 2 * HOUR


async def test_a_scheduler_that_was_thought_dead_writes_nothing(
    plan: Scheduling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It decided under an epoch that is gone: another one has decided, recorded and started meanwhile."""
    await plan.trigger(every="1h")
    slow, quick = plan.scheduler(), plan.scheduler()
    decided, go_on = asyncio.Event(), asyncio.Event()
    record = schedule_store.record

    async def slowly(*values: Any) -> Any:
        if not decided.is_set():
            decided.set()
            await go_on.wait()
        return await record(*values)

    monkeypatch.setattr(schedule_store, "record", slowly)
    late = asyncio.create_task(slow.run_once(NOON + HOUR))
    await decided.wait()
    plan.clock.now = NOON + HOUR + timedelta(seconds=21)
    assert (await quick.run_once(plan.clock.now)).started == 1
    go_on.set()
    assert (await late).started == 0
    assert await plan.statuses() == ["STARTED"]
    assert len(await plan.executions()) == 1


async def test_a_start_that_cannot_be_stored_now_is_tried_again(
    plan: Scheduling, monkeypatch: pytest.MonkeyPatch
) -> None:
    await plan.trigger(every="1h")

    async def away(*_: Any) -> Any:
        raise Unavailable("Not now.")

    with monkeypatch.context() as patch:
        patch.setattr(Starter, "submit", away)
        await plan.at(HOUR)
    assert await plan.statuses() == ["PENDING"]
    await plan.at(timedelta(seconds=5))
    assert await plan.statuses() == ["STARTED"]


async def test_one_tenant_s_trouble_is_not_another_s(plan: Scheduling, monkeypatch: pytest.MonkeyPatch) -> None:
    bob = await make_tenant(plan.database, "bob")
    theirs = await executions.workflow(plan.database, bob)
    await plan.trigger(every="1h")
    other = Scheduling(plan.database, bob, plan.engine, plan.clock, theirs)
    await other.trigger(every="1h")
    run = Schedules.run

    async def broken(self: Schedules, tenant_id: Any, *values: Any) -> int:
        if tenant_id == bob.tenant_id:
            raise ZeroDivisionError
        return await run(self, tenant_id, *values)

    with monkeypatch.context() as patch:
        patch.setattr(Schedules, "run", broken)
        await plan.at(HOUR)
    assert await plan.statuses() == ["STARTED"]
    assert await other.runs() == []
    await plan.at(timedelta(seconds=20))
    assert await other.statuses() == ["STARTED"]
    assert await plan.statuses() == ["STARTED"]


async def test_old_runs_are_forgotten(plan: Scheduling) -> None:
    await plan.trigger(every="1h", overlap="allow")
    await plan.at(HOUR)
    await plan.loop._prune(plan.clock.now)
    assert len(await plan.runs()) == 1
    await plan.loop._prune(plan.clock.now + timedelta(days=91))
    assert await plan.runs() == []
    assert len(await plan.executions()) == 1
