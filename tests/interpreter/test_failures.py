"""Retries, timeouts, optional steps, error routes, and the end of an execution that nobody saves."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.interpreter.running import Run, document

from weft.interpreter.backoff import LONGEST_WISH, delay, fraction
from weft.interpreter.commands import CancelStep, Choose, Finish, RunStep, Settle, Settlement, StartTimer
from weft.interpreter.definition import Backoff, Retry
from weft.interpreter.events import Abandoned, TimerFired
from weft.interpreter.state import ROOT, Status

PATIENT = {"attempts": 3, "initial": "2s", "max": "1m", "jitter": False}


def test_a_required_step_that_fails_fails_the_execution() -> None:
    run = Run(document({"key": "p", "type": "parallel"}, "a", "b", p=["a", "b"]))
    run.succeed("p")
    assert run.fail("a", "http_4xx") == (
        Settle(2, 1, "a", ROOT, Settlement.failed, run.events[1].at, run.events[2].at, reason="http_4xx"),
        CancelStep(3, 1, "b"),
        Settle(3, 1, "b", ROOT, Settlement.cancelled, run.events[1].at, run.events[2].at),
        Finish(Status.failed, run.events[2].at, visit=2, reason="http_4xx"),
    )
    assert run.state.visits == {}
    assert [visit.step for visit in run.state.interrupted] == ["a", "b"]
    assert run.state.reason == "http_4xx"


def test_a_failed_attempt_is_tried_again_when_its_timer_is_due() -> None:
    run = Run(document({"key": "a", "retry": PATIENT}))
    run.fail("a", "connection")
    (row,), (timer,) = run.latest(Settle), run.latest(StartTimer)
    due = run.events[-1].at + timedelta(seconds=2)
    assert (row.how, row.reason, row.retry_at) == (Settlement.failed, "connection", due)
    assert timer == StartTimer(1, 2, due, "retry")
    assert run.status() is Status.waiting

    assert run.fire("retry") == (RunStep(1, 2, "a", ROOT),)
    assert run.status() is Status.running
    run.succeed("a")
    assert run.status() is Status.completed
    assert run.journal == [("a", "FAILED"), ("a", "COMPLETED")]
    assert [row.entered_at for row in run.all(Settle)] == [run.events[0].at, due]


def test_attempts_come_to_an_end() -> None:
    run = Run(document({"key": "a", "retry": PATIENT}))
    for _ in range(2):
        run.fail("a")
        run.fire("retry")
    run.fail("a")
    assert run.status() is Status.failed
    assert [row.attempt for row in run.all(Settle)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("on", "kind", "retryable", "again"),
    [
        ([], "connection", True, True),
        ([], "invalid", False, False),
        (["timeout"], "timeout", True, True),
        (["timeout"], "connection", True, False),
        (["invalid"], "invalid", False, True),
    ],
)
def test_the_policy_says_which_errors_are_worth_another_attempt(
    on: list[str], kind: str, retryable: bool, again: bool
) -> None:
    run = Run(document({"key": "a", "retry": {**PATIENT, "on": on}}))
    run.fail("a", kind, retryable=retryable)
    assert (run.status() is Status.waiting) is again


@pytest.mark.parametrize(
    ("backoff", "delays"),
    [
        (Backoff.fixed, [3, 3, 3, 3, 3]),
        (Backoff.linear, [3, 6, 9, 10, 10]),
        (Backoff.exponential, [3, 6, 10, 10, 10]),
    ],
)
def test_delays_grow_by_the_policy_up_to_its_maximum(backoff: Backoff, delays: list[float]) -> None:
    policy = Retry(attempts=9, backoff=backoff, initial=3, max=10, jitter=False)
    assert [delay(policy, attempt, seed=1, visit=1, wish=None) for attempt in range(1, 6)] == delays


def test_jitter_is_the_same_every_time_and_shortens_by_up_to_half() -> None:
    policy = Retry(attempts=9, backoff=Backoff.fixed, initial=100, max=100)
    delays = [delay(policy, 1, seed=seed, visit=visit, wish=None) for seed in range(60) for visit in range(1, 60)]
    assert delays == [
        delay(policy, 1, seed=seed, visit=visit, wish=None) for seed in range(60) for visit in range(1, 60)
    ]
    assert all(50 <= seconds <= 100 for seconds in delays)
    assert len(set(delays)) > len(delays) * 0.99
    assert 74 < sum(delays) / len(delays) < 76


def test_the_jitter_of_a_release_is_the_jitter_of_the_next() -> None:
    """Written down once: a history replayed by a later release must wait as long as it did."""
    assert [round(fraction(7, visit, 1), 6) for visit in (1, 2, 3)] == [0.751263, 0.960416, 0.231494]


@pytest.mark.parametrize(
    ("wish", "seconds"),
    [(None, 2), (1.0, 2), (90.0, 90), (1e30, LONGEST_WISH), (float("nan"), 2), (float("inf"), 2), (-5.0, 2)],
)
def test_what_the_other_side_asks_for_is_never_undercut(wish: float | None, seconds: float) -> None:
    run = Run(document({"key": "a", "retry": PATIENT}))
    run.fail("a", "rate_limit", retry_after=wish)
    (timer,) = run.latest(StartTimer)
    assert timer.at - run.events[-1].at == timedelta(seconds=seconds)


def test_thousands_of_attempts_do_not_overflow() -> None:
    policy = Retry(attempts=10**9, initial=1e8, max=3e8, jitter=False)
    assert delay(policy, 10**8, seed=2**70, visit=1, wish=None) == 3e8


def test_an_optional_step_that_fails_is_passed_over() -> None:
    run = Run(document({"key": "a", "required": False, "retry": {"attempts": 2}}, "b", a="b"))
    run.fail("a")
    run.fire("retry")
    run.fail("a", "gone")
    (row,) = run.latest(Settle)
    assert (row.how, row.reason, row.taken) == (Settlement.skipped, "gone", ("b",))
    run.succeed("b")
    assert run.status() is Status.completed


def test_an_optional_step_that_fails_still_chooses() -> None:
    run = Run(document({"key": "a", "required": False}, "b", "c", a=[("b", "when"), ("c", "default")]))
    assert run.fail("a", "gone") == (Choose(1, "a", ROOT),)
    run.choose("a", "b")
    (row,) = run.latest(Settle)
    assert (row.how, row.reason, row.taken) == (Settlement.skipped, "gone", ("b",))


def test_an_optional_last_step_that_fails_ends_the_execution_well() -> None:
    run = Run(document("a", {"key": "b", "required": False}, a="b"))
    run.succeed("a")
    run.fail("b")
    assert (run.status(), run.finish.result) == (Status.completed, 2)


def test_the_error_route_is_taken_after_the_last_attempt() -> None:
    run = Run(document({"key": "a", "on_error": "mend", "retry": {"attempts": 2}}, "b", "mend", a="b", mend="b"))
    run.fail("a")
    assert run.live == ["a"]
    run.fire("retry")
    run.fail("a", "broken")
    assert run.live == ["mend"]
    (row,) = run.latest(Settle)
    assert (row.how, row.reason, row.taken) == (Settlement.failed, "broken", ("mend",))
    assert run.state.frames[ROOT].last == {"a": 1}
    run.succeed("mend", "b")
    assert run.status() is Status.completed


def test_a_fail_step_fails_the_execution_whatever_it_says() -> None:
    step = {"key": "f", "type": "fail", "on_error": "a", "required": False, "retry": {"attempts": 9}}
    run = Run({"steps": [{"key": "s", "type": "parallel"}, step, {"key": "a", "type": "set"}],
               "transitions": [{"from": "s", "to": "f"}, {"from": "s", "to": "a"}]})  # fmt: skip
    run.succeed("s")
    assert run.live == ["f", "a"]
    run.fail("f", "fail", retryable=False)
    assert (run.status(), run.finish.visit, run.finish.reason) == (Status.failed, 2, "fail")


# Timeouts and waiting


def test_a_waiting_step_is_timed_from_when_its_attempt_began() -> None:
    run = Run(document({"key": "a", "timeout": "1h"}))
    began = run.events[0].at
    assert run.wait("a") == (StartTimer(1, 1, began + timedelta(hours=1), "timeout"),)
    assert run.status() is Status.waiting


def test_a_step_without_timeout_waits_as_long_as_it_takes() -> None:
    run = Run(document("a"))
    assert run.wait("a") == ()
    assert run.status() is Status.waiting
    run.succeed("a")
    assert run.status() is Status.completed


def test_a_timeout_stops_the_step_and_counts_as_a_failure() -> None:
    run = Run(document({"key": "a", "timeout": 60, "retry": {**PATIENT, "on": ["timeout"], "attempts": 2}}))
    run.wait("a")
    first = run.fire("timeout")
    assert [type(command) for command in first] == [CancelStep, Settle, StartTimer]
    run.fire("retry")
    run.wait("a")
    run.fire("timeout")
    assert (run.status(), run.finish.reason) == (Status.failed, "timeout")
    assert [(row.attempt, row.reason) for row in run.all(Settle)] == [(1, "timeout"), (2, "timeout")]


def test_a_timeout_that_comes_too_late_changes_nothing() -> None:
    run = Run(document({"key": "a", "timeout": 60}, "b", a="b"))
    run.wait("a")
    run.succeed("a")
    before = run.state
    assert run.fire("timeout") == ()
    assert run.state is before


def test_a_timeout_of_an_earlier_attempt_changes_nothing() -> None:
    run = Run(document({"key": "a", "timeout": 60, "retry": PATIENT}))
    run.wait("a")
    run.fail("a")
    run.fire("retry")
    run.wait("a")
    before = run.state
    assert run.send(TimerFired(run.at, 1, 1, "timeout")) == ()
    assert run.state is before


def test_a_timer_of_an_unknown_purpose_changes_nothing() -> None:
    run = Run(document("a"))
    before = run.state
    assert run.send(TimerFired(run.at, 1, 1, "tea")) == ()
    assert run.state is before


def test_the_execution_waits_only_when_everything_waits() -> None:
    run = Run(document({"key": "p", "type": "parallel"}, "a", {"key": "b", "retry": PATIENT}, p=["a", "b"]))
    run.succeed("p")
    run.wait("a")
    assert run.status() is Status.running
    run.fail("b")
    assert run.status() is Status.waiting
    run.fire("retry")
    assert run.status() is Status.running


# Going on after a failure


def test_a_retried_execution_enters_again_what_was_interrupted() -> None:
    run = Run(document({"key": "p", "type": "parallel"}, "a", "b", {"key": "j", "join": "all"}, p=["a", "b"],
                       a="j", b="j"))  # fmt: skip
    run.succeed("p")
    run.fail("b")
    assert run.retry() == (RunStep(4, 1, "a", ROOT), RunStep(5, 1, "b", ROOT))
    assert run.status() is Status.running
    assert run.state.interrupted == ()
    run.succeed("b", "a", "j")
    assert run.status() is Status.completed
    assert run.ran == ["p", "a", "b", "a", "b", "j"]


def test_completed_steps_stay_completed_and_joined_branches_stay_joined() -> None:
    run = Run(document({"key": "p", "type": "parallel"}, "a", "b", {"key": "j", "join": "all"}, p=["a", "b"],
                       a="j", b="j"))  # fmt: skip
    run.succeed("p", "a")
    run.fail("b")
    run.retry()
    assert run.live == ["b"]
    run.succeed("b")
    assert run.live == ["j"]


def test_a_retried_step_has_all_its_attempts_again() -> None:
    run = Run(document({"key": "a", "retry": {**PATIENT, "attempts": 2}}))
    run.fail("a")
    run.fire("retry")
    run.fail("a")
    run.retry()
    run.fail("a")
    assert run.status() is Status.waiting


def test_a_retry_gives_a_loop_one_more_visit() -> None:
    run = Run(document({"key": "a", "max_visits": 1}, "b", "c", a=[("b", "when"), ("c", "default")], b="a"))
    run.succeed("a")
    run.choose("a", "b")
    run.succeed("b")
    assert run.finish.reason == "visits_exhausted"
    run.retry()
    run.succeed("a")
    run.choose("a")
    run.succeed("c")
    assert run.status() is Status.completed


def test_a_step_that_was_done_but_had_not_chosen_chooses_after_the_retry() -> None:
    run = Run(
        document({"key": "p", "type": "parallel"}, "a", "b", "c", p=["a", "b"], a=[("c", "when"), ("b", "default")])
    )
    run.succeed("p", "a")
    run.fail("b")
    assert ("a", "COMPLETED") in run.journal
    assert [type(command) for command in run.retry()] == [Choose, RunStep]
    run.choose("a", "c")
    run.succeed("c", "b")
    assert run.status() is Status.completed
    assert run.ran.count("a") == 1
    assert run.journal.count(("a", "COMPLETED")) == 1


def test_a_step_that_had_nowhere_to_go_runs_again_after_the_retry() -> None:
    run = Run(document({"key": "a", "split": "all"}, "b", a=[("b", "when")]))
    run.succeed("a")
    run.choose("a")
    assert run.status() is Status.failed
    assert run.retry() == (RunStep(2, 1, "a", ROOT),)
    run.succeed("a")
    run.choose("a", "b")
    assert run.live == ["b"]


@pytest.mark.parametrize("end", ["running", "completed", "cancelled"])
def test_only_a_failed_execution_can_be_retried(end: str) -> None:
    run = Run(document("a"))
    if end == "completed":
        run.succeed("a")
    elif end == "cancelled":
        run.cancel()
    before = run.state
    assert run.retry() == ()
    assert run.state is before


# Giving up


def test_an_abandoned_execution_has_failed_and_may_be_retried() -> None:
    run = Run(document({"key": "p", "type": "parallel"}, "a", "b", p=["a", "b"]))
    run.succeed("p")
    run.send(Abandoned(run.at, "gone"))
    assert (run.status(), run.finish.reason, run.finish.visit) == (Status.failed, "gone", None)
    assert [command.step for command in run.latest(CancelStep)] == ["a", "b"]
    run.retry()
    assert run.live == ["a", "b"]


def test_an_execution_abandoned_before_its_start_begins_when_it_is_retried() -> None:
    run = Run(document("a"), started=False)
    run.send(Abandoned(run.at))
    assert run.status() is Status.failed
    run.retry()
    assert run.live == ["a"]


# Cancelling


def test_cancelling_stops_what_is_live() -> None:
    run = Run(document({"key": "p", "type": "parallel"}, "a", "b", {"key": "c", "retry": PATIENT}, p=["a", "b", "c"]))
    run.succeed("p")
    run.wait("b")
    run.fail("c")
    fresh = run.cancel("no longer needed")
    assert [command.step for command in run.latest(CancelStep)] == ["a", "b"]
    assert [(row.step, row.how.value) for row in run.latest(Settle)] == [("a", "CANCELLED"), ("b", "CANCELLED")]
    assert fresh[-1] == Finish(Status.cancelled, run.events[-1].at, reason="no longer needed")
    assert (run.status(), run.state.visits, run.state.reason) == (Status.cancelled, {}, "no longer needed")


def test_an_execution_may_be_cancelled_before_it_starts() -> None:
    run = Run(document("a"), started=False)
    run.cancel()
    assert run.status() is Status.cancelled


@pytest.mark.parametrize("status", [Status.completed, Status.failed, Status.cancelled])
def test_what_has_ended_cannot_be_cancelled(status: Status) -> None:
    run = Run(document("a"))
    if status is Status.completed:
        run.succeed("a")
    elif status is Status.failed:
        run.fail("a")
    else:
        run.cancel()
    before = run.state
    assert (before.status, run.cancel()) == (status, ())
    assert run.send(Abandoned(run.at)) == ()
    assert run.state is before
