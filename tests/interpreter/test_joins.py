"""Joins: all, any, at least so many; in loops, after choices, one behind the other."""

from __future__ import annotations

from typing import Any

import pytest
from tests.interpreter.running import Run, document

from weft.interpreter.commands import CancelStep, Finish
from weft.interpreter.state import ROOT, Status


def fork(join: Any, *branches: str) -> dict[str, Any]:
    return document(
        {"key": "p", "type": "parallel"},
        *branches,
        {"key": "j", "join": join},
        "z",
        p=list(branches),
        **dict.fromkeys(branches, "j"),
        j="z",
    )


def test_all_waits_for_every_branch() -> None:
    run = Run(fork("all", "a", "b", "c"))
    run.succeed("p", "b", "c")
    assert run.live == ["a"]
    run.succeed("a")
    assert run.live == ["j"]
    run.succeed("j", "z")
    assert run.status() is Status.completed
    assert run.ran.count("j") == 1


def test_all_does_not_wait_for_a_branch_that_was_not_taken() -> None:
    written = fork("all", "a", "b", "c")
    written["steps"][0]["split"] = "any"
    for transition in written["transitions"][:2]:
        transition["when"] = "input.x"
    written["transitions"][2]["default"] = True
    run = Run(written)
    run.succeed("p")
    run.choose("p", "a")
    run.succeed("a")
    assert run.live == ["j"]


def test_all_stops_waiting_when_a_branch_ends_elsewhere() -> None:
    run = Run(
        document(
            {"key": "p", "type": "parallel"},
            "a",
            "b",
            "c",
            "side",
            {"key": "j", "join": "all"},
            p=["a", "b"],
            a="j",
            b=[("c", "when"), ("side", "default")],
            c="j",
        )
    )
    run.succeed("p", "a", "b")
    assert run.live == ["b"]  # c may still come
    run.choose("b")
    assert run.live == ["side", "j"]


def test_all_behind_all_waits_for_the_first_to_fire() -> None:
    run = Run(
        document(
            {"key": "p", "type": "parallel"},
            "a",
            "b",
            "c",
            {"key": "i", "join": "all"},
            {"key": "j", "join": "all"},
            p=["a", "b", "c"],
            a="i",
            b="i",
            c="j",
            i="j",
        )
    )
    run.succeed("p", "a", "c")
    assert run.live == ["b"]  # i waits for b, and j for i
    run.succeed("b")
    assert run.live == ["i"]
    run.succeed("i")
    assert run.live == ["j"]
    run.succeed("j")
    assert run.ran.count("j") == 1


@pytest.mark.parametrize(("join", "needed"), [("any", 1), ({"at_least": 1}, 1), ({"at_least": 2}, 2)])
def test_any_and_at_least_fire_once_and_swallow_the_rest(join: Any, needed: int) -> None:
    run = Run(fork(join, "a", "b", "c"))
    run.succeed("p")
    for count, branch in enumerate(("c", "a", "b"), start=1):
        run.succeed(branch)
        assert ("j" in run.live) is (count >= needed)
    assert run.live == ["j"]
    run.succeed("j", "z")
    assert run.status() is Status.completed
    assert run.ran.count("j") == 1
    assert run.state.frames[ROOT].arrived == {}
    assert run.state.frames[ROOT].fired == {}


def test_the_execution_goes_on_while_late_branches_run() -> None:
    run = Run(fork("any", "a", "b"))
    run.succeed("p", "a", "j", "z")
    assert run.status() is Status.running
    run.succeed("b")
    assert run.finish.result == 5  # z: the swallowed branch has no result of its own


def test_at_least_fails_as_soon_as_too_few_can_come() -> None:
    written = fork({"at_least": 2}, "a", "b", "c")
    written["steps"].append({"key": "side", "type": "set"})
    written["transitions"] += [{"from": key, "to": "side", "default": True} for key in ("b", "c")]
    for transition in written["transitions"]:
        if transition["to"] == "j" and transition["from"] in ("b", "c"):
            transition["when"] = "input.x"
    run = Run(written)
    run.succeed("p", "a", "b")
    run.choose("b")
    assert run.status() is Status.running
    run.succeed("c")
    run.choose("c")
    assert run.status() is Status.failed
    assert (run.finish.visit, run.finish.reason) == (None, "join_starved")
    assert [command.step for command in run.latest(CancelStep)] == ["side", "side"]

    run.retry()
    assert run.status() is Status.failed  # nothing has changed: too few came
    assert run.latest(Finish)[0].reason == "join_starved"


def loop(join: str) -> dict[str, Any]:
    return document(
        {"key": "a", "type": "parallel", "max_visits": 3, "on_error": "out"},
        "x",
        "y",
        {"key": "j", "join": join},
        "out",
        a=["x", "y"],
        x="j",
        y="j",
        j=[("a", "when"), ("out", "default")],
    )


def test_a_join_inside_a_loop_joins_each_turn() -> None:
    run = Run(loop("all"))
    for _ in range(2):
        run.succeed("a", "x")
        assert run.live == ["y"]
        run.succeed("y", "j")
        run.choose("j", "a")
    run.succeed("a", "y", "x", "j")
    run.choose("j")
    assert run.live == ["out"]
    assert run.ran.count("j") == 3


def test_any_inside_a_loop_does_not_take_a_straggler_for_the_next_turn() -> None:
    run = Run(loop("any"))
    run.succeed("a", "x", "j")
    run.choose("j", "a")
    run.succeed("a")
    assert run.live == ["y", "x", "y"]  # y of the first turn is still on its way
    run.succeed("y")
    assert run.live == ["x", "y"]  # swallowed: it belongs to the first turn
    run.succeed("x")
    assert run.live == ["y", "j"]
    run.succeed("j", "y")
    run.choose("j")
    run.succeed("out")
    assert run.status() is Status.completed
    assert run.ran.count("j") == 2


def test_a_fast_branch_a_turn_ahead_does_not_complete_the_wave_of_a_slow_one() -> None:
    run = Run(loop("any"))
    run.succeed("a", "x", "j")
    run.choose("j", "a")
    run.succeed("a")
    run.succeed("x")
    assert run.live == ["y", "y", "j"]  # the second wave fired although y of the first has not come
    run.succeed("y", "y")
    assert run.live == ["j"]


def test_a_way_back_into_a_join_enters_at_once() -> None:
    run = Run(
        document(
            {"key": "p", "type": "parallel"},
            "a",
            "b",
            {"key": "j", "join": "all", "max_visits": 5},
            "k",
            "out",
            p=["a", "b"],
            a="j",
            b="j",
            j="k",
            k=[("j", "when"), ("out", "default")],
        )
    )
    run.succeed("p", "a", "b", "j", "k")
    run.choose("k", "j")
    assert run.live == ["j"]
    run.succeed("j", "k")
    run.choose("k")
    run.succeed("out")
    assert run.status() is Status.completed


def test_an_error_route_into_a_join_is_no_arrival() -> None:
    written = fork("all", "a", "b")
    written["steps"][1]["on_error"] = "j"
    run = Run(written)
    run.succeed("p")
    run.fail("a")
    assert run.live == ["b", "j"]
    run.succeed("j", "b")
    assert run.live == ["z", "j"]


def test_a_join_of_one_branch_is_a_step_like_others() -> None:
    run = Run(document("a", {"key": "j", "join": "all"}, a="j"))
    run.succeed("a", "j")
    assert run.status() is Status.completed


def test_a_join_may_stand_at_the_start() -> None:
    run = Run(document({"key": "j", "type": "join"}, "a", j="a"))
    run.succeed("j", "a")
    assert run.status() is Status.completed


def test_a_loop_upstream_of_a_join_is_waited_for() -> None:
    run = Run(
        document(
            {"key": "p", "type": "parallel"},
            "a",
            {"key": "h", "max_visits": 9},
            "t",
            {"key": "j", "join": "all"},
            p=["a", "h"],
            h="t",
            t=[("h", "when"), ("j", "default")],
            a="j",
        )
    )
    run.succeed("p", "a")
    for _ in range(3):
        run.succeed("h", "t")
        assert run.live == ["t"]
        run.choose("t", "h")
        assert run.live == ["h"]
    run.succeed("h", "t")
    run.choose("t")
    assert run.live == ["j"]
