"""Every way through one level of a workflow, walked by the interpreter itself.

Outcomes are abstract: a step succeeds, or fails for good where it has an error route; every combination of
conditions is tried. (Failures that end the execution need no walk, and a step that may be skipped goes on as if it
had succeeded, unless it would then cancel others.) States that differ only in times and visit numbers are the same.

First all orders of news are tried. When those are too many, the oldest visit always answers first, and in another
walk the newest: tokens meet in fewer ways, but all choices are still made. A loop is followed for two turns; what
would come after them is taken to be no worse.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum
from itertools import chain, combinations
from typing import Final

from weft.interpreter.advance import advance
from weft.interpreter.commands import Command, Finish, RunStep, Settle
from weft.interpreter.definition import FAIL, Definition, Graph, Split, Transition
from weft.interpreter.events import Event, Started, StepFailed, StepSucceeded, TransitionsChosen
from weft.interpreter.flow import VISITS_EXHAUSTED
from weft.interpreter.joins import JOIN_STARVED
from weft.interpreter.state import NEW, ROOT, Phase, State, Status, Visit

TURNS: Final = 2

_COMBINED: Final = 6
"""Conditions of one step that are combined freely; of more than these, none, each, and all."""

_CROWD: Final = 8
"""So many live visits make a move about twice as dear."""

_THEN: Final = datetime(2000, 1, 1, tzinfo=UTC)


class _Order(Enum):
    """Which of the live visits may answer next."""

    all = "all"
    oldest = "oldest"
    newest = "newest"


@dataclass(slots=True)
class Met:
    """What was met on the way. `settled`: a step that is not in `entered` is never entered."""

    complete: bool = False
    settled: bool = False
    states: int = 0
    effort: int = 0
    entered: set[str] = field(default_factory=set)
    starved: set[str] = field(default_factory=set)
    failing: dict[str, str] = field(default_factory=dict)


def walk(graph: Graph, budget: int) -> Met:
    """Walk until `budget` is used up: one for each move, more where many tokens make a move dear."""
    met = _Walk(graph, _Order.all, budget // 2).run()
    if met.complete:
        met.settled = True
        return met
    share = (budget - met.effort) // 2
    parts = [_Walk(graph, _Order.oldest, share).run(), _Walk(graph, _Order.newest, share).run()]
    for part in parts:
        met.states += part.states
        met.effort += part.effort
        met.entered |= part.entered
        met.starved |= part.starved
    met.settled = all(part.complete for part in parts)
    if met.settled:  # what fails whoever answers first and whoever answers last
        met.failing = {step: why for step, why in parts[0].failing.items() if step in parts[1].failing}
    return met


@dataclass(slots=True)
class _Node:
    """A state that was met, and from which others it came."""

    state: State
    before: list[_Node] = field(default_factory=list)
    good: bool = False  # an end can be reached from here
    failed: tuple[str, str] | None = None  # the step that failed, and why


class _Walk:
    def __init__(self, graph: Graph, order: _Order, budget: int) -> None:
        self._order = order
        self._budget = budget
        self._met = Met(complete=True)
        self._nodes: dict[Hashable, _Node] = {}
        self._waiting: deque[_Node] = deque()
        # Steps whose bound is lowered here: when they exhaust it, they would really go on.
        self._lowered = {key for key, step in graph.steps.items() if (step.max_visits or 0) > TURNS}
        steps = {
            key: replace(step, max_visits=TURNS) if key in self._lowered else step for key, step in graph.steps.items()
        }
        self._graph = replace(graph, steps=steps)
        self._definition = Definition(self._graph)

    def run(self) -> Met:
        state, commands = advance(self._definition, NEW, Started(_THEN))
        self._arrive(state, commands, None)
        while self._waiting:
            if self._met.effort >= self._budget:
                self._met.complete = False
                break
            node = self._waiting.popleft()
            for after, ordered in self._moves(node.state):
                self._met.effort += 1 + len(after.visits) // _CROWD
                self._arrive(after, ordered, node)
        self._met.states = len(self._nodes)
        if self._met.complete:
            self._find_failing()
        return self._met

    # Moves

    def _moves(self, state: State) -> Iterator[tuple[State, tuple[Command, ...]]]:
        live = sorted(number for number, visit in state.visits.items() if visit.phase is not Phase.queued)
        for number in self._may_answer(live):
            visit = state.visits[number]
            step = self._graph.steps[visit.step]
            if step.kind != FAIL:
                yield from self._go_on(state, visit, StepSucceeded(_THEN, visit.number, visit.attempt))
            failed = StepFailed(_THEN, visit.number, visit.attempt, FAIL, retryable=False)
            if step.kind == FAIL or (step.on_error is not None and step.required):
                yield self._advance(state, failed)
            elif step.cancels and not step.required:  # skipped, it cancels nobody
                yield from self._go_on(state, visit, failed)

    def _may_answer(self, numbers: list[int]) -> list[int]:
        match self._order:
            case _Order.all:
                return numbers
            case _Order.oldest:
                return numbers[:1]
            case _Order.newest:
                return numbers[-1:]

    def _go_on(self, state: State, visit: Visit, event: Event) -> Iterator[tuple[State, tuple[Command, ...]]]:
        """The step is done and its transitions chosen: one move, as nothing in between depends on it."""
        after, commands = self._advance(state, event)
        chosen = after.visits.get(visit.number)
        if chosen is None or chosen.phase is not Phase.choosing:
            yield after, commands
            return
        split = self._graph.steps[visit.step].split
        for holding in _choices(split, self._graph.outgoing[visit.step]):
            yield self._advance(after, TransitionsChosen(_THEN, visit.number, holding))

    def _advance(self, state: State, event: Event) -> tuple[State, tuple[Command, ...]]:
        return advance(self._definition, state, event)

    # Arrivals

    def _arrive(self, state: State, commands: tuple[Command, ...], before: _Node | None) -> None:
        self._note(commands)
        failed = _failure(state, commands)
        key = self._key(state, failed)
        node = self._nodes.get(key)
        if node is None:
            node = self._nodes[key] = _Node(state, failed=failed)
            # Beyond a bound that was lowered here, the loop would really go on.
            cut_off = any(command.step.rpartition(".")[2] in self._lowered for command in _exhausted(commands))
            reached_end = state.status is Status.completed or (failed is not None and failed[1] == FAIL)
            node.good = cut_off or reached_end
            if not state.status.is_final:
                self._waiting.append(node)
        if before is not None:
            node.before.append(before)

    def _note(self, commands: tuple[Command, ...]) -> None:
        for command in commands:
            if isinstance(command, RunStep):
                self._met.entered.add(command.step.rpartition(".")[2])
            elif isinstance(command, Finish) and command.reason == JOIN_STARVED:
                self._met.starved.add(command.step)

    def _key(self, state: State, failed: tuple[str, str] | None) -> Hashable:
        if state.status.is_final:
            return state.status, failed
        frame = state.frames[ROOT]
        visits = [state.visits[number] for number in sorted(state.visits)]
        steps = [f"({visit.step})" if visit.phase is Phase.queued else visit.step for visit in visits]
        if self._order is _Order.all:
            steps.sort()
        return (
            tuple(steps),
            tuple(sorted((join, tuple(sorted(sources))) for join, sources in frame.arrived.items())),
            tuple(sorted(frame.fired.items())),
            tuple(sorted(frame.visits.items())),
        )

    # Judgement

    def _find_failing(self) -> None:
        """Steps whose failure is the only way on from some state."""
        hopeful = [node for node in self._nodes.values() if node.good]
        while hopeful:
            for before in hopeful.pop().before:
                if not before.good:
                    before.good = True
                    hopeful.append(before)
        for node in self._nodes.values():
            if node.failed is not None and not node.good and not all(before.good for before in node.before):
                step, reason = node.failed
                self._met.failing[step] = reason


def _failure(state: State, commands: tuple[Command, ...]) -> tuple[str, str] | None:
    """The step that failed the execution, and why. A join that starved has no visit: its step is ''."""
    if state.status is not Status.failed:
        return None
    finish = next(command for command in commands if isinstance(command, Finish))
    step = next((visit.step for visit in state.interrupted if visit.number == finish.visit), "")
    return step, finish.reason


def _exhausted(commands: tuple[Command, ...]) -> Iterator[Settle]:
    return (command for command in commands if isinstance(command, Settle) and command.reason == VISITS_EXHAUSTED)


def _choices(split: Split, outgoing: tuple[Transition, ...]) -> Iterator[tuple[int, ...]]:
    """Which conditions hold; for a split that takes the first, one at a time is enough."""
    conditional = [transition.index for transition in outgoing if transition.conditional]
    sizes = range(len(conditional) + 1)
    if split is Split.one:
        sizes = range(2)
    elif len(conditional) > _COMBINED:
        yield tuple(conditional)
        sizes = range(2)
    yield from chain.from_iterable(combinations(conditional, size) for size in sizes)
