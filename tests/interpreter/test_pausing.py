"""Pausing and resuming: nothing new begins meanwhile, nothing is lost, and the outcome is the same."""

from __future__ import annotations

from collections.abc import Iterable
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
from weft.interpreter.commands import CancelStep, Finish, HoldStep, RunStep, Settle, StartTimer
from weft.interpreter.definition import Definition
from weft.interpreter.events import (
    CancelRequested,
    Event,
    PauseRequested,
    ResumeRequested,
    Started,
    TimerFired,
)
from weft.interpreter.state import NEW, Phase, State, Status

# -- for every definition and every history ------------------------------------------------------------------


def never_paused(events: Iterable[Event]) -> list[Event]:
    """The same history without its pauses. What timed out during one counts at its end."""
    found: list[Event] = []
    put_off: list[Event] = []
    paused = False
    for event in events:
        if isinstance(event, PauseRequested):
            paused = True
        elif isinstance(event, ResumeRequested):
            paused = False
            found += put_off
            put_off = []
        elif paused and isinstance(event, TimerFired) and event.purpose == "timeout":
            put_off.append(event)
        else:
            found.append(event)
    return found


def without_times(state: State) -> dict[str, Any]:
    stored = dump_state(state)
    for visit in (*stored.get("v", ()), *stored.get("i", ())):
        del visit["t"]
    return stored


@bounded
@given(st.one_of(sound(), wild()), seeds, st.integers(0, 40), st.integers(5, 60))
def test_pausing_anywhere_leads_to_the_same_outcome(definition: Definition, seed: int, fails: int, pauses: int) -> None:
    engine = Engine(definition, seed, Chances(fails=fails, retries=50, pauses=pauses))
    engine.run()
    engine.check_end()
    assert without_times(replay(definition, never_paused(engine.events))) == without_times(engine.state)


@settings(bounded, max_examples=100)
@given(sound(), seeds, st.integers(0, 40))
def test_nothing_is_ordered_while_paused_and_every_state_survives(
    definition: Definition, seed: int, fails: int
) -> None:
    engine = Engine(definition, seed, Chances(fails=fails, repeats=20, pauses=30))
    engine.run()
    state = NEW
    for event, after in zip(engine.events, engine.states[1:], strict=True):
        state, commands = advance(definition, load_state(dump_state(state)), event)
        assert state == after
        if state.status is Status.paused:
            assert not any(isinstance(command, RunStep) for command in commands)
        engine.state = state
        engine.check_state()


@settings(bounded, max_examples=100)
@given(sound(), seeds, st.data())
def test_what_is_paused_can_be_cancelled_and_orders_nothing_more(
    definition: Definition, seed: int, data: st.DataObject
) -> None:
    engine = Engine(definition, seed, Chances(fails=10, pauses=40))
    engine.run()
    paused = [state for state in engine.states if state.status is Status.paused]
    if not paused:
        return
    state = data.draw(st.sampled_from(paused))
    ended, commands = advance(definition, state, CancelRequested(engine.at))
    assert (ended.status, ended.visits, ended.overdue) == (Status.cancelled, {}, ())
    assert all(isinstance(command, CancelStep | Settle | Finish) for command in commands)


# -- one by one ----------------------------------------------------------------------------------------------


def test_what_is_under_way_is_heard_and_the_next_step_is_held() -> None:
    run = Run(document("a", "b", a="b"))
    run.pause()
    assert run.status() is Status.paused
    run.succeed("a")
    assert run.ran == ["a"]
    assert run.journal == [("a", "COMPLETED")]
    assert run.visit("b").phase is Phase.held
    run.resume()
    assert (run.ran, run.status()) == (["a", "b"], Status.running)
    assert run.visit("b").entered_at == run.events[-1].at, "the attempt began when it was ordered"
    run.succeed("b")
    assert run.status() is Status.completed


def test_pausing_or_resuming_again_changes_nothing() -> None:
    run = Run(document("a", "b", a="b"))
    assert advance(run.definition, run.state, ResumeRequested(run.at)) == (run.state, ())
    run.pause("first")
    state, commands = advance(run.definition, run.state, PauseRequested(run.at, "again"))
    assert (state is run.state, commands, state.reason) == (True, (), "first")
    run.resume()
    assert (run.state.reason, run.status()) == ("", Status.running)


def test_an_execution_that_nobody_has_taken_up_begins_when_it_is_resumed() -> None:
    run = Run(document("a"), started=False)
    run.pause()
    run.send(Started(run.at, seed=3))
    assert (run.ran, run.status(), run.state.seed) == ([], Status.paused, 3)
    assert advance(run.definition, run.state, Started(run.at, seed=4)) == (run.state, ())
    run.resume()
    assert run.ran == ["a"]


def test_resumed_before_it_was_taken_up_it_waits_for_that() -> None:
    run = Run(document("a"), started=False)
    run.pause()
    run.resume()
    assert run.state == NEW
    run.send(Started(run.at))
    assert run.ran == ["a"]


@pytest.mark.parametrize("how", ["complete", "fail", "cancel"])
def test_what_has_ended_cannot_be_paused(how: str) -> None:
    run = Run(document("a"))
    match how:
        case "complete":
            run.succeed("a")
        case "fail":
            run.fail("a")
        case _:
            run.cancel()
    assert advance(run.definition, run.state, PauseRequested(run.at)) == (run.state, ())


def test_an_execution_may_end_while_it_is_paused() -> None:
    run = Run(document("a"))
    run.pause()
    run.succeed("a")
    assert run.finish.status is Status.completed


def test_a_retry_that_falls_due_is_held() -> None:
    run = Run(document({"key": "a", "retry": {"attempts": 2, "initial": "1s"}}))
    run.fail("a")
    run.pause()
    run.fire("retry")
    assert (run.visit("a").phase, run.visit("a").attempt, len(run.ran)) == (Phase.held, 2, 1)
    run.cancel()
    assert run.latest(Settle) == [], "the attempt that was held never began"
    assert run.latest(CancelStep) == []


def test_a_timeout_that_falls_due_counts_when_the_execution_goes_on() -> None:
    run = Run(document({"key": "a", "timeout": "1m", "on_error": "late"}, "b", "late", a="b"))
    run.wait("a")
    run.pause()
    run.fire("timeout")
    assert run.visit("a").phase is Phase.waiting
    timer = run.all(StartTimer)[-1]
    assert advance(run.definition, run.state, TimerFired(run.at, timer.visit, timer.attempt, "timeout")) == (
        run.state,
        (),
    )
    run.resume()
    assert [c.step for c in run.latest(CancelStep)] == ["a"]
    assert run.ran == ["a", "late"]


def test_an_answer_that_comes_before_the_resumption_beats_the_timeout() -> None:
    run = Run(document({"key": "a", "timeout": "1m"}, "b", a="b"))
    run.wait("a")
    run.pause()
    run.fire("timeout")
    run.succeed("a")
    run.resume()
    assert (run.ran, run.journal) == (["a", "b"], [("a", "COMPLETED")])


def test_a_timeout_that_ends_the_execution_lets_nothing_held_begin() -> None:
    run = Run(document({"key": "p", "type": "parallel"}, {"key": "a", "timeout": "1m"}, "b", "c", p=["a", "b"], b="c"))
    run.succeed("p")
    run.wait("a")
    run.pause()
    run.succeed("b")
    run.fire("timeout")
    run.resume()
    assert (run.status(), run.ran) == (Status.failed, ["p", "a", "b"])
    run.retry()
    assert run.ran[3:] == ["a", "c"], "what was held goes on with a retry"


def test_what_waits_is_told_of_the_pause_and_of_its_end() -> None:
    run = Run(document({"key": "p", "type": "parallel"}, "a", "b", p=["a", "b"]))
    run.succeed("p")
    run.wait("a")
    assert run.pause() == (HoldStep(2, 1, "a", held=True),)
    assert run.resume() == (HoldStep(2, 1, "a", held=False),)


def test_items_are_opened_and_held() -> None:
    run = Run(document(for_each("each", document("x", "y", x="y"), 2)))
    run.items("each", 3)
    run.pause()
    run.succeed("each.x", "each.x")
    assert [visit.phase for visit in run.state.visits.values() if visit.step == "y"] == [Phase.held, Phase.held]
    run.resume()
    run.succeed("each.y", "each.y", "each.x", "each.y", "each")
    assert run.status() is Status.completed


def test_what_is_held_holds_its_name() -> None:
    printing = {"exclusive": "printer"}
    run = Run(
        document({"key": "p", "type": "parallel"}, {"key": "a", **printing}, {"key": "b", **printing}, p=["a", "b"])
    )
    run.pause()
    run.succeed("p")
    assert [run.visit("a").phase, run.visit("b").phase] == [Phase.held, Phase.queued]
    run.resume()
    run.succeed("a")
    run.pause()
    assert run.ran == ["p", "a", "b"]
    run.succeed("b")
    assert run.status() is Status.completed


def test_a_step_whose_turn_comes_meanwhile_is_held() -> None:
    printing = {"exclusive": "printer"}
    run = Run(
        document({"key": "p", "type": "parallel"}, {"key": "a", **printing}, {"key": "b", **printing}, p=["a", "b"])
    )
    run.succeed("p")
    run.pause()
    run.succeed("a")
    assert run.visit("b").phase is Phase.held
    run.resume()
    assert run.ran == ["p", "a", "b"]
