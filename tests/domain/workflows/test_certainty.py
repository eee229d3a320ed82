"""What has certainly run: by example, and against the interpreter itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.interpreter.definitions import sound, wild
from tests.interpreter.driving import Chances, Engine
from tests.interpreter.running import document, for_each

from weft.domain.workflows.certainty import Certainty, Fact, analyse
from weft.domain.workflows.document import joined
from weft.interpreter.commands import Choose, Finish, RunStep, Settle, Settlement
from weft.interpreter.compile import compile_definition
from weft.interpreter.definition import Definition
from weft.interpreter.events import Event
from weft.interpreter.state import ROOT, Status

PASSED = (Settlement.completed, Settlement.skipped)


class Watched(Engine):
    """Compares what was foretold with what has happened, at every step that begins and at the end.

    Without loops a step's newest visit must have ended as foretold. In a loop, a branch that lags behind may find
    that another one has begun the next turn meanwhile; then an older visit must have. Frames are known by their item:
    a for-each that goes on after a failure has new frames for the same items.
    """

    def __init__(self, definition: Definition, seed: int, chances: Chances, *, loops: bool) -> None:
        super().__init__(definition, seed, chances)
        self.foretold = {path: analyse(graph) for path, graph in definition.graphs.items()}
        self.ended: dict[tuple[str, str], list[Settlement]] = {}
        self.loops = loops

    def send(self, event: Event) -> None:
        seen = len(self.commands)
        super().send(event)
        fresh = self.commands[seen:]
        for command in fresh:
            if isinstance(command, Settle) and command.retry_at is None:
                self.ended.setdefault((self.item(command.frame), command.step), []).append(command.how)
        for command in fresh:
            match command:
                case RunStep():
                    level, _, key = command.step.rpartition(".")
                    self.compare(level, command.frame, self.foretold[level].before[key], f"before {command.step}")
                case Choose():
                    level, _, key = command.step.rpartition(".")
                    # Its work is done, but its journal row is not written yet.
                    own = Settlement.skipped if self.state.visits[command.visit].reason else Settlement.completed
                    facts = self.foretold[level].after[key]
                    self.compare(level, command.frame, facts, f"after {command.step}", {key: own})
                case Finish() if command.status is Status.completed:
                    self.compare("", ROOT, self.foretold[""].at_end, "at the end")
                case _:
                    pass

    def compare(
        self, level: str, frame: str, facts: int, when: str, own: Mapping[str, Settlement] | None = None
    ) -> None:
        certainty = self.foretold[level]
        for key in certainty.places:
            ended = [
                *self.ended.get((self.item(frame), joined(level, key)), []),
                *([own[key]] if own and key in own else []),
            ]
            looked_at = ended if self.loops else ended[-1:]
            if certainty.knows(facts, key, Fact.ran):
                assert looked_at, f"{key} has not run {when}"
            if certainty.knows(facts, key, Fact.passed):
                assert any(how in PASSED for how in looked_at), f"{key} is {ended} {when}"
            if certainty.knows(facts, key, Fact.gave):
                assert Settlement.completed in looked_at, f"{key} is {ended} {when}"


@given(sound(loops=False), st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_what_is_certain_has_happened(definition: Definition, seed: int) -> None:
    Watched(definition, seed, Chances(fails=25), loops=False).run()


@given(sound(), st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_it_holds_in_loops(definition: Definition, seed: int) -> None:
    Watched(definition, seed, Chances(fails=25), loops=True).run()


@given(wild(), st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_it_holds_in_any_graph(definition: Definition, seed: int) -> None:
    Watched(definition, seed, Chances(fails=25), loops=True).run()


def known(certainty: Certainty, facts: int, fact: Fact = Fact.gave) -> set[str]:
    return {key for key in certainty.places if certainty.knows(facts, key, fact)}


def before(written: dict[str, Any], key: str, fact: Fact = Fact.gave) -> set[str]:
    certainty = analyse(compile_definition(written).graph)
    return known(certainty, certainty.before[key], fact)


ALL = {"type": "parallel", "split": "all"}
JOIN = {"type": "join", "join": "all"}

CASES: list[tuple[str, dict[str, Any], str, set[str]]] = [
    ("a sequence", document("a", "b", "c", a="b", b="c"), "c", {"a", "b"}),
    (
        "only one branch of a choice",
        document("a", "b", "c", "d", a=[("b", "when"), ("c", "default")], b="d", c="d"),
        "d",
        {"a"},
    ),
    (
        "both branches at a join that waits for all",
        document({"key": "a", **ALL}, "b", "c", {"key": "d", **JOIN}, a=["b", "c"], b="d", c="d"),
        "d",
        {"a", "b", "c"},
    ),
    (
        "parallel branches without a join: each arrival knows its own",
        document({"key": "a", **ALL}, "b", "c", "d", a=["b", "c"], b="d", c="d"),
        "d",
        {"a"},
    ),
    (
        "a join that waits for any",
        document({"key": "a", **ALL}, "b", "c", {"key": "d", "join": "any"}, a=["b", "c"], b="d", c="d"),
        "d",
        {"a"},
    ),
    (
        "a join of a choice: only one branch comes",
        document("a", "b", "c", {"key": "d", **JOIN}, a=[("b", "when"), ("c", "default")], b="d", c="d"),
        "d",
        {"a"},
    ),
    (
        "a choice inside a branch, merged before the join",
        document(
            {"key": "a", **ALL},
            "b",
            "x",
            "y",
            "m",
            "c",
            {"key": "d", **JOIN},
            a=["b", "c"],
            b=[("x", "when"), ("y", "default")],
            x="m",
            y="m",
            m="d",
            c="d",
        ),
        "d",
        {"a", "b", "m", "c"},
    ),
    (
        "an inclusive split: the unconditional branch is certain",
        document({"key": "a", "split": "any"}, "b", "c", {"key": "d", **JOIN}, a=[("b", "when"), "c"], b="d", c="d"),
        "d",
        {"a", "c"},
    ),
    (
        "a branch that may end elsewhere",
        document(
            {"key": "a", **ALL},
            "b",
            "x",
            "c",
            {"key": "d", **JOIN},
            a=["b", "c"],
            b=[("x", "when"), ("d", "default")],
            c="d",
        ),
        "d",
        {"a", "b", "c"},
    ),
    (
        "a branch whose failure leads elsewhere",
        document(
            {"key": "a", **ALL},
            {"key": "b", "on_error": "x"},
            "x",
            "c",
            {"key": "d", **JOIN},
            a=["b", "c"],
            b="d",
            c="d",
        ),
        "d",
        {"a", "c"},
    ),
    (
        "two of three at least: what any two share",
        document(
            {"key": "a", **ALL},
            "b",
            "c",
            "e",
            {"key": "d", "join": {"at_least": 2}},
            a=["b", "c", "e"],
            b="d",
            c="d",
            e="d",
        ),
        "d",
        {"a"},
    ),
    (
        "three of three at least",
        document({"key": "a", **ALL}, "b", "c", {"key": "d", "join": {"at_least": 2}}, a=["b", "c"], b="d", c="d"),
        "d",
        {"a", "b", "c"},
    ),
    ("an error route", document({"key": "a", "on_error": "x"}, "b", "x", a="b"), "x", set()),
    (
        "after a loop",
        document(
            {"key": "head", "max_visits": 3, "on_error": "out"},
            "work",
            "test",
            "out",
            head="work",
            work="test",
            test=[("head", "when"), ("out", "default")],
        ),
        "out",
        set(),
    ),
    (
        "inside a loop",
        document(
            "first",
            {"key": "head", "max_visits": 3},
            "work",
            "test",
            "out",
            first="head",
            head="work",
            work="test",
            test=[("head", "when"), ("out", "default")],
        ),
        "head",
        {"first"},
    ),
    ("a step that is not required", document({"key": "a", "required": False}, "b", a="b"), "b", set()),
]


@pytest.mark.parametrize(("written", "key", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_examples(written: dict[str, Any], key: str, expected: set[str]) -> None:
    assert before(written, key) == expected


def test_the_grades_of_certainty() -> None:
    optional = document({"key": "a", "required": False}, "b", a="b")
    assert before(optional, "b", Fact.passed) == {"a"}
    failed = document({"key": "a", "on_error": "x"}, "b", "x", a="b")
    assert before(failed, "x", Fact.ran) == {"a"}
    assert before(failed, "x", Fact.passed) == set()
    assert before(failed, "b") == {"a"}


def test_at_the_end_all_branches_are_over() -> None:
    certainty = analyse(compile_definition(document({"key": "a", **ALL}, "b", "c", a=["b", "c"])).graph)
    assert known(certainty, certainty.at_end) == {"a", "b", "c"}
    choice = analyse(compile_definition(document("a", "b", "c", a=[("b", "when"), ("c", "default")])).graph)
    assert known(choice, choice.at_end) == {"a"}


def test_a_body_is_a_level_of_its_own() -> None:
    body = document("p", "q", p="q")
    definition = compile_definition(document("a", for_each("each", body), a="each"))
    inner = analyse(definition.graphs["each"])
    assert known(inner, inner.before["q"]) == {"p"}
