"""Plays a pattern's scenario on the pure interpreter: the engine's part in a few lines, without a database."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from tests.interpreter.pattern_files import Line, Scenario
from tests.interpreter.running import NOON

from weft.engine.plans import Structured, condition_of, evaluable
from weft.engine.registry import kind as find_kind
from weft.expressions.compile import compile_value
from weft.expressions.context import MISSING, lookup, safe_matches
from weft.expressions.evaluate import evaluate_condition, evaluate_simple
from weft.interpreter.advance import advance
from weft.interpreter.commands import Choose, Collect, Conclude, Finish, Judge, RunStep, Settle
from weft.interpreter.comparison import MISSING as ABSENT
from weft.interpreter.compile import compile_definition
from weft.interpreter.conditions import evaluate
from weft.interpreter.definition import FAIL, FOR_EACH, LOOP
from weft.interpreter.events import (
    CancelRequested,
    Event,
    ItemsFound,
    Started,
    StepFailed,
    StepSucceeded,
    StepWaiting,
    TransitionsChosen,
    TurnDecided,
)
from weft.interpreter.state import NEW, ROOT, Phase, State, Visit, item_frame, item_of


class PatternRun:
    """One execution. Children are runs of their own; what they do is done at once."""

    def __init__(self, scenario: Scenario, document: Mapping[str, Any], value: Any) -> None:
        self.scenario = scenario
        self.document = document
        self.definition = compile_definition(document)
        self.input = value
        self.state: State = NEW
        self.at = NOON
        self.variables: dict[str, Any] = {}
        self.outputs: dict[int, Any] = {}
        self.items: dict[int, list[Any]] = {}
        self.calls: deque[RunStep] = deque()
        self.children: dict[int, PatternRun] = {}
        self.rows: dict[int, tuple[str, str]] = {}
        self.events: dict[str, Any] = {}
        self.finish: Finish | None = None
        self.send(Started(self.at, seed=1))

    # News

    def send(self, event: Event) -> None:
        self.at += timedelta(seconds=1)
        self.state, commands = advance(self.definition, self.state, event)
        for command in commands:
            match command:
                case RunStep():
                    self.run(command)
                case Choose():
                    self.choose(command)
                case Collect() | Conclude():
                    self.succeed(command.visit, command.attempt, None)
                case Judge():
                    turn = item_frame(command.visit, command.turn - 1)
                    again = self.decide(command.step, turn)
                    self.send(TurnDecided(self.at, command.visit, command.attempt, command.turn, again))
                case Settle():
                    self.rows[command.visit] = (command.step, command.how.value)
                case Finish():
                    self.finish = command
                case _:
                    pass

    def succeed(self, visit: int, attempt: int, output: Any) -> None:
        self.outputs[visit] = output
        self.send(StepSucceeded(self.at, visit, attempt))

    def run(self, command: RunStep) -> None:
        step = self.definition.step(command.step)
        visit, attempt = command.visit, command.attempt
        config = self.config(command)
        match step.kind:
            case "http":
                self.calls.append(command)
            case "sub_workflow":
                name = config["workflow"]
                self.send(StepWaiting(self.at, visit, attempt))
                child = self.children[visit] = PatternRun(
                    self.scenario, self.scenario.workflows[name], config.get("input", {})
                )
                self.hear_of(visit, child)
            case "wait_for_event":
                self.send(StepWaiting(self.at, visit, attempt))
                if config.get("from") != "now":
                    self.hear(self.events.pop(config["event"], None), config["event"])
            case _ if step.kind == LOOP:
                again = "until" in config or self.decide(command.step, command.frame)
                self.send(TurnDecided(self.at, visit, attempt, 0, again))
            case _ if step.kind == FOR_EACH:
                self.items[visit] = list(config["items"])
                self.send(ItemsFound(self.at, visit, attempt, len(self.items[visit])))
            case _ if step.kind == FAIL:
                self.send(StepFailed(self.at, visit, attempt, FAIL, retryable=False))
            case _:
                self.variables.update(config.get("vars") or {})
                self.succeed(visit, attempt, config.get("vars"))

    def hear_of(self, visit: int, child: PatternRun) -> None:
        live = self.state.visits.get(visit)
        if child.finish is not None and live is not None:
            self.succeed(visit, live.attempt, None)

    def choose(self, command: Choose) -> None:
        level, _, key = command.step.rpartition(".")
        document = self.written(level)
        arrows = [t for t in document["transitions"] if t["from"] == key]
        context = self.context(command.frame, {key: command.visit})
        holding = tuple(
            arrow.index
            for arrow in self.definition.graphs[level].outgoing[key]
            if not arrow.default and self.holds(arrows[arrow.index].get("when"), context)
        )
        self.send(TransitionsChosen(self.at, command.visit, holding))

    def decide(self, path: str, frame: str) -> bool:
        """Whether a loop makes another turn, as seen from its last one."""
        level, _, key = path.rpartition(".")
        config = next(step for step in self.written(level)["steps"] if step["key"] == key)["config"]
        context = self.context(frame, {})
        return not self.holds(config["until"], context) if "until" in config else self.holds(config["while"], context)

    def hear(self, event: Any, kind: str) -> None:
        """An event settles the steps that wait for its type; one that settles none is kept."""
        if event is None:
            return
        waiting = [
            visit
            for visit in self.state.visits.values()
            if visit.phase is Phase.waiting and self.step_config(visit).get("event") == kind
        ]
        if not waiting:
            self.events[kind] = event
        for visit in waiting:
            self.succeed(visit.number, visit.attempt, event)

    def step_config(self, visit: Visit) -> Mapping[str, Any]:
        graph = self.written(self.state.frames[visit.frame].graph)
        return next(step for step in graph["steps"] if step["key"] == visit.step).get("config") or {}

    # Values

    def holds(self, when: Any, context: Mapping[str, Any]) -> bool:
        condition = condition_of(when)
        if condition is None:
            return True
        if isinstance(condition, Structured):
            find: Callable[[str], object] = lambda path: _found(lookup(context, path))  # noqa: E731  shorter than a def
            return evaluate(condition.written, find, matcher=safe_matches)
        return evaluate_condition(condition, context)

    def config(self, command: RunStep) -> Any:
        level, _, key = command.step.rpartition(".")
        written = next(step for step in self.written(level)["steps"] if step["key"] == key)
        if written["type"] == LOOP:
            return written["config"]
        raw = evaluable(find_kind(written["type"]), written.get("config") or {})
        return evaluate_simple(compile_value(raw), self.context(command.frame, {}))

    def context(self, frame: str, own: Mapping[str, int]) -> dict[str, Any]:
        last = {**self.state.frames[ROOT].last, **self.state.frames[frame].last, **own}
        steps = {key: {"output": self.outputs.get(visit)} for key, visit in last.items()}
        context: dict[str, Any] = {"input": self.input, "vars": self.variables, "steps": steps}
        if frame != ROOT:
            visit, index = item_of(frame)
            context["index"] = index
            if visit in self.items:
                context["item"] = self.items[visit][index]
        return context

    def written(self, level: str) -> Mapping[str, Any]:
        document = self.document
        for key in filter(None, level.split(".")):
            document = next(step for step in document["steps"] if step["key"] == key)["config"]["body"]
        return document

    # The script

    def play(self, line: Line) -> None:
        match line.verb:
            case "answer":
                assert self.answer(line.words[0], {"status": 200, "body": line.body or {}}), line
            case "event":
                self.hear({"type": line.words[0], "payload": line.body}, line.words[0])
            case "cancel":
                self.send(CancelRequested(self.at))
            case "live":
                assert sorted(self.live()) == sorted(line.words)
            case "running":
                assert sorted(self.live(running=True)) == sorted(line.words)
            case _:
                raise AssertionError(f"what is '{line.verb}'?")

    def answer(self, step: str, output: Any) -> bool:
        """Answer the oldest open call of this step, here or in a child. Whether there was one."""
        for command in list(self.calls):
            if command.step == step:
                self.calls.remove(command)
                self.succeed(command.visit, command.attempt, output)
                return True
        for visit, child in self.children.items():
            if child.finish is None and child.answer(step, output):
                self.hear_of(visit, child)
                return True
        return False

    def live(self, *, running: bool = False) -> list[str]:
        visits = self.state.visits.values()
        return [self.path(visit) for visit in visits if not (running and visit.phase is Phase.queued)]

    def path(self, visit: Visit) -> str:
        level = self.state.frames[visit.frame].graph
        return f"{level}.{visit.step}" if level else visit.step

    @property
    def journal(self) -> list[tuple[str, str]]:
        return [self.rows[visit] for visit in sorted(self.rows)]


def _found(value: Any) -> Any:
    return ABSENT if value is MISSING else value


def play(scenario: Scenario) -> PatternRun:
    run = PatternRun(scenario, scenario.document, scenario.input)
    for line in scenario.script:
        run.play(line)
    return run
