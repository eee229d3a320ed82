"""Many simulated executions of one definition: their inputs, their seeds, and what is kept of each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from weft.domain.workflows.check import check
from weft.domain.workflows.document import accept
from weft.domain.workflows.errors import DefinitionUnsound
from weft.engine.evaluate import Evaluator
from weft.engine.plans import InputInvalid, Plan, compile_plan
from weft.engine.run import Run
from weft.engine.simulation.draws import Draws, mixed
from weft.engine.simulation.errors import InputNotMade, SimulationTooLong
from weft.engine.simulation.memory import RememberingGuard
from weft.engine.simulation.play import Limits, Part, PlanOf, Play, facts_of
from weft.engine.simulation.samples import sample
from weft.engine.simulation.script import Script
from weft.engine.simulation.stage import NOTHING, Answered, ScriptStage, Stage
from weft.expressions.guard import Guard
from weft.interpreter.definition import END, FAIL

EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""When simulated executions begin, unless another time is given: the same seed gives the same trace next year."""
SIDE_BY_SIDE: Final = 16
"""Plays at the same time: while one waits for the guard, the next goes on."""
INPUTS_TRIED: Final = 200
VALUES_TRIED: Final = 20_000
"""Values drawn in search of one input, over all tries."""
NOBODY: Final = UUID(int=0)

UNFINISHED: Final = "UNFINISHED"
"""The status of a run that was stopped by a limit, or at whose end something still waited."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be simulated. `inputs` are used in turn; without any they are made up from the input's schema."""

    runs: int = 1
    seed: int = 1
    inputs: Sequence[Any] = ()
    script: Script = field(default_factory=Script)
    began: datetime = EPOCH
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Step:
    """One attempt as it was played. Times in seconds since the run began."""

    path: str
    frame: str
    visit: int
    attempt: int
    status: str
    began: float
    ended: float | None
    answered: Answered | None
    data: Any
    error: Mapping[str, Any] | None
    message: str | None


@dataclass(frozen=True, slots=True)
class Played:
    """What became of one run."""

    number: int
    seed: int
    input: Any
    status: str
    output: Any
    error: Mapping[str, Any] | None
    seconds: float
    cost: float
    ends: tuple[str, ...]
    visits: int
    steps: tuple[Step, ...]
    taken: frozenset[tuple[str, str]]


def compiled(document: Mapping[str, Any], *, name: str = "") -> Plan:
    """A definition as something that can be played. Raises `DefinitionUnsound` for one that could not be saved."""
    accepted = accept(document)
    report = check(accepted)
    if not report.sound:
        raise DefinitionUnsound(report.errors)
    accepted.setdefault("name", name)
    return compile_plan(accepted, version_id=NOBODY, workflow_id=NOBODY, number=0, step_ids={})


class InputMaker:
    """Inputs of a workflow: the given ones in turn, or drawn from its schema."""

    def __init__(self, plan: Plan, given: Sequence[Any]) -> None:
        self._plan = plan
        self._given = given
        self._schema = plan.definition.document.get("input")
        for value in given:
            plan.check_input(value)  # once, before anything is played

    def input(self, number: int, seed: int) -> Any:
        """Raises `InputNotMade` when nothing that is drawn fits."""
        if self._given:
            return self._given[number % len(self._given)]
        if self._schema is None:
            return {}
        draws, budget = Draws(seed, 0x1A9), [VALUES_TRIED]
        for tried in range(1, INPUTS_TRIED + 1):
            value = sample(self._schema, draws, budget)
            try:
                self._plan.check_input(value)
            except InputInvalid as invalid:
                if tried == INPUTS_TRIED or budget[0] < 0:
                    raise InputNotMade(invalid.issues[0].message) from invalid
            else:
                return value
        raise AssertionError("the last try returns or raises")


class Simulation:
    """Plays the runs that are wanted, in order. One guard serves all of them."""

    def __init__(
        self,
        plan: Plan,
        wanted: Wanted,
        guard: Guard,
        *,
        stage: Stage | None = None,
        plan_of: PlanOf | None = None,
        tenant_id: UUID = NOBODY,
        seconds: float | None = None,
        side_by_side: int = SIDE_BY_SIDE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.plan = plan
        self.wanted = wanted
        self._guard = RememberingGuard(guard)
        self._stage = stage or ScriptStage(wanted.script, self._guard)
        self._plan_of = plan_of or scripted_plans(wanted.script)
        self._tenant_id = tenant_id
        self._inputs = InputMaker(plan, wanted.inputs)
        self._evaluator = Evaluator(self._guard, nothing_to_fetch)
        self._seconds = seconds
        self._side_by_side = side_by_side
        self._clock = clock

    async def played(self) -> AsyncIterator[Played]:
        """The runs in the order of their numbers. Raises `SimulationTooLong` when its time is over."""
        begun = self._clock()
        for first in range(0, self.wanted.runs, self._side_by_side):
            numbers = range(first, min(first + self._side_by_side, self.wanted.runs))
            tasks = [asyncio.ensure_future(self._play(number)) for number in numbers]
            try:
                for task in tasks:
                    yield await task
                    if self._seconds is not None and self._clock() - begun > self._seconds:
                        raise SimulationTooLong(self._seconds, first, self.wanted.runs)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0)

    async def _play(self, number: int) -> Played:
        seed = mixed(self.wanted.seed, number)
        value = self._inputs.input(number, seed)
        facts = facts_of(self.plan, value, number=number, seed=seed, tenant_id=self._tenant_id, at=self.wanted.began)
        play = Play(
            self._evaluator, self._stage, number=number, seed=seed, plan_of=self._plan_of, limits=self.wanted.limits
        )
        root = await play.play(Run(facts, self.plan, None), self.wanted.began)
        return played_of(play, root, number, seed)


async def nothing_to_fetch(run: Run, visits: Sequence[int]) -> None:
    """Everything is in memory."""
    del run, visits


def scripted_plans(script: Script) -> PlanOf:
    """Sub-workflows whose definitions the script holds."""
    known: dict[str, Plan] = {}

    async def plan_of(workflow: str, version: int | None) -> Plan | None:
        del version
        key = " ".join(workflow.split()).casefold()
        definition = script.workflows.get(key)
        if definition is None:
            return None
        if key not in known:
            known[key] = await asyncio.to_thread(compiled, definition, name=workflow)
        return known[key]

    return plan_of


def played_of(play: Play, root: Part, number: int, seed: int) -> Played:
    run = root.run
    began = run.facts.created_at
    rows = list(run.rows.values())
    status = run.state.status.value if root.is_over and play.exceeded is None else UNFINISHED
    error = run.error
    if status == UNFINISHED:
        waits = sorted({run.path_of(visit) for visit in run.state.visits.values()})
        said = f"It was stopped after {play.exceeded}." if play.exceeded else f"Nothing comes for {', '.join(waits)}."
        error = {"kind": "unfinished", "message": said}
    ends = [run.completed_at] if run.completed_at else [row.completed_at or row.started_at for row in rows]
    last = max(ends, default=began)
    steps = tuple(
        Step(
            path=row.step_key or "",
            frame=row.frame,
            visit=row.visit,
            attempt=row.attempt,
            status=row.status,
            began=(row.started_at - began).total_seconds(),
            ended=(row.completed_at - began).total_seconds() if row.completed_at is not None else None,
            answered=root.told.answers.get((row.visit, row.attempt)),
            data=row.data,
            error=row.error,
            message=row.message,
        )
        for row in rows
    )
    cost = sum((answered.cost for part in play.parts for answered in part.told.answers.values()), start=NOTHING)
    return Played(
        number=number,
        seed=seed,
        input=run.facts.input,
        status=status,
        output=run.output,
        error=error,
        seconds=(last - began).total_seconds(),
        cost=float(cost),
        ends=ends_of(run.plan, steps),
        visits=len(steps),
        steps=steps,
        taken=frozenset(root.told.taken),
    )


def ends_of(plan: Plan, steps: Sequence[Step]) -> tuple[str, ...]:
    """Steps of the workflow's own level at which it ended: those after which nothing follows."""
    root = plan.definition.graph
    found = dict.fromkeys(
        step.path
        for step in steps
        if step.path in root.steps
        and step.status in ("COMPLETED", "FAILED")
        and (root.steps[step.path].kind in (END, FAIL) or not root.outgoing.get(step.path))
    )
    return tuple(found)
