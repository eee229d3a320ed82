"""From document to graph: what is filled in, what is refused, and in which words."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from tests.interpreter.definitions import wild
from tests.interpreter.running import MENU, document, for_each

from weft.core.errors import Issue, Kind
from weft.interpreter.compile import NESTING, DefinitionFault, compile_definition
from weft.interpreter.definition import REVISION, Backoff, Definition, Join, JoinKind, Retry, Split


def faults(written: dict[str, Any]) -> list[Issue]:
    with pytest.raises(DefinitionFault) as caught:
        compile_definition(written)
    assert caught.value.kind is Kind.invalid
    assert caught.value.issues[0].message in caught.value.message
    return list(caught.value.issues)


def the_fault(written: dict[str, Any]) -> Issue:
    (issue,) = faults(written)
    return issue


# What is filled in


def test_steps_have_sensible_defaults() -> None:
    definition = compile_definition(document("a"))
    step = definition.step("a")
    assert (step.split, step.join, step.required, step.retry) == (Split.one, Join(), True, Retry())
    assert (step.timeout, step.on_error, step.max_visits, step.body, step.concurrency) == (None, None, None, None, 1)
    assert definition.revision == REVISION
    assert definition.document == document("a")


@pytest.mark.parametrize(
    ("kind", "split", "join"),
    [
        ("set", Split.one, JoinKind.each),
        ("condition", Split.one, JoinKind.each),
        ("switch", Split.one, JoinKind.each),
        ("parallel", Split.all, JoinKind.each),
        ("join", Split.one, JoinKind.all),
    ],
)
def test_kinds_bring_their_own_split_and_join(kind: str, split: Split, join: JoinKind) -> None:
    step = compile_definition(document({"key": "a", "type": kind})).step("a")
    assert (step.split, step.join.kind) == (split, join)


def test_what_is_written_counts_more_than_the_kind() -> None:
    step = compile_definition(document({"key": "a", "type": "parallel", "split": "any", "join": "each"})).step("a")
    assert (step.split, step.join) == (Split.any, Join())


def test_everything_that_can_be_written_is_read() -> None:
    written = {
        "key": "a",
        "type": "http",
        "split": "any",
        "join": {"at_least": 1},
        "required": False,
        "retry": {
            "attempts": 4,
            "backoff": "linear",
            "initial": "2s",
            "max": "PT1M",
            "jitter": False,
            "on": ["x", "y"],
        },
        "timeout": "1m30s",
        "max_visits": 7,
        "on_error": "b",
    }
    step = compile_definition(document(written, "b", a="b")).step("a")
    assert step.retry == Retry(4, Backoff.linear, 2, 60, jitter=False, on=frozenset({"x", "y"}))
    assert (step.split, step.join, step.required) == (Split.any, Join(JoinKind.at_least, 1), False)
    assert (step.timeout, step.max_visits, step.on_error) == (90, 7, "b")


def test_a_first_delay_beyond_the_usual_maximum_raises_it() -> None:
    assert compile_definition(document({"key": "a", "retry": {"initial": "1h"}})).step("a").retry.max == 3600


def test_transitions_are_numbered_in_the_order_they_are_tried() -> None:
    written = document("a", "b", "c", "d", a=[("b", "when"), ("c", "when"), ("d", "default")])
    written["transitions"][1]["order"] = -1
    arrows = compile_definition(written).graph.outgoing["a"]
    assert [(arrow.target, arrow.index) for arrow in arrows] == [("c", 0), ("b", 1), ("d", 2)]
    assert [(arrow.conditional, arrow.default) for arrow in arrows] == [(True, False), (True, False), (False, True)]


def test_bodies_are_graphs_of_their_own_with_qualified_paths() -> None:
    inner = for_each("cells", document("x", "y", x="y"), 4)
    definition = compile_definition(document("a", for_each("rows", document(inner), 2), a="rows"))
    assert list(definition.graphs) == ["", "rows", "rows.cells"]
    assert [step.path for step in definition.all_steps()] == ["a", "rows", "rows.cells", "rows.cells.x", "rows.cells.y"]
    assert definition.step("rows.cells").concurrency == 4
    assert definition.step("rows.cells.y").key == "y"
    with pytest.raises(KeyError):
        definition.step("rows.x")


def test_the_same_key_may_stand_on_two_levels() -> None:
    definition = compile_definition(document("a", for_each("rows", document("a")), a="rows"))
    assert definition.step("rows.a").path == "rows.a"


def test_other_kinds_may_use_the_words_of_a_for_each() -> None:
    compile_definition(document({"key": "a", "config": {"concurrency": "lots", "body": "text"}}))


# Loops


def test_the_way_back_of_a_loop_is_known_and_what_leads_in_is_not() -> None:
    written = document(
        "s",
        {"key": "h", "max_visits": 3},
        "t",
        "out",
        s="h",
        h="t",
        t=[("h", "when"), ("out", "default")],
    )
    assert compile_definition(written).graph.back == {("t", "h")}


def test_a_join_waits_for_branches_of_this_turn_only() -> None:
    written = document(
        "s",
        {"key": "p", "type": "parallel", "max_visits": 3},
        "x",
        "y",
        {"key": "j", "type": "join"},
        "k",
        "out",
        s="p",
        p=["x", "y"],
        x="j",
        y="j",
        j="k",
        k=[("p", "when"), ("out", "default")],
    )
    graph = compile_definition(written).graph
    assert graph.back == {("k", "p")}
    assert graph.feeders == {"j": {"x": {"x", "p", "s"}, "y": {"y", "p", "s"}}}


def test_a_join_waits_for_loops_before_it() -> None:
    written = document(
        "s",
        {"key": "h", "max_visits": 3},
        "t",
        {"key": "j", "join": "all"},
        s="h",
        h="t",
        t=[("h", "when"), ("j", "default")],
    )
    assert compile_definition(written).graph.feeders == {"j": {"t": {"s", "h", "t"}}}


def test_joins_never_wait_for_each_other_in_a_circle() -> None:
    """Two forks in one loop: whichever turn was taken, the next one is another wave for both."""
    graph = compile_definition(MENU).graph
    assert graph.back == {("i", "menu"), ("j", "menu")}
    assert graph.feeders["i"]["a"] == {"a", "p", "menu", "s"}
    assert graph.feeders["j"]["c"] == {"c", "q", "menu", "s"}


@given(wild())
def test_of_joins_that_can_wait_for_each_other_one_is_the_first(definition: Definition) -> None:
    feeders = definition.graph.feeders
    before = {join: frozenset[str]().union(*sources.values()) for join, sources in feeders.items()}
    left = set(feeders)
    while left:
        first = [join for join in left if not before[join] & (left - {join})]
        assert first
        left -= set(first)


def test_error_routes_feed_joins_too() -> None:
    written = document({"key": "a", "on_error": "m"}, "b", "m", {"key": "j", "join": "all"}, a="b", b="j", m="j")
    assert compile_definition(written).graph.feeders["j"]["m"] == {"a", "m"}


def test_a_workflow_that_is_one_loop_starts_where_it_was_begun() -> None:
    graph = compile_definition(document("b", {"key": "a", "max_visits": 2}, a="b", b="a")).graph
    assert graph.start == "b"


def test_a_thousand_steps_in_a_row_are_no_trouble() -> None:
    keys = [f"s{number}" for number in range(1_000)]
    written = document(*keys, **dict(pairwise(keys)))
    assert compile_definition(written).graph.start == "s0"


# What is refused


def loop(**bound: Any) -> dict[str, Any]:
    return document("s", {"key": "a", **bound}, "b", "c", s="a", a="b", b=[("a", "when"), ("c", "default")])


@pytest.mark.parametrize(
    ("written", "code", "named", "path"),
    [
        (document("a", "a"), "step_key_taken", "'a'", ("steps", 1, "key")),
        (document({"key": "a.b"}), "step_key_invalid", "without dots", ("steps", 0, "key")),
        (document({"type": "set"}), "step_key_invalid", "needs a key", ("steps", 0, "key")),
        (document({"key": "a", "type": ""}), "step_type_missing", "'a'", ("steps", 0, "type")),
        (document("a", x="a"), "transition_source_unknown", "'x'", ("transitions", 0, "from")),
        (document("a", a="x"), "transition_target_unknown", "'x'", ("transitions", 0, "to")),
        (document("a", a="a"), "transition_to_itself", "'a'", ("transitions", 0)),
        (
            document("a", "b", a=[("b", "when"), ("b", "default")]),
            "transition_repeated",
            "from 'a' to 'b'",
            ("transitions", 1),
        ),
        (document(), "start_missing", "add a step", ("steps",)),
        (document("a", "b", "c", a="b"), "start_ambiguous", "'c'", ("steps", 2)),
        (
            document("a", "b", "c", "d", a=[("b", "when"), ("c", "default"), ("d", "default")]),
            "default_repeated",
            "'d'",
            ("transitions", 2),
        ),
        (document("a", "b", a=("b", "when")), "default_missing", "add a default transition", ("steps", 0)),
        (
            document({"key": "a", "split": "any"}, "b", "c", a=[("b", "when"), ("c", "when")]),
            "default_missing",
            "'a'",
            ("steps", 0),
        ),
        (document("a", "b", "c", a=["b", "c"]), "transition_never_taken", "split: all", ("transitions", 1)),
        (
            document("a", "b", "c", a=["b", ("c", "when")]),
            "transition_never_taken",
            "'c'",
            ("transitions", 1),
        ),
        (
            document({"key": "a", "split": "all"}, "b", "c", a=["b", ("c", "default")]),
            "transition_never_taken",
            "'c'",
            ("transitions", 1),
        ),
        (document({"key": "a", "on_error": "x"}), "error_target_unknown", "'x'", ("steps", 0, "on_error")),
        (document({"key": "a", "on_error": "a"}), "error_target_itself", "'a'", ("steps", 0, "on_error")),
        (document({"key": "a", "on_error": ["b"]}), "on_error_invalid", "'a'", ("steps", 0, "on_error")),
        (document({"key": "a", "split": "both"}), "split_invalid", "'a'", ("steps", 0, "split")),
        (document({"key": "a", "join": "some"}), "join_invalid", "'a'", ("steps", 0, "join")),
        (
            document("a", {"key": "b", "join": {"at_least": 2}}, a="b"),
            "join_count_impossible",
            "at least 2",
            ("steps", 1, "join"),
        ),
        (loop(), "cycle_unbounded", "'a', 'b'", ("steps", 1)),
        (loop(max_visits=2, on_error="b"), "cycle_unbounded", "on_error", ("steps", 1)),
        (document({"key": "a", "max_visits": 0}), "max_visits_invalid", "'a'", ("steps", 0, "max_visits")),
        (document({"key": "a", "timeout": "soon"}), "duration_invalid", "'a', timeout", ("steps", 0, "timeout")),
        (document({"key": "a", "timeout": 0}), "timeout_invalid", "'a'", ("steps", 0, "timeout")),
        (document({"key": "a", "retry": 3}), "retry_invalid", "'a'", ("steps", 0, "retry")),
        (document({"key": "a", "retry": {"on": "x"}}), "retry_invalid", "'a'", ("steps", 0, "retry", "on")),
        (
            document({"key": "a", "retry": {"attempts": 0}}),
            "attempts_invalid",
            "'a'",
            ("steps", 0, "retry", "attempts"),
        ),
        (
            document({"key": "a", "retry": {"backoff": "wild"}}),
            "backoff_invalid",
            "'a'",
            ("steps", 0, "retry", "backoff"),
        ),
        (
            document({"key": "a", "retry": {"initial": -1}}),
            "duration_invalid",
            "retry.initial",
            ("steps", 0, "retry", "initial"),
        ),
        (document({"key": "z", "type": "end"}, "a", z="a"), "end_continues", "'z'", ("transitions", 0)),
        (document({"key": "z", "type": "fail"}, "a", z="a"), "end_continues", "'a'", ("transitions", 0)),
        (document({"key": "e", "type": "for_each"}), "body_missing", "'e'", ("steps", 0, "config", "body")),
        (
            document(for_each("e", document("x"), concurrency=0)),
            "concurrency_invalid",
            "'e'",
            ("steps", 0, "config", "concurrency"),
        ),
        (
            document("a", for_each("e", document("x", x="y")), a="e"),
            "transition_target_unknown",
            "'y'",
            ("steps", 1, "config", "body", "transitions", 0, "to"),
        ),
        (
            document(for_each("e", document("x", "y"))),
            "start_ambiguous",
            "'y'",
            ("steps", 0, "config", "body", "steps", 1),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and "_" in value else "",
)
def test_it_is_refused_with_the_step_named(
    written: dict[str, Any], code: str, named: str, path: tuple[str | int, ...]
) -> None:
    issue = the_fault(written)
    assert (issue.code, issue.path) == (code, path)
    assert named in issue.message


def test_a_default_cannot_have_a_condition() -> None:
    written = document("a", "b", a=("b", "default"))
    written["transitions"][0]["when"] = "input.x"
    issue = the_fault(written)
    assert (issue.code, issue.path) == ("default_conditional", ("transitions", 0))


def test_all_faults_are_told_at_once() -> None:
    written = document({"key": "a", "timeout": "x", "split": "x"}, "a", a="b")
    issues = faults(written)
    assert [issue.code for issue in issues] == [
        "split_invalid",
        "duration_invalid",
        "step_key_taken",
        "transition_target_unknown",
    ]
    with pytest.raises(DefinitionFault, match=r"and 3 more"):
        compile_definition(written)


def test_bodies_cannot_be_nested_without_end() -> None:
    written = document("x")
    for _ in range(NESTING):
        written = document(for_each("e", written))
    compile_definition(written)
    assert the_fault(document(for_each("e", written))).code == "body_too_deep"


def test_a_loop_may_be_bounded_at_any_of_its_steps() -> None:
    compile_definition(loop(max_visits=5))
    compile_definition(loop(max_visits=5, on_error="c"))


def test_an_error_route_back_is_a_loop_too() -> None:
    written = document("a", {"key": "b", "on_error": "a"}, a="b")
    assert the_fault(written).code == "cycle_unbounded"
    written["steps"][0]["max_visits"] = 3
    compile_definition(written)
