"""States as JSON: exact both ways, small, and readable by the version before."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st
from tests.interpreter.running import Run, document, for_each

from weft.interpreter.advance import advance
from weft.interpreter.codec import dump_state, load_state
from weft.interpreter.events import Started, StepSucceeded
from weft.interpreter.state import NEW, Frame, Phase, State, Status, Visit

words = st.text(max_size=5)
counts = st.integers(0, 2**40)
visits = st.builds(
    Visit,
    number=counts,
    step=words,
    frame=words,
    attempt=counts,
    phase=st.sampled_from(Phase),
    entered_at=st.datetimes(timezones=st.just(UTC)),
    count=counts,
    next_item=counts,
    failed=counts,
    origin=st.tuples(st.integers(1, 9), st.integers(1, 9)) | st.just((0, 0)),
    done=counts,
    resumes=counts,
    reason=words,
    settled=st.booleans(),
    ordered_as=words,
)
frames = st.builds(
    Frame,
    id=words,
    graph=words,
    arrived=st.dictionaries(words, st.lists(words, max_size=3).map(tuple), max_size=3),
    fired=st.dictionaries(words, counts, max_size=3),
    last=st.dictionaries(words, counts, max_size=3),
    visits=st.dictionaries(words, counts, max_size=3),
    result=st.none() | counts,
)
states = st.builds(
    State,
    status=st.sampled_from(Status),
    seed=st.integers(0, 2**63),
    next_visit=counts,
    visits=st.lists(visits, max_size=3).map(lambda some: {visit.number: visit for visit in some}),
    frames=st.lists(frames, max_size=3).map(lambda some: {frame.id: frame for frame in some}),
    interrupted=st.lists(visits, max_size=2).map(tuple),
    reason=words,
    overdue=st.lists(st.tuples(counts, counts), max_size=2).map(tuple),
)


@given(states)
def test_every_state_comes_back_as_it_was(state: State) -> None:
    assert load_state(json.loads(json.dumps(dump_state(state)))) == state


@given(states)
def test_the_order_of_keys_and_unknown_keys_do_not_matter(state: State) -> None:
    """PostgreSQL sorts the keys of a JSONB object, and a newer weft may add some."""
    stored = json.loads(json.dumps(dump_state(state), sort_keys=True))
    stored["later"] = {"added": True}
    for entry in (*stored.get("v", ()), *stored.get("f", ()), *stored.get("i", ())):
        entry["later"] = 1
    assert load_state(stored) == state


def test_nothing_stored_is_a_new_state() -> None:
    assert load_state(None) == NEW
    assert load_state({}) == NEW


def test_times_keep_their_microseconds_in_any_zone() -> None:
    run = Run(document("a"))
    moment = datetime(2026, 3, 1, 12, 0, 0, 123_457, UTC)
    state, _ = advance(run.definition, NEW, Started(moment.astimezone(ZoneInfo("Asia/Kathmandu"))))
    assert load_state(dump_state(state)).visits[1].entered_at == moment


def test_a_state_is_small() -> None:
    run = Run(document("s", for_each("rows", document("a"), 3), s="rows"))
    run.succeed("s")
    run.items("rows", 3)
    stored = json.dumps(dump_state(run.state), separators=(",", ":"))
    assert len(stored) < 500
    state = load_state(json.loads(stored))
    assert advance(run.definition, state, StepSucceeded(run.at, 4, 1)) == advance(
        run.definition, run.state, StepSucceeded(run.at, 4, 1)
    )
