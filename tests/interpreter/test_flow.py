"""From step to step: sequences, splits, choices, ends."""

from __future__ import annotations

import pytest
from tests.interpreter.running import NOON, Run, document

from weft.interpreter.commands import Choose, Finish, RunStep, Settle, Settlement
from weft.interpreter.events import StepSucceeded, TransitionsChosen
from weft.interpreter.state import ROOT, Status


def test_a_sequence_runs_step_by_step_to_its_end() -> None:
    run = Run(document("a", "b", "c", a="b", b="c"))
    assert run.fresh == (RunStep(1, 1, "a", ROOT),)

    assert run.succeed("a") == (
        Settle(1, 1, "a", ROOT, Settlement.completed, NOON, NOON.replace(second=1), taken=("b",)),
        RunStep(2, 1, "b", ROOT),
    )
    run.succeed("b", "c")

    assert run.status() is Status.completed
    assert run.finish == Finish(Status.completed, NOON.replace(second=3), result=3)
    assert run.state.visits == {}
    assert run.state.frames[ROOT].last == {"a": 1, "b": 2, "c": 3}


def test_one_step_is_a_workflow() -> None:
    run = Run(document("only"))
    run.succeed("only")
    assert run.finish.result == 1


def test_a_single_default_is_followed_at_once() -> None:
    run = Run(document("a", "b", a=("b", "default")))
    run.succeed("a")
    assert run.live == ["b"]


CHOICE = document("a", "x", "y", "z", a=[("x", "when"), ("y", "when"), ("z", "default")])


@pytest.mark.parametrize(
    ("split", "holding", "taken"),
    [
        ("one", (), ["z"]),
        ("one", ("y",), ["y"]),
        ("one", ("y", "x"), ["x"]),
        ("any", (), ["z"]),
        ("any", ("y",), ["y"]),
        ("any", ("x", "y"), ["x", "y"]),
        ("all", (), ["z"]),
        ("all", ("x", "y"), ["x", "y"]),
    ],
)
def test_conditions_decide_by_the_split_rule(split: str, holding: tuple[str, ...], taken: list[str]) -> None:
    run = Run({**CHOICE, "steps": [{"key": "a", "type": "set", "split": split}, *CHOICE["steps"][1:]]})
    assert run.succeed("a") == (Choose(1, "a", ROOT),)
    run.choose("a", *holding)
    assert run.live == taken
    (row,) = run.latest(Settle)
    assert (row.how, row.taken) == (Settlement.completed, tuple(taken))


def test_transitions_are_tried_in_their_order_and_not_as_written() -> None:
    written = document("a", "x", "y", "z", a=[("x", "when"), ("y", "when"), ("z", "default")])
    written["transitions"][0]["order"] = 5
    run = Run(written)
    run.succeed("a")
    run.choose("a", "x", "y")
    assert run.live == ["y"]


def test_what_has_no_condition_holds_beside_what_has_one() -> None:
    run = Run(document({"key": "a", "split": "all"}, "x", "y", a=["x", ("y", "when")]))
    run.succeed("a")
    run.choose("a")
    assert run.live == ["x"]


def test_indexes_that_do_not_exist_or_are_the_default_mean_nothing() -> None:
    run = Run(CHOICE)
    run.succeed("a")
    run.send(TransitionsChosen(run.at, 1, (2, 17, -1)))
    assert run.live == ["z"]
    (row,) = run.latest(Settle)
    assert row.taken == ("z",)


def test_parallel_follows_everything_at_once() -> None:
    run = Run(document({"key": "a", "type": "parallel"}, "x", "y", "z", a=["x", "y", "z"]))
    run.succeed("a")
    assert run.latest(RunStep) == [RunStep(2, 1, "x", ROOT), RunStep(3, 1, "y", ROOT), RunStep(4, 1, "z", ROOT)]
    run.succeed("y", "x")
    assert run.status() is Status.running
    run.succeed("z")
    assert run.finish.result == 4


def test_without_a_join_every_arrival_enters_again() -> None:
    run = Run(document({"key": "a", "split": "all"}, "x", "y", "m", a=["x", "y"], x="m", y="m"))
    run.succeed("a", "x", "y")
    assert run.live == ["m", "m"]


def test_when_nothing_holds_the_step_fails() -> None:
    run = Run(document({"key": "a", "split": "all"}, "x", "y", a=[("x", "when"), ("y", "when")]))
    run.succeed("a")
    run.choose("a")
    assert run.status() is Status.failed
    assert (run.finish.visit, run.finish.reason) == (1, "no_transition")
    assert run.journal == [("a", "FAILED")]


def test_when_nothing_holds_the_error_route_is_taken_and_nothing_is_tried_again() -> None:
    step = {"key": "a", "split": "all", "on_error": "y", "required": False, "retry": {"attempts": 5}}
    run = Run(document(step, "x", "y", a=[("x", "when")]))
    run.succeed("a")
    run.choose("a")
    assert run.live == ["y"]
    (row,) = run.latest(Settle)
    assert (row.how, row.reason, row.taken, row.retry_at) == (Settlement.failed, "no_transition", ("y",), None)


def test_a_loop_ends_when_its_visits_are_used_up() -> None:
    run = Run(document({"key": "a", "max_visits": 2, "on_error": "out"}, "b", "out", a="b", b="a"))
    for _ in range(2):
        run.succeed("a", "b")
    assert run.live == ["out"]
    rows = run.latest(Settle)
    assert [(row.step, row.how.value, row.reason) for row in rows] == [
        ("b", "COMPLETED", ""),
        ("a", "FAILED", "visits_exhausted"),
    ]
    run.succeed("out")
    assert run.status() is Status.completed


def test_a_loop_without_a_way_out_fails_the_execution() -> None:
    run = Run(document({"key": "a", "max_visits": 1}, "b", a="b", b="a"))
    run.succeed("a", "b")
    assert (run.status(), run.finish.reason) == (Status.failed, "visits_exhausted")
    assert run.ran == ["a", "b"]


def test_an_end_step_runs_like_others_and_ends_its_branch() -> None:
    run = Run(document("a", {"key": "z", "type": "end"}, a="z"))
    run.succeed("a")
    assert run.live == ["z"]
    run.succeed("z")
    assert run.finish.result == 2


def test_it_starts_once() -> None:
    run = Run(document("a"))
    before = run.state
    assert run.send(run.events[0]) == ()
    assert run.state is before


def test_nothing_is_heard_before_the_start() -> None:
    run = Run(document("a"), started=False)
    before = run.state
    assert run.send(StepSucceeded(NOON, 1, 1)) == ()
    assert run.state is before
