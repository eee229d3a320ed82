"""The chore of maintenance: when it is due, once, and whatever goes wrong the worker lives on."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from weft.ops.connections import ServerUnreachable
from weft.ops.upkeep.run import MaintenanceRunning, Report
from weft.settings import Settings, load_settings
from weft.worker.loops.maintenance import MaintenanceLoop

START = datetime(2026, 6, 15, 2, 50, tzinfo=UTC)
OWNER = {"WEFT_DATABASE_OWNER_URL": "postgresql://weft_owner@/weft"}
SCHEDULE = {"WEFT_MAINTAIN_SCHEDULE": "0 3 * * *", "WEFT_MAINTAIN_TASKS": "vacuum"}


def settings_of(place: Path, **more: str) -> Settings:
    environ = {"WEFT_HOME": str(place), "WEFT_DATABASE_URL": "postgresql://weft_app@/weft", **more}
    return load_settings(environ, directory=place)


class Time:
    """A clock that goes on when somebody sleeps, until it is over."""

    def __init__(self, until: datetime) -> None:
        self.now = START
        self.until = until

    def __call__(self) -> datetime:
        return self.now

    async def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += timedelta(seconds=seconds)
        if self.now >= self.until:
            raise asyncio.CancelledError


async def runs_of(settings: Settings, until: datetime, *outcomes: Any) -> list[tuple[datetime, datetime]]:
    """When it was run, and for which due time, if the runs come to these outcomes and then all is well."""
    clock, told, coming = Time(until), [], list(outcomes)

    async def run(addresses: Any, given: Settings, now: datetime, *, tasks: Any, due: datetime) -> Report | None:
        assert (addresses.require_owner(), tasks) == (OWNER["WEFT_DATABASE_OWNER_URL"], ("vacuum",))
        told.append((now, due))
        outcome = coming.pop(0) if coming else Report(now, dry_run=False)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    with pytest.raises(asyncio.CancelledError):
        await MaintenanceLoop(settings, clock=clock, sleep=clock.sleep, run=run).keep()
    return told


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 6, day, hour, minute, tzinfo=UTC)


async def test_it_runs_at_its_time_every_day(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, **OWNER, **SCHEDULE)
    assert await runs_of(settings, at(17, 2)) == [(at(15, 3), at(15, 3)), (at(16, 3), at(16, 3))]


@pytest.mark.parametrize("outcome", [MaintenanceRunning(), None, RuntimeError("a bug")])
async def test_what_somebody_else_does_or_what_is_a_bug_is_not_repeated(tmp_path: Path, outcome: Any) -> None:
    settings = settings_of(tmp_path, **OWNER, **SCHEDULE)
    assert await runs_of(settings, at(15, 12), outcome) == [(at(15, 3), at(15, 3))]


async def test_a_database_that_is_away_is_tried_again(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, **OWNER, **SCHEDULE)
    away = ServerUnreachable("postgresql://x", "gone")
    told = await runs_of(settings, at(15, 12), away, OSError("gone"))
    assert told == [(at(15, 3), at(15, 3)), (at(15, 3, 10), at(15, 3)), (at(15, 3, 20), at(15, 3))]


@pytest.mark.parametrize("given", [OWNER, SCHEDULE, {}])
async def test_without_a_schedule_or_the_owner_there_is_nothing_to_do(tmp_path: Path, given: dict[str, str]) -> None:
    await MaintenanceLoop(settings_of(tmp_path, **given)).keep()
