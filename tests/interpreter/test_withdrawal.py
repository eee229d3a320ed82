"""Steps that cancel others when they complete, and steps that exclude each other."""

from __future__ import annotations

import pytest
from tests.interpreter.running import Run, document, for_each

from weft.interpreter.commands import CancelStep
from weft.interpreter.compile import DefinitionFault, compile_definition
from weft.interpreter.events import StepSucceeded
from weft.interpreter.state import Phase, Status

RACE = document(
    {"key": "s", "type": "parallel"},
    {"key": "mail", "cancels": ["call"]},
    {"key": "call", "cancels": ["mail"]},
    "write",
    "phone",
    s=["mail", "call"],
    mail="write",
    call="phone",
)


def test_of_two_steps_that_cancel_each_other_the_first_decides() -> None:
    run = Run(RACE)
    run.succeed("s")
    run.wait("mail")
    run.wait("call")
    run.succeed("call")
    assert run.live == ["phone"]
    assert [command.step for command in run.latest(CancelStep)] == ["mail"]
    run.succeed("phone")
    assert run.status() is Status.completed
    assert run.journal == [("s", "COMPLETED"), ("call", "COMPLETED"), ("mail", "CANCELLED"), ("phone", "COMPLETED")]


def test_news_of_what_was_withdrawn_comes_too_late() -> None:
    run = Run(RACE)
    run.succeed("s")
    mail = run.visit("mail")
    run.succeed("call")
    state = run.state
    run.send(StepSucceeded(run.at, mail.number, mail.attempt))
    assert run.state is state


def test_a_step_that_is_skipped_cancels_nothing() -> None:
    written = document(
        {"key": "s", "type": "parallel"}, {"key": "a", "cancels": ["b"], "required": False}, "b", s=["a", "b"]
    )
    run = Run(written)
    run.succeed("s")
    run.fail("a", retryable=False)
    assert run.live == ["b"]


def test_a_join_may_cancel_the_branches_it_no_longer_waits_for() -> None:
    written = document(
        {"key": "s", "type": "parallel"}, "a", "b", "c", {"key": "j", "type": "join", "join": {"at_least": 2},
        "cancels": ["a", "b", "c"]}, "z", s=["a", "b", "c"], a="j", b="j", c="j", j="z",
    )  # fmt: skip
    run = Run(written)
    run.succeed("s", "a", "c", "j")
    assert run.live == ["z"]
    run.succeed("z")
    assert run.status() is Status.completed


def test_an_end_that_cancels_everything_ends_the_workflow() -> None:
    body = document("x", "y", x="y")
    written = document(
        {"key": "s", "type": "parallel"}, for_each("lines", body, concurrency=2), "a", {"key": "stop", "type": "end",
        "cancels": "all"}, "z", {"key": "j", "type": "join"}, s=["lines", "a"], a="stop", lines="j", j="z",
    )  # fmt: skip
    run = Run(written)
    run.succeed("s")
    run.items("lines", 3)
    run.succeed("a", "stop")
    assert run.status() is Status.completed
    assert run.finish.result == run.state.frames[""].last["stop"]
    assert ("lines.x", "CANCELLED") in run.journal
    assert ("lines", "CANCELLED") in run.journal


def test_arrivals_at_a_join_that_is_withdrawn_are_forgotten() -> None:
    written = document(
        {"key": "s", "type": "parallel"}, "a", "b", {"key": "j", "type": "join"}, "after", {"key": "x",
        "cancels": ["a", "b", "j"]}, "z", s=["a", "b", "x"], a="j", b="j", j="after", x="z",
    )  # fmt: skip
    run = Run(written)
    run.succeed("s", "a", "x", "z")
    assert run.status() is Status.completed
    assert "after" not in run.ran


def test_steps_of_one_name_run_one_after_the_other_in_the_order_they_were_reached() -> None:
    desk = {"exclusive": "desk"}
    written = document(
        {"key": "s", "type": "parallel"}, {"key": "a", **desk}, {"key": "b", **desk}, {"key": "c", **desk}, "d",
        s=["a", "b", "c", "d"],
    )  # fmt: skip
    run = Run(written)
    run.succeed("s")
    assert run.ran == ["s", "a", "d"]
    assert run.visit("b").phase is Phase.queued
    run.succeed("a")
    assert run.ran[-1] == "b"
    run.wait("b")
    run.succeed("d")
    assert run.status() is Status.waiting
    run.succeed("b", "c")
    assert run.status() is Status.completed


def test_the_name_is_kept_between_two_attempts() -> None:
    written = document(
        {"key": "s", "type": "parallel"}, {"key": "a", "exclusive": "desk", "retry": {"attempts": 2}},
        {"key": "b", "exclusive": "desk"}, s=["a", "b"],
    )  # fmt: skip
    run = Run(written)
    run.succeed("s")
    run.fail("a")
    assert run.visit("b").phase is Phase.queued
    run.fire("retry")
    run.succeed("a", "b")
    assert run.status() is Status.completed


def test_items_of_a_for_each_exclude_each_other() -> None:
    run = Run(document(for_each("lines", document({"key": "x", "exclusive": "till"}), concurrency=3)))
    run.items("lines", 3)
    assert run.ran == ["lines", "lines.x"]
    run.succeed("lines.x", "lines.x", "lines.x")
    run.succeed("lines")
    assert run.status() is Status.completed


def test_what_was_queued_when_the_execution_failed_runs_after_a_retry() -> None:
    written = document(
        {"key": "s", "type": "parallel"}, {"key": "a", "exclusive": "desk"}, {"key": "b", "exclusive": "desk"},
        s=["a", "b"],
    )  # fmt: skip
    run = Run(written)
    run.succeed("s")
    run.fail("a", retryable=False)
    assert run.status() is Status.failed
    run.retry()
    assert [step for step in run.ran if step == "b"] == []
    run.succeed("a", "b")
    assert run.status() is Status.completed


@pytest.mark.parametrize(
    ("step", "code"),
    [
        ({"key": "a", "cancels": ["nobody"]}, "cancels_unknown"),
        ({"key": "a", "cancels": ["a"]}, "cancels_itself"),
        ({"key": "a", "cancels": "b"}, "cancels_invalid"),
        ({"key": "a", "exclusive": 3}, "exclusive_invalid"),
    ],
)
def test_faults_are_named(step: dict[str, object], code: str) -> None:
    with pytest.raises(DefinitionFault) as caught:
        compile_definition(document(step))
    assert [issue.code for issue in caught.value.issues] == [code]


def test_a_circle_of_names_through_for_each_steps_is_refused() -> None:
    written = document(
        {"key": "s", "type": "parallel"},
        for_each("p", document({"key": "x", "exclusive": "two"}), exclusive="one"),
        for_each("q", document({"key": "y", "exclusive": "one"}), exclusive="two"),
        s=["p", "q"],
    )
    with pytest.raises(DefinitionFault) as caught:
        compile_definition(written)
    assert {issue.code for issue in caught.value.issues} == {"exclusive_circle"}
    assert [issue.path for issue in caught.value.issues] == [("steps", 1, "exclusive"), ("steps", 2, "exclusive")]
