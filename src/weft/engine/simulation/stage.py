"""The stage: who answers a step in the place of the world.

`ScriptStage` answers from a script, and where the script says nothing, with a sample of what the step's kind puts out.
A kind that knows better what a plausible answer is has a method

    def rehearse(self, call: Call, draws: Draws) -> Done | Failed  # may raise `ConfigWrong`

which is all that a new kind (an approval, an agent, a plug-in's) needs to take part; without it the sample is drawn
from its outputs' schema. Nothing here, and nothing that a stage is given, reaches outside this process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Protocol, runtime_checkable

from weft.core.errors import Exhausted, Unavailable, WeftError
from weft.engine.evaluate import Evaluator, Own
from weft.engine.kinds import Call
from weft.engine.outcomes import Done, Failed, Outcome
from weft.engine.plans import StepPlan
from weft.engine.run import Run
from weft.engine.simulation.draws import Draws
from weft.engine.simulation.errors import MOST_COST, CostUnclear
from weft.engine.simulation.positions import Position
from weft.engine.simulation.samples import sample
from weft.engine.simulation.script import Answer, Script
from weft.engine.steps.base import ConfigWrong
from weft.expressions.compile import Compiled
from weft.expressions.guard import Guard

SCRIPT: Final = "script"
DEFAULT: Final = "default"
RECORDED: Final = "recorded"

NOTHING: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class Cue:
    """A step is waiting for its answer. `said` is what an instant kind gave: that it waits, or what it starts."""

    run: Run
    frame: str
    step: StepPlan
    call: Call
    draws: Draws
    position: Position
    number: int = 0  # which run of the simulation
    said: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """`source`: whether the script, a recording or the kind's default has spoken."""

    outcome: Done | Failed
    seconds: float = 0.0
    cost: Decimal = NOTHING
    source: str = DEFAULT


class Stage(Protocol):
    async def answer(self, cue: Cue) -> Answered:
        """What comes of the step, and after how long."""

    def knows(self, step: StepPlan) -> bool:
        """Whether there is an answer for the step besides the default: then a sub-workflow is not run."""

    def due(self, position: Position, attempt: int, step: StepPlan, at: datetime) -> datetime:
        """When a wait for `at` is over: then, unless something was recorded of it."""


@runtime_checkable
class Rehearsing(Protocol):
    """A step kind that knows a plausible answer."""

    def rehearse(self, call: Call, draws: Draws) -> Done | Failed: ...


async def _nothing(run: Run, visits: Sequence[int]) -> None:
    """All that a simulated run knows is in memory."""
    del run, visits


class CueEvaluator(Evaluator):
    """Sees what the step sees, and its call beside it: `config`, `attempt`, `visit`, `step`, `run`."""

    def __init__(self, guard: Guard, facts: Mapping[str, Any]) -> None:
        super().__init__(guard, _nothing)
        self._facts = facts

    async def context(
        self,
        run: Run,
        frame: str,
        paths: Iterable[str],
        now: datetime,
        own: Own | None = None,
        *,
        visit: int | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        asked = self._facts["visit"] if visit is None else visit
        found = await super().context(run, frame, paths, now, own, visit=asked, extra=extra)
        return found | dict(self._facts)


class ScriptStage:
    """Answers from a script; one for a whole simulation."""

    def __init__(self, script: Script, guard: Guard) -> None:
        self.script = script
        self._guard = guard

    def knows(self, step: StepPlan) -> bool:
        return bool(self.script.find(step.step.path, step.step.kind))

    def due(self, position: Position, attempt: int, step: StepPlan, at: datetime) -> datetime:
        del position, attempt, step
        return at

    async def answer(self, cue: Cue) -> Answered:
        answers = self.script.find(cue.step.step.path, cue.step.step.kind)
        if not answers:
            return Answered(default_of(cue))
        evaluator = CueEvaluator(self._guard, _facts(cue))
        try:
            chosen = await _choose(answers, cue, evaluator)
            if chosen is None:
                return Answered(default_of(cue))
            return await _spoken(chosen, cue, evaluator)
        except (Exhausted, Unavailable):
            raise
        except WeftError as error:
            failed = Failed("script", f"The script's answer: {error.message}", retryable=False)
            return Answered(failed, source=SCRIPT)


def _facts(cue: Cue) -> dict[str, Any]:
    return {
        "config": cue.call.config,
        "attempt": cue.call.attempt,
        "visit": cue.call.visit,
        "step": cue.call.step,
        "run": cue.number,
    }


async def _choose(answers: tuple[Answer, ...], cue: Cue, evaluator: CueEvaluator) -> Answer | None:
    """From the top: an answer with a probability has that share of the draws, one without takes what is left."""
    left = cue.draws.share()
    for answer in answers:
        if answer.when is not None and not await evaluator.holds(cue.run, cue.frame, answer.when, cue.call.now, []):
            continue
        if answer.probability is None or left < answer.probability:
            return answer
        left -= answer.probability
    return None


async def _spoken(answer: Answer, cue: Cue, evaluator: CueEvaluator) -> Answered:
    async def value(compiled: Compiled) -> Any:
        return await evaluator.value(cue.run, cue.frame, compiled, cue.call.now)

    seconds = answer.duration.draw(cue.draws) if answer.duration is not None else 0.0
    cost = _cost(await value(answer.cost)) if answer.cost is not None else NOTHING
    outcome: Done | Failed
    if answer.fail is not None:
        fail = answer.fail
        outcome = Failed(
            str(await value(fail.kind)),
            str(await value(fail.message)),
            retryable=fail.retryable,
            retry_after=fail.retry_after,
            data=await value(fail.data),
        )
    elif answer.output is not None:
        outcome = Done(await value(answer.output))
    else:
        outcome = default_of(cue)
    return Answered(outcome, seconds, cost, SCRIPT)


def _cost(value: Any) -> Decimal:
    try:
        cost = Decimal(str(value)) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except InvalidOperation:
        cost = None
    if cost is None or not cost.is_finite() or not 0 <= cost <= MOST_COST:
        raise CostUnclear(value)
    return round(cost, 10).normalize()


def default_of(cue: Cue) -> Done | Failed:
    """A plausible answer of the step's kind, the same for the same run, visit and attempt: a success, unless the
    config is one with which the step itself would fail."""
    kind = cue.step.kind
    if isinstance(kind, Rehearsing):
        try:
            return kind.rehearse(cue.call, cue.draws)
        except ConfigWrong as wrong:
            return wrong.failed
    outputs = getattr(kind, "outputs", None)
    schema = outputs(cue.step.raw) if callable(outputs) else getattr(kind, "outputs_schema", None)
    return Done(sample(schema, cue.draws))
