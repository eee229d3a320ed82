"""What time it is, is the database's business."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

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
