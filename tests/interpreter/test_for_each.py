"""For-each: items in frames of their own, their concurrency, their results, and what becomes of them in failure."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from tests.interpreter.running import Run, document, for_each

from weft.interpreter.codec import dump_state
from weft.interpreter.commands import CancelStep, Collect, RunStep, Settle, StartTimer
from weft.interpreter.events import ItemsFound, StepSucceeded, StepWaiting
from weft.interpreter.state import ROOT, Phase, Status, item_frame, item_of

ONE = document("x")
TWO = document("x", "y", x="y")
PATIENT = {"attempts": 2, "initial": "2s", "jitter": False}


def each(body: dict[str, Any], concurrency: int = 1, **more: Any) -> dict[str, Any]:
    return document("s", for_each("lines", body, concurrency, **more), "z", s="lines", lines="z")


def started(count: int, body: dict[str, Any] = ONE, concurrency: int = 1, **more: Any) -> Run:
    run = Run(each(body, concurrency, **more))
    run.succeed("s")
    run.items("lines", count)
    return run


def test_frames_of_items_can_be_read_back() -> None:
    assert item_of(item_frame(12, 3)) == (12, 3)


def test_items_run_one_after_the_other() -> None:
    run = started(3)
    assert run.fresh == (RunStep(3, 1, "lines.x", "2.0"),)
    assert run.succeed("lines.x")[-1] == RunStep(4, 1, "lines.x", "2.1")
    run.succeed("lines.x", "lines.x")
    assert run.collected == Collect(2, 1, "lines", ROOT, (2, 1), 3)
    assert run.results == (3, 4, 5)
    assert run.visit("lines").phase is Phase.collecting
    assert list(run.state.frames) == [ROOT]
    run.succeed("lines", "z")
    assert run.status() is Status.completed
    assert run.state.frames[ROOT].last == {"s": 1, "lines": 2, "z": 6}


def test_items_run_so_many_at_a_time() -> None:
    run = started(5, concurrency=3)
    assert run.live == ["lines"] + ["lines.x"] * 3
    run.succeed("lines.x")
    assert run.live == ["lines"] + ["lines.x"] * 3
    run.succeed("lines.x", "lines.x", "lines.x", "lines.x")
    assert run.results == (3, 4, 5, 6, 7)


def test_results_stand_in_the_order_of_the_items_and_not_of_their_ends() -> None:
    run = started(3, concurrency=3)
    for visit in (5, 3, 4):
        run.send(StepSucceeded(run.at, visit, 1))
    assert run.results == (3, 4, 5)


def test_no_items_are_collected_at_once() -> None:
    run = started(0)
    assert run.collected == Collect(2, 1, "lines", ROOT, (2, 1), 0)
    run.succeed("lines", "z")
    assert run.status() is Status.completed


def test_fewer_than_no_items_are_none() -> None:
    assert started(-4).results == ()


def test_only_a_for_each_finds_items() -> None:
    run = Run(each(ONE))
    before = run.state
    assert run.items("s", 3) == ()
    assert run.state is before


def test_items_are_found_once() -> None:
    run = started(2)
    before = run.state
    assert run.send(ItemsFound(run.at, 2, 1, 9)) == ()
    assert run.send(StepSucceeded(run.at, 2, 1)) == ()  # it is over when its items are
    assert run.state is before


def test_a_body_may_branch_and_join_and_nest() -> None:
    inner = for_each("inner", ONE, 2)
    body = document(
        {"key": "p", "type": "parallel"}, "x", inner, {"key": "j", "join": "all"}, p=["x", "inner"], x="j", inner="j"
    )
    run = started(2, body)
    for first in (3, 9):
        run.succeed("lines.p")
        assert run.path(run.state.visits[first + 1]) == "lines.x"
        run.items("lines.inner", 2)
        run.succeed("lines.inner.x", "lines.inner.x")
        assert run.results == (first + 3, first + 4)
        run.succeed("lines.x", "lines.inner")
        assert "lines.j" in run.live
        run.succeed("lines.j")
    assert run.results == (8, 14)


def test_the_execution_waits_when_all_items_wait() -> None:
    run = started(2, concurrency=2)
    run.wait("lines.x")
    assert run.status() is Status.running
    run.send(StepWaiting(run.at, 4, 1))
    assert run.status() is Status.waiting


# Failure


def test_a_failed_item_fails_the_for_each_and_cancels_its_siblings() -> None:
    run = started(3, TWO, 3)
    run.succeed("lines.x")
    run.fail("lines.x", "broken")
    assert [(row.visit, row.how.value, row.reason) for row in run.latest(Settle)] == [
        (4, "FAILED", "broken"),
        (2, "FAILED", "broken"),
        (5, "CANCELLED", ""),
        (6, "CANCELLED", ""),
    ]
    assert [command.visit for command in run.latest(CancelStep)] == [5, 6]
    assert (run.status(), run.finish.visit, run.finish.reason) == (Status.failed, 4, "broken")


def test_an_optional_for_each_is_passed_over_and_leaves_nothing_behind() -> None:
    run = started(3, concurrency=2, required=False)
    run.fail("lines.x", "broken")
    assert run.live == ["z"]
    assert list(run.state.frames) == [ROOT]
    assert run.journal[-3:] == [("lines.x", "FAILED"), ("lines.x", "CANCELLED"), ("lines", "SKIPPED")]


def test_a_for_each_may_have_an_error_route() -> None:
    written = each(ONE, 2, on_error="mend")
    written["steps"].append({"key": "mend", "type": "end"})
    run = Run(written)
    run.succeed("s")
    run.items("lines", 2)
    run.fail("lines.x")
    assert run.live == ["mend"]
    assert list(run.state.frames) == [ROOT]


def test_a_failure_is_dealt_with_by_the_nearest_that_can() -> None:
    body = document(for_each("inner", ONE, 2, required=False), "y", inner="y")
    run = started(1, body)
    run.items("lines.inner", 2)
    run.fail("lines.inner.x")
    assert run.live == ["lines", "lines.y"]


def test_a_failure_goes_outwards_until_somebody_deals_with_it() -> None:
    body = document(for_each("inner", ONE, 2))
    run = started(2, body, 2, required=False)
    run.items("lines.inner", 2)
    run.fail("lines.inner.x", "broken")
    assert run.live == ["z"]
    assert list(run.state.frames) == [ROOT]
    assert sorted((row.step, row.how.value) for row in run.latest(Settle)) == [
        ("lines", "SKIPPED"),
        ("lines.inner", "CANCELLED"),
        ("lines.inner", "FAILED"),
        ("lines.inner.x", "CANCELLED"),
        ("lines.inner.x", "FAILED"),
    ]


def test_the_next_attempt_of_a_for_each_runs_only_what_is_unfinished() -> None:
    run = started(3, TWO, 2, retry=PATIENT)
    run.succeed("lines.x", "lines.y")  # item 0 is done, item 2 is open
    run.succeed("lines.x")  # item 1 is at y
    run.fail("lines.y", "broken")
    assert run.live == ["lines"]
    assert run.status() is Status.waiting
    assert run.fire("retry") == (RunStep(2, 2, "lines", ROOT),)
    again = run.items("lines", 3)
    assert [(command.step, command.frame) for command in again if isinstance(command, RunStep)] == [
        ("lines.y", "2.1"),
        ("lines.x", "2.2"),
    ]
    run.succeed("lines.y", "lines.x", "lines.y")
    assert run.results[0] == 5
    run.succeed("lines", "z")
    assert run.status() is Status.completed
    assert [how for step, how in run.journal if step == "lines.x"].count("COMPLETED") == 3


def test_other_items_than_before_all_run() -> None:
    run = started(2, retry=PATIENT)
    run.succeed("lines.x")
    run.fail("lines.x")
    run.fire("retry")
    run.items("lines", 3)
    assert list(run.state.frames) == [ROOT, "2.0"]
    run.succeed("lines.x", "lines.x", "lines.x")
    assert len(run.results) == 3


def test_a_for_each_is_timed_from_its_beginning() -> None:
    run = Run(each(ONE, 2, timeout="1m", required=False))
    run.succeed("s")
    (timer,) = run.latest(StartTimer)
    assert timer == StartTimer(2, 1, run.events[-1].at + timedelta(minutes=1), "timeout")
    run.items("lines", 4)
    run.fire("timeout")
    assert [command.step for command in run.latest(CancelStep)] == ["lines", "lines.x", "lines.x"]
    assert run.live == ["z"]


def test_collecting_may_fail_and_be_tried_again_without_the_items() -> None:
    run = started(1, retry=PATIENT)
    run.succeed("lines.x")
    run.fail("lines", "too_large")
    run.fire("retry")
    run.items("lines", 1)
    assert run.collected == Collect(2, 2, "lines", ROOT, (2, 1), 1)
    assert run.results == (3,)


def test_an_item_whose_join_starves_fails_the_for_each() -> None:
    body = document(
        {"key": "a", "split": "any"},
        "b",
        "c",
        {"key": "j", "join": {"at_least": 2}},
        a=[("b", "when"), ("c", "default")],
        b="j",
        c="j",
    )
    run = started(1, body, retry=PATIENT)
    run.succeed("lines.a")
    run.choose("lines.a")
    run.succeed("lines.c")
    assert (run.status(), run.finish.reason, run.finish.visit) == (Status.failed, "join_starved", 2)


# Going on after a failure


def test_a_retried_execution_runs_only_the_unfinished_steps_of_unfinished_items() -> None:
    run = started(3, TWO, 2)
    run.succeed("lines.x", "lines.y", "lines.x")
    run.fail("lines.y")
    assert run.status() is Status.failed

    assert run.retry() == (RunStep(8, 1, "lines", ROOT),)
    again = run.items("lines", 3)
    assert [(command.step, command.frame) for command in again if isinstance(command, RunStep)] == [
        ("lines.y", "8.1"),
        ("lines.x", "8.2"),
    ]
    assert run.state.interrupted == ()
    run.succeed("lines.y", "lines.x", "lines.y")
    assert run.collected.visit == 8
    assert run.results[0] == 5
    run.succeed("lines", "z")
    assert run.status() is Status.completed
    assert run.ran.count("lines.x") == 3 + 1  # item 2 had not finished it


def test_a_retried_execution_that_fails_before_the_items_are_found_forgets_nothing() -> None:
    run = started(2, TWO)
    run.succeed("lines.x")
    run.fail("lines.y")
    run.retry()
    run.fail("lines", "unreadable")
    assert run.status() is Status.failed
    run.retry()
    again = run.items("lines", 2)
    assert [(command.step, command.frame) for command in again if isinstance(command, RunStep)] == [("lines.y", "6.0")]


def test_nested_items_are_taken_over_level_by_level() -> None:
    body = document(for_each("inner", TWO, 2), "y", inner="y")
    run = started(2, body, 2)
    run.items("lines.inner", 2)
    run.succeed("lines.inner.x")
    run.fail("lines.inner.x")
    run.retry()
    assert run.live == ["lines"]
    run.items("lines", 2)
    assert run.live == ["lines", "lines.inner", "lines.inner"]
    run.items("lines.inner", 2)
    assert sorted(run.live) == ["lines", "lines.inner", "lines.inner", "lines.inner.x", "lines.inner.y"]
    run.succeed("lines.inner.y", "lines.inner.x", "lines.inner.y")
    assert run.results == (11, 13)


def test_a_cancelled_for_each_leaves_only_the_root_frame() -> None:
    run = started(3, concurrency=3)
    run.cancel()
    assert list(run.state.frames) == [ROOT]
    assert sorted(row.step for row in run.latest(Settle)) == ["lines", "lines.x", "lines.x", "lines.x"]


# Items that are passed over


def tolerant(body: dict[str, Any], concurrency: int = 1) -> dict[str, Any]:
    step = for_each("lines", body, concurrency)
    step["config"]["on_item_error"] = "continue"
    return document("s", step, "z", s="lines", lines="z")


def test_an_item_that_fails_may_be_passed_over() -> None:
    run = Run(tolerant(ONE))
    run.succeed("s")
    run.items("lines", 3)
    run.succeed("lines.x")
    run.fail("lines.x", "broken")
    assert run.live == ["lines", "lines.x"]
    run.succeed("lines.x")
    assert run.collected == Collect(2, 1, "lines", ROOT, (2, 1), 3, failed=1)
    assert run.results == (3, None, 5)
    run.succeed("lines", "z")
    assert run.status() is Status.completed
    assert ("lines.x", "FAILED") in run.journal


def test_all_items_may_fail_and_the_workflow_goes_on() -> None:
    run = Run(tolerant(ONE, 2))
    run.succeed("s")
    run.items("lines", 2)
    run.fail("lines.x")
    run.fail("lines.x")
    assert (run.collected.count, run.collected.failed, run.results) == (2, 2, (None, None))


def test_what_else_an_item_was_doing_ends_when_it_is_passed_over() -> None:
    inner = for_each("inner", ONE, 2)
    body = document({"key": "p", "type": "parallel"}, "x", inner, p=["x", "inner"])
    run = Run(tolerant(body, 2))
    run.succeed("s")
    run.items("lines", 2)
    run.succeed("lines.p", "lines.p")
    run.items("lines.inner", 2)
    run.fail("lines.x", "broken")
    assert run.live == ["lines", "lines.x", "lines.inner"], "the other item is left alone"
    assert [frame for frame in run.state.frames if frame] == ["2.1"]
    stopped = [(row.step, row.how.value) for row in run.latest(Settle)]
    assert stopped.count(("lines.inner.x", "CANCELLED")) == 2
    assert ("lines.x", "FAILED") in stopped


def test_a_failure_within_is_passed_over_by_the_nearest_for_each_that_does_so() -> None:
    run = Run(tolerant(document(for_each("inner", ONE, 1))))
    run.succeed("s")
    run.items("lines", 2)
    run.items("lines.inner", 2)
    run.fail("lines.inner.x", "broken")
    assert run.live == ["lines", "lines.inner"]
    assert [(row.step, row.how.value) for row in run.latest(Settle)] == [
        ("lines.inner.x", "FAILED"),
        ("lines.inner", "FAILED"),
    ]


def test_the_state_of_a_hundred_thousand_items_is_that_of_a_few() -> None:
    run = started(100_000, concurrency=3)
    few = len(json.dumps(dump_state(started(4, concurrency=3).state)))
    for _ in range(500):
        run.succeed("lines.x")
        assert len(run.state.frames) == 4
    assert len(json.dumps(dump_state(run.state))) < few + 60


def test_enough_good_ends_cancel_the_other_items() -> None:
    config = {"enough": 2, "on_item_error": "continue"}
    step = for_each("lines", document("x"), concurrency=3)
    step["config"].update(config)
    run = Run(document(step, "z", lines="z"))
    run.items("lines", 9)
    run.fail("lines.x", retryable=False)
    run.succeed("lines.x")
    assert run.live.count("lines.x") == 3
    run.succeed("lines.x")
    assert (run.collected.count, run.collected.failed, run.collected.left) == (9, 1, 6)
    assert run.live == ["lines"]
    run.succeed("lines", "z")
    assert run.status() is Status.completed
    assert [row for row in run.journal if row == ("lines.x", "CANCELLED")] == [("lines.x", "CANCELLED")] * 2
