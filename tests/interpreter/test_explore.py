"""Soundness at save: what is found, what is not accused, and how long it takes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from tests.interpreter.running import MENU, document, for_each

from weft.core.errors import Issue
from weft.domain.workflows.check import EXPLORED_STATES
from weft.interpreter.advance import advance
from weft.interpreter.compile import compile_definition
from weft.interpreter.explore import explore, find_faults
from weft.interpreter.walk import walk


def faults(written: dict[str, Any]) -> list[Issue]:
    return find_faults(compile_definition(written))


CHOICE = [("b", "when"), ("c", "default")]


@pytest.mark.parametrize(
    "written",
    [
        document("a"),
        document("a", "b", "c", a=CHOICE),
        document({"key": "a", "type": "parallel"}, "b", "c", {"key": "j", "type": "join"}, a=["b", "c"], b="j", c="j"),
        document({"key": "a", "split": "any"}, "b", "c", {"key": "j", "join": "all"}, a=CHOICE, b="j", c="j"),
        document({"key": "a", "on_error": "m"}, "b", "m", a="b", m="b"),
        document("s", {"key": "a", "max_visits": 50}, "b", "z", s="a", a="b", b=[("a", "when"), ("z", "default")]),
        document("a", {"key": "f", "type": "fail"}, a="f"),
        document("a", "b", {"key": "f", "type": "fail"}, a=[("b", "when"), ("f", "default")]),
        document({"key": "a", "split": "all"}, "b", "c", a=[("b", "when"), ("c", "when")]),
        document(for_each("e", document("a", "b", "c", a=CHOICE), required=False)),
        # the error route of a step that never fails by itself: taken when its visits are used up
        document(
            "s",
            {"key": "a", "max_visits": 9, "required": False, "on_error": "m"},
            "b",
            "m",
            "n",
            "z",
            s="a",
            a="b",
            b=[("a", "when"), ("z", "default")],
            m="n",
        ),
    ],
)
def test_a_sound_definition_is_not_accused(written: dict[str, Any]) -> None:
    findings = explore(compile_definition(written))
    assert findings.faults == ()
    assert findings.complete
    assert findings.states > 0


def test_a_join_that_asks_for_more_than_a_choice_gives_starves() -> None:
    written = document("a", "b", "c", {"key": "j", "join": {"at_least": 2}}, a=CHOICE, b="j", c="j")
    issues = faults(written)
    assert [(issue.code, issue.extra["step"], issue.path) for issue in issues] == [("join_starves", "j", ("steps", 3))]
    assert "lower the number" in issues[0].message


def test_a_join_that_starves_only_sometimes_is_found() -> None:
    written = document(
        {"key": "a", "type": "parallel"},
        "b",
        {"key": "c", "on_error": "m"},
        "m",
        {"key": "j", "join": {"at_least": 2}},
        a=["b", "c"],
        b="j",
        c="j",
    )
    assert [issue.code for issue in faults(written)] == ["join_starves"]


def test_a_step_behind_a_condition_that_never_comes_is_named() -> None:
    """Only `c` or `d` follows, and both are needed: the join starves before `z` can run."""
    written = document(
        "a", "c", "d", {"key": "j", "join": {"at_least": 2}}, "z", a=[("c", "when"), ("d", "default")], c="j", d="j",
        j="z",
    )  # fmt: skip
    assert {(issue.code, issue.extra["step"]) for issue in faults(written)} == {
        ("join_starves", "j"),
        ("step_unreachable", "z"),
    }


def test_a_loop_without_a_way_out_is_found() -> None:
    written = document("s", {"key": "a", "max_visits": 5}, "b", s="a", a="b", b="a")
    assert [(issue.code, issue.extra["step"]) for issue in faults(written)] == [
        ("no_end", "s"),
        ("no_end", "a"),
        ("no_end", "b"),
    ]


def test_branches_that_run_together_into_a_step_that_may_run_once_are_found() -> None:
    written = document(
        {"key": "a", "type": "parallel"}, "b", "c", {"key": "m", "max_visits": 1}, "z", a=["b", "c"], b="m", c="m",
        m="z",
    )  # fmt: skip
    (issue,) = faults(written)
    assert (issue.code, issue.extra["step"]) == ("no_end", "m")
    assert "visits_exhausted" in issue.message


def test_two_forks_in_one_loop_are_not_accused_of_waiting_for_each_other() -> None:
    assert find_faults(compile_definition(MENU)) == []


def test_faults_inside_a_body_are_named_by_their_path() -> None:
    body = document("a", "b", "c", {"key": "j", "join": {"at_least": 2}}, a=CHOICE, b="j", c="j")
    (issue,) = faults(document("s", for_each("lines", body), s="lines"))
    assert issue.extra["step"] == "lines.j"
    assert issue.path == ("steps", 1, "config", "body", "steps", 3)
    assert "'lines.j'" in issue.message


def wide(branches: int, length: int) -> dict[str, Any]:
    keys = [[f"s{branch}_{place}" for place in range(length)] for branch in range(branches)]
    chains = {a: b for chain in keys for a, b in pairwise([*chain, "j"])}
    steps = [key for chain in keys for key in chain]
    return document({"key": "p", "type": "parallel"}, *steps, {"key": "j", "type": "join"},
                    p=[chain[0] for chain in keys], **chains)  # fmt: skip


def test_what_is_too_wide_for_every_order_is_walked_in_two() -> None:
    graph = compile_definition(wide(6, 3)).graph
    met = walk(graph, 3_000)
    assert not met.complete
    assert met.settled
    assert met.entered == graph.steps.keys()


def test_what_is_too_wide_for_any_walk_is_not_accused() -> None:
    findings = explore(compile_definition(wide(6, 3)), budget=20)
    assert (findings.faults, findings.complete) == ((), False)


@pytest.mark.parametrize(
    "written",
    [
        document(*(f"s{n}" for n in range(300)), **{f"s{n}": f"s{n + 1}" for n in range(299)}),
        wide(10, 29),
        wide(298, 1),
    ],
    ids=["long", "both", "wide"],
)
def test_three_hundred_steps_are_looked_at_quickly(written: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Quickly: what is looked at is bounded, and dearer where many tokens make a move dear. Seconds are for benches."""
    moved = 0

    def counted(*arguments: Any) -> Any:
        nonlocal moved
        moved += 1 + len(arguments[1].visits) // 8
        return advance(*arguments)

    monkeypatch.setattr("weft.interpreter.walk.advance", counted)
    definition = compile_definition(written)
    assert find_faults(definition, EXPLORED_STATES) == []
    assert moved <= 3 * EXPLORED_STATES
