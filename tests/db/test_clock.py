"""What time it is, is the database's business."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from weft.core import clock as core_clock
from weft.db import clock as module
from weft.db.clock import DatabaseClock
from weft.db.database import Database


class Counter:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


async def test_a_wrong_clock_of_this_machine_changes_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "utc_now", lambda: core_clock.utc_now() + timedelta(hours=5))
    clock = DatabaseClock(database)
    assert clock() - datetime.now(UTC) > timedelta(hours=4), "until it was asked, the wall clock must do"
    await clock.synchronise()
    assert abs(clock() - datetime.now(UTC)) < timedelta(seconds=30)


async def test_between_two_questions_the_counter_carries_it_on(database: Database) -> None:
    counter = Counter()
    clock = DatabaseClock(database, counter=counter)
    await clock.synchronise()
    before = clock()
    counter.seconds += 90
    assert clock() - before == timedelta(seconds=90)
    await clock.synchronise()
    assert abs(clock() - datetime.now(UTC)) < timedelta(seconds=30)


async def test_a_server_that_is_away_leaves_the_time_as_it_is(database: Database) -> None:
    clock = DatabaseClock(database)
    await clock.synchronise()
    await database.pool.close()
    with pytest.raises(Exception, match="pool is clos"):
        await clock.synchronise()
    assert abs(clock() - datetime.now(UTC)) < timedelta(seconds=30)


async def test_the_first_answer_is_asked_for_again_soon(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is away at the start: until it answers, the clock of this machine counts, and may be wrong."""
    clock = DatabaseClock(database)
    answers: list[Exception | None] = [ConnectionRefusedError(), None, ConnectionRefusedError()]
    waits: list[float] = []
    synchronise = clock.synchronise

    async def asked() -> None:
        if (error := answers.pop(0)) is not None:
            raise error
        await synchronise()

    async def slept(seconds: float) -> None:
        waits.append(seconds)
        if not answers:
            raise asyncio.CancelledError

    monkeypatch.setattr(clock, "synchronise", asked)
    monkeypatch.setattr(module, "asyncio", SimpleNamespace(sleep=slept))
    with pytest.raises(asyncio.CancelledError):
        await clock.keep()
    assert waits == [module.SOON, module.SOON, module.EVERY, module.EVERY]
