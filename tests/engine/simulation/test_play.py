"""Whole simulations: time that passes at once, coverage, assertions, limits, and the same bytes for the same seed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.engine.conftest import PATIENCE
from tests.engine.documents import call, chain, step

from weft.domain.workflows.errors import DefinitionUnsound
from weft.engine import registry
from weft.engine.kinds import Call, Ports
from weft.engine.outcomes import Outcome
from weft.engine.plans import InputInvalid
from weft.engine.simulation import play
from weft.engine.simulation.errors import AssertionUnclear, InputNotMade, SimulationTooLong
from weft.engine.simulation.play import Limits
from weft.engine.simulation.report import NAMES
from weft.engine.simulation.runs import Played, Simulation, Wanted, compiled
from weft.engine.simulation.script import read_script
from weft.engine.simulation.service import simulated
from weft.engine.steps.http import STEP as HTTP
from weft.expressions.guard import Guard
from weft.worker import errands

ROOT = Path(__file__).parents[3]


@pytest.fixture
async def guard() -> AsyncIterator[Guard]:
    registry.kinds()
    async with Guard(children=1, wall_limit=PATIENCE) as opened:
        yield opened


@pytest.fixture(autouse=True)
def nothing_is_performed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def perform(call: Call, ports: Ports) -> Outcome:
        raise AssertionError(f"{call.step} was performed")

    monkeypatch.setattr(HTTP, "perform", perform)


async def one(guard: Guard, document: dict[str, Any], value: Any = None, **script: Any) -> Played:
    wanted = Wanted(inputs=[{} if value is None else value], script=read_script(script))
    (played,) = [each async for each in Simulation(compiled({"name": "w", **document}), wanted, guard).played()]
    return played


# -- time --------------------------------------------------------------------------------------------------------


async def test_waits_pass_at_once_and_errands_overlap(guard: Guard) -> None:
    document = {
        "steps": [
            step("begin", "parallel"),
            call("slow"),
            call("quick"),
            step("sleep", "delay", {"for": "1h"}),
            step("end", "end", {"output": "{{ now }}"}, join="all"),
        ],
        "transitions": [
            {"from": "begin", "to": "slow"},
            {"from": "begin", "to": "quick"},
            {"from": "begin", "to": "sleep"},
            {"from": "slow", "to": "end"},
            {"from": "quick", "to": "end"},
            {"from": "sleep", "to": "end"},
        ],
    }
    steps = {"slow": {"duration": "90s"}, "quick": {"duration": "80s"}}
    played = await one(guard, document, steps=steps)
    assert (played.status, played.seconds) == ("COMPLETED", 3600.0)
    assert played.output == "2026-01-01T01:00:00+00:00"
    assert {s.path: s.ended for s in played.steps if s.path in steps} == {"slow": 90.0, "quick": 80.0}


async def test_a_wait_that_is_too_long_is_timed_out(guard: Guard) -> None:
    document = {
        **chain(step("wait", "sub_workflow", {"workflow": "leaf"}, timeout="1m", on_error="late"), step("end", "end")),
    }
    document["steps"].append(step("late", "end"))
    leaf = {"name": "leaf", **chain(step("long", "delay", {"for": "2m"}), step("end", "end"))}
    played = await one(guard, document, workflows={"leaf": leaf})
    assert (played.ends, played.seconds) == (("late",), 60.0)


async def test_a_wait_that_is_content_with_nothing_goes_on_as_it_would_in_earnest(guard: Guard) -> None:
    wait = step("wait", "wait_for_event", {"event": "order.paid", "on_timeout": "continue"}, timeout="1m")
    document = chain(wait, step("end", "end", {"output": "{{ steps.wait.output is none }}"}))
    played = await one(guard, document, steps={"wait": {"duration": "2m"}})
    assert (played.status, played.output, played.seconds) == ("COMPLETED", True, 60.0)


def test_errands_have_the_time_that_the_worker_gives_them() -> None:
    assert play.LONGEST_ERRAND == errands.ERRAND_TIMEOUT


async def test_sub_workflows_are_played_inside(guard: Guard) -> None:
    parent = chain(
        step("sub", "sub_workflow", {"workflow": "Leaf", "input": {"n": "{{ input.n }}"}}),
        step("end", "end", {"output": "{{ steps.sub.output }}"}),
    )
    leaf = {
        "name": "leaf",
        "input": {"type": "object", "required": ["n"]},
        **chain(call("pay"), step("end", "end", {"output": "{{ input.n }} {{ steps.pay.output.body }}"})),
    }
    script = {"steps": {"pay": {"output": {"body": "paid"}, "duration": "5s", "cost": 3}}, "workflows": {"leaf": leaf}}
    played = await one(guard, parent, {"n": 7}, **script)
    assert (played.output, played.seconds, played.cost) == ("7 paid", 5.0, 3.0)


async def test_a_workflow_that_starts_itself_ends(guard: Guard) -> None:
    again = {"name": "again", **chain(step("sub", "sub_workflow", {"workflow": "again"}), step("end", "end"))}
    played = await one(guard, again, workflows={"again": again})
    assert (played.status, played.error and played.error["kind"]) == ("FAILED", "sub_workflow")


# -- results -----------------------------------------------------------------------------------------------------

BRANCHES: dict[str, Any] = {
    "name": "branches",
    "input": {"type": "object", "required": ["n"], "additionalProperties": False,
              "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 100}}},
    "steps": [
        call("pay", on_error="no"),
        step("check", "condition"),
        step("high", "end"),
        step("low", "fail", {"message": "Too low: {{ input.n }}"}),
        step("no", "end"),
    ],
    "transitions": [
        {"from": "pay", "to": "check"},
        {"from": "check", "to": "high", "when": "input.n > 30"},
        {"from": "check", "to": "low", "default": True},
    ],
}  # fmt: skip


async def result_of(guard: Guard, assertions: list[str], **wanted: Any) -> dict[str, Any]:
    simulation = Simulation(compiled(BRANCHES), Wanted(**{"runs": 300, **wanted}), guard)
    return await simulated(simulation, guard, assertions=assertions)


async def test_the_result_counts_outcomes_ends_errors_and_coverage(guard: Guard) -> None:
    script = read_script({"steps": {"pay": {"duration": {"uniform": ["1s", "3s"]}}, "pya": {"output": 1}}})
    assertions = ["completed + failed == 1", "p95_duration < 2", "coverage.steps == 1", "ends.high > 200"]
    result = await result_of(guard, assertions, script=script)
    assert result["statuses"]["COMPLETED"] + result["statuses"]["FAILED"] == 300
    assert result["completed"] == pytest.approx(0.67, abs=0.1)
    assert result["ends"] == {"high": result["statuses"]["COMPLETED"], "low": result["statuses"]["FAILED"]}
    (error,) = result["errors"]
    assert (error["step"], error["kind"], error["runs"]) == ("low", "fail", result["statuses"]["FAILED"])
    assert result["coverage"]["steps_missed"] == ["no"]
    assert result["coverage"]["transitions_missed"] == ["pay -> no"]
    assert result["coverage"] == {**result["coverage"], "steps": 0.8, "transitions": 0.75}
    assert 1 <= result["p50_duration"] <= result["p80_duration"] <= result["p95_duration"] <= 3
    assert sum(bar["runs"] for bar in result["duration"]["histogram"]) == 300
    assert [one["holds"] for one in result["assertions"]] == [True, False, False, result["ends"]["high"] > 200]
    assert result["passed"] is False
    assert result["script_unused"] == ["pya"]


async def test_every_name_of_an_assertion_is_there(guard: Guard) -> None:
    result = await result_of(guard, [f"({name}) is defined" for name in NAMES], runs=3)
    assert result["passed"] is True


@pytest.mark.parametrize(
    ("assertion", "words"),
    [("compelted > 0.9", "there is no `compelted`"), ("completed >", "cannot be judged"), ("runs", "true or false")],
)
async def test_an_assertion_that_gives_no_verdict(guard: Guard, assertion: str, words: str) -> None:
    with pytest.raises(AssertionUnclear, match=words):
        await result_of(guard, [assertion], runs=1)


async def test_what_cannot_be_played(guard: Guard) -> None:
    with pytest.raises(DefinitionUnsound):
        compiled({"name": "w", "steps": [], "transitions": []})
    with pytest.raises(InputInvalid, match="n"):
        await result_of(guard, [], inputs=[{"n": 0}])
    never = {**BRANCHES, "input": {**BRANCHES["input"], "not": {}}}
    with pytest.raises(InputNotMade):
        await simulated(Simulation(compiled(never), Wanted(), guard), guard)


async def test_limits_of_visits_bytes_and_time(guard: Guard) -> None:
    body = chain(step("a", "transform", {"output": ["{{ index }}"]}))
    loop = {"items": "range(2000) | list", "concurrency": 100, "body": body}
    many = chain(step("many", "for_each", loop), step("end", "end"))
    simulation = Simulation(compiled({"name": "w", **many}), Wanted(limits=Limits(visits=500)), guard)
    (stopped,) = [each async for each in simulation.played()]
    assert (stopped.status, stopped.error and stopped.error["message"]) == (
        "UNFINISHED", "It was stopped after more than 500 visits of steps.",
    )  # fmt: skip
    simulation = Simulation(compiled({"name": "w", **many}), Wanted(inputs=[{}], limits=Limits(bytes=100)), guard)
    (stopped,) = [each async for each in simulation.played()]
    assert stopped.status == "UNFINISHED"
    ticks = iter(range(1_000))
    slow = Simulation(compiled(BRANCHES), Wanted(runs=500), guard, seconds=20, clock=lambda: float(next(ticks)))
    with pytest.raises(SimulationTooLong, match="of 500 runs were done"):
        [each async for each in slow.played()]


async def test_others_have_their_turns_meanwhile(guard: Guard) -> None:
    """A request that comes while a simulation runs waits for a slice, not for the simulation."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    meanwhile = asyncio.create_task(other())
    await simulated(Simulation(compiled(BRANCHES), Wanted(runs=100), guard, side_by_side=2), guard)
    meanwhile.cancel()
    assert turns >= 50


# -- the same bytes ----------------------------------------------------------------------------------------------


def test_two_processes_with_one_seed_write_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "script.yaml").write_text(
        "kinds:\n  http:\n    - {probability: 0.2, fail: {kind: http_5xx}, duration: {exponential: 1s}}\n"
        "    - {duration: {p50: 100ms, p95: 2s}, cost: 0.01}\n"
    )
    workflows = ROOT / "examples" / "workflows"
    command = [
        sys.executable, "-m", "weft", "workflow", "simulate", str(workflows / "invoice.yaml"), "--with",
        str(workflows / "settle-invoice.yaml"), "--script", "script.yaml", "--runs", "15", "--json", "--trace",
    ]  # fmt: skip
    begun = [
        subprocess.Popen(
            [*command, f"{seed}.jsonl"],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
        )
        for seed in ("1", "4242")
    ]
    said = [process.communicate() for process in begun]
    assert said[0] == said[1]
    assert [process.returncode for process in begun] == [0, 0]
    one, other = [(tmp_path / f"{seed}.jsonl").read_bytes() for seed in ("1", "4242")]
    assert one == other
    assert one.count(b"\n") > 200


async def test_another_seed_is_another_simulation(guard: Guard) -> None:
    script = read_script({"steps": {"pay": {"duration": {"uniform": ["1s", "3s"]}}}})
    one, other, same = [await result_of(guard, [], runs=20, seed=seed, script=script) for seed in (1, 2, 1)]
    assert one == same
    assert one["duration"] != other["duration"]


# -- undoing -----------------------------------------------------------------------------------------------------


async def test_a_step_that_undoes_sees_what_it_undoes(guard: Guard) -> None:
    """In its config, and in what the script says of it."""
    document = chain(
        call("book", compensate="cancel"),
        step("pay", "fail", {"message": "no"}),
    )
    document["steps"].append(call("cancel") | {"config": {"url": "http://stub/{{ compensating.output.body.id }}"}})
    script = {
        "book": {"output": {"status": 200, "headers": {}, "body": {"id": "B-1"}}},
        "cancel": [
            {"when": "compensating.step != 'book'", "fail": {"kind": "wrong", "message": "no"}},
            {"output": "{{ config.url }} {{ compensating.output.body.id }}"},
        ],
    }
    played = await one(guard, document, steps=script)
    assert played.error is not None
    assert (played.error["kind"], played.error["message"]) == ("fail", "no")
