"""What a simulation says: outcomes, durations and costs as distributions, coverage, and whether assertions hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from weft.engine.plans import Plan
from weft.engine.simulation.errors import AssertionUnclear
from weft.engine.simulation.runs import UNFINISHED, Played
from weft.engine.simulation.stage import DEFAULT
from weft.engine.simulation.statistics import distribution, percentile, tidy
from weft.expressions.compile import Expression, compile_condition
from weft.expressions.errors import ExpressionFailed, ExpressionInvalid
from weft.expressions.guard import Guard
from weft.interpreter.state import Status

MOST_ERRORS: Final = 50
"""Different errors that are listed; the rarest are left out."""
_STATUSES: Final = (Status.completed.value, Status.failed.value, Status.cancelled.value, UNFINISHED)


@dataclass(slots=True)
class Tally:
    """Counts runs as they come; it keeps figures, not journals."""

    plan: Plan
    seed: int
    runs: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    errors: Counter[tuple[str, str]] = field(default_factory=Counter)
    messages: dict[tuple[str, str], str] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    reached: set[str] = field(default_factory=set)
    taken: set[tuple[str, str]] = field(default_factory=set)
    steps: dict[str, _StepTally] = field(default_factory=dict)

    def add(self, played: Played) -> None:
        self.runs += 1
        self.statuses[played.status] += 1
        self.ends.update(played.ends)
        self.seconds.append(played.seconds)
        self.costs.append(played.cost)
        self.taken |= played.taken
        if played.error is not None:
            key = (str(played.error.get("step") or ""), str(played.error.get("kind", "failed")))
            self.errors[key] += 1
            self.messages.setdefault(key, str(played.error.get("message", ""))[:300])
        for step in played.steps:
            if not step.path:
                continue
            self.reached.add(step.path)
            self.steps.setdefault(step.path, _StepTally()).add(step.status, step.began, step.ended)
            if step.answered is not None:
                self.steps[step.path].answers[step.answered.source] += 1

    def result(self) -> dict[str, Any]:
        """The document that is shown, printed as JSON, and that assertions are judged on."""
        shares = {
            status.lower(): tidy(self.statuses.get(status, 0) / self.runs) if self.runs else 0.0 for status in _STATUSES
        }
        duration, cost = distribution(self.seconds), distribution(self.costs)
        return {
            "workflow": self.plan.name,
            "runs": self.runs,
            "seed": self.seed,
            **shares,
            "statuses": {status: self.statuses.get(status, 0) for status in _STATUSES},
            "ends": dict(sorted(self.ends.items(), key=lambda pair: (-pair[1], pair[0]))),
            "errors": self._errors(),
            "duration": duration,
            "cost": cost,
            **{f"{name}_duration": duration[name] for name in _NAMED},
            **{f"{name}_cost": cost[name] for name in _NAMED},
            "coverage": coverage(self.plan, self.reached, self.taken),
            "steps": {path: tally.result() for path, tally in sorted(self.steps.items())},
            "answered_by_default": sorted(path for path, tally in self.steps.items() if tally.answers[DEFAULT]),
        }

    def _errors(self) -> list[dict[str, Any]]:
        ordered = sorted(self.errors.items(), key=lambda pair: (-pair[1], pair[0]))
        return [
            {"step": step or None, "kind": kind, "runs": count, "message": self.messages[step, kind]}
            for (step, kind), count in ordered[:MOST_ERRORS]
        ]


_NAMED: Final = ("min", "mean", "p50", "p80", "p95", "max")


@dataclass(slots=True)
class _StepTally:
    """One step over all runs. `attempts` count every try."""

    attempts: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: list[float] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)

    def add(self, status: str, began: float, ended: float | None) -> None:
        self.attempts += 1
        self.failed += status == Status.failed.value
        self.skipped += status == "SKIPPED"
        if ended is not None:
            self.seconds.append(ended - began)

    def result(self) -> dict[str, Any]:
        ordered = sorted(self.seconds)
        return {
            "attempts": self.attempts,
            "failed": self.failed,
            "skipped": self.skipped,
            "p50": percentile(ordered, 50),
            "p95": percentile(ordered, 95),
            "answers": dict(sorted(self.answers.items())),
        }


def transitions_of(plan: Plan) -> list[tuple[str, str]]:
    """Every way from a step to the next, error routes included: the step's path, and the key that follows."""
    found: dict[tuple[str, str], None] = {}
    for graph in plan.definition.graphs.values():
        for step in graph.steps.values():
            for transition in graph.outgoing.get(step.key, ()):
                found[step.path, transition.target] = None
            if step.on_error is not None:
                found[step.path, step.on_error] = None
    return list(found)


def coverage(plan: Plan, reached: set[str], taken: set[tuple[str, str]]) -> dict[str, Any]:
    """Which part of the steps and transitions was seen at least once, and what was not. Sub-workflows count apart."""
    steps = [step.path for step in plan.definition.all_steps()]
    ways = transitions_of(plan)
    missed_steps = [path for path in steps if path not in reached]
    missed_ways = [f"{source} -> {target}" for source, target in ways if (source, target) not in taken]
    return {
        "steps": tidy(1 - len(missed_steps) / len(steps)) if steps else 1.0,
        "transitions": tidy(1 - len(missed_ways) / len(ways)) if ways else 1.0,
        "steps_missed": missed_steps,
        "transitions_missed": missed_ways,
    }


# -- assertions --------------------------------------------------------------------------------------------------

NAMES: Final = (
    "runs", "completed", "failed", "cancelled", "unfinished", "statuses", "ends", "errors", "duration", "cost",
    *(f"{name}_duration" for name in _NAMED), *(f"{name}_cost" for name in _NAMED), "coverage", "steps",
    "answered_by_default",
)  # fmt: skip
"""What an assertion may name."""


def compile_assertions(written: Sequence[str]) -> list[Expression]:
    """Raises `AssertionUnclear` before anything is simulated."""
    return [_compiled(text) for text in written]


def _compiled(text: str) -> Expression:
    try:
        condition = compile_condition(text)
    except ExpressionInvalid as error:
        raise AssertionUnclear(text, error.message) from error
    unknown = sorted(set(condition.roots) - set(NAMES))
    if unknown:
        raise AssertionUnclear(text, f"there is no `{unknown[0]}`; the names are {', '.join(NAMES)}.")
    return condition


async def judge(assertions: Sequence[Expression], result: Mapping[str, Any], guard: Guard) -> list[dict[str, Any]]:
    """Each assertion with its verdict. Raises `AssertionUnclear` for one that gives no verdict."""
    found = []
    for condition in assertions:
        try:
            holds = await guard.condition(condition, result)
        except ExpressionFailed as error:
            raise AssertionUnclear(condition.source, error.message) from error
        found.append({"assertion": condition.source, "holds": holds})
    return found
