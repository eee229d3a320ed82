"""Runs due schedules of one tenant: decides with `weft.domain.workflows.schedules.due`, records, then starts.

Nothing here is lost or repeated when the process dies: what was not recorded is decided again by whoever claims the
schedule after the lease, and what was recorded is done again under the same key.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog

from weft.core.actor import system_actor
from weft.core.errors import Conflict, Exhausted, Unavailable, WeftError
from weft.core.ids import new_id
from weft.db.hot import AWAY, transaction
from weft.domain.workflows.schedules import Calendar, ScheduleUnclear, due, read
from weft.domain.workflows.schedules.due import Decided, Overlap, Policy, RunStatus, policy_of
from weft.engine.drive import Driver
from weft.engine.news import Cancelled, News
from weft.engine.start_errors import IdempotencyKeyReused, TriggerChanged, WorkflowNotActive, WorkflowUnknown
from weft.engine.start_requests import StartRequest
from weft.engine.starts import Starter
from weft.engine.triggers import schedule_store as store
from weft.engine.triggers.schedule_store import Change, Moved, NewRun, Record, Result
from weft.engine.waiting import FINAL
from weft.expressions.compile import Compiled, compile_value
from weft.expressions.guard import Guard

log = structlog.get_logger("weft.schedules")

KEPT: Final = 4096
RETRY: Final = timedelta(seconds=5)
"""How long a start waits that weft itself could not carry out."""
BROKEN: Final = timedelta(minutes=15)
"""How long a schedule waits that cannot be decided: nothing but a change of it, or of weft, will help."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A trigger's config, read and compiled once for each of its row versions."""

    calendar: Calendar
    policy: Policy
    mapping: Compiled | None


@dataclass(slots=True)
class Pending:
    """A run that is to be started now."""

    id: UUID
    execution_id: UUID
    due_at: datetime


@dataclass(slots=True)
class Standing:
    """One claimed trigger: what is known of it, and what was decided."""

    row: Any
    prepared: Prepared | None
    moved: Moved
    pending: list[Pending] = field(default_factory=list)
    running: list[Any] = field(default_factory=list)
    wake_after: datetime | None = None


class Schedules:
    """One per process: what was compiled is kept."""

    def __init__(self, driver: Driver, starter: Starter, guard: Guard) -> None:
        self._driver = driver
        self._starter = starter
        self._guard = guard
        self._prepared: OrderedDict[tuple[UUID, int], Prepared | None] = OrderedDict()

    async def run(
        self, tenant_id: UUID, claims: Sequence[tuple[UUID, int]], now: datetime, lease_until: datetime
    ) -> int:
        """Do what is due of these claimed triggers. Returns the number of executions that were started."""
        actor, ids = system_actor(tenant_id, "weft schedules"), [trigger_id for trigger_id, _ in claims]
        async with transaction(self._driver.database, actor, read_only=True) as connection:
            rows = await store.claimed(connection, tenant_id, ids, [epoch for _, epoch in claims])
            open_runs: dict[UUID, list[Any]] = {}
            for run in await store.open_runs(connection, tenant_id, [row["id"] for row in rows]):
                open_runs.setdefault(run["trigger_id"], []).append(run)
        written = Record()
        standings = [self._decided(row, open_runs.get(row["id"], []), now, written) for row in rows]
        for standing in standings:
            standing.moved.wake_at = lease_until if standing.pending else standing.wake_after
        written.moved = [standing.moved for standing in standings]
        async with transaction(self._driver.database, actor) as connection:
            held = await store.record(connection, tenant_id, written, now)
        busy = [one for one in standings if one.pending and one.row["id"] in held]
        if not busy:
            return 0
        await self._cancel_previous(tenant_id, busy)
        results = await self._start_all(tenant_id, busy)
        async with transaction(self._driver.database, actor) as connection:
            await store.finish(connection, tenant_id, results, [one.moved for one in busy], now)
        return sum(result.status == RunStatus.started for result in results)

    # -- deciding ------------------------------------------------------------------------------------------

    def _prepare(self, row: Any, now: datetime) -> Prepared | None:
        """None: the config cannot be read any more (a zone that was taken away); said once, and in the run."""
        key = (row["id"], row["row_version"])
        if key not in self._prepared:
            self._prepared[key] = _prepared(row, now)
            while len(self._prepared) > KEPT:
                self._prepared.popitem(last=False)
        self._prepared.move_to_end(key)
        return self._prepared[key]

    def _decided(self, row: Any, open_runs: Sequence[Any], now: datetime, written: Record) -> Standing:
        """What becomes of one trigger. One that cannot be decided waits by itself: those beside it go on."""
        mine = Record()
        try:
            standing = self._decide(row, open_runs, now, mine)
        except Exception as error:
            log.exception("schedule cannot be followed", trigger=str(row["id"]))
            written.added += _unclear(row, error)
            moved = Moved(row["id"], row["epoch"], row["next_run_at"], None, None)
            return Standing(row, None, moved, wake_after=now + BROKEN)
        written.changed += mine.changed
        written.added += mine.added
        return standing

    def _decide(self, row: Any, open_runs: Sequence[Any], now: datetime, written: Record) -> Standing:
        prepared = self._prepare(row, now)
        standing = Standing(row, prepared, Moved(row["id"], row["epoch"], None, None, None))
        waiting = _sort_open(standing, open_runs, written)
        if prepared is None or not (row["enabled"] and row["active"]):
            _drop(standing, waiting, written)
            return standing
        _release(standing, waiting, written)
        next_run_at = row["next_run_at"]
        if next_run_at is not None and next_run_at <= now:
            to_run = due.to_run(prepared.calendar, prepared.policy, next_run_at, now)
            busy = bool(standing.running or standing.pending)
            decided = due.overlapping(prepared.policy, to_run.times, running=busy, queued=len(waiting))
            _add(standing, (*to_run.missed, *decided), waiting, written)
            next_run_at = prepared.calendar.next_after(now)
        standing.moved.next_run_at = standing.wake_after = next_run_at
        if waiting:
            since = min((run["since"] for run in standing.running), default=now)
            standing.wake_after = _sooner(next_run_at, due.look_again(since, now))
        return standing

    # -- doing ---------------------------------------------------------------------------------------------

    async def _cancel_previous(self, tenant_id: UUID, busy: Sequence[Standing]) -> None:
        """Executions that must give way to a later one, all in one batch. Those that have ended stay as they are."""
        news = [
            News(run["execution_id"], Cancelled("The schedule was due again.", f"schedule {one.row['name']}".rstrip()))
            for one in busy
            if one.prepared is not None and one.prepared.policy.overlap is Overlap.cancel_previous
            for run in one.running
        ]
        if news:
            await self._driver.deliver(tenant_id, news)

    async def _start_all(self, tenant_id: UUID, busy: Sequence[Standing]) -> list[Result]:
        """Start what is pending, side by side, so that the starter gathers it. What must be tried again is left out."""
        starts = [(one, run) for one in busy for run in one.pending]
        answers = await asyncio.gather(*(self._start(tenant_id, one, run) for one, run in starts))
        again = self._driver.clock() + RETRY
        for one in busy:
            one.moved.wake_at = one.wake_after
        for (one, _), answer in zip(starts, answers, strict=True):
            if answer is None:
                one.moved.wake_at = _sooner(one.moved.wake_at, again)
        return [answer for answer in answers if answer is not None]

    async def _start(self, tenant_id: UUID, one: Standing, run: Pending) -> Result | None:
        """Start one run; None: not now, later will work."""
        prepared = one.prepared
        if prepared is None:
            return None
        waited_for = prepared.policy.overlap is not Overlap.allow
        started = Result(run.id, RunStatus.started, waited_for, None, run.execution_id)
        try:
            found = await self._starter.submit(
                system_actor(tenant_id, f"schedule {one.row['name']}".rstrip()),
                StartRequest(
                    workflow=one.row["workflow_id"],
                    input=await self._input(tenant_id, one.row, prepared, run),
                    metadata={"scheduled_at": _written(run.due_at)},
                    idempotency_key=key_of(one.row["id"], run.due_at),
                    trigger="SCHEDULE",
                    trigger_id=one.row["id"],
                    trigger_version=one.row["row_version"],
                    execution_id=run.execution_id,
                ),
            )
        except IdempotencyKeyReused:
            return started  # an earlier attempt started it, with the config as it was then
        except (TriggerChanged, Exhausted, Unavailable, *AWAY):
            return None
        except (WorkflowNotActive, WorkflowUnknown) as error:
            return Result(run.id, RunStatus.skipped, False, error.message, run.execution_id)
        except WeftError as error:
            log.warning("schedule could not start", trigger=str(one.row["id"]), code=error.code)
            return Result(run.id, RunStatus.failed, False, error.message, run.execution_id)
        started.execution_id = found.id
        return started

    async def _input(self, tenant_id: UUID, row: Any, prepared: Prepared, run: Pending) -> Any:
        scheduled_at = run.due_at.astimezone(prepared.calendar.zone).isoformat()
        if prepared.mapping is None:
            return {"scheduled_at": scheduled_at}
        zone = prepared.calendar.zone.key
        trigger = {"id": str(row["id"]), "name": row["name"], "kind": "SCHEDULE", "timezone": zone}
        seen = {"scheduled_at": scheduled_at, "trigger": trigger}
        return await self._guard.value(prepared.mapping, seen, tenant=tenant_id)


def key_of(trigger_id: UUID, due_at: datetime) -> str:
    """The idempotency key of a due time: the same whoever starts it, and apart from all other keys."""
    return f"schedule:{trigger_id}:{_written(due_at)}"


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _prepared(row: Any, now: datetime) -> Prepared | None:
    config: Mapping[str, Any] = row["config"]
    try:
        calendar = read(config, now)  # intervals and rules were given an anchor when they were saved
    except ScheduleUnclear as error:
        log.warning("schedule cannot be read", trigger=str(row["id"]), reason=error.message)
        return None
    mapping = compile_value(config["input"]) if config.get("input") is not None else None
    return Prepared(calendar, policy_of(config), mapping)


def _unclear(row: Any, error: Exception) -> list[NewRun]:
    """The due time that cannot be decided, as it is shown on its trigger; once, however often it is tried."""
    if row["next_run_at"] is None:
        return []
    reason = (
        f"weft cannot work out what is due ({type(error).__name__}), and tries again every "
        f"{BROKEN // timedelta(minutes=1)} minutes. Write the schedule in another way; the worker's log says more."
    )
    return [NewRun(new_id(), row["id"], row["next_run_at"], RunStatus.failed, False, reason, None, None, 1)]


def _sort_open(standing: Standing, open_runs: Sequence[Any], written: Record) -> list[Any]:
    """Close the runs whose executions have ended; tell apart what is to be started, what goes on, and what waits."""
    waiting = []
    for run in open_runs:
        if run["status"] == RunStatus.queued:
            waiting.append(run)
        elif run["status"] == RunStatus.pending and run["execution_status"] is None:
            standing.pending.append(Pending(run["id"], run["execution_id"], run["due_at"]))
        elif run["execution_status"] is None or run["execution_status"] in FINAL:
            written.changed.append(Change(run["id"], run["trigger_id"], RunStatus.started, open=False))
        else:
            standing.running.append(run)
            if run["status"] == RunStatus.pending:  # somebody started it and died before saying so
                written.changed.append(Change(run["id"], run["trigger_id"], RunStatus.started, open=True))
    return waiting


def _drop(standing: Standing, waiting: Sequence[Any], written: Record) -> None:
    """The schedule was paused: what had not been started is not started, but for what may be there already."""
    reason = "The schedule was paused, or its workflow was not active, before it could be started."
    for run in waiting:
        written.changed.append(Change(run["id"], run["trigger_id"], RunStatus.skipped, open=False, reason=reason))
    for pending in standing.pending:
        written.changed.append(Change(pending.id, standing.row["id"], RunStatus.skipped, open=False, reason=reason))
    standing.pending = []


def _release(standing: Standing, waiting: list[Any], written: Record) -> None:
    """The oldest of the queue may go when nothing goes on any more."""
    if not waiting or standing.running or standing.pending:
        return
    run = waiting.pop(0)
    execution_id = new_id()
    written.changed.append(
        Change(run["id"], run["trigger_id"], RunStatus.pending, open=True, execution_id=execution_id)
    )
    standing.pending.append(Pending(run["id"], execution_id, run["due_at"]))


def _add(standing: Standing, decided: Sequence[Decided], waiting: list[Any], written: Record) -> None:
    for one in decided:
        starts = one.status is RunStatus.pending
        is_open = starts or one.status is RunStatus.queued
        execution_id = new_id() if starts else None
        new = NewRun(
            new_id(),
            standing.row["id"],
            one.due_at,
            one.status,
            is_open,
            one.reason,
            execution_id,
            one.until,
            one.times,
        )
        written.added.append(new)
        if execution_id is not None:
            standing.pending.append(Pending(new.id, execution_id, one.due_at))
            standing.moved.last_run_at = one.due_at
        elif is_open:
            waiting.append(new)


def _sooner(one: datetime | None, other: datetime) -> datetime:
    return other if one is None else min(one, other)


def is_busy(error: BaseException) -> bool:
    """Whether later will work: nothing is wrong with the schedule."""
    return isinstance(error, (Conflict, Exhausted, Unavailable, *AWAY))
