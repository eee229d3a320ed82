"""What was done is undone in reverse order: each completed step once, whatever fails and whatever is heard twice."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.interpreter.running import Run, document, for_each

from weft.interpreter.advance import advance
from weft.interpreter.codec import dump_state, load_state
from weft.interpreter.commands import BeginUndo, Finish, RunStep, Settle
from weft.interpreter.compile import DefinitionFault, compile_definition
from weft.interpreter.events import Abandoned, CancelRequested, StepFailed, StepSucceeded, UndoRequested
from weft.interpreter.explore import explore
from weft.interpreter.state import Status
from weft.interpreter.undone import can_be_undone, is_being_undone


def undone(key: str, handler: str | None = None, **more: Any) -> dict[str, Any]:
    return {"key": key, "compensate": handler or f"un_{key}", **more}


TRIP = document(undone("car"), undone("hotel"), "pay", "un_car", "un_hotel", car="hotel", hotel="pay")


def test_a_failed_execution_undoes_what_was_done_the_last_first() -> None:
    run = Run(TRIP)
    run.succeed("car", "hotel")
    run.fail("pay", "declined")
    assert run.latest(BeginUndo)[0].steps == 2
    assert run.live == ["un_hotel"]
    assert run.visit("un_hotel").undoes == 2
    run.succeed("un_hotel")
    assert run.live == ["un_car"]
    run.succeed("un_car")
    assert (run.finish.status, run.finish.reason, run.finish.visit, run.finish.unsettled) == (
        Status.failed, "declined", 3, ()
    )  # fmt: skip
    assert run.status() is Status.failed
    assert run.state.compensated


def test_a_cancelled_execution_does_too_and_a_second_cancel_changes_nothing() -> None:
    run = Run(TRIP)
    run.succeed("car")
    run.cancel("not wanted")
    assert run.live == ["un_car"]
    before = run.state
    run.cancel("again")
    assert run.state is before
    run.succeed("un_car")
    assert (run.finish.status, run.finish.reason) == (Status.cancelled, "not wanted")


@pytest.mark.parametrize(
    ("word", "fails", "cancels"),
    [("never", False, False), ("on_failure", True, False), ("on_cancel", False, True), ("both", True, True)],
)
def test_the_definition_says_when(word: str, fails: bool, cancels: bool) -> None:
    for end, expected in (("fail", fails), ("cancel", cancels)):
        run = Run({**TRIP, "compensate": word})
        run.succeed("car")
        if end == "fail":
            run.fail("hotel")
        else:
            run.cancel()
        assert bool(run.live) is expected


def test_what_stands_is_told_from_what_is_undone_or_about_to_be() -> None:
    def told(run: Run) -> list[tuple[bool, bool]]:
        return [(can_be_undone(run.state, one), is_being_undone(run.definition, run.state, one)) for one in (2, 3)]

    split = {"key": "s", "type": "parallel"}
    back = {"key": "back", "type": "compensate", "config": {"steps": ["hotel"]}}
    run = Run(
        document(split, undone("car"), undone("hotel"), "pay", back, "un_car", "un_hotel", s=["car", "hotel"],
                 hotel="back", car="pay")
    )  # fmt: skip
    run.succeed("s", "car")
    assert told(run) == [(True, False), (False, False)]
    run.succeed("hotel")
    assert told(run) == [(True, False), (True, False)]
    run.undo("back")
    assert told(run) == [(True, False), (True, True)]
    run.succeed("un_hotel", "back")
    assert told(run) == [(True, False), (False, False)]
    run.cancel()
    assert told(run) == [(True, True), (False, False)]


def test_a_handler_that_fails_is_noted_and_the_others_still_run() -> None:
    run = Run(TRIP)
    run.succeed("car", "hotel")
    run.fail("pay")
    run.fail("un_hotel", retryable=False)
    assert run.live == ["un_car"]
    run.succeed("un_car")
    assert run.finish.unsettled == ("hotel",)
    assert ("un_hotel", "FAILED") in run.journal


def test_a_handler_is_an_ordinary_visit_with_retries_and_a_timeout() -> None:
    patient = {"key": "un_car", "retry": {"attempts": 2, "initial": 1}, "timeout": 60}
    run = Run(document(undone("car"), "pay", patient, car="pay"))
    run.succeed("car")
    run.fail("pay")
    run.wait("un_car")
    run.fire("timeout")
    run.fire("retry")
    run.succeed("un_car")
    assert run.finish.unsettled == ()
    assert [step for step, _ in run.journal].count("un_car") == 2


def test_without_anything_done_an_execution_just_fails_and_can_be_retried() -> None:
    run = Run(TRIP)
    run.fail("car")
    assert (run.status(), run.state.compensated) == (Status.failed, False)
    run.retry()
    assert run.live == ["car"]


def test_an_undone_execution_cannot_be_retried() -> None:
    run = Run(TRIP)
    run.succeed("car")
    run.fail("hotel")
    run.succeed("un_car")
    before = run.state
    run.retry()
    assert run.state is before


def test_an_abandoned_execution_is_not_undone_and_can_go_on() -> None:
    run = Run(TRIP)
    run.succeed("car")
    run.send(Abandoned(run.at))
    assert (run.status(), run.live) == (Status.failed, [])
    run.retry()
    run.succeed("hotel")
    run.fail("pay")
    assert run.live == ["un_hotel"]
    run.send(Abandoned(run.at))  # the handler's own job was given up
    assert run.live == ["un_car"]


def test_what_runs_beside_the_failure_is_stopped_and_what_had_completed_is_undone() -> None:
    run = Run(document({"key": "p", "type": "parallel"}, undone("a"), undone("b"), "c", "un_a", "un_b",
                       p=["a", "b", "c"]))  # fmt: skip
    run.succeed("p", "b", "a")
    run.fail("c")
    assert run.live == ["un_a"]
    run.succeed("un_a")
    assert run.live == ["un_b"]


def test_a_step_whose_choice_is_pending_has_completed_and_is_undone() -> None:
    run = Run(document({"key": "p", "type": "parallel"}, undone("a"), "x", "y", "c", "un_a", p=["a", "c"],
                       a=[("x", "when"), ("y", "default")]))  # fmt: skip
    run.succeed("p", "a")
    run.fail("c")
    assert run.live == ["un_a"]


def test_a_skipped_step_did_nothing_that_could_be_undone() -> None:
    run = Run(document(undone("a", required=False), "b", "un_a", a="b"))
    run.fail("a", retryable=False)
    run.fail("b")
    assert run.live == []


def test_a_loop_s_visits_are_undone_each() -> None:
    run = Run(
        document(undone("a", max_visits=3, on_error="z"), "b", "z", "un_a", a="b", b=[("a", "when"), ("z", "default")])
    )
    run.succeed("a", "b")
    run.choose("b", "a")
    run.succeed("a")
    run.fail("b")
    first = run.visit("un_a").undoes
    run.succeed("un_a")
    second = run.visit("un_a").undoes
    assert first > second > 0


# -- in the midst of a workflow ------------------------------------------------------------------------------


MIDST = document(
    undone("car"), undone("hotel"), {"key": "pay", "on_error": "back"}, {"key": "back", "type": "compensate"}, "sorry",
    "un_car", "un_hotel", car="hotel", hotel="pay", back="sorry",
)  # fmt: skip


def test_a_step_undoes_what_was_done_and_the_flow_goes_on() -> None:
    run = Run(MIDST)
    run.succeed("car", "hotel")
    run.fail("pay")
    run.undo("back")
    assert run.live == ["back", "un_hotel"]
    run.succeed("un_hotel", "un_car")
    assert (run.concluded.count, run.concluded.failed) == (2, 0)
    run.succeed("back", "sorry")
    assert run.status() is Status.completed


def test_it_may_name_the_steps_and_the_others_are_undone_in_the_end() -> None:
    steps = [dict(step) for step in MIDST["steps"]]
    steps[3] = {**steps[3], "config": {"steps": ["hotel"]}}
    run = Run({**MIDST, "steps": steps})
    run.succeed("car", "hotel")
    run.fail("pay")
    run.undo("back")
    run.succeed("un_hotel")
    run.succeed("back")
    run.fail("sorry")
    assert run.live == ["un_car"]
    run.succeed("un_car")
    assert run.ran.count("un_hotel") == 1


def test_handlers_that_fail_are_counted_for_the_step() -> None:
    run = Run(MIDST)
    run.succeed("car", "hotel")
    run.fail("pay")
    run.undo("back")
    run.fail("un_hotel", retryable=False)
    run.succeed("un_car")
    assert (run.concluded.count, run.concluded.failed) == (1, 1)


def test_a_handler_that_was_interrupted_runs_again_and_one_that_ended_does_not() -> None:
    back = {"key": "back", "type": "compensate"}
    run = Run(document({"key": "p", "type": "parallel"}, undone("a"), undone("b"), back, "x", "un_a", "un_b",
                       p=["a", "x"], a="b", b="back"))  # fmt: skip
    run.succeed("p", "a", "b")
    run.undo("back")
    run.succeed("un_b")
    assert "un_a" in run.live
    run.fail("x")
    assert run.live == ["un_a"]
    run.succeed("un_a")
    assert run.finish.status is Status.failed
    assert (run.ran.count("un_a"), run.ran.count("un_b")) == (2, 1)


# -- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "code"),
    [
        (document(undone("a")), "compensate_unknown"),
        (document(undone("a", "a")), "compensate_invalid"),
        (document(undone("a"), "un_a", a="un_a"), "compensation_handler_invalid"),
        (document(undone("a"), "un_a", "b", un_a="b"), "compensation_handler_invalid"),
        (document(undone("a"), undone("un_a", "c"), "c"), "compensation_handler_invalid"),
        (document(undone("a"), {"key": "un_a", "type": "end"}), "compensation_handler_invalid"),
        (document(undone("a"), for_each("un_a", document("x"))), "compensation_handler_invalid"),
        (document(undone("a"), {"key": "un_a", "on_error": "a"}), "compensation_handler_invalid"),
        (document(for_each("e", document(undone("a"), "un_a"))), "compensate_in_body"),
        (document("a", {"key": "c", "type": "compensate"}, a="c"), "compensate_invalid"),
        ({**document("a"), "compensate": "sometimes"}, "compensate_invalid"),
        (document(undone("a"), "un_a", {"key": "c", "type": "compensate", "timeout": 5}, a="c"), "compensate_invalid"),
        (document(undone("a"), "un_a", {"key": "c", "type": "compensate", "config": {"steps": ["x"]}}, a="c"),
         "compensate_unknown"),
    ],
)  # fmt: skip
def test_what_cannot_undo_is_refused_with_the_reason(written: dict[str, Any], code: str) -> None:
    with pytest.raises(DefinitionFault) as fault:
        compile_definition(written)
    assert code in [issue.code for issue in fault.value.issues]


def test_exploration_knows_handlers() -> None:
    assert explore(compile_definition(TRIP)).faults == ()
    assert explore(compile_definition(MIDST)).faults == ()


# -- whatever happens ----------------------------------------------------------------------------------------


@st.composite
def sequences(draw: st.DrawFn) -> dict[str, Any]:
    """Steps one after the other, some with handlers, some handlers shared."""
    count = draw(st.integers(1, 6))
    steps: list[dict[str, Any]] = []
    for place in range(count):
        step: dict[str, Any] = {"key": f"s{place}"}
        if draw(st.booleans()):
            step["compensate"] = draw(st.sampled_from([f"h{place}", "h_all"]))
        steps.append(step)
    handlers = dict.fromkeys(step["compensate"] for step in steps if "compensate" in step)
    arrows = {f"s{place}": f"s{place + 1}" for place in range(count - 1)}
    return document(*steps, *handlers, "end", **arrows, **{f"s{count - 1}": "end"})


@settings(max_examples=200, deadline=None)
@given(sequences(), st.integers(0, 6), st.booleans(), st.sets(st.integers(0, 6)), st.data())
def test_the_handlers_that_run_are_those_of_the_completed_steps_reversed_once_each(
    written: dict[str, Any], fails_at: int, cancelled: bool, failing: set[int], data: st.DataObject
) -> None:
    run = Run(written)
    done: list[tuple[int, str]] = []
    handler_of = {step["key"]: step.get("compensate") for step in written["steps"]}

    def hear_again() -> None:
        """Any news a second time, and storing the state in between, change nothing."""
        event = data.draw(st.sampled_from(run.events))
        assert advance(run.definition, run.state, event) == (run.state, ())
        run.state = load_state(json.loads(json.dumps(dump_state(run.state))))

    for _ in range(fails_at):
        if run.status().is_final:
            break
        (key,) = run.live
        number = run.visit(key).number
        run.succeed(key)
        if handler_of.get(key):
            done.append((number, handler_of[key]))
        hear_again()
    if run.status().is_final:
        assert run.status() is Status.completed
        return
    if cancelled:
        run.send(CancelRequested(run.at))
    else:
        run.fail(run.live[0], retryable=False)
    ran: list[tuple[int, str]] = []
    while not run.status().is_final:
        (key,) = run.live
        visit = run.visit(key)
        ran.append((visit.undoes, key))
        fate: Any = StepFailed if len(ran) in failing else StepSucceeded
        event = fate(run.at, visit.number, 1) if fate is StepSucceeded else fate(run.at, visit.number, 1, "no", False)
        run.send(event)
        hear_again()
    assert ran == done[::-1]
    finishes = run.all(Finish)
    assert len(finishes) == 1
    assert finishes[0].status is (Status.cancelled if cancelled else Status.failed)
    assert len(finishes[0].unsettled) == len(failing & set(range(1, len(ran) + 1)))
    assert run.state.undo == ()
    orders, rows = run.all(RunStep), run.all(Settle)
    assert len({(row.visit, row.attempt) for row in rows}) == len(rows) == len(orders)


def test_a_late_request_to_undo_changes_nothing() -> None:
    run = Run(MIDST)
    run.succeed("car", "hotel")
    run.fail("pay")
    run.undo("back")
    again = UndoRequested(run.at, run.visit("back").number, 1)
    assert advance(run.definition, run.state, again) == (run.state, ())
    assert advance(run.definition, run.state, replace(again, attempt=2)) == (run.state, ())
