"""Beginning a new execution in the middle, with the results of what came before."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.interpreter.definitions import sound
from tests.interpreter.driving import Chances, Engine
from tests.interpreter.running import NOON, Run, document
from tests.interpreter.test_properties import bounded, seeds

from weft.interpreter.advance import advance
from weft.interpreter.begin_at import begin_at, downstream
from weft.interpreter.codec import dump_state, load_state
from weft.interpreter.compile import compile_definition
from weft.interpreter.definition import Definition
from weft.interpreter.state import ROOT, Phase, Status


def begun(written: dict[str, Any], step: str, kept: dict[str, int], *, done: set[str] | None = None) -> Run:
    run = Run(written, started=False)
    known = set(kept) if done is None else done
    run.state = begin_at(run.definition, step, kept, done=known, at=NOON, seed=5)
    return run


def start(run: Run) -> Run:
    from weft.interpreter.events import Started

    run.send(Started(run.at, seed=9))
    return run


def test_it_begins_at_the_step_when_it_is_taken_up() -> None:
    run = begun(document("a", "b", "c", a="b", b="c"), "b", {"a": 4})
    assert (run.status(), run.visit("b").phase, run.visit("b").number) == (Status.pending, Phase.held, 5)
    start(run)
    assert (run.ran, run.status(), run.state.frames[ROOT].last) == (["b"], Status.running, {"a": 4})
    run.succeed("b", "c")
    assert run.status() is Status.completed


def test_paused_before_it_is_taken_up_it_begins_there_when_it_is_resumed() -> None:
    run = begun(document("a", "b", a="b"), "b", {"a": 1})
    run.pause()
    assert run.ran == []
    start(run)
    assert run.ran == []
    run.resume()
    assert run.ran == ["b"]
    start(run)
    assert run.ran == ["b"]


def test_what_comes_after_a_step() -> None:
    graph = compile_definition(
        document(
            "s",
            {"key": "a", "max_visits": 3, "on_error": "z"},
            "b",
            "z",
            s="a",
            a="b",
            b=[("a", "when"), ("z", "default")],
        )
    ).graph
    assert downstream(graph, "b") == {"b", "z"}, "the next turn of the loop is not followed"
    assert downstream(graph, "a") == {"a", "b", "z"}


FORK = document({"key": "p", "type": "parallel"}, "x", "y", "w", {"key": "j", "type": "join"}, "end",
                p=["x", "y", "w"], x="j", y="j", w="j", j="end")  # fmt: skip


def test_a_join_for_all_waits_only_for_what_can_still_arrive() -> None:
    run = start(begun(FORK, "x", {"p": 1, "y": 3, "w": 4}))
    run.succeed("x")
    assert run.live == ["j"]


@pytest.mark.parametrize(("count", "fires"), [(1, True), (2, True), (3, True)])
def test_a_join_for_so_many_counts_the_branches_that_are_kept(count: int, fires: bool) -> None:
    steps = [{**step, "join": {"at_least": count}} if step["key"] == "j" else step for step in FORK["steps"]]
    run = start(begun({**FORK, "steps": steps}, "x", {"p": 1, "y": 3, "w": 4}))
    assert run.live == ["x"], "not before the branch that begins anew"
    run.succeed("x")
    assert (run.live == ["j"]) is fires


def test_a_branch_that_was_not_finished_does_not_count() -> None:
    steps = [{**step, "join": {"at_least": 2}} if step["key"] == "j" else step for step in FORK["steps"]]
    run = start(begun({**FORK, "steps": steps}, "x", {"p": 1, "y": 3}, done={"p"}))
    run.succeed("x")
    assert (run.status(), run.state.reason) == (Status.failed, "join_starved")


def test_a_conditional_way_counts_when_the_join_had_fired() -> None:
    written = document({"key": "s", "type": "parallel"}, "x", "y", {"key": "j", "join": {"at_least": 2}}, "other",
                       s=["x", "y"], x="j", y=[("j", "when"), ("other", "default")])  # fmt: skip
    run = start(begun(written, "x", {"s": 1, "y": 3}, done={"s", "y", "j"}))
    run.succeed("x")
    assert run.live == ["j"]


def test_a_step_that_counts_its_visits_has_one() -> None:
    written = document(
        {"key": "a", "max_visits": 1, "on_error": "z"}, "z", "b", a="b", b=[("a", "when"), ("z", "default")]
    )
    run = start(begun(written, "a", {}))
    run.succeed("a", "b")
    run.choose("b", "a")
    assert run.live == ["z"]


@settings(bounded, max_examples=100)
@given(sound(), seeds, st.data())
def test_from_any_step_of_a_sound_definition_there_is_an_end(
    definition: Definition, seed: int, data: st.DataObject
) -> None:
    """Provided that what came before has run; joins for so many may starve, where branches are missing."""
    step = data.draw(st.sampled_from(sorted(definition.graph.steps)))
    kept = {key: place for place, key in enumerate(sorted(definition.graph.steps), 1)}
    kept = {key: visit for key, visit in kept.items() if key not in downstream(definition.graph, step)}
    engine = Engine(definition, seed, Chances(timeouts=0))
    engine.state = begin_at(definition, step, kept, done=frozenset(definition.graph.steps), at=NOON, seed=seed)
    assert load_state(dump_state(engine.state)) == engine.state
    engine.run()
    assert engine.state.status is Status.completed or engine.state.reason == "join_starved"
    assert advance(definition, engine.state, engine.events[0]) == (engine.state, ())
