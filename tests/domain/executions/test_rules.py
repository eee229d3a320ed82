"""Small decisions about executions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from weft.domain.executions import rules
from weft.domain.executions.errors import ExecutionFinal, ExecutionNotFailed
from weft.interpreter.codec import dump_state
from weft.interpreter.state import Frame, Phase, State, Status, Visit

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("status", list(Status))
def test_what_has_ended_cannot_be_cancelled(status: Status) -> None:
    if status in (Status.completed, Status.failed, Status.cancelled):
        with pytest.raises(ExecutionFinal, match=status.value):
            rules.require_cancellable(status.value)
    else:
        rules.require_cancellable(status.value)


@pytest.mark.parametrize("status", list(Status))
def test_only_what_failed_can_be_retried(status: Status) -> None:
    if status is Status.failed:
        rules.require_retriable(status.value)
    else:
        with pytest.raises(ExecutionNotFailed, match=status.value):
            rules.require_retriable(status.value)


def test_the_journal_of_a_finished_execution_ends_with_it() -> None:
    later, now = NOON + timedelta(hours=1), NOON + timedelta(days=90)
    ended = rules.journal_period(NOON, later, "COMPLETED", now)
    assert ended == (NOON - rules.SKEW, later + rules.SKEW)
    assert rules.journal_period(NOON, None, "RUNNING", now) == (NOON - rules.SKEW, now + rules.SKEW)
    # A retried execution has ended once before.
    assert rules.journal_period(NOON, later, "RUNNING", now) == (NOON - rules.SKEW, now + rules.SKEW)


def visit(number: int, step: str, **more: object) -> Visit:
    facts: dict[str, object] = {"frame": "", "attempt": 1, "phase": Phase.running, "entered_at": NOON} | more
    return Visit(number=number, step=step, **facts)  # type: ignore[arg-type]  # facts of a visit


def test_a_stored_state_says_where_the_execution_stands() -> None:
    loop = visit(2, "lines", phase=Phase.iterating, count=5, done=1, next_item=2)
    state = State(
        status=Status.running,
        visits={
            7: visit(7, "price", frame="2.1", attempt=3, phase=Phase.retrying),
            2: loop,
        },
        frames={"": Frame("", ""), "2.1": Frame("2.1", "lines")},
    )
    found = rules.standing({"i": dump_state(state), "v": {}})
    assert found.count == 2
    assert found.live == (
        rules.LiveStep("lines", 2, 1, "iterating", NOON, items=5, items_done=1),
        rules.LiveStep("lines.price", 7, 3, "retrying", NOON, item=1),
    )
    assert found.resumes == ()


def test_a_failed_execution_tells_where_a_retry_goes_on() -> None:
    state = State(
        status=Status.failed,
        frames={"": Frame("", "")},
        interrupted=(visit(3, "pay"), visit(4, "notify"), visit(5, "pay")),
    )
    assert rules.standing({"i": dump_state(state)}).resumes == ("pay", "notify")


@pytest.mark.parametrize("stored", [None, {}, {"v": {"a": 1}}])
def test_without_a_state_it_stands_nowhere(stored: dict[str, object] | None) -> None:
    assert rules.standing(stored) == rules.Standing()


def test_of_very_many_live_steps_some_are_shown_and_all_are_counted() -> None:
    visits = {n: visit(n, "price", frame=f"1.{n}") for n in range(2, 1_002)}
    found = rules.standing({"i": dump_state(State(status=Status.running, visits=visits))})
    assert (len(found.live), found.count) == (rules.MOST_LIVE, 1_000)


def test_durations_are_whole_milliseconds_and_never_negative() -> None:
    assert rules.milliseconds(NOON, NOON + timedelta(microseconds=1_600)) == 2
    assert rules.milliseconds(NOON, NOON - timedelta(seconds=1)) == 0
    assert rules.milliseconds(NOON, None) is None
    assert rules.milliseconds(None, NOON) is None
