"""Loops: one turn after the other, in a state that does not grow."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.interpreter.running import Run, document, loop

from weft.interpreter.advance import advance
from weft.interpreter.codec import dump_state
from weft.interpreter.commands import CancelStep, Conclude, Judge, RunStep
from weft.interpreter.compile import DefinitionFault, compile_definition
from weft.interpreter.events import TurnDecided
from weft.interpreter.state import Phase, Status

BODY = document("a", "b", a="b")


def play(**more: Any) -> Run:
    return Run(document(loop("l", BODY, **more), "end", l="end"))


def bare(**config: Any) -> dict[str, Any]:
    return {"key": "l", "type": "loop", "config": {"until": "true", **config}}


def test_turns_run_one_after_the_other_and_each_is_judged() -> None:
    run = play()
    run.turn("l", again=True)
    assert run.live == ["l", "l.a"]
    run.succeed("l.a", "l.b")
    assert (run.judged.turn, run.judged.last) == (1, 3)
    run.turn("l", again=True)
    run.succeed("l.a", "l.b")
    assert (run.judged.turn, run.judged.last) == (2, 5)
    run.turn("l", again=False)
    assert (run.concluded.count, run.concluded.last) == (2, 5)
    run.succeed("l", "end")
    assert run.status() is Status.completed


def test_a_loop_may_make_no_turn_at_all() -> None:
    run = play(**{"while": "false"})
    run.turn("l", again=False)
    assert (run.concluded.count, run.concluded.last) == (0, None)


def test_the_state_is_as_large_after_a_thousand_turns_as_after_two() -> None:
    run = play(most=2_000)
    run.turn("l", again=True)
    sizes = []
    for turn in range(1_000):
        run.succeed("l.a", "l.b")
        if turn in (1, 999):
            sizes.append(len(json.dumps(dump_state(run.state))))
        run.turn("l", again=True)
    assert sizes[1] - sizes[0] < 30  # longer numbers


def test_a_decision_that_is_heard_again_changes_nothing() -> None:
    run = play()
    run.turn("l", again=True)
    for event in list(run.events):
        assert advance(run.definition, run.state, event) == (run.state, ())
    run.succeed("l.a", "l.b")
    late = TurnDecided(run.at, 1, 1, 0, again=True)
    assert advance(run.definition, run.state, late) == (run.state, ())
    too_early = TurnDecided(run.at, 1, 1, 2, again=True)
    assert advance(run.definition, run.state, too_early) == (run.state, ())


def test_turns_that_are_used_up_fail_the_loop() -> None:
    run = play(most=1, on_error="end")
    run.turn("l", again=True)
    run.succeed("l.a", "l.b")
    run.turn("l", again=True)
    assert ("l", "FAILED") in run.journal
    assert run.live == ["end"]
    assert list(run.state.frames) == [""]


def test_or_are_enough() -> None:
    run = play(most=1, on_max="continue")
    run.turn("l", again=True)
    run.succeed("l.a", "l.b")
    run.turn("l", again=True)
    assert run.concluded.count == 1


def test_another_attempt_goes_on_in_the_turn_that_failed() -> None:
    run = play(retry={"attempts": 2})
    run.turn("l", again=True)
    run.succeed("l.a", "l.b")
    run.turn("l", again=True)
    run.succeed("l.a")
    run.fail("l.b")
    assert run.visit("l").phase is Phase.retrying
    run.fire("retry")
    assert run.latest(RunStep)[0].step == "l"
    run.turn("l", again=True)
    assert [command.step for command in run.latest(RunStep)] == ["l.b"]
    run.succeed("l.b")
    assert run.judged.turn == 2
    assert run.ran.count("l.a") == 2


def test_a_retried_execution_goes_on_where_a_turn_was_to_be_judged() -> None:
    run = Run(document({"key": "p", "type": "parallel"}, loop("l", BODY), "x", p=["l", "x"]))
    run.succeed("p")
    run.turn("l", again=True)
    run.succeed("l.a", "l.b")
    assert run.latest(Judge)
    run.fail("x")
    assert run.status() is Status.failed
    run.retry()
    run.turn("l", again=True)
    assert run.judged.turn == 1
    run.turn("l", again=True)
    assert run.live == ["x", "l", "l.a"] or run.live == ["l", "x", "l.a"]
    run.succeed("l.a", "l.b")
    run.turn("l", again=False)
    run.succeed("l", "x")
    assert run.status() is Status.completed


def test_a_retried_execution_goes_on_where_the_loop_had_ended() -> None:
    run = Run(document({"key": "p", "type": "parallel"}, loop("l", BODY), "x", p=["l", "x"]))
    run.succeed("p")
    run.turn("l", again=True)
    run.succeed("l.a", "l.b")
    run.turn("l", again=False)
    run.fail("x")
    run.retry()
    run.turn("l", again=True)
    assert run.latest(Conclude)[0].count == 1
    run.succeed("l", "x")
    assert run.status() is Status.completed


def test_a_turn_that_fails_takes_the_loop_s_error_route_and_leaves_nothing_behind() -> None:
    run = play(on_error="end")
    run.turn("l", again=True)
    run.fail("l.a")
    assert run.live == ["end"]
    assert list(run.state.frames) == [""]


def test_cancelling_stops_the_turn() -> None:
    run = play()
    run.turn("l", again=True)
    run.cancel()
    assert [command.step for command in run.latest(CancelStep)] == ["l.a"]
    assert run.journal[-2:] == [("l", "CANCELLED"), ("l.a", "CANCELLED")]


def test_a_loop_is_timed_from_its_beginning() -> None:
    run = play(timeout="1m")
    run.turn("l", again=True)
    run.fire("timeout")
    assert run.status() is Status.failed
    assert run.state.reason == "timeout"


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (bare(body=BODY), "max_iterations_missing"),
        (bare(body=BODY, max_iterations=0), "max_iterations_invalid"),
        (bare(max_iterations=3), "body_missing"),
        (loop("l", document("a", "b")), "start_ambiguous"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_loop_is_refused(step: dict[str, object], code: str) -> None:
    with pytest.raises(DefinitionFault) as fault:
        compile_definition(document(step))
    assert [issue.code for issue in fault.value.issues] == [code]
