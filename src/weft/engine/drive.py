"""The heart: load, advance, save, for a batch of one tenant. Two workers on one execution cannot both win.

Nothing is locked while a turn is computed. A save writes an execution only if it is still the one that was read;
whatever lost that race is loaded and advanced again (`store.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, assert_never
from uuid import UUID

from weft.core.actor import Actor, system_actor
from weft.core.clock import Clock, utc_now
from weft.core.errors import Conflict
from weft.db.database import Connection, Database
from weft.db.hot import transaction
from weft.domain.executions.errors import JournalGone
from weft.domain.executions.payloads import unpacked
from weft.engine import bulk, control, places, store, timers
from weft.engine.evaluate import Evaluator
from weft.engine.events.hearing import Hearing
from weft.engine.items import found_in
from weft.engine.limits import USUAL, Limits
from weft.engine.news import (
    Cancelled,
    ChildStarted,
    GivenUp,
    Held,
    Migrated,
    News,
    Noted,
    Nothing,
    Paused,
    PlayOn,
    Resumed,
    Retried,
    StepDue,
    StepEnded,
    TakenUp,
    TimerDue,
)
from weft.engine.payloads import Room, RoomLost
from weft.engine.plans import Plans
from weft.engine.records import Batch
from weft.engine.run import Result, Run, from_row
from weft.engine.simulation import stored
from weft.engine.turn import Turn
from weft.expressions.guard import Guard
from weft.interpreter.events import Abandoned, CancelRequested, RetryRequested, Started
from weft.interpreter.state import Phase

TRIES = 6
"""How often a batch is advanced again because something else was faster."""

SIDE_BY_SIDE = 16
"""Turns that are computed before the process looks what else there is: some milliseconds."""

SKEW = timedelta(days=1)
"""Clocks of two machines differ; journal rows are looked for this much earlier than the execution began."""


Within = Callable[[Connection, set[UUID]], Awaitable[None]]


class ExecutionBusy(Conflict):
    code = "execution_busy"

    def __init__(self) -> None:
        super().__init__("The execution changed faster than this command could be applied. Try again.")


class Driver:
    """Advances executions of any tenant. One per process; it holds compiled plans and the guard."""

    def __init__(
        self, database: Database, guard: Guard, *, clock: Clock = utc_now, wakes: bool = True, limits: Limits = USUAL
    ) -> None:
        self.database = database
        self.limits = limits
        self.plans = Plans()
        self.clock = clock
        self.evaluator = Evaluator(guard, self._fetch, database, limit=limits.output)
        self._wakes = wakes

    # -- loading -------------------------------------------------------------------------------------------

    async def load(self, tenant_id: UUID, ids: Sequence[UUID]) -> dict[UUID, Run]:
        """Runs of executions as they stand, with the results that their expressions may read."""
        async with transaction(self.database, system_actor(tenant_id), read_only=True) as connection:
            rows = await store.load(connection, tenant_id, ids)
            runs = {}
            for row in rows:
                plan = await self.plans.get(connection, tenant_id, row["version_id"])
                runs[row["id"]] = from_row(tenant_id, row, plan)
            await self._read(connection, tenant_id, [(run, visit) for run in runs.values() for visit in _needs(run)])
        return runs

    async def _read(self, connection: Connection, tenant_id: UUID, wanted: Sequence[tuple[Run, int]]) -> None:
        if not wanted:
            return
        runs = {run.id: run for run, _ in wanted}
        since = min(run.facts.created_at for run in runs.values()) - SKEW
        until = self.clock() + SKEW
        pairs = [(run.id, visit) for run, visit in wanted]
        for row in await store.outputs(connection, tenant_id, pairs, since, until):
            remember(runs[row["execution_id"]], row)

    async def _fetch(self, run: Run, visits: Sequence[int]) -> None:
        """Results that turned out to be needed while a turn was computed."""
        if run.base is None:
            return
        tenant_id = run.facts.tenant_id
        async with transaction(self.database, system_actor(tenant_id), read_only=True) as connection:
            await self._read(connection, tenant_id, [(run, visit) for visit in visits])

    # -- delivering ----------------------------------------------------------------------------------------

    async def deliver(
        self,
        tenant_id: UUID,
        news: Sequence[News],
        *,
        actor: Actor | None = None,
        known: Mapping[UUID, Run] | None = None,
        within: Within | None = None,
    ) -> dict[UUID, Run]:
        """Apply news to executions of one tenant and save. Returns the runs that were written.

        `known` are runs already loaded; they are used for the first try. News under a lease that was lost in the
        meantime are dropped: whoever holds the job now will tell. Commands raise `ExecutionBusy` instead. `within` is
        called in the transaction of each save, with the executions that it wrote.
        """
        pending = list(news)
        written: dict[UUID, Run] = {}
        for _ in range(TRIES):
            ids = list(dict.fromkeys(item.execution_id for item in pending))
            runs = {i: known[i] for i in ids if known and i in known}
            missing = [i for i in ids if i not in runs]
            if missing:
                runs |= await self.load(tenant_id, missing)
            known = None
            saved = await self._advance_and_save(tenant_id, pending, runs, actor or system_actor(tenant_id), within)
            written |= {i: runs[i] for i in saved if i in runs and runs[i].is_changed}
            pending = [item for item in pending if item.execution_id in runs and item.execution_id not in saved]
            if not pending:
                return written
        if any(item.fence is None for item in pending):
            raise ExecutionBusy
        return written

    async def _advance_and_save(
        self,
        tenant_id: UUID,
        news: Sequence[News],
        runs: Mapping[UUID, Run],
        actor: Actor,
        within: Within | None = None,
    ) -> set[UUID]:
        """One try. Returns the executions that need no further try."""
        now = self.clock()
        by_execution: dict[UUID, list[News]] = {}
        for item in news:
            by_execution.setdefault(item.execution_id, []).append(item)
        moved = [runs[i] for i in by_execution if i in runs]
        room = Room(self.database, tenant_id, self.limits)
        await _together(moved, lambda run: self._advance(run, by_execution[run.id], now, room))
        changed = [run for run in moved if run.is_changed]
        batch = gather(changed)
        batch.payload_quota = self.limits.payloads
        batch.fences = [item.fence for item in news if item.fence is not None]
        dead = [(item.fence, item.what.reason) for item in news if isinstance(item.what, GivenUp) and item.fence]
        if not batch.fences and not changed:
            return set(by_execution)
        try:
            async with transaction(self.database, actor) as connection:
                if dead:
                    await store.bury(connection, tenant_id, dead)
                saved = await store.save(connection, tenant_id, batch, now, wake=self._wakes)
                if batch.audits:
                    await control.record(connection, [row for row in batch.audits if row.execution_id in saved])
                await places.settle(connection, tenant_id, [run for run in changed if run.id in saved])
                if within is not None:
                    await within(connection, set(saved))
        except RoomLost:
            return set(by_execution) - {run.id for run in changed}
        return set(saved) | (set(by_execution) - {run.id for run in changed})

    async def _advance(self, run: Run, news: Sequence[News], now: datetime, room: Room) -> None:
        if run.facts.simulation:
            await stored.advance(self.evaluator, run, news, now, self.apply)
            return
        turn = Turn(run, self.evaluator, now, room)
        for item in news:
            await self.apply(turn, item)

    async def apply(self, turn: Turn, item: News) -> None:
        """Let one turn hear one piece of news."""
        run, now = turn.run, turn.now
        match item.what:
            case TakenUp():
                run.started_at = now
                await turn.hear(Started(now, seed=run.id.int & 0x7FFFFFFF))
            case StepEnded(visit=visit, attempt=attempt, outcome=outcome):
                outcome = await turn.admit(visit, attempt, outcome)
                await turn.hear(turn.news_of(visit, attempt, outcome), outcome)
            case TimerDue() | StepDue() | Noted() | GivenUp():
                await _go_on(turn, item.what)
            case Cancelled(reason=reason, by=by):
                if await turn.hear(CancelRequested(now, reason)):
                    run.note("CANCELLED", f"Cancelled by {by}." + (f" {reason}" if reason else ""), now)
            case Retried(by=by):
                if run.facts.journal_gone:
                    raise JournalGone
                if places.must_wait(run, item):
                    places.ask_again(run, by, now)
                else:
                    await _retry(turn, by)
            case Paused() | Resumed() | Held() | ChildStarted() | Migrated():
                await control.apply(turn, item.what)
            case PlayOn() | Nothing():
                pass
            case _:
                assert_never(item.what)


async def _go_on(turn: Turn, what: TimerDue | StepDue | Noted | GivenUp) -> None:
    match what:
        case TimerDue(visit=visit, attempt=attempt, purpose=purpose):
            await timers.fire(turn, visit, attempt, purpose)
        case StepDue(visit=visit, attempt=attempt):
            await turn.resume(visit, attempt)
        case Noted(message=message):
            turn.run.note("FAILED", message, turn.now)
        case GivenUp(reason=reason):
            if await turn.hear(Abandoned(turn.now)):
                if turn.run.before.ending is None:
                    turn.run.error = {"kind": "abandoned", "message": reason}
                turn.run.note("FAILED", reason, turn.now)


async def _retry(turn: Turn, by: str) -> None:
    run, now = turn.run, turn.now
    if await turn.hear(RetryRequested(now)):
        run.error, run.completed_at = None, None
        run.note("RUNNING", f"Retried by {by}: it goes on where it failed.", now)


def _needs(run: Run) -> Iterable[int]:
    """Visits whose results the run's expressions may read."""
    reads = run.plan.reads
    for frame in run.state.frames.values():
        for key, visit in frame.last.items():
            if key in reads or "*" in reads:
                yield visit
    for live in run.state.visits.values():
        if live.phase is Phase.iterating and live.count:
            yield live.number


def remember(run: Run, row: Any) -> None:
    """Put a journal row where expressions look for it."""
    status, data, visit = row["status"], row["data"], row["visit"]
    live = run.state.visits.get(visit)
    if status == "RUNNING" and live is not None and live.phase is Phase.iterating:
        items = found_in(data)
        if items is not None and visit not in run.items:
            run.items[visit] = items
    run.results[visit] = Result(status, unpacked(data) if status == "COMPLETED" else None, row["error"])


def gather(runs: Iterable[Run]) -> Batch:
    """What these runs want written."""
    batch = Batch()
    for run in runs:
        batch.executions.append(run.row())
        batch.logs += run.rows.values()
        batch.logs += run.notes
        batch.settled += run.settled
        batch.jobs += run.jobs
        batch.audits += run.audits
        if run.state.status.is_final and not run.before.status.is_final and not run.facts.simulation:
            batch.ended.append(run.id)
        if run.hearing is not None:
            batch.hearing = batch.hearing or Hearing()
            batch.hearing.take(run.hearing)
        if bulk.is_bulky(run):
            batch.bulk.append(run)
    return batch


async def _together(runs: Sequence[Run], turn: Callable[[Run], Awaitable[None]]) -> None:
    """Turns of one batch side by side: one that waits for the guard child does not hold up the others.

    Some at a time, so that between them the process hears of other work: a batch of one tenant that is computed in
    one piece would let the next job of another tenant wait for all of it.
    """
    for begin in range(0, len(runs), SIDE_BY_SIDE):
        await asyncio.gather(*(turn(run) for run in runs[begin : begin + SIDE_BY_SIDE]))
