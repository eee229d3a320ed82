"""One run of maintenance: the tasks in their order, one run at a time over all processes, remembered at its end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, get_args

import asyncpg

from weft.core.errors import Conflict, Invalid, WeftError
from weft.ops.connections import connect
from weft.ops.monitoring import runs
from weft.ops.upkeep import bloat, expired, indexes, orphans, vacuum
from weft.ops.upkeep.tasks import Means, Plan, Step, Thresholds
from weft.settings_upkeep import Task

if TYPE_CHECKING:
    from weft.db.database import Connection
    from weft.ops.installation import Addresses
    from weft.settings import Settings

LOCK: Final = 0x77656674_6D61696E
FAILURES_KEPT: Final = 20

TASKS: Final[dict[str, Plan]] = {
    "partitions": expired.partitions,
    "retention": expired.retention,
    "expired": expired.expired,
    "orphans": orphans.orphans,
    "vacuum": vacuum.vacuum,
    "analyze": vacuum.analyze,
    "reindex": indexes.reindex,
    "bloat": bloat.report,
}
"""In the order in which they help each other: what was deleted is vacuumed, what was vacuumed is estimated."""


class MaintenanceRunning(Conflict):
    code = "maintenance_running"

    def __init__(self) -> None:
        super().__init__("Maintenance is under way in another process. `weft db maintain --status` tells of the last.")


class TaskUnknown(Invalid):
    code = "task_unknown"

    def __init__(self, task: str) -> None:
        super().__init__(f"There is no task '{task}'. The tasks of maintenance are {', '.join(TASKS)}.")


@dataclass(frozen=True, slots=True)
class Took:
    """A step, and what came of it: `done`, `planned` (a dry run), `reported`, `put off` (a lock) or `failed`."""

    task: str
    what: str
    why: str
    outcome: str
    said: str = ""

    def as_json(self) -> dict[str, Any]:
        return {"task": self.task, "what": self.what, "why": self.why, "outcome": self.outcome, "said": self.said}


@dataclass(slots=True)
class Report:
    """What a run has done. Steps that were put off are for the next run, and no failure."""

    started_at: datetime
    dry_run: bool
    steps: list[Took] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def is_ok(self) -> bool:
        return not any(step.outcome == "failed" for step in self.steps)

    def count(self, task: str, outcome: str) -> int:
        return sum(step.task == task and step.outcome == outcome for step in self.steps)

    def details(self) -> dict[str, Any]:
        """What is remembered: counts, and the first failures."""
        tasks = {
            task: {
                "seconds": round(seconds, 3),
                **{
                    outcome.replace(" ", "_"): self.count(task, outcome)
                    for outcome in ("done", "reported", "put off", "failed")
                },
            }
            for task, seconds in self.seconds.items()
        }
        failures = [f"{step.task} {step.what}: {step.said}" for step in self.steps if step.outcome == "failed"]
        return {"tasks": tasks, "failures": failures[:FAILURES_KEPT]}

    def as_json(self) -> dict[str, Any]:
        return {
            "started_at": self.started_at.isoformat(),
            "dry_run": self.dry_run,
            "is_ok": self.is_ok,
            "seconds": {task: round(seconds, 3) for task, seconds in self.seconds.items()},
            "steps": [step.as_json() for step in self.steps],
        }


Progress = Callable[[str, str, int, int], None]
"""Hears of every step before it is taken: task, what, its number, how many there are."""


def _silent(_task: str, _what: str, _number: int, _count: int) -> None:
    return None


async def maintain(
    addresses: Addresses,
    settings: Settings,
    now: datetime,
    *,
    tasks: Sequence[str] = (),
    dry_run: bool = False,
    due: datetime | None = None,
    progress: Progress = _silent,
    thresholds: Thresholds | None = None,
) -> Report | None:
    """Do these tasks, or all of them; `due` is the time at which a schedule wanted it: None if it was done since.

    Raises `TaskUnknown`, `MaintenanceRunning`, `OwnerAddressMissing` and `ServerUnreachable`. What fails within a task
    is in the report.
    """
    wanted = _wanted(tasks)
    owner = await connect(addresses.require_owner(), application="weft maintenance")
    try:
        await _gently(owner, settings.maintain.statement_minutes)
        async with _alone(owner):
            if due is not None and await _done_since(owner, due):
                return None
            means = Means(owner, addresses, settings, now, thresholds or Thresholds())
            report = Report(now, dry_run)
            for task in wanted:
                began = time.monotonic()
                await _task(task, means, report, progress)
                report.seconds[task] = time.monotonic() - began
            if not dry_run:
                await runs.record(owner, runs.MAINTENANCE, now, is_ok=report.is_ok, details=report.details())
            return report
    finally:
        await owner.close()


def _wanted(tasks: Sequence[str]) -> list[str]:
    for task in tasks:
        if task not in TASKS:
            raise TaskUnknown(task)
    return [task for task in TASKS if not tasks or task in tasks]


async def _gently(owner: Connection, minutes: float) -> None:
    """Traffic goes first: a short wait for locks, autovacuum's pauses, and an end to what takes too long."""
    await owner.execute(
        f"set lock_timeout = '2s'; set statement_timeout = {int(minutes * 60_000)};"
        " set idle_in_transaction_session_timeout = '60s'; set vacuum_cost_delay = '1ms'; set vacuum_cost_limit = 2000"
    )


@contextlib.asynccontextmanager
async def _alone(owner: Connection) -> AsyncIterator[None]:
    """The lock belongs to the session: whoever is killed has let go of it."""
    if not await owner.fetchval("/* weft:upkeep.lock */ select pg_try_advisory_lock($1)", LOCK):
        raise MaintenanceRunning
    try:
        yield
    finally:
        with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            await owner.execute("select pg_advisory_unlock($1)", LOCK)


async def _done_since(owner: Connection, due: datetime) -> bool:
    last = (await runs.read(owner)).get(runs.MAINTENANCE)
    return last is not None and last.started_at >= due


async def _task(task: str, means: Means, report: Report, progress: Progress) -> None:
    progress(task, "looking", 0, 0)
    try:
        steps = await TASKS[task](means)
    except (asyncpg.PostgresError, WeftError, OSError) as error:
        report.steps.append(Took(task, "looking", "", *_refused(error)))
        return
    for number, step in enumerate(steps, 1):
        progress(task, step.what, number, len(steps))
        report.steps.append(await _step(task, step, dry_run=report.dry_run))


async def _step(task: str, step: Step, *, dry_run: bool) -> Took:
    if step.act is None:
        return Took(task, step.what, step.why, "reported")
    if dry_run:
        return Took(task, step.what, step.why, "planned")
    try:
        return Took(task, step.what, step.why, "done", await step.act())
    except (asyncpg.PostgresError, WeftError, OSError) as error:
        return Took(task, step.what, step.why, *_refused(error))


def _refused(error: Exception) -> tuple[str, str]:
    if isinstance(error, asyncpg.LockNotAvailableError | asyncpg.DeadlockDetectedError):
        return "put off", "traffic held the lock; the next run tries again"
    return "failed", f"{type(error).__name__}: {error}"


assert set(TASKS) == set(get_args(Task)), "settings name the tasks that there are"  # noqa: S101 - both lists are ours
