"""Moving a state to another definition: tokens, arrivals, results and items go along, or nothing does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.interpreter.definitions import sound, wild
from tests.interpreter.driving import Chances, Engine
from tests.interpreter.running import Run, document, for_each
from tests.interpreter.test_properties import bounded, seeds

from weft.interpreter.advance import advance, replay
from weft.interpreter.codec import dump_state, load_state
from weft.interpreter.commands import RunStep
from weft.interpreter.compile import compile_definition
from weft.interpreter.definition import Definition
from weft.interpreter.events import StepSucceeded, VersionChanged
from weft.interpreter.migrate import Migration, Move, StepMapping, counterpart, mapping_problems, migrate
from weft.interpreter.state import ROOT, Ending, Frame, Phase, State, Status, Visit

# -- for every definition and every moment -------------------------------------------------------------------


def renamed(written: Mapping[str, Any]) -> dict[str, Any]:
    """The same document with every key another."""
    steps = []
    for step in written["steps"]:
        moved = {**step, "key": step["key"] + "x"}
        for naming in ("on_error", "compensate"):
            if naming in step:
                moved[naming] = step[naming] + "x"
        if isinstance(step.get("cancels"), list):
            moved["cancels"] = [other + "x" for other in step["cancels"]]
        if "body" in (step.get("config") or {}):
            moved["config"] = {**step["config"], "body": renamed(step["config"]["body"])}
        steps.append(moved)
    arrows = [{**arrow, "from": arrow["from"] + "x", "to": arrow["to"] + "x"} for arrow in written["transitions"]]
    return {"steps": steps, "transitions": arrows}


def path_renamed(path: str) -> str:
    return ".".join(key + "x" for key in path.split(".")) if path else ""


def state_renamed(state: State) -> State:
    def frame_renamed(frame: Frame) -> Frame:
        return replace(
            frame,
            graph=path_renamed(frame.graph),
            arrived={key + "x": tuple(one + "x" for one in sources) for key, sources in frame.arrived.items()},
            fired={key + "x": waves for key, waves in frame.fired.items()},
            last={key + "x": visit for key, visit in frame.last.items()},
            visits={key + "x": count for key, count in frame.visits.items()},
        )

    return replace(
        state,
        visits={number: replace(visit, step=visit.step + "x") for number, visit in state.visits.items()},
        interrupted=tuple(replace(visit, step=visit.step + "x") for visit in state.interrupted),
        frames={key: frame_renamed(frame) for key, frame in state.frames.items()},
        undo=tuple((number, step + "x") for number, step in state.undo),
        ending=state.ending and replace(state.ending, unsettled=tuple(step + "x" for step in state.ending.unsettled)),
    )


def without_old_names(state: State) -> State:
    return replace(
        state,
        visits={number: replace(visit, ordered_as="") for number, visit in state.visits.items()},
        interrupted=tuple(replace(visit, ordered_as="") for visit in state.interrupted),
    )


@bounded
@given(st.one_of(sound(), wild()), seeds, st.integers(0, 40), st.data())
def test_a_moved_execution_goes_on_as_it_would_have(
    definition: Definition, seed: int, fails: int, data: st.DataObject
) -> None:
    """The whole history, moved at any moment to a version in which every step has another name."""
    engine = Engine(definition, seed, Chances(fails=fails, retries=50, pauses=10))
    engine.run()
    other = compile_definition(renamed(definition.document))
    mapping = {step.path: path_renamed(step.path) for step in definition.all_steps()}
    ended = (Status.completed, Status.cancelled)
    moment = data.draw(
        st.sampled_from([place for place, state in enumerate(engine.states) if state.status not in ended])
    )
    outcome = migrate(definition, other, engine.states[moment], mapping)
    assert outcome.problems == ()
    assert outcome.state is not None
    moved, commands = advance(other, load_state(dump_state(outcome.state)), VersionChanged(engine.at))
    assert commands == (), "nothing is different but names"
    last = replay(other, engine.events[moment:], moved)
    assert without_old_names(last) == state_renamed(engine.state)


@settings(bounded, max_examples=100)
@given(st.one_of(sound(), wild()), seeds, st.integers(0, 40))
def test_moving_to_the_same_definition_changes_nothing(definition: Definition, seed: int, fails: int) -> None:
    engine = Engine(definition, seed, Chances(fails=fails, retries=50))
    engine.run()
    for state in engine.states:
        outcome = migrate(definition, definition, state, {})
        if state.status in (Status.completed, Status.cancelled):
            assert outcome.state is None
        else:
            assert outcome.state is not None
            assert without_old_names(outcome.state) == state


# -- everything that names steps -------------------------------------------------------------------------------

NAMING = {
    State: {"visits", "frames", "interrupted", "undo", "ending"},
    Visit: {"step", "ordered_as"},
    Frame: {"graph", "arrived", "fired", "last", "visits"},
    Ending: {"unsettled"},
}
"""What of a state names steps, itself or by what it holds. `ordered_as` is the old name, on purpose."""

NAMELESS = {
    State: {"status", "seed", "next_visit", "reason", "overdue", "compensated"},
    Visit: {"number", "frame", "attempt", "phase", "entered_at", "count", "next_item", "done", "failed", "origin",
            "resumes", "last", "undoes", "owner", "reason", "settled"},
    Frame: {"id", "result"},
    Ending: {"status", "reason", "visit"},
}  # fmt: skip


@pytest.mark.parametrize("kind", [State, Visit, Frame, Ending])
def test_whatever_a_state_holds_is_known_to_name_steps_or_not(kind: type[State | Visit | Frame | Ending]) -> None:
    """A new field that names steps belongs to `NAMING`, is moved by `migrate`, and is in the state below."""
    assert NAMING[kind] | NAMELESS[kind] == {field.name for field in fields(kind)}


def test_nothing_of_a_moved_state_has_an_old_name() -> None:
    """Every field that names steps is filled, with steps that all have another name in the new version."""
    body = document(
        {"key": "in0", "type": "parallel"}, "in1", {"key": "in2", "max_visits": 2, "on_error": "in1"},
        {"key": "in3", "join": "any"}, in0=["in1", "in2"], in1="in3", in2="in3",
    )  # fmt: skip
    old = compile_definition(
        document(
            {"key": "a", "compensate": "un_a"},
            {"key": "b", "compensate": "un_b", "max_visits": 3, "on_error": "c", "split": "all"},
            for_each("each", body),
            {"key": "j", "join": {"at_least": 2}},
            "c", "un_a", "un_b", a="b", b=["j", "each"], each="j",
        )
    )  # fmt: skip
    new = compile_definition(renamed(old.document))
    at = Run(document("a")).at
    state = State(
        status=Status.running,
        next_visit=9,
        visits={5: Visit(5, "each", ROOT, 1, Phase.iterating, at, next_item=1, count=2, origin=(5, 1)),
                6: Visit(6, "in1", "5.0", 1, Phase.running, at),
                7: Visit(7, "un_b", ROOT, 1, Phase.running, at, undoes=2)},
        frames={ROOT: Frame(ROOT, ROOT, {"j": ("b",)}, {"j": 1}, {"a": 1, "b": 2}, {"b": 2}),
                "5.0": Frame("5.0", "each", {"in3": ("in2",)}, {"in3": 1}, {"in2": 4}, {"in2": 1})},
        interrupted=(Visit(3, "c", ROOT, 1, Phase.running, at),),
        undo=((1, "a"), (2, "b")),
        ending=Ending(Status.failed, "broken", 3, ("a", "b")),
    )  # fmt: skip
    for value in (state, state.frames["5.0"], state.ending):
        assert all(getattr(value, name) for name in NAMING[type(value)])
    outcome = migrate(old, new, state, {step.path: path_renamed(step.path) for step in old.all_steps()})
    assert outcome.problems == ()
    assert outcome.state is not None
    assert without_old_names(outcome.state) == state_renamed(state)
    assert {visit.ordered_as for visit in outcome.state.visits.values()} == {"", "each.in1", "un_b"}


# -- what is to be undone --------------------------------------------------------------------------------------


def trip(book: str = "book", undo: str | None = "unbook", **more: Any) -> dict[str, Any]:
    steps: list[Any] = [{"key": book, **({"compensate": undo} if undo else {})}, "wait", "pay"]
    return document(*steps, *([undo] if undo else []), **{book: "wait"}, wait="pay") | more


BOTH = {"book": "reserve", "unbook": "unreserve"}


@pytest.mark.parametrize("how", ["cancel", "fail"])
def test_what_completed_before_a_move_is_undone_after_it(how: str) -> None:
    run = Run(trip())
    run.succeed("book")
    run.move(trip("reserve", "unreserve"), BOTH)
    run.cancel() if how == "cancel" else run.fail("wait")
    assert run.live == ["unreserve"]
    assert run.visit("unreserve").undoes == 1
    run.succeed("unreserve")
    assert run.status() is (Status.cancelled if how == "cancel" else Status.failed)


def test_what_the_new_version_could_not_undo_keeps_the_execution_where_it_is() -> None:
    run = Run(trip())
    run.succeed("book")
    assert refusal(run, trip("reserve", "unreserve")) == (
        "What 'book' has done could not be undone by the new version: it has no counterpart there; map 'book' to "
        "a step with `compensate`."
    )
    assert "no counterpart there" in refusal(run, trip("reserve", "unreserve"), {"book": None})
    assert refusal(run, trip(undo=None)) == (
        "What 'book' has done could not be undone by the new version: 'book' has no `compensate`."
    )
    before = Run(trip())
    assert to(before, trip(undo=None)).problems == (), "nothing has been done yet"
    never = Run(trip(compensate="never"))
    never.succeed("book")
    moved = to(never, trip(undo=None)).state
    assert moved is not None
    assert moved.undo == (), "it would not have been undone anyway"


def test_an_execution_that_is_being_undone_moves_on_with_it() -> None:
    run = Run(trip())
    run.succeed("book")
    run.fail("wait")
    run.move(trip("reserve", "unreserve"), BOTH)
    assert (run.live, run.latest(RunStep)) == (["unreserve"], [])
    run.fail("unreserve", retryable=False)
    assert run.finish.unsettled == ("reserve",)


def test_a_step_that_undoes_becomes_the_one_that_undoes_the_same() -> None:
    run = Run(trip())
    run.succeed("book")
    run.fail("wait")
    other = trip("reserve", "unreserve")
    other["steps"] += [{"key": "spare", "type": "set", "compensate": "unspare"}, {"key": "unspare", "type": "set"}]
    other["transitions"].append({"from": "pay", "to": "spare"})
    assert refusal(run, other, {"book": "reserve", "unbook": "unspare"}) == (
        "'unbook' is undoing 'book', but in the new version 'reserve' is undone by 'unreserve'; map 'unbook' to that."
    )


def test_a_token_that_goes_on_cannot_become_one_that_undoes() -> None:
    run = Run(trip())
    run.succeed("book")
    assert "but 'unbook' only undoes other steps" in refusal(run, trip(), {"wait": "unbook"})


# -- one by one ----------------------------------------------------------------------------------------------


def to(run: Run, written: Mapping[str, Any], mapping: StepMapping | None = None) -> Migration:
    return migrate(run.definition, compile_definition(written), run.state, mapping or {})


def refusal(run: Run, written: Mapping[str, Any], mapping: StepMapping | None = None) -> str:
    outcome = to(run, written, mapping)
    assert outcome.state is None
    return " ".join(outcome.problems)


def test_a_step_that_is_there_moves_to_itself_and_the_new_way_is_taken() -> None:
    run = Run(document("a", "b", a="b"))
    run.move(document("a", "new", "b", a="new", new="b"))
    run.succeed("a")
    assert run.live == ["new"]


def test_a_renamed_step_keeps_its_visit_and_the_name_it_was_ordered_under() -> None:
    run = Run(document("a", "b", a="b"))
    (order,) = run.all(RunStep)
    run.move(document("z", "b", z="b"), {"a": "z"})
    assert run.latest(RunStep) == [], "it is under way already"
    assert (run.visit("z").number, run.visit("z").ordered_as) == (order.visit, "a")
    run.send(StepSucceeded(run.at, order.visit, order.attempt))
    assert run.live == ["b"]
    assert run.state.frames[ROOT].last == {"z": 1}


def test_the_next_attempt_is_ordered_under_the_new_name() -> None:
    run = Run(document({"key": "a", "retry": {"attempts": 2}}))
    run.move(document({"key": "z", "retry": {"attempts": 2}}), {"a": "z"})
    run.fail("z")
    run.fire("retry")
    assert (run.visit("z").ordered_as, run.ran) == ("", ["a", "z"])


def test_moving_back_forgets_the_other_name() -> None:
    run = Run(document("a"))
    run.move(document("z"), {"a": "z"})
    run.move(document("a"), {"z": "a"})
    assert run.visit("a").ordered_as == ""


@pytest.mark.parametrize(
    ("written", "mapping", "said"),
    [
        (document("b"), {}, "has no counterpart in the new version; map it to a step of the type 'set'"),
        (document("b"), {"a": None}, "which the mapping leaves out"),
        (document({"key": "a", "type": "delay"}), {}, "of the type 'set', but 'a' is of the type 'delay'"),
    ],
)
def test_a_token_needs_a_step_of_its_own_type(written: dict[str, Any], mapping: StepMapping, said: str) -> None:
    run = Run(document("a"))
    assert said in refusal(run, written, mapping)
    assert to(run, written, mapping).moves[0].step == "a"


def test_a_step_where_no_token_stands_may_go_and_its_result_with_it() -> None:
    run = Run(document("a", "b", "c", a="b", b="c"))
    run.succeed("a")
    run.move(document("b", "c", b="c"))
    assert (run.state.frames[ROOT].last, run.live) == ({}, ["b"])
    run.succeed("b", "c")
    assert run.status() is Status.completed


def test_two_steps_may_become_one_with_the_newer_result() -> None:
    run = Run(document("a", "b", "c", a="b", b="c"))
    run.succeed("a", "b")
    run.move(document("a", "c", a="c"), {"b": "a"})
    assert run.state.frames[ROOT].last == {"a": 2}


FORK = document({"key": "p", "type": "parallel"}, "x", "y", {"key": "j", "type": "join"}, p=["x", "y"], x="j", y="j")


def test_a_join_that_waited_for_a_branch_that_is_gone_fires() -> None:
    run = Run(FORK)
    run.succeed("p", "x")
    run.wait("y")
    thinner = document({"key": "p", "type": "parallel"}, "x", "y", {"key": "j", "type": "join"}, p=["x", "y"], x="j")
    run.move(thinner)
    assert run.latest(RunStep)[0].step == "j"
    assert sorted(run.live) == ["j", "y"]


def test_a_paused_execution_is_moved_and_orders_nothing() -> None:
    run = Run(FORK)
    run.succeed("p", "x")
    run.pause()
    run.move(document({"key": "p", "type": "parallel"}, "x", "y", {"key": "j", "join": "any", "type": "join"},
                        p=["x", "y"], x="j", y="j"))  # fmt: skip
    assert (run.latest(RunStep), run.visit("j").phase) == ([], Phase.held)
    run.resume()
    assert run.ran[-1] == "j"


def test_an_arrival_must_still_lead_to_its_join() -> None:
    run = Run(FORK)
    run.succeed("p", "x")
    elsewhere = document({"key": "p", "type": "parallel"}, "x", "y", {"key": "j", "type": "join"}, "end",
                         p=["x", "y"], x="end", y="j")  # fmt: skip
    assert "arrived at the join 'j' from 'x', which no longer leads to 'j'" in refusal(run, elsewhere)
    no_join = document({"key": "p", "type": "parallel"}, "x", "y", "j", p=["x", "y"], x="j", y="j")
    assert "arrived at the join 'j', which has no counterpart that joins" in refusal(run, no_join)


def test_arrivals_follow_the_new_names() -> None:
    run = Run(FORK)
    run.succeed("p", "x")
    other = document({"key": "p", "type": "parallel"}, "u", "v", {"key": "k", "type": "join"},
                     p=["u", "v"], u="k", v="k")  # fmt: skip
    run.move(other, {"x": "u", "y": "v", "j": "k"})
    assert run.state.frames[ROOT].arrived == {"k": ("u",)}
    run.succeed("v", "k")
    assert run.status() is Status.completed


def test_a_join_that_has_fired_cannot_begin_to_wait_for_all() -> None:
    first = {"key": "j", "type": "join", "join": "any"}
    others = [step for step in FORK["steps"] if step["key"] != "j"]
    run = Run({**FORK, "steps": [*others, first]})
    run.succeed("p", "x")
    assert "'j' has fired already" in refusal(run, FORK)


def test_counts_of_visits_go_along() -> None:
    def loop(key: str, most: int) -> dict[str, Any]:
        return document({"key": key, "max_visits": most, "on_error": "out"}, "b", "out", **{key: "b"},
                        b=[(key, "when"), ("out", "default")])  # fmt: skip

    run = Run(loop("a", 2))
    run.succeed("a", "b")
    run.choose("b", "a")
    run.move(loop("z", 2), {"a": "z"})
    run.succeed("z", "b")
    run.choose("b", "z")
    assert run.live == ["out"], "the visits before count"


def lines(key: str, *steps: str) -> dict[str, Any]:
    body = document(*steps, **dict(pairwise(steps)))
    return document(for_each(key, body, 2), "end", **{key: "end"})


def test_items_go_along_with_their_for_each() -> None:
    run = Run(lines("lines", "price", "tax"))
    run.items("lines", 3)
    run.succeed("lines.price")
    run.move(lines("rows", "price", "check", "tax"), {"lines": "rows"})
    assert run.live == ["rows", "rows.price", "rows.tax"]
    run.succeed("rows.price", "rows.check", "rows.tax", "rows.tax")
    run.succeed("rows.price", "rows.check", "rows.tax", "rows", "end")
    assert run.status() is Status.completed


def test_a_for_each_whose_body_cannot_be_mapped_stays() -> None:
    run = Run(lines("lines", "price", "tax"))
    run.items("lines", 3)
    assert "'lines.price', which has no counterpart" in refusal(run, lines("lines", "other"))
    assert to(run, lines("lines", "other"), {"lines.price": "lines.other"}).problems == ()
    outcome = to(run, document("end"), {"lines": None})
    assert [problem for problem in outcome.problems if "leaves out" in problem] == list(outcome.problems)


def test_a_failed_execution_is_moved_and_retried_in_the_new_version() -> None:
    run = Run(document("a", "b", a="b"))
    run.succeed("a")
    run.fail("b")
    run.move(document("a", "fixed", "c", a="fixed", fixed="c"), {"b": "fixed"})
    assert run.status() is Status.failed
    run.retry()
    assert run.live == ["fixed"]


def test_an_execution_that_nobody_has_taken_up_is_moved() -> None:
    run = Run(document("a"), started=False)
    run.move(document("b"))
    assert (run.status(), run.state.frames) == (Status.pending, {})


@pytest.mark.parametrize("how", ["complete", "cancel"])
def test_what_is_over_stays(how: str) -> None:
    run = Run(document("a"))
    run.succeed("a") if how == "complete" else run.cancel()
    assert "It has ended as" in refusal(run, document("a"))


def test_tokens_of_one_place_are_counted() -> None:
    run = Run(lines("lines", "price"))
    run.items("lines", 2)
    assert set(to(run, lines("rows", "price"), {"lines": "rows"}).moves) == {
        Move("lines", "rows", 1),
        Move("lines.price", "rows.price", 2),
    }


# -- mappings ------------------------------------------------------------------------------------------------


def test_steps_of_a_body_follow_their_for_each() -> None:
    assert counterpart("lines.price", {"lines": "rows"}) == "rows.price"
    assert counterpart("lines.price", {"lines": None}) is None
    assert counterpart("lines.price", {"lines": "rows", "lines.price": "rows.cost"}) == "rows.cost"


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ({"nothing": "end"}, "'nothing' is no step of the old version"),
        ({"end": "nothing"}, "'nothing', which is no step of the new version"),
        ({"lines.price": "end"}, "cannot move into or out of a for-each"),
        ({"end": "rows.price"}, "cannot move into or out of a for-each"),
    ],
)
def test_a_mapping_that_fits_no_execution_is_refused(mapping: StepMapping, said: str) -> None:
    old = compile_definition(lines("lines", "price"))
    new = compile_definition(lines("rows", "price"))
    (problem,) = mapping_problems(old, new, mapping)
    assert said in problem
    assert mapping_problems(old, new, {"lines": "rows", "end": None}) == ()


def test_what_queued_for_a_name_that_is_no_name_any_more_runs() -> None:
    def pair(**more: Any) -> dict[str, Any]:
        return document({"key": "p", "type": "parallel"}, {"key": "a", **more}, {"key": "b", **more}, p=["a", "b"])

    run = Run(pair(exclusive="printer"))
    run.succeed("p")
    assert run.visit("b").phase is Phase.queued
    run.move(pair())
    assert [order.step for order in run.latest(RunStep)] == ["b"]
