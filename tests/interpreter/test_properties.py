"""What holds for every definition and every order of news."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.interpreter.definitions import sound, wild
from tests.interpreter.driving import Chances, Engine

from weft.interpreter.advance import advance, replay
from weft.interpreter.codec import dump_state, load_state
from weft.interpreter.commands import CancelStep, Command, Finish, RunStep
from weft.interpreter.definition import Definition
from weft.interpreter.events import CancelRequested, RetryRequested
from weft.interpreter.explore import explore
from weft.interpreter.state import NEW, Status
from weft.interpreter.walk import TURNS

seeds = st.integers(0, 2**32 - 1)
bounded = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@bounded
@given(sound(), seeds)
def test_a_sound_definition_completes_when_nothing_fails(definition: Definition, seed: int) -> None:
    engine = Engine(definition, seed, Chances(timeouts=0))
    engine.run()
    engine.check_end()
    assert engine.state.status is Status.completed


@bounded
@given(sound(), seeds, st.integers(5, 60))
def test_a_sound_definition_ends_whatever_fails(definition: Definition, seed: int, fails: int) -> None:
    engine = Engine(definition, seed, Chances(fails=fails))
    engine.run()
    engine.check_end()
    assert engine.state.status in (Status.completed, Status.failed)
    assert engine.state.reason not in ("join_starved", "no_transition", "visits_exhausted")


@bounded
@given(sound(), seeds, st.integers(0, 40))
def test_repeated_and_late_news_change_nothing(definition: Definition, seed: int, fails: int) -> None:
    engine = Engine(definition, seed, Chances(fails=fails, repeats=60, retries=50))
    engine.run()
    for event in engine.events:
        if not isinstance(event, RetryRequested):
            after, commands = advance(definition, engine.state, event)
            assert after is engine.state
            assert commands == ()


@bounded
@given(sound(), seeds, st.integers(0, 40))
def test_replay_equals_the_run(definition: Definition, seed: int, fails: int) -> None:
    engine = Engine(definition, seed, Chances(fails=fails, retries=70))
    engine.run()
    assert replay(definition, engine.events) == engine.state
    half = len(engine.events) // 2
    assert replay(definition, engine.events[:half]) == engine.states[half]
    assert replay(definition, engine.events[half:], engine.states[half]) == engine.state


@bounded
@given(sound(), seeds, st.integers(0, 40))
def test_every_state_is_in_order_and_survives_storage(definition: Definition, seed: int, fails: int) -> None:
    engine = Engine(definition, seed, Chances(fails=fails, retries=70))
    engine.run()
    for state in engine.states:
        engine.state = state
        engine.check_state()


@bounded
@given(sound(), seeds, st.integers(0, 40))
def test_storing_the_state_between_events_changes_nothing(definition: Definition, seed: int, fails: int) -> None:
    """As JSONB, which keeps neither the order of keys nor tuples."""
    engine = Engine(definition, seed, Chances(fails=fails, retries=70))
    engine.run()
    state = NEW
    commands: list[Command] = []
    for event in engine.events:
        state = load_state(json.loads(json.dumps(dump_state(state), sort_keys=True)))
        state, fresh = advance(definition, state, event)
        commands.extend(fresh)
    assert state == engine.state
    assert commands == engine.commands


@bounded
@given(sound(loops=False), seeds, st.integers(5, 60))
def test_no_step_completes_twice_however_often_it_is_retried(definition: Definition, seed: int, fails: int) -> None:
    """Without loops every step of every item is completed at most once, over all attempts and retries."""
    engine = Engine(definition, seed, Chances(fails=fails, retries=100))
    engine.run()
    engine.check_end()
    twice = {place: times for place, times in engine.completions().items() if times > 1}
    assert twice == {}


@bounded
@given(sound(), seeds, st.integers(0, 40), st.integers(0, 10_000))
def test_cancelling_at_any_moment_leaves_nothing_live(
    definition: Definition, seed: int, fails: int, moment: int
) -> None:
    engine = Engine(definition, seed, Chances(fails=fails, retries=70))
    engine.run()
    state = engine.states[moment % len(engine.states)]
    after, commands = advance(definition, state, CancelRequested(engine.at))
    if state.status.is_final:
        assert after is state
        return
    assert (after.status, after.visits, after.interrupted) == (Status.cancelled, {}, ())
    assert isinstance(commands[-1], Finish)
    stopped = {command.visit for command in commands if isinstance(command, CancelStep)}
    assert stopped == {n for n, visit in state.visits.items() if visit.phase.value in ("running", "waiting")}


@bounded
@given(wild(), seeds, st.integers(0, 40))
def test_any_graph_that_compiles_comes_to_an_end(definition: Definition, seed: int, fails: int) -> None:
    engine = Engine(definition, seed, Chances(fails=fails, retries=30, repeats=20))
    engine.run()
    engine.check_end()
    for state in engine.states:
        engine.state = state
        engine.check_state()


@settings(bounded, max_examples=300)
@given(wild(most_visits=TURNS), st.lists(seeds, min_size=1, max_size=6))
def test_what_exploration_does_not_find_does_not_happen(definition: Definition, orders: list[int]) -> None:
    findings = explore(definition, budget=3_000)
    for seed in orders:
        engine = Engine(definition, seed, Chances(timeouts=0))
        engine.run()
        if findings.complete and not findings.faults:
            assert engine.state.reason != "join_starved"
        unreachable = {issue.extra["step"] for issue in findings.faults if issue.code == "step_unreachable"}
        assert unreachable.isdisjoint(command.step for command in engine.commands if isinstance(command, RunStep))


@settings(bounded, max_examples=300)
@given(sound(depth=2))
def test_exploration_finds_nothing_wrong_with_sound_definitions(definition: Definition) -> None:
    assert explore(definition, budget=3_000).faults == ()
