"""Long stretches of time on a virtual clock: many schedules, many schedulers, and schedulers that die at any moment.

`WEFT_SCHEDULE_DAY=200 pytest tests/engine/triggers/test_schedule_days.py -s` replays 24 hours of 200 schedules.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Generator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from tests.conftest import TestDatabase
from tests.engine.triggers.scheduling import NOON, Scheduling, scheduling

from weft.core.actor import Actor
from weft.db.database import Database
from weft.db.hot import transaction
from weft.domain.workflows.schedules import read
from weft.engine.drive import Driver
from weft.engine.starts import Starter
from weft.engine.triggers.schedules import Schedules, key_of
from weft.worker.loops.schedules import ScheduleLoop

SECOND = timedelta(seconds=1)


@pytest.fixture
async def plan(database: Database, ada: Actor) -> AsyncIterator[Scheduling]:
    async with scheduling(database, ada) as opened:
        yield opened


def calendar_of(number: int) -> dict[str, Any]:
    """A busy office: short intervals, hours, working days, rules, in several zones."""
    where = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata")[number % 4]
    kinds: list[dict[str, Any]] = [
        {"every": "5m"},
        {"every": "10m", "anchor": (NOON + number * SECOND).isoformat()},
        {"cron": f"{number % 60} * * * *", "timezone": where},
        {"cron": "*/10 * * * *", "timezone": where},
        {"rrule": "FREQ=MINUTELY;INTERVAL=10;BYSECOND=0", "timezone": where},
        {"cron": "0 9 * * 1-5", "timezone": where},
        {"rrule": f"FREQ=HOURLY;BYMINUTE={number % 60};BYSECOND=0", "timezone": where},
        {"every": "7m"},
        {"every": "4m"},
    ]
    return kinds[number % len(kinds)]


async def filled(plan: Scheduling, count: int, **more: Any) -> dict[UUID, dict[str, Any]]:
    """Schedules with their configs."""
    made = {}
    for number in range(count):
        config = {"anchor": NOON.isoformat()} | calendar_of(number) | more
        if "cron" in config:
            del config["anchor"]
        made[await plan.trigger(name=f"schedule {number}", **config)] = config
    return made


def expected(made: dict[UUID, dict[str, Any]], until: datetime) -> Counter[str]:
    """The keys of all due times, by the calendars alone."""
    return Counter(
        key_of(trigger_id, due)
        for trigger_id, config in made.items()
        for due in itertools.takewhile(lambda one: one <= until, read(config, NOON).after(NOON))
    )


ANALYZE = "analyze weft.workflow_executions, weft.execution_logs, weft.schedule_runs, weft.dispatch_jobs"
"""What autovacuum does for a growing table. Tests run without it, and a statement that was planned while the tables
were empty would read all of them for ever: 200 schedules then took minutes instead of seconds."""


async def test_a_day_is_replayed_and_each_due_time_is_one_execution(
    plan: Scheduling, test_database: TestDatabase
) -> None:
    made = await filled(plan, int(os.environ.get("WEFT_SCHEDULE_DAY", "9")), overlap="allow")
    until = NOON + timedelta(hours=24)
    admin = await asyncpg.connect(test_database.admin)
    began, rounds, started = time.perf_counter(), 0, 0
    while True:
        done = await plan.loop.run_once(plan.clock.now)
        rounds, started = rounds + 1, started + done.started
        if done.claimed:
            continue
        assert done.next_at is not None
        if done.next_at > until:
            break
        if done.next_at.hour != plan.clock.now.hour:
            await admin.execute(ANALYZE)
        plan.clock.now = done.next_at
    seconds = time.perf_counter() - began
    await admin.close()
    # For whoever runs it with -s.
    print(f"\n{len(made)} schedules, {started} due times, {rounds} rounds in {seconds:.1f} s")  # noqa: T201  the figures are the point
    wanted = expected(made, until)
    assert await plan.keys() == wanted
    assert started == len(wanted)
    assert set(await plan.statuses()) == {"STARTED"}


async def test_due_at_the_same_moment_they_are_started_together(
    plan: Scheduling, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of statements does not depend on the number of schedules."""
    spoken: list[int] = []

    def counted(*values: Any, **options: Any) -> Any:
        spoken[-1] += 1
        return transaction(*values, **options)

    monkeypatch.setattr("weft.engine.triggers.schedules.transaction", counted)
    for count in (3, 60):
        for number in range(count):
            await plan.trigger(name=f"{count}.{number}", every="1h", overlap="allow")
        spoken.append(0)
        await plan.at(plan.clock.now + timedelta(hours=1))
    assert len(await plan.executions()) == 3 + 63
    assert spoken[0] == spoken[1] == 3


class Crash(BaseException):
    """The process is gone."""


class Dying:
    """Awaits something, and dies at its n-th suspension."""

    def __init__(self, work: Coroutine[Any, Any, Any], after: int) -> None:
        self._work = work
        self._after = after

    def __await__(self) -> Generator[Any, Any, Any]:
        inner = self._work.__await__()
        for step in itertools.count():
            try:
                waiting = inner.throw(Crash) if step == self._after else next(inner)
            except StopIteration as done:
                return done.value
            yield waiting
        return None


async def one_turn(loop: ScheduleLoop, now: datetime, chance: random.Random) -> None:
    """A scheduler's look, which may end in any way: well, with its process, or cancelled."""
    match chance.randrange(4):
        case 0:
            try:
                await Dying(loop.run_once(now), chance.randrange(25))
            except Crash:
                return
        case 1:
            task = asyncio.ensure_future(loop.run_once(now))
            for _ in range(chance.randrange(60)):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        case _:
            await loop.run_once(now)


@pytest.mark.parametrize("seed", range(int(os.environ.get("WEFT_SCHEDULE_SEEDS", "2"))))
async def test_four_schedulers_that_die_at_random_start_each_due_time_once(plan: Scheduling, seed: int) -> None:
    chance = random.Random(seed)
    made = await filled(plan, 16, overlap="allow", catch_up="all")
    drivers = [Driver(plan.database, plan.engine.guard, clock=plan.clock) for _ in range(4)]
    loops = [
        ScheduleLoop(plan.database, Schedules(one, Starter(one), plan.engine.guard), clock=plan.clock, batch=5)
        for one in drivers
    ]
    until = NOON + timedelta(minutes=30)
    while plan.clock.now < until:
        plan.clock.now = min(plan.clock.now + chance.randrange(1, 40) * SECOND, until)
        await asyncio.gather(*(one_turn(loop, plan.clock.now, chance) for loop in loops))
    for _ in range(3):  # leases of the dead lapse
        await plan.at(timedelta())
        plan.clock.now += 21 * SECOND
    alive = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    if alive:  # what the dead had begun
        await asyncio.wait(alive, timeout=0.2)
    await plan.at(timedelta())
    wanted = expected(made, plan.clock.now)
    keys = await plan.keys()
    assert {key: keys[key] for key in keys if wanted[key] != keys[key]} == {}
    assert {key for key in wanted if key not in keys} == set()
    runs = await plan.runs()
    assert Counter(row["status"] for row in runs) == {"STARTED": len(wanted)}
    assert {row["execution_id"] for row in runs} == {row["id"] for row in await plan.executions()}
