"""An execution in a test's hands: news is sent by the step's path, and every command is kept."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from weft.interpreter.advance import advance
from weft.interpreter.commands import (
    Collect,
    Command,
    Conclude,
    Finish,
    ItemEnded,
    Judge,
    RunStep,
    Settle,
    StartTimer,
)
from weft.interpreter.compile import compile_definition
from weft.interpreter.definition import Definition
from weft.interpreter.events import (
    CancelRequested,
    Event,
    ItemsFound,
    PauseRequested,
    ResumeRequested,
    RetryRequested,
    Started,
    StepFailed,
    StepSucceeded,
    StepWaiting,
    TimerFired,
    TransitionsChosen,
    TurnDecided,
    UndoRequested,
    VersionChanged,
)
from weft.interpreter.migrate import StepMapping, migrate
from weft.interpreter.state import NEW, Phase, State, Status, Visit

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SomeCommand = TypeVar("SomeCommand", bound=Command)


def document(*steps: Mapping[str, Any] | str, **outgoing: Any) -> dict[str, Any]:
    """A definition in short: steps by key (or written out), and where each leads.

    A target is a key, `("key", "when")` for a conditional and `("key", "default")` for a default transition.
    """
    written = [{"key": step, "type": "set"} if isinstance(step, str) else {"type": "set", **step} for step in steps]
    transitions: list[dict[str, Any]] = []
    for source, targets in outgoing.items():
        for target in targets if isinstance(targets, list) else [targets]:
            key, how = target if isinstance(target, tuple) else (target, "")
            transition: dict[str, Any] = {"from": source, "to": key}
            if how == "when":
                transition["when"] = {"field": "input.go", "operator": "equals", "value": key}
            elif how == "default":
                transition["default"] = True
            transitions.append(transition)
    return {"steps": written, "transitions": transitions}


def for_each(key: str, body: Mapping[str, Any], concurrency: int = 1, **more: Any) -> dict[str, Any]:
    return {"key": key, "type": "for_each", "config": {"concurrency": concurrency, "body": body}, **more}


def loop(key: str, body: Mapping[str, Any], most: int = 10, **more: Any) -> dict[str, Any]:
    config = {name: more.pop(name) for name in ("while", "on_max") if name in more}
    asks = {} if "while" in config else {"until": "true"}
    return {"key": key, "type": "loop", "config": {**asks, **config, "max_iterations": most, "body": body}, **more}


MENU = document(
    "s",
    {"key": "menu", "max_visits": 2, "on_error": "z"},
    {"key": "p", "type": "parallel"},
    "a",
    "b",
    {"key": "i", "type": "join"},
    {"key": "q", "type": "parallel"},
    "c",
    "d",
    {"key": "j", "type": "join"},
    "z",
    s="menu",
    menu=[("p", "when"), ("q", "when"), ("z", "default")],
    p=["a", "b"],
    a="i",
    b="i",
    i="menu",
    q=["c", "d"],
    c="j",
    d="j",
    j="menu",
)
"""A loop with two bodies, each of them a fork with a join."""


class Run:
    """Time goes on by a second with every event."""

    def __init__(self, definition: Mapping[str, Any] | Definition, *, started: bool = True) -> None:
        self.definition = definition if isinstance(definition, Definition) else compile_definition(definition)
        self.state: State = NEW
        self.at = NOON
        self.events: list[Event] = []
        self.commands: list[Command] = []
        self.fresh: tuple[Command, ...] = ()
        self.first = self.definition
        self.moves: list[tuple[int, Mapping[str, Any], StepMapping]] = []  # after so many events, to what, how
        if started:
            self.send(Started(self.at, seed=7))

    # What is told

    def send(self, event: Event) -> tuple[Command, ...]:
        self.state, self.fresh = advance(self.definition, self.state, event)
        self.events.append(event)
        self.commands.extend(self.fresh)
        self.at += timedelta(seconds=1)
        return self.fresh

    def succeed(self, *steps: str) -> tuple[Command, ...]:
        for step in steps:
            visit = self.visit(step)
            self.send(StepSucceeded(self.at, visit.number, visit.attempt))
        return self.fresh

    def fail(
        self, step: str, kind: str = "broken", *, retryable: bool = True, retry_after: float | None = None
    ) -> tuple[Command, ...]:
        visit = self.visit(step)
        return self.send(StepFailed(self.at, visit.number, visit.attempt, kind, retryable, retry_after))

    def wait(self, step: str) -> tuple[Command, ...]:
        visit = self.visit(step)
        return self.send(StepWaiting(self.at, visit.number, visit.attempt))

    def items(self, step: str, count: int) -> tuple[Command, ...]:
        visit = self.visit(step)
        return self.send(ItemsFound(self.at, visit.number, visit.attempt, count))

    def turn(self, step: str, *, again: bool) -> tuple[Command, ...]:
        """Another turn of the loop, or none."""
        visit = self.visit(step)
        return self.send(TurnDecided(self.at, visit.number, visit.attempt, visit.done, again))

    def undo(self, step: str) -> tuple[Command, ...]:
        visit = self.visit(step)
        return self.send(UndoRequested(self.at, visit.number, visit.attempt))

    def choose(self, step: str, *targets: str) -> tuple[Command, ...]:
        """The conditions on the transitions to these targets hold."""
        visit = self.visit(step, Phase.choosing)
        graph = self.definition.graphs[self.state.frames[visit.frame].graph]
        holding = tuple(arrow.index for arrow in graph.outgoing[visit.step] if arrow.target in targets)
        return self.send(TransitionsChosen(self.at, visit.number, holding))

    def fire(self, purpose: str) -> tuple[Command, ...]:
        """The newest timer of this purpose is due."""
        timer = [timer for timer in self.all(StartTimer) if timer.purpose == purpose][-1]
        self.at = max(self.at, timer.at)
        return self.send(TimerFired(self.at, timer.visit, timer.attempt, purpose))

    def cancel(self, reason: str = "") -> tuple[Command, ...]:
        return self.send(CancelRequested(self.at, reason))

    def retry(self) -> tuple[Command, ...]:
        return self.send(RetryRequested(self.at))

    def pause(self, reason: str = "") -> tuple[Command, ...]:
        return self.send(PauseRequested(self.at, reason))

    def resume(self) -> tuple[Command, ...]:
        return self.send(ResumeRequested(self.at))

    def move(self, written: Mapping[str, Any], mapping: StepMapping | None = None) -> tuple[Command, ...]:
        """To another version, and look again."""
        other = compile_definition(written)
        outcome = migrate(self.definition, other, self.state, mapping or {})
        assert outcome.state is not None, outcome.problems
        self.moves.append((len(self.events), written, mapping or {}))
        self.definition, self.state = other, outcome.state
        return self.send(VersionChanged(self.at))

    # What is seen

    def status(self) -> Status:
        """Not a property: the type checker would believe that it stays what an assertion said."""
        return self.state.status

    def path(self, visit: Visit) -> str:
        level = self.state.frames[visit.frame].graph
        return f"{level}.{visit.step}" if level else visit.step

    def visit(self, step: str, phase: Phase | None = None) -> Visit:
        """The oldest live visit at this step."""
        for number in sorted(self.state.visits):
            visit = self.state.visits[number]
            if self.path(visit) == step and (phase is None or visit.phase is phase):
                return visit
        raise AssertionError(f"nothing is live at {step}; live are {self.live}")

    @property
    def live(self) -> list[str]:
        """Where tokens stay, oldest first."""
        return [self.path(self.state.visits[number]) for number in sorted(self.state.visits)]

    def all(self, kind: type[SomeCommand]) -> list[SomeCommand]:
        return [command for command in self.commands if isinstance(command, kind)]

    def latest(self, kind: type[SomeCommand]) -> list[SomeCommand]:
        """Commands of this kind that the last event gave."""
        return [command for command in self.fresh if isinstance(command, kind)]

    @property
    def ran(self) -> list[str]:
        return [command.step for command in self.all(RunStep)]

    @property
    def journal(self) -> list[tuple[str, str]]:
        """Steps and how their attempts ended, in order."""
        return [(row.step, row.how.value) for row in self.all(Settle)]

    @property
    def finish(self) -> Finish:
        (finish,) = self.latest(Finish)
        return finish

    @property
    def judged(self) -> Judge:
        (judge,) = self.latest(Judge)
        return judge

    @property
    def concluded(self) -> Conclude:
        (conclude,) = self.latest(Conclude)
        return conclude

    @property
    def collected(self) -> Collect:
        (collect,) = self.latest(Collect)
        return collect

    @property
    def results(self) -> tuple[int | None, ...]:
        """Of the items that are collected now: the visit that has each one's output; None for one passed over."""
        collect = self.collected
        named = {item.index: item.result for item in self.all(ItemEnded) if item.origin == collect.origin}
        return tuple(named.get(index) for index in range(collect.count))
