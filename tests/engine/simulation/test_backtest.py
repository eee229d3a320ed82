"""Past executions through another version: what ends differently, where they part, and nothing for the same version."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from tests.engine.conftest import Engine, ok
from tests.engine.documents import call, chain, step
from tests.engine.test_compensation import trip

from weft.core.actor import Actor
from weft.core.ports import HttpError, HttpRequest, HttpResponse
from weft.engine.news import Cancelled, News, Retried
from weft.engine.plans import Plan
from weft.engine.simulation import history
from weft.engine.simulation.backtest import Backtest, summary
from weft.engine.simulation.runs import compiled
from weft.engine.simulation.script import read_script

BIG = {"when": {"field": "input.amount", "operator": "greater_than", "value": 100}}
LATE = "{{ vars.late is defined }}"
PRICED: dict[str, Any] = {
    "steps": [
        call("pay", retry={"attempts": 3, "backoff": "fixed", "initial": "10ms", "on": ["http_5xx"]}, on_error="late"),
        step("check", "condition"),
        step("big", "transform", {"output": {"class": "big", "body": "{{ steps.pay.output.body }}"}}),
        step("small", "transform", {"output": {"class": "small"}}),
        step("late", "set", {"vars": {"late": True}}),
        step(
            "done",
            "end",
            {"output": {"big": "{{ steps.big.output | default(none) }}", "late": "{{ vars.late is defined }}"}},
        ),
    ],
    "transitions": [
        {"from": "pay", "to": "check"},
        {"from": "check", "to": "big", **BIG},
        {"from": "check", "to": "small", "default": True},
        {"from": "big", "to": "done"},
        {"from": "small", "to": "done"},
        {"from": "late", "to": "done"},
    ],
}


async def backtested(engine: Engine, workflow: UUID, plan: Plan | None = None, script: Any = None) -> dict[str, Any]:
    rows = await history.finished(engine.driver, engine.actor, workflow, history.Which(1000))
    if plan is None:
        plan = (await engine.driver.load(engine.actor.tenant_id, [rows[0]["id"]]))[rows[0]["id"]].plan
    backtest = Backtest(plan, engine.driver.evaluator.guard, read_script(script))
    compared = await backtest.compared(history.pasts(engine.driver, engine.actor, rows), wanted=len(rows))
    return summary("w", "v", compared)


def changed(ways: Any = PRICED["transitions"], **replaced: Any) -> Plan:
    """The priced workflow with some steps replaced, by key."""
    steps = [replaced.get(one["key"], one) for one in PRICED["steps"]]
    return compiled({"name": "w", **PRICED, "steps": steps, "transitions": ways})


async def priced(engine: Engine, amounts: Sequence[int]) -> UUID:
    workflow = await engine.workflow({**PRICED})
    for amount in amounts:
        await engine.start(workflow, {"amount": amount})
    await engine.settle()
    return workflow


async def test_the_same_version_changes_nothing(engine: Engine) -> None:
    busy = iter([503, 200, 503, 503, 503, 200, 404])

    def reply(request: HttpRequest) -> HttpResponse:
        return ok(b'{"paid": 1.5}', next(busy, 200))

    engine.http.replies = [reply]
    workflow = await engine.workflow({**PRICED})
    for amount in (5, 500, 7, 700):
        await engine.start(workflow, {"amount": amount})
        await engine.settle(until=lambda jobs: not jobs)
    result = await backtested(engine, workflow)
    assert (result["executions"], result["same"], result["different"]) == (4, 4, 0)
    assert (result["parts_at"], result["not_recorded"]) == ({}, {})
    assert result["duration"]["before"] == result["duration"]["after"]
    assert len(engine.http.requests) == 7, "nothing was called again"


async def test_another_version_shows_what_ends_differently_and_where(engine: Engine) -> None:
    workflow = await priced(engine, [50, 150, 250])
    plan = changed(big=step("big", "transform", {"output": {"class": "huge", "body": "{{ steps.pay.output.body }}"}}))
    result = await backtested(engine, workflow, plan)
    assert (result["same"], result["different"]) == (1, 2)
    assert result["parts_at"] == {"big": 2}
    row = next(row for row in result["rows"] if row["verdict"] == "different")
    assert row["changes"] == [{"path": "output.big.class", "before": "big", "after": "huge"}]
    assert row["parts_at"] == {"step": "big", "attempt": 1, "what": "puts out something else"}


async def test_a_failure_is_a_change_too(engine: Engine) -> None:
    workflow = await priced(engine, [50, 150])
    ways = [way for way in PRICED["transitions"] if way["from"] != "small"]
    plan = changed(ways, small=step("small", "fail", {"message": "Too small to be paid."}))
    result = await backtested(engine, workflow, plan)
    assert result["statuses"] == {"COMPLETED -> COMPLETED": 1, "COMPLETED -> FAILED": 1}
    row = next(row for row in result["rows"] if row["verdict"] == "different")
    assert row["after"]["error"]["message"] == "Too small to be paid."
    assert row["changes"][0] == {"path": "status", "before": "COMPLETED", "after": "FAILED"}


async def test_what_was_undone_is_undone_again(engine: Engine) -> None:
    """The definition has decided it, nobody by hand: and another version may not come to that."""
    engine.http.replies = [lambda request: ok(status=402 if request.url.endswith("/pay") else 200)]
    workflow = await engine.workflow(trip())
    await engine.start(workflow, None)
    await engine.settle()
    result = await backtested(engine, workflow)
    assert (result["same"], result["parts_at"], result["not_recorded"]) == (1, {}, {})
    mended = trip()
    mended["steps"][2] |= {"required": False}
    result = await backtested(engine, workflow, compiled({"name": "w", **mended}))
    assert result["statuses"] == {"FAILED -> COMPLETED": 1}
    assert result["parts_at"] == {"pay": 1}


async def test_a_step_without_a_recorded_answer_is_said_and_scripted(engine: Engine) -> None:
    workflow = await priced(engine, [150])
    plan = changed(big=call("big"))
    script = {"steps": {"big": {"output": {"a": 1}, "cost": 2, "duration": "9s"}}}
    result = await backtested(engine, workflow, plan, script)
    assert result["not_recorded"] == {"big": 1}
    assert result["cost"] == {"before": 0.0, "after": 2.0}
    assert result["rows"][0]["after"]["seconds"] == pytest.approx(result["rows"][0]["before"]["seconds"] + 9)
    assert engine.http.requests[1:] == []


async def test_an_input_that_is_not_accepted_any_more(engine: Engine) -> None:
    workflow = await priced(engine, [150])
    schema = {"type": "object", "properties": {"amount": {"type": "integer", "maximum": 100}}}
    result = await backtested(engine, workflow, compiled({"name": "w", **PRICED, "input": schema}))
    row = result["rows"][0]
    assert (row["verdict"], row["after"]["status"]) == ("different", "REFUSED")


async def test_less_patience_shows(engine: Engine) -> None:
    workflow = await priced(engine, [150])
    plan = changed(pay=call("pay", timeout="0.000001s", on_error="late"))
    row = (await backtested(engine, workflow, plan))["rows"][0]
    assert row["parts_at"]["what"] == "ended as COMPLETED, now as FAILED"
    assert row["changes"][-1] == {"path": "output.late", "before": False, "after": True}


async def test_what_people_have_changed_is_no_example(engine: Engine) -> None:
    engine.http.replies = [HttpError("connection", "The server is away.", retryable=False), ok()]
    workflow = await engine.workflow(chain(call("pay"), step("done", "end", {})))
    started = await engine.start(workflow, {})
    await engine.settle()
    await engine.driver.deliver(engine.actor.tenant_id, [News(started.id, Retried("Ada"))])
    await engine.settle()
    cancelled = await engine.start(workflow, {})
    await engine.driver.deliver(engine.actor.tenant_id, [News(cancelled.id, Cancelled("", "Ada"))])
    await engine.start(workflow, {}, metadata={"simulation": True}, inline=True)
    result = await backtested(engine, workflow)
    assert (result["executions"], result["skipped"]) == (1, 1)
    assert "Retried by Ada" in result["rows"][0]["reason"]


async def test_another_tenant_has_no_history_here(engine: Engine, bob: Actor) -> None:
    workflow = await priced(engine, [150])
    assert await history.finished(engine.driver, bob, workflow, history.Which(10)) == []


# -- random workflows, really run --------------------------------------------------------------------------------


def random_workflow(chance: random.Random) -> dict[str, Any]:
    """Steps of many kinds one after the other, with branches, loops over items and failures among them."""
    steps: list[dict[str, Any]] = []
    for place in range(chance.randint(2, 6)):
        key = f"s{place}"
        retry = {"attempts": chance.randint(1, 3), "backoff": "fixed", "initial": "1ms", "max": "1ms"}
        match chance.randrange(6):
            case 0:
                steps.append(call(key, retry=retry, required=chance.random() < 0.7))
            case 1:
                steps.append(step(key, "transform", {"output": {"at": "{{ now }}", "n": "{{ input.n }}"}}))
            case 2:
                steps.append(step(key, "delay", {"for": f"{chance.randint(0, 20)}ms"}))
            case 3:
                body = {"steps": [call("in", required=False), step("out", "transform", {"output": "{{ index }}"})],
                        "transitions": [{"from": "in", "to": "out"}]}  # fmt: skip
                steps.append(
                    step(key, "for_each", {"items": [1, 2, 3], "concurrency": chance.randint(1, 3), "body": body})
                )
            case 4:
                steps.append(step(key, "sub_workflow", {"workflow": "leaf"}, required=chance.random() < 0.5))
            case _:
                steps.append(step(key, "set", {"vars": {key: "{{ execution.number }}"}}))
    steps.append(step("done", "end", {"output": "{{ vars }}"}))
    return chain(*steps)


@pytest.mark.parametrize("seed", range(6))
async def test_real_histories_of_random_workflows_differ_in_nothing(engine: Engine, seed: int) -> None:
    chance = random.Random(seed)
    await engine.workflow({"name": "leaf", **chain(call("leaf"), step("done", "end", {"output": "{{ now }}"}))})

    def reply(request: HttpRequest) -> HttpResponse:
        return ok(b'{"a": [1, 2.5, true, null]}', chance.choice([200, 200, 200, 503, 404]))

    engine.http.replies = [reply]
    flows = [await engine.workflow(random_workflow(chance)) for _ in range(4)]
    for flow in flows:
        for number in range(4):
            await engine.start(flow, {"n": number})
    await engine.settle(until=lambda jobs: not jobs, workers=2)
    asked = len(engine.http.requests)
    for flow in flows:
        result = await backtested(engine, flow)
        told = [(row["changes"], row["parts_at"]) for row in result["rows"] if row["changes"] or row["parts_at"]]
        assert told == []
        assert (result["same"], result["not_recorded"]) == (4, {})
    assert len(engine.http.requests) == asked
