"""Workflows run from start to end on a real database, in memory and through the queue."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.engine.conftest import Engine, ok
from tests.engine.documents import FIVE, INPUT, call, chain, step

from weft.core.errors import Conflict, NotFound
from weft.core.ports import HttpError
from weft.engine.news import Cancelled, News, Retried
from weft.engine.plans import InputInvalid
from weft.engine.start_errors import IdempotencyKeyReused, WorkflowNotActive, WorkflowUnknown


async def test_a_workflow_without_an_outside_world_ends_in_its_start(engine: Engine) -> None:
    workflow = await engine.workflow(FIVE)
    result = await engine.start(workflow, INPUT, inline=True)
    assert result.status == "COMPLETED"
    assert result.output == {"customer": "c-1", "big": True, "total": 1045}
    assert result.number == 1
    assert await engine.jobs() == []
    assert [s for s, _, _ in await engine.journal(result.id)] == ["rename", "total", "check", "big", "done"]
    row = await engine.execution(result.id)
    assert (row["status"], row["output"], row["state"]) == ("COMPLETED", result.output, None)


async def test_the_same_through_the_queue(engine: Engine) -> None:
    workflow = await engine.workflow(FIVE)
    result = await engine.start(workflow, INPUT | {"items": []})
    assert result.status == "PENDING"
    await engine.settle()
    row = await engine.execution(result.id)
    assert row["status"] == "COMPLETED"
    assert row["output"] == {"customer": "c-1", "big": False, "total": 0}
    assert row["started_at"] <= row["completed_at"]
    assert await engine.jobs() == []


async def test_numbers_count_up_within_a_workflow(engine: Engine) -> None:
    first, second = await engine.workflow(chain(step("a", "transform"))), await engine.workflow(chain(step("a", "end")))
    numbers = [(await engine.start(w, None, inline=True)).number for w in (first, second, first, first)]
    assert numbers == [1, 1, 2, 3]


async def test_an_effect_is_called_once_and_its_answer_is_the_output(engine: Engine) -> None:
    engine.http.replies = [ok(b'{"paid": true}')]
    workflow = await engine.workflow(chain(call(), step("end", "end", {"output": "{{ steps.call.output.body.paid }}"})))
    result = await engine.start(workflow, None)
    await engine.settle()
    row = await engine.execution(result.id)
    assert (row["status"], row["output"]) == ("COMPLETED", True)
    assert engine.http.keys == [f"{result.id}:call:1:1"]
    assert await engine.journal(result.id) == [("call", 1, "COMPLETED"), ("end", 1, "COMPLETED")]


async def test_a_failed_attempt_is_tried_again_when_its_time_has_come(engine: Engine) -> None:
    engine.http.replies = [ok(status=503), HttpError("connection", "refused", retryable=True), ok()]
    workflow = await engine.workflow(chain(call(retry={"attempts": 3, "initial": "60s", "jitter": False})))
    result = await engine.start(workflow, None)
    for attempts in (1, 2):
        await engine.settle()
        assert len(engine.http.requests) == attempts
        row = await engine.execution(result.id)
        assert row["status"] == "WAITING"
        engine.clock.advance(200)
    await engine.settle()
    assert (await engine.execution(result.id))["status"] == "COMPLETED"
    assert engine.http.keys == [f"{result.id}:call:1:{attempt}" for attempt in (1, 2, 3)]
    assert [s for _, _, s in await engine.journal(result.id)] == ["FAILED", "FAILED", "COMPLETED"]


async def test_a_failure_that_nobody_deals_with_fails_the_execution_and_a_retry_goes_on(engine: Engine) -> None:
    engine.http.replies = [ok(status=400), ok(b'{"x": 2}')]
    workflow = await engine.workflow(
        chain(step("first", "set", {"vars": {"seen": 1}}), call(), step("end", "end", {"output": "{{ vars.seen }}"}))
    )
    result = await engine.start(workflow, None)
    await engine.settle()
    row = await engine.execution(result.id)
    assert row["status"] == "FAILED"
    assert row["error"]["kind"] == "http_4xx"
    assert row["error"]["step"] == "call"
    await engine.driver.deliver(engine.actor.tenant_id, [News(result.id, Retried("ada"))])
    await engine.settle()
    row = await engine.execution(result.id)
    assert (row["status"], row["output"], row["error"]) == ("COMPLETED", 1, None)
    steps = await engine.journal(result.id)
    assert [s for s in steps if s[0] == "first"] == [("first", 1, "COMPLETED")], "what was completed does not run again"
    assert len(set(engine.http.keys)) == 2


async def test_the_error_route_and_the_optional_step(engine: Engine) -> None:
    engine.http.replies = [ok(status=400)]
    document: dict[str, Any] = {
        "steps": [
            call("optional", required=False),
            call("routed", on_error="refuse"),
            step("never", "end"),
            step(
                "refuse",
                "end",
                {"output": {"why": "{{ steps.routed.error.kind }}", "first": "{{ steps.optional.status }}"}},
            ),
        ],
        "transitions": [{"from": "optional", "to": "routed"}, {"from": "routed", "to": "never"}],
    }
    result = await engine.start(await engine.workflow(document), None)
    await engine.settle()
    row = await engine.execution(result.id)
    assert (row["status"], row["output"]) == ("COMPLETED", {"why": "http_4xx", "first": "SKIPPED"})


async def test_a_condition_sees_the_output_of_its_own_step(engine: Engine) -> None:
    document: dict[str, Any] = {
        "steps": [
            step("score", "transform", {"output": {"risk": "{{ input.risk }}"}}),
            step("high", "end", {"output": "high"}),
            step("low", "end", {"output": "low"}),
        ],
        "transitions": [
            {
                "from": "score",
                "to": "high",
                "when": "steps.score.output.risk > 0.5 and steps.score.status == 'COMPLETED'",
            },
            {"from": "score", "to": "low", "default": True},
        ],
    }
    workflow = await engine.workflow(document)
    assert (await engine.start(workflow, {"risk": 0.9}, inline=True)).output == "high"
    assert (await engine.start(workflow, {"risk": 0.1}, inline=True)).output == "low"


async def test_parallel_branches_meet_in_a_join(engine: Engine) -> None:
    document: dict[str, Any] = {
        "steps": [
            step("fork", "parallel"),
            call("left"),
            call("right"),
            step("quick", "transform", {"output": 3}),
            step("meet", "join"),
            step(
                "end",
                "end",
                {"output": ["{{ steps.left.status }}", "{{ steps.right.status }}", "{{ steps.quick.output }}"]},
            ),
        ],
        "transitions": [
            *({"from": "fork", "to": key} for key in ("left", "right", "quick")),
            *({"from": key, "to": "meet"} for key in ("left", "right", "quick")),
            {"from": "meet", "to": "end"},
        ],
    }
    result = await engine.start(await engine.workflow(document), None)
    await engine.settle()
    row = await engine.execution(result.id)
    assert (row["status"], row["output"]) == ("COMPLETED", ["COMPLETED", "COMPLETED", 3])
    assert [s for s, _, _ in await engine.journal(result.id)].count("meet") == 1


LINES = chain(
    step(
        "lines",
        "for_each",
        {
            "items": "input.lines",
            "concurrency": 3,
            "body": {
                "steps": [
                    step("price", "transform", {"output": "{{ item.qty * item.price }}"}),
                    step("call", "http", {"method": "POST", "url": "http://stub", "body": {"i": "{{ index }}"}}),
                    step("out", "transform", {"output": {"i": "{{ index }}", "sum": "{{ steps.price.output }}"}}),
                ],
                "transitions": [{"from": "price", "to": "call"}, {"from": "call", "to": "out"}],
            },
        },
    ),
    step("end", "end", {"output": "{{ steps.lines.output }}"}),
)


async def test_a_for_each_runs_its_body_for_every_item_in_order_of_results(engine: Engine) -> None:
    workflow = await engine.workflow(LINES)
    lines = [{"qty": n, "price": 10} for n in range(7)]
    result = await engine.start(workflow, {"lines": lines})
    await engine.settle(workers=2)
    row = await engine.execution(result.id)
    assert row["status"] == "COMPLETED", row["error"]
    assert row["output"] == [{"i": n, "sum": n * 10} for n in range(7)]
    assert sorted(json.loads(r.body or b"")["i"] for r in engine.http.requests) == list(range(7))


async def test_a_for_each_over_nothing_is_an_empty_list(engine: Engine) -> None:
    result = await engine.start(await engine.workflow(LINES), {"lines": []}, inline=True)
    assert (result.status, result.output) == ("COMPLETED", [])


async def test_a_delay_waits_without_holding_anything(engine: Engine) -> None:
    workflow = await engine.workflow(chain(step("wait", "delay", {"for": "2h"}), step("end", "end", {"output": 1})))
    result = await engine.start(workflow, None, inline=True)
    assert result.status == "WAITING"
    await engine.settle()
    assert (await engine.execution(result.id))["status"] == "WAITING"
    engine.clock.advance(7300)
    await engine.settle()
    assert (await engine.execution(result.id))["status"] == "COMPLETED"


async def test_a_sub_workflow_is_an_execution_of_its_own(engine: Engine) -> None:
    await engine.workflow(chain(step("double", "end", {"output": "{{ input.n * 2 }}"}), name="child"))
    parent = await engine.workflow(
        chain(
            step("ask", "sub_workflow", {"workflow": "child", "input": {"n": "{{ input.n }}"}}),
            step("end", "end", {"output": "{{ steps.ask.output + 1 }}"}),
        )
    )
    result = await engine.start(parent, {"n": 20})
    await engine.settle()
    row = await engine.execution(result.id)
    assert (row["status"], row["output"]) == ("COMPLETED", 41), row["error"]
    children = await engine.fetch("select * from weft.workflow_executions where parent_id = $1", result.id)
    assert [(c["status"], c["depth"], c["correlation_id"]) for c in children] == [
        ("COMPLETED", 1, row["correlation_id"])
    ]


async def test_a_sub_workflow_that_fails_fails_its_step(engine: Engine) -> None:
    await engine.workflow(chain(step("no", "fail", {"message": "broken"}), name="child"))
    parent = await engine.workflow(chain(step("ask", "sub_workflow", {"workflow": "child"})))
    missing = await engine.workflow(chain(step("ask", "sub_workflow", {"workflow": "nobody"})))
    first, second = await engine.start(parent, None), await engine.start(missing, None)
    await engine.settle()
    row = await engine.execution(first.id)
    assert (row["status"], row["error"]["kind"], row["error"]["message"]) == ("FAILED", "sub_workflow", "broken")
    row = await engine.execution(second.id)
    assert row["status"] == "FAILED"
    assert "nobody" in row["error"]["message"]


async def test_cancelling_a_parent_cancels_its_child(engine: Engine) -> None:
    await engine.workflow(chain(step("wait", "delay", {"for": "1h"}), name="child"))
    parent = await engine.workflow(chain(step("ask", "sub_workflow", {"workflow": "child"})))
    result = await engine.start(parent, None)
    await engine.settle()
    await engine.driver.deliver(engine.actor.tenant_id, [News(result.id, Cancelled("no need", "ada"))])
    await engine.settle()
    statuses = await engine.fetch("select status from weft.workflow_executions")
    assert [row["status"] for row in statuses] == ["CANCELLED", "CANCELLED"]
    assert (await engine.execution(result.id))["error"]["message"] == "no need"
    engine.clock.advance(4000)
    await engine.settle()
    assert await engine.jobs() == []


async def test_a_step_that_takes_too_long_has_failed(engine: Engine) -> None:
    import asyncio

    engine.http.gate = asyncio.Event()
    result = await engine.start(await engine.workflow(chain(call(timeout="50ms"))), None)
    await engine.settle()
    row = await engine.execution(result.id)
    assert (row["status"], row["error"]["kind"]) == ("FAILED", "timeout")


async def test_what_is_wrong_with_a_start_is_said_and_nothing_is_stored(engine: Engine) -> None:
    document = chain(
        step("a", "end"), input={"type": "object", "required": ["amount"], "properties": {"amount": {"type": "number"}}}
    )
    workflow = await engine.workflow(document)
    with pytest.raises(InputInvalid, match="amount"):
        await engine.start(workflow, {"amount": "twelve"})
    with pytest.raises(InputInvalid, match="amount"):
        await engine.start(workflow, {})
    with pytest.raises(WorkflowUnknown):
        await engine.start("no such workflow", {})
    with pytest.raises(NotFound, match="no version 7"):
        await engine.start(workflow, {"amount": 1}, version=7)
    async with engine.database.pool.acquire() as connection:
        await connection.execute(f"begin; set local app.tenant_id = '{engine.actor.tenant_id}'")
        await connection.execute("update weft.workflows set status = 'ARCHIVED'")
        await connection.execute("commit")
    with pytest.raises(WorkflowNotActive, match="ARCHIVED"):
        await engine.start(workflow, {"amount": 1})
    assert await engine.fetch("select 1 from weft.workflow_executions") == []


async def test_the_same_idempotency_key_is_the_same_execution(engine: Engine) -> None:
    import asyncio

    workflow = await engine.workflow(FIVE)
    starts = await asyncio.gather(*(engine.start(workflow, INPUT, idempotency_key="k", inline=True) for _ in range(50)))
    assert len({s.id for s in starts}) == 1
    assert sum(s.created for s in starts) == 1
    assert all(s.output == starts[0].output for s in starts)
    assert (await engine.start(workflow, INPUT, inline=True)).number == starts[0].number + 1, (
        "repetitions take no number"
    )
    with pytest.raises(IdempotencyKeyReused):
        await engine.start(workflow, {**INPUT, "amount": 1}, idempotency_key="k")


async def test_guarded_expressions_run_outside_this_process(engine: Engine) -> None:
    document = chain(
        step("sort", "transform", {"output": "{{ input.n | sort | join(',') }}"}),
        step("check", "condition"),
        step("end", "end", {"output": "{{ steps.sort.output }}"}),
    )
    document["transitions"][1]["when"] = "(input.n | unique | list | length) > 2"
    document["steps"].append(step("other", "end", {"output": "few"}))
    document["transitions"].append({"from": "check", "to": "other", "default": True})
    workflow = await engine.workflow(document)
    assert (await engine.start(workflow, {"n": [3, 1, 2]}, inline=True)).output == "1,2,3"
    assert (await engine.start(workflow, {"n": [1, 1]}, inline=True)).output == "few"


async def test_an_execution_that_is_over_cannot_be_cancelled(engine: Engine) -> None:
    result = await engine.start(await engine.workflow(FIVE), INPUT, inline=True)
    await engine.driver.deliver(engine.actor.tenant_id, [News(result.id, Cancelled("late", "ada"))])
    assert (await engine.execution(result.id))["status"] == "COMPLETED"


async def test_the_execution_number_is_known_to_expressions(engine: Engine) -> None:
    workflow = await engine.workflow(chain(step("a", "end", {"output": "{{ execution.number }}"})))
    result = await engine.start(workflow, None, inline=True)
    await engine.settle()
    assert (await engine.execution(result.id))["output"] == 1


async def test_conflicts_are_their_own_kind() -> None:
    assert issubclass(WorkflowNotActive, Conflict)
