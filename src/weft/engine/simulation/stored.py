"""Simulated executions that are stored: `metadata.simulation` at a start.

They are rows like any other, and go through the driver, its saves and its fences. But what a turn would put into the
queue for the world (errands, delays, timers) goes onto an agenda that is kept with the state, and the execution's own
clock jumps from one entry to the next. Only its sub-workflows are jobs, because they are executions of their own,
simulated too: the clock stands still until they have told how long they took.

A journal row lies where it was written (`started_at` is the real time), because the journal is partitioned by month
and a simulated year passes in a moment. How long an attempt took is true on the simulated clock, and so is
`completed_at - started_at`; the message says when it was.
"""

from __future__ import annotations

import heapq
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from weft.core.errors import Invalid, Issue
from weft.core.ids import new_id
from weft.engine.evaluate import Evaluator
from weft.engine.news import News, PlayOn, StepEnded, TakenUp, TimerDue, What
from weft.engine.outcomes import Done, Failed, Outcome, StartChild
from weft.engine.plans import StepPlan
from weft.engine.records import JobRow, LogRow
from weft.engine.run import Run
from weft.engine.simulation.errors import ScriptInvalid
from weft.engine.simulation.play import Part, Play, StagedTurn
from weft.engine.simulation.script import read_script
from weft.engine.simulation.stage import ScriptStage
from weft.engine.turn import Turn
from weft.interpreter.commands import RunStep
from weft.interpreter.state import Status

JOB: Final = "simulate"
"""The job that lets a simulated execution go on after a slice."""
SLICE: Final = 200
"""Visits of one turn: so many that a save is worth it, so few that the others of its batch do not wait."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_KEPT: Final = frozenset({"child_done", "cancel_child", "child_pause"})
"""Jobs that are about other executions of the same tenant, simulated like this one."""

Apply = Callable[[Turn, News], Awaitable[None]]


class SimulationUnclear(Invalid):
    code = "simulation_unclear"

    def __init__(self) -> None:
        super().__init__("`metadata.simulation` is true or false. Nothing was started.")


def wanted(metadata: Mapping[str, Any]) -> bool:
    """Whether a start asks for a simulation. Raises `SimulationUnclear` and `ScriptInvalid`."""
    found = metadata.get("simulation", False)
    if not isinstance(found, bool):
        raise SimulationUnclear
    if found and read_script(metadata.get("script")).workflows:
        said = "A stored execution starts its sub-workflows as this tenant has them; leave `workflows` out."
        raise ScriptInvalid([Issue(said, ("workflows",), ScriptInvalid.code)])
    return found


def inherited(run: Run) -> dict[str, Any]:
    """What a sub-workflow's metadata must say, so that it is simulated as its parent is."""
    if not run.facts.simulation:
        return {}
    found: dict[str, Any] = {"simulation": True, "simulated_from": _clock(run).isoformat()}
    if "script" in run.facts.metadata:
        found["script"] = run.facts.metadata["script"]
    return found


def now_of(run: Run, now: datetime) -> datetime:
    """The execution's own time: that of the world, unless it is simulated."""
    return _clock(run, now) if run.facts.simulation else now


def _clock(run: Run, now: datetime | None = None) -> datetime:
    if run.simulated is not None:
        return _time(run.simulated["t"])
    return now or run.started_at or run.facts.created_at


async def advance(evaluator: Evaluator, run: Run, news: Sequence[News], now: datetime, apply: Apply) -> None:
    """Apply news to a simulated execution, and play it as far as one turn may."""
    stage = ScriptStage(read_script(run.facts.metadata.get("script")), evaluator.guard)
    await evaluator.payloads.open(run, run.facts.input)  # the script may read it, and has no way to the database
    play = _StoredPlay(evaluator, stage, run, now)
    for item in news:
        await play.take(item, apply)
    await play.on()
    play.leave()


class _StoredPlay(Play):
    """A play that is taken up from a row and left in it again."""

    def __init__(self, evaluator: Evaluator, stage: ScriptStage, run: Run, now: datetime) -> None:
        super().__init__(evaluator, stage, number=0, seed=run.id.int & 0x7FFFFFFFFFFFFFFF)
        self._real = now
        self._part = Part(run)
        self._run = run
        self._jobs: list[JobRow] = []
        self._first = run.state.next_visit
        self._ended = run.completed_at
        stored = run.simulated or {}
        self._is_first = not stored
        self._cost = Decimal(stored.get("k", 0))
        begun = _begun(run, now)
        self._now = _time(stored["t"]) if stored else begun
        self._begun = _time(stored["b"]) if stored else begun
        self._filed: dict[str, int] = dict(stored.get("f", {}))
        self._children: list[list[int]] = list(stored.get("c", ()))
        for entry in stored.get("a", ()):
            self._put(_time(entry[1]), self._part, _what(run, entry))

    async def take(self, item: News, apply: Apply) -> None:
        """One piece of news: it happens now on the execution's clock."""
        match item.what:
            case PlayOn():
                return
            case TakenUp():
                await self._hear(self._part, TakenUp(), self._now)
            case StepEnded(visit=visit, attempt=attempt, outcome=outcome, took=took):
                self._children = [child for child in self._children if child != [visit, attempt]]
                live = self._run.state.visits.get(visit)
                since = live.entered_at if live is not None else self._now
                at = max(self._now, since + timedelta(seconds=took or 0.0))
                self._put(at, self._part, StepEnded(visit, attempt, outcome))
            case _:
                turn = StagedTurn(self._run, self._evaluator, self._now, self._part.told)
                await apply(turn, item)
                await self._follow(self._part, turn)

    async def on(self) -> None:
        """Play until nothing is due, a sub-workflow is awaited, or the slice is used up."""
        while self._agenda and not self._part.is_over and not self._children and not self._is_paused:
            if self._run.state.next_visit - self._first > SLICE:
                self._jobs.append(JobRow(self._run.id, JOB, self._run.id, new_id()))
                return
            due, _, part, what = heapq.heappop(self._agenda)
            self._now = max(self._now, due)
            if isinstance(what, JobRow):
                await self._begin(part, what, self._now)
            else:
                await self._hear(part, what, self._now)

    @property
    def _is_paused(self) -> bool:
        return self._run.state.status is Status.paused

    async def _follow(self, part: Part, turn: StagedTurn) -> None:
        ordered = {(job.visit, job.attempt): job for job in part.run.jobs if job.kind == "child"}
        self._jobs += [job for job in part.run.jobs if job.kind in _KEPT]
        await super()._follow(part, turn)
        self._jobs += [ordered[key] for key in ordered if list(key) in self._children]

    async def _order(self, part: Part, job: JobRow, turn: StagedTurn) -> None:
        if job.kind not in _KEPT:
            await super()._order(part, job, turn)

    async def _await(self, part: Part, turn: StagedTurn, command: RunStep, step: StepPlan, outcome: Outcome) -> None:
        if isinstance(outcome, StartChild) and not self._stage.knows(step):
            self._children.append([command.visit, command.attempt])
        else:
            await self._ask(part, turn, command, step, outcome)

    # -- back into the row ---------------------------------------------------------------------------------

    def leave(self) -> None:
        """Give the run what must be stored: jobs, the journal in real time, and the agenda.

        Whatever else a turn may come to order of others (events, say) is to be dropped here.
        """
        run = self._run
        run.jobs = self._jobs
        self._cost += sum(answered.cost for answered in self._part.told.answers.values())
        if self._is_first and run.started_at is not None:
            run.started_at = self._real
        for row in run.rows.values():
            self._file(row)
        for row in run.settled:
            self._close(row)
        for note in run.notes:
            note.started_at = note.completed_at = self._real
        if run.completed_at is not None and run.completed_at is not self._ended:
            self._end(run, run.completed_at - self._begun)
        run.simulated = None if run.state.status in (Status.completed, Status.cancelled) else self._dumped()

    def _end(self, run: Run, took: timedelta) -> None:
        """The execution's own row tells how long it took; its journal, what it would have cost."""
        run.completed_at = (run.started_at or self._real) + took
        figures = {"seconds": took.total_seconds(), "cost": float(self._cost)}
        said = f"Simulated: it took {_plain(took)} s on its own clock"
        cost = f" and would have cost {self._cost:f}" if self._cost else ""
        run.note(run.state.status.value, f"{said}{cost}. Nothing outside was reached.", self._real, figures)

    def _file(self, row: LogRow) -> None:
        """A row that was begun in this turn: it lies at the real time, and lasts as long as it was simulated."""
        began = row.started_at
        row.started_at = self._real
        row.message = self._said(row, began)
        if row.completed_at is None:
            self._filed[f"{row.visit}:{row.attempt}"] = _number(self._real)
        else:
            row.completed_at = self._real + (row.completed_at - began)

    def _close(self, row: LogRow) -> None:
        """A row that an earlier turn began."""
        began = row.started_at
        filed = self._filed.pop(f"{row.visit}:{row.attempt}", None)
        if filed is not None:
            row.started_at = _time(filed)
        row.message = self._said(row, began)
        if row.completed_at is not None:
            row.completed_at = row.started_at + (row.completed_at - began)

    def _said(self, row: LogRow, began: datetime) -> str:
        answered = self._part.told.answers.get((row.visit, row.attempt))
        by = f", answered by {answered.source}" if answered is not None else ""
        cost = f", cost {answered.cost:f}" if answered is not None and answered.cost else ""
        said = f"Simulated at +{_plain(began - self._begun)} s{by}{cost}."
        return f"{said} {row.message}" if row.message else said

    def _dumped(self) -> dict[str, Any]:
        found: dict[str, Any] = {"t": _number(self._now), "b": _number(self._begun)}
        if self._agenda and not self._part.is_over:
            found["a"] = [_entry(at, what) for at, _, _, what in sorted(self._agenda, key=lambda entry: entry[:2])]
        if self._filed:
            found["f"] = self._filed
        if self._cost:
            found["k"] = str(self._cost)
        if self._children:
            found["c"] = self._children
        return found


def _begun(run: Run, now: datetime) -> datetime:
    """When it begins on its own clock: a sub-workflow when its parent's step did."""
    written = run.facts.metadata.get("simulated_from")
    if isinstance(written, str) and run.facts.parent_id is not None:
        try:
            return datetime.fromisoformat(written)
        except ValueError:
            return now
    return now


def _plain(length: timedelta) -> str:
    """Seconds to the millisecond, without zeros at the end."""
    return f"{length.total_seconds():.3f}".rstrip("0").rstrip(".")


def _number(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _time(number: int) -> datetime:
    return _EPOCH + timedelta(microseconds=number)


def _entry(at: datetime, what: What | JobRow) -> list[Any]:
    match what:
        case StepEnded(visit=visit, attempt=attempt, outcome=Done(output=output, message=message)):
            return ["d", _number(at), visit, attempt, output, message]
        case StepEnded(visit=visit, attempt=attempt, outcome=Failed() as failed):
            detail = [failed.kind, failed.message, failed.retryable, failed.retry_after, failed.data]
            return ["f", _number(at), visit, attempt, *detail]
        case TimerDue(visit=visit, attempt=attempt, purpose=purpose):
            return ["t", _number(at), visit, attempt, purpose]
        case JobRow(visit=visit, attempt=attempt):
            return ["s", _number(at), visit, attempt]
        case _:
            raise TypeError(f"{what!r} does not wait on an agenda")


def _what(run: Run, entry: Sequence[Any]) -> What | JobRow:
    letter, _, visit, attempt, *detail = entry
    match letter:
        case "d":
            return StepEnded(visit, attempt, Done(detail[0], message=detail[1]))
        case "f":
            return StepEnded(visit, attempt, Failed(*detail))
        case "t":
            return TimerDue(visit, attempt, detail[0])
        case _:
            return JobRow(run.id, "step", run.id, new_id(), visit, attempt)
