"""One run at a time, remembered, on a schedule, and whatever fails in it is told."""

from __future__ import annotations

import asyncio
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import asyncpg
import pytest
from tests.conftest import TestDatabase
from tests.ops.upkeep.conftest import LOW, NOW, Keep, said

from weft.ops import up
from weft.ops.installation import Addresses, OwnerAddressMissing
from weft.ops.monitoring import runs
from weft.ops.upkeep import run
from weft.ops.upkeep.run import LOCK, MaintenanceRunning, TaskUnknown, maintain
from weft.ops.upkeep.schedule import ScheduledCommand, next_due
from weft.ops.upkeep.tasks import Means, Step
from weft.settings import Settings, load_settings
from weft.settings_upkeep import MaintainSettings


async def test_only_one_at_a_time_over_all_processes(keep: Keep, admin: Any) -> None:
    await admin.execute("select pg_advisory_lock($1)", LOCK)
    with pytest.raises(MaintenanceRunning):
        await keep("bloat")
    await admin.execute("select pg_advisory_unlock($1)", LOCK)
    assert (await keep("bloat")).is_ok


async def test_the_last_run_is_remembered_with_what_failed_in_it(
    keep: Keep, test_database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(means: Means) -> list[Step]:
        async def fails() -> str:
            return str(await means.owner.fetchval("select 1 / 0"))

        async def works() -> str:
            return str(await means.owner.fetchval("select 1"))

        return [Step("one", "because", fails), Step("two", "because", works)]

    monkeypatch.setitem(run.TASKS, "vacuum", broken)
    report = await keep("vacuum", "bloat")
    assert said(report, "vacuum") == {"one": ("failed", "DivisionByZeroError: division by zero"), "two": ("done", "1")}
    connection = await asyncpg.connect(test_database.app)
    try:
        last = (await runs.read(connection))[runs.MAINTENANCE]
    finally:
        await connection.close()
    assert (last.is_ok, last.started_at, last.succeeded_at) == (False, NOW, None)
    assert last.details["tasks"]["vacuum"]["failed"] == last.details["tasks"]["vacuum"]["done"] == 1
    assert last.details["failures"] == ["vacuum one: DivisionByZeroError: division by zero"]
    monkeypatch.undo()
    await keep("bloat")
    connection = await asyncpg.connect(test_database.app)
    try:
        last = (await runs.read(connection))[runs.MAINTENANCE]
    finally:
        await connection.close()
    assert last.is_ok
    assert last.succeeded_at == last.ended_at


async def test_a_task_that_cannot_even_look_is_a_failure_and_the_next_is_done(keep: Keep, admin: Any) -> None:
    await admin.execute("revoke select on weft.payloads from weft_owner")
    report = await keep("orphans", "bloat")
    assert said(report, "orphans")["looking"][0] == "failed"
    assert list(report.seconds) == ["orphans", "bloat"]


async def test_the_application_may_read_what_is_remembered_and_write_nothing(
    keep: Keep, test_database: TestDatabase
) -> None:
    await keep("bloat")
    connection = await asyncpg.connect(test_database.app)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("delete from weft.last_runs")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await runs.record(connection, "backup", NOW, is_ok=True)
    finally:
        await connection.close()


async def test_a_due_time_is_dealt_with_once(addresses: Addresses, settings: Settings) -> None:
    first = await maintain(addresses, settings, NOW, tasks=["bloat"], due=NOW, thresholds=LOW)
    again = await maintain(addresses, settings, NOW + timedelta(seconds=5), tasks=["bloat"], due=NOW, thresholds=LOW)
    later = NOW + timedelta(days=1)
    following = await maintain(addresses, settings, later, tasks=["bloat"], due=later, thresholds=LOW)
    assert first is not None
    assert again is None
    assert following is not None


async def test_refusals(addresses: Addresses, settings: Settings) -> None:
    with pytest.raises(TaskUnknown, match="vacuum"):
        await maintain(addresses, settings, NOW, tasks=["hoover"])
    with pytest.raises(OwnerAddressMissing):
        await maintain(Addresses(addresses.app, None, None, embedded=False), settings, NOW)


def test_when_it_is_due() -> None:
    nightly = MaintainSettings(schedule="30 3 * * *", timezone="Europe/Berlin")
    assert next_due(nightly, datetime(2026, 6, 15, 1, 0, tzinfo=UTC)) == datetime(2026, 6, 15, 1, 30, tzinfo=UTC)
    assert next_due(nightly, datetime(2026, 6, 15, 1, 30, tzinfo=UTC)) == datetime(2026, 6, 16, 1, 30, tzinfo=UTC)
    assert next_due(MaintainSettings(), NOW) is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"schedule": "3:30"}, "five fields"),
        ({"schedule": "30 3 * * *", "timezone": "Mars/Base"}, "Mars/Base"),
        ({"tasks": "vacuum,hoover"}, "hoover"),
    ],
)
def test_settings_that_cannot_be_kept_are_refused(wrong: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        MaintainSettings.model_validate(wrong)


class Child:
    """A process that ends when it is told to."""

    def __init__(self) -> None:
        self.code: int | None = None

    def poll(self) -> int | None:
        return self.code

    def terminate(self) -> None:
        self.code = -15

    def wait(self, timeout: float | None = None) -> int | None:
        return self.code


def test_the_supervisor_starts_it_when_it_is_due_and_never_two_at_once() -> None:
    now = [datetime(2026, 6, 15, 3, 0, tzinfo=UTC)]
    started: list[tuple[list[str], dict[str, str]]] = []
    children: list[Child] = []
    told: list[str] = []

    def start(command: list[str], *, env: dict[str, str], **_: Any) -> subprocess.Popen[bytes]:
        started.append((command, env))
        children.append(Child())
        return cast("subprocess.Popen[bytes]", children[-1])

    settings = MaintainSettings(schedule="*/10 * * * *")
    kept = ScheduledCommand(settings, {"WEFT_HOME": "/x"}, told.append, clock=lambda: now[0], start=start)
    assert (kept.tend(), started) == (60.0, [])
    now[0] += timedelta(minutes=9, seconds=50)
    assert (kept.tend(), started) == (10.0, [])
    now[0] += timedelta(seconds=10)
    kept.tend()
    [(command, environment)] = started
    assert command[-4:] == ["db", "maintain", "--due", "2026-06-15T03:10:00"]
    assert environment == {"WEFT_HOME": "/x"}
    now[0] += timedelta(minutes=10)
    kept.tend()
    assert len(started) == 1, "the first still runs"
    children[0].code = 1
    now[0] += timedelta(minutes=10)
    kept.tend()
    assert len(started) == 2
    assert "exit code 1" in told[0]
    kept.stop()
    assert children[1].code == -15


def test_only_maintenance_is_told_the_way_to_the_owner(addresses: Addresses, tmp_path: Path) -> None:
    """What `weft up` hands to it: an embedded server's owner it finds in the home."""
    told: list[str] = []
    settings = load_settings({"WEFT_HOME": str(tmp_path), "WEFT_MAINTAIN_SCHEDULE": "0 3 * * *"}, directory=tmp_path)
    known = {"WEFT_DATABASE_URL": addresses.app, "WEFT_HOME": "/x"}
    given = up._maintenance(settings, known, addresses, told.append)
    assert given._environment == {**known, "WEFT_DATABASE_OWNER_URL": addresses.owner}
    embedded = up._maintenance(settings, known, replace(addresses, embedded=True), told.append)
    assert embedded._environment == {"WEFT_HOME": "/x"}
    assert (given._due is not None, embedded._due is not None, told) == (True, True, [])
    without = up._maintenance(settings, known, replace(addresses, owner=None), told.append)
    assert without._due is None
    assert "WEFT_DATABASE_OWNER_URL" in told[0]


async def test_a_run_that_is_killed_has_let_go_of_its_lock(keep: Keep, addresses: Addresses) -> None:
    killed = await asyncpg.connect(addresses.require_owner())
    await killed.execute("select pg_advisory_lock($1)", LOCK)
    killed.terminate()
    async with asyncio.timeout(60):
        while True:
            try:
                assert (await keep("bloat")).is_ok
                return
            except MaintenanceRunning:
                await asyncio.sleep(0.02)
