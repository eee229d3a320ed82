"""One simulated execution: the interpreter and the turns of the engine on a virtual clock.

What the engine would put into its queue goes onto an agenda, ordered by the time at which it is due; the clock jumps
from one entry to the next. Errands that are under way at the same time overlap, as they would with as many workers as
there are errands. Sub-workflows play in the same world, at the same time.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from weft.core.errors import Exhausted, Unavailable, WeftError
from weft.engine import timers
from weft.engine.evaluate import Evaluator
from weft.engine.news import Cancelled, StepEnded, TakenUp, TimerDue, What
from weft.engine.outcomes import Done, Emit, Failed, Items, Outcome, Repeat, StartChild, Undo, WaitUntil
from weft.engine.plans import Plan, StepPlan
from weft.engine.records import JobRow
from weft.engine.run import Facts, Run
from weft.engine.simulation.draws import Draws, mixed
from weft.engine.simulation.positions import Positions
from weft.engine.simulation.stage import RECORDED, Answered, Cue, Stage
from weft.engine.turn import BUDGET, Turn
from weft.interpreter.commands import RunStep, Settle
from weft.interpreter.events import CancelRequested, Started

LONGEST_ERRAND: Final = 300.0
"""Seconds an errand may take when its step names no timeout, as in the worker."""
DEEPEST: Final = 16
"""Sub-workflows inside each other, as for real starts."""
SLICE: Final = 100
"""Instant steps of one turn, and entries of the agenda, before others get the event loop."""

_OWN: Final = (Done, Failed, WaitUntil, Items, Repeat, Undo, Emit)
"""Outcomes of instant kinds that need no answer from the stage."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one simulated execution may take: `visits` of steps, and `bytes` of outputs as JSON."""

    visits: int = 10_000
    bytes: int = 16_000_000


@dataclass(slots=True)
class Told:
    """What a journal does not say: how each attempt was answered, and which transitions were taken."""

    answers: dict[tuple[int, int], Answered] = field(default_factory=dict)
    taken: set[tuple[str, str]] = field(default_factory=set)
    positions: Positions = field(default_factory=Positions)
    bytes: int = 0


class StagedTurn(Turn):
    """A turn that tells what happens, and hands to the stage what would wait for the world."""

    def __init__(self, run: Run, evaluator: Evaluator, now: datetime, told: Told) -> None:
        super().__init__(run, evaluator, now)
        self.told = told
        self.cues: list[tuple[RunStep, StepPlan, Outcome]] = []
        run.turns = max(0, BUDGET - SLICE)

    async def apply(self, what: What) -> None:
        """As the driver does with the same news."""
        match what:
            case TakenUp():
                self.run.started_at = self.now
                await self.hear(Started(self.now, seed=self.run.id.int & 0x7FFFFFFF))
            case StepEnded(visit=visit, attempt=attempt, outcome=outcome):
                await self.hear(self.news_of(visit, attempt, outcome), outcome)
            case TimerDue(visit=visit, attempt=attempt, purpose=purpose):
                await timers.fire(self, visit, attempt, purpose)
            case Cancelled(reason=reason):
                await self.hear(CancelRequested(self.now, reason))
            case _:
                raise TypeError(f"{what!r} is no news for a simulated execution")

    async def go_on(self, command: RunStep, step: StepPlan, outcome: Outcome) -> None:
        """An instant step that was put off, because the turn before had run many, has its outcome."""
        await self.answer(command, step, outcome)
        while self._queue:
            await self._apply(self._queue.popleft())

    async def _run_step(self, command: RunStep) -> None:
        self.told.positions.add(command.visit, command.step, command.frame)
        await super()._run_step(command)

    async def answer(self, command: RunStep, step: StepPlan, outcome: Outcome) -> None:
        await super().answer(command, step, outcome)
        if not isinstance(outcome, _OWN):
            self.cues.append((command, step, outcome))

    def _remember(self, visit: int, attempt: int, outcome: Outcome) -> None:
        if isinstance(outcome, Done) and type(outcome.output) in (dict, list, str):
            self.told.bytes += len(msgspec.json.encode(outcome.output))
        super()._remember(visit, attempt, outcome)

    def _settle(self, command: Settle) -> None:
        self.told.positions.add(command.visit, command.step, command.frame)
        for target in command.taken:
            self.told.taken.add((command.step, target))
        super()._settle(command)


@dataclass(slots=True)
class Part:
    """One execution in a play: the one that is simulated, or a sub-workflow of it."""

    run: Run
    told: Told = field(default_factory=Told)
    owner: Part | None = None
    visit: int = 0
    attempt: int = 0
    children: dict[tuple[int, int], Part] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        return self.run.state.status.is_final


PlanOf = Callable[[str, int | None], Awaitable[Plan | None]]
"""The definition of a sub-workflow by name or id and version; None when it is not known here."""


class Play:
    """Plays one execution from its start until nothing is due any more."""

    def __init__(
        self,
        evaluator: Evaluator,
        stage: Stage,
        *,
        number: int,
        seed: int,
        plan_of: PlanOf | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._evaluator = evaluator
        self._stage = stage
        self._number = number
        self._seed = seed
        self._plan_of = plan_of
        self._limits = limits or Limits()
        self._agenda: list[tuple[datetime, int, Part, What | JobRow]] = []
        self._sequence = 0
        self._passed = 0
        self.parts: list[Part] = []
        self.exceeded: str | None = None

    async def play(self, run: Run, at: datetime) -> Part:
        """The execution as it ended; with `exceeded` set, as far as it came."""
        root = Part(run)
        self.parts.append(root)
        await self._hear(root, TakenUp(), at)
        while self._agenda and not root.is_over and not self._is_too_much():
            due, _, part, what = heapq.heappop(self._agenda)
            if isinstance(what, JobRow):
                await self._begin(part, what, due)
            else:
                await self._hear(part, what, due)
            self._passed += 1
            if self._passed % SLICE == 0:
                await asyncio.sleep(0)  # others have a turn
        return root

    def _is_too_much(self) -> bool:
        visits = sum(part.run.state.next_visit for part in self.parts)
        if visits > self._limits.visits:
            self.exceeded = f"more than {self._limits.visits:,} visits of steps"
        elif sum(part.told.bytes for part in self.parts) > self._limits.bytes:
            self.exceeded = f"more than {self._limits.bytes // 1_000_000} MB of outputs"
        return self.exceeded is not None

    def _put(self, at: datetime, part: Part, what: What | JobRow) -> None:
        self._sequence += 1
        heapq.heappush(self._agenda, (at, self._sequence, part, what))

    async def _hear(self, part: Part, what: What, now: datetime) -> None:
        turn = StagedTurn(part.run, self._evaluator, now, part.told)
        await turn.apply(what)
        await self._follow(part, turn)

    async def _follow(self, part: Part, turn: StagedTurn) -> None:
        """Put what the turn has ordered onto the agenda."""
        jobs, part.run.jobs = part.run.jobs, []
        for job in jobs:
            await self._order(part, job, turn)
        for command, step, outcome in turn.cues:
            await self._await(part, turn, command, step, outcome)
        if part.owner is not None and part.is_over:
            self._tell_owner(part, turn.now)

    async def _order(self, part: Part, job: JobRow, turn: StagedTurn) -> None:
        match job.kind:
            case "step":
                await self._errand(part, job, turn)
            case "delay":
                self._put(self._due(part, job, turn), part, StepEnded(job.visit, job.attempt, Done(None)))
            case "timer":
                purpose = str((job.detail or {}).get("purpose", ""))
                self._put(job.run_at or turn.now, part, TimerDue(job.visit, job.attempt, purpose))
            case "cancel_child":
                child = part.children.get((job.visit, job.attempt))
                if child is not None and not child.is_over:
                    await self._hear(child, Cancelled("The execution that started it ended.", "its parent"), turn.now)
            case _:
                pass  # what other jobs would do, the stage has been asked for

    def _due(self, part: Part, job: JobRow, turn: StagedTurn) -> datetime:
        """When a wait is over: a recording knows how late it was."""
        visit = part.run.state.visits.get(job.visit)
        at = job.run_at or turn.now
        if visit is None:
            return at
        step = part.run.plan.steps[part.run.path_of(visit)]
        return self._stage.due(part.told.positions.of(job.visit), job.attempt, step, at)

    # -- steps ---------------------------------------------------------------------------------------------

    async def _errand(self, part: Part, job: JobRow, turn: StagedTurn) -> None:
        run = part.run
        if not run.awaits(job.visit, job.attempt):
            return
        visit = run.state.visits[job.visit]
        step = run.plan.steps[run.path_of(visit)]
        if step.instant is not None:
            self._put(turn.now, part, job)  # in a turn of its own
            return
        command = RunStep(job.visit, job.attempt, step.step.path, visit.frame)
        await self._ask(part, turn, command, step, None)

    async def _begin(self, part: Part, job: JobRow, now: datetime) -> None:
        """An instant step that was put off."""
        run = part.run
        if not run.awaits(job.visit, job.attempt):
            return
        visit = run.state.visits[job.visit]
        step = run.plan.steps[run.path_of(visit)]
        command = RunStep(job.visit, job.attempt, step.step.path, visit.frame)
        turn = StagedTurn(run, self._evaluator, now, part.told)
        assert step.instant is not None  # noqa: S101  only such are put off
        await turn.go_on(command, step, await turn.run_instant(command, step, step.instant))
        await self._follow(part, turn)

    async def _await(self, part: Part, turn: StagedTurn, command: RunStep, step: StepPlan, outcome: Outcome) -> None:
        """A step that waits for another execution, or for anything else."""
        if isinstance(outcome, StartChild) and not self._stage.knows(step) and self._plan_of is not None:
            plan = await self._plan_of(outcome.workflow, outcome.version)
            if plan is not None:
                await self._start_child(part, turn, command, outcome, plan)
                return
        await self._ask(part, turn, command, step, outcome)

    async def _ask(self, part: Part, turn: StagedTurn, command: RunStep, step: StepPlan, said: Outcome | None) -> None:
        """Let the stage answer, and put the answer where its time has come."""
        run, visit, attempt = part.run, command.visit, command.attempt
        try:
            config = await self._evaluator.config(run, command.frame, step, turn.now, visit)
        except (Exhausted, Unavailable):
            raise
        except WeftError as error:
            self._put(turn.now, part, StepEnded(visit, attempt, Failed("expression", error.message, retryable=False)))
            return
        call = turn.call(visit, attempt, step, config)
        draws = Draws(self._seed, run.facts.depth, part.visit, visit, attempt)
        position = part.told.positions.of(visit)
        answered = await self._stage.answer(Cue(run, command.frame, step, call, draws, position, self._number, said))
        if said is None and answered.source != RECORDED:
            answered = _within_time(answered, step)
        part.told.answers[visit, attempt] = answered
        at = turn.now + timedelta(seconds=answered.seconds)
        self._put(at, part, StepEnded(visit, attempt, answered.outcome))

    # -- sub-workflows -------------------------------------------------------------------------------------

    async def _start_child(
        self, part: Part, turn: StagedTurn, command: RunStep, outcome: StartChild, plan: Plan
    ) -> None:
        run, visit, attempt = part.run, command.visit, command.attempt
        failed: Failed | None = None
        if run.facts.depth >= DEEPEST:
            failed = Failed("sub_workflow", f"Sub-workflows are nested more than {DEEPEST} deep.", retryable=False)
        else:
            try:
                plan.check_input(outcome.input)
            except WeftError as error:
                failed = Failed("sub_workflow", error.message, retryable=False)
        if failed is not None:
            self._put(turn.now, part, StepEnded(visit, attempt, failed))
            return
        seed = mixed(self._seed, run.facts.depth, visit, attempt)
        facts = facts_of(
            plan, outcome.input, number=self._number, seed=seed, tenant_id=run.facts.tenant_id, at=turn.now,
            parent=run.facts, parent_visit=visit,
        )  # fmt: skip
        child = Part(Run(facts, plan, None), owner=part, visit=visit, attempt=attempt)
        part.children[visit, attempt] = child
        self.parts.append(child)
        await self._hear(child, TakenUp(), turn.now)

    def _tell_owner(self, child: Part, now: datetime) -> None:
        owner, child.owner = child.owner, None
        if owner is None:
            return
        run = child.run
        outcome: Done | Failed
        if run.state.status.value == "COMPLETED":
            outcome = Done(run.output)
        else:
            error = run.error or {}
            message = str(error.get("message", f"The sub-workflow ended as {run.state.status.value}."))
            outcome = Failed("sub_workflow", message, data={"execution_id": str(run.id), "error": error})
        self._put(now, owner, StepEnded(child.visit, child.attempt, outcome))


def _within_time(answered: Answered, step: StepPlan) -> Answered:
    """An errand that takes longer than its time has failed when the time is over, as in the worker."""
    limit = step.step.timeout or LONGEST_ERRAND
    if answered.seconds <= limit:
        return answered
    failed = Failed("timeout", f"The step took longer than {limit:g} s.")
    return Answered(failed, limit, answered.cost, answered.source)


def facts_of(
    plan: Plan,
    value: Any,
    *,
    number: int,
    seed: int,
    tenant_id: UUID,
    at: datetime,
    parent: Facts | None = None,
    parent_visit: int | None = None,
) -> Facts:
    """Facts of an execution that only exists in a simulation; its id comes from the seed."""
    identity = UUID(int=(mixed(seed, 1) << 64 | mixed(seed, 2)) & ~(0xF << 76 | 0x3 << 62) | 0x8 << 76 | 0x2 << 62)
    return Facts(
        tenant_id=tenant_id,
        id=identity,
        workflow_id=plan.workflow_id,
        version_id=plan.version_id,
        client_id=None,
        number=number + 1,
        input=value,
        metadata={"simulation": True},
        trigger="MANUAL" if parent is None else "WORKFLOW",
        correlation_id=str(identity),
        parent_id=parent.id if parent is not None else None,
        parent_visit=parent_visit,
        depth=parent.depth + 1 if parent is not None else 0,
        created_at=at,
    )
