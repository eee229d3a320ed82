"""Replaying on a real database: a new execution, with what came before kept or run again."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest
from tests.engine.conftest import Engine, ok
from tests.engine.documents import call, chain, step
from tests.engine.versions import publish

from weft.core.actor import Actor
from weft.domain.executions.errors import ExecutionNotFound, ReplayInputsMissing, ReplayStepUnknown
from weft.engine import replays
from weft.engine.plans import InputInvalid
from weft.engine.replays import ReplayRequest, ReplayResult
from weft.engine.simulation.errors import SimulationUnavailable
from weft.engine.start_errors import IdempotencyKeyReused, VersionUnknown
from weft.engine.start_requests import StartResult

PAY = chain(
    step("rename", "set", {"vars": {"tier": "{{ input.tier }}"}}),
    call("score"),
    step("check", "set", {"vars": {"risk": "{{ steps.score.output.body.risk }}"}}),
    call("pay"),
    step("late", "set", {"vars": {"risk": 99}}),
    step("end", "end", {"output": {"tier": "{{ vars.tier }}", "risk": "{{ steps.score.output.body.risk }}"}}),
)


async def replay(
    engine: Engine, execution_id: UUID, at: str, *, actor: Actor | None = None, **more: Any
) -> ReplayResult:
    return await replays.replay(engine.driver, actor or engine.actor, ReplayRequest(execution_id, at, **more))


async def paid(engine: Engine) -> StartResult:
    """An execution of PAY that has completed."""
    engine.http.replies = [ok(b'{"risk": 3}'), ok()]
    result = await engine.start(await engine.workflow({**PAY}), {"tier": "gold"}, metadata={"batch": "b-1"})
    await engine.settle()
    assert (await engine.execution(result.id))["status"] == "COMPLETED"
    return result


async def test_what_came_before_is_kept_and_the_rest_runs(engine: Engine) -> None:
    first = await paid(engine)
    before = await engine.execution(first.id)
    again = await replay(engine, first.id, "pay")
    assert (again.status, again.number, again.created) == ("PENDING", 2, True)
    await engine.settle()
    row = await engine.execution(again.id)
    assert (row["status"], row["output"]) == ("COMPLETED", {"tier": "gold", "risk": 3})
    assert (row["trigger"], row["parent_id"]) == ("REPLAY", None)
    assert row["metadata"] == {
        "batch": "b-1",
        "replay": {"of": str(first.id), "number": 1, "from": "pay", "before": "keep"},
    }
    assert engine.http.keys[2:] == [f"{again.id}:pay:4:1"], "only what comes after has run"
    journal = await engine.fetch(
        "select step_key, visit, message, step_id is not null as placed from weft.execution_logs"
        " where execution_id = $1 and visit > 0 order by visit", again.id,
    )  # fmt: skip
    assert [(row["step_key"], row["visit"]) for row in journal] == [
        ("rename", 1), ("score", 2), ("check", 3), ("pay", 4), ("late", 5), ("end", 6),
    ]  # fmt: skip
    assert [str(row["message"]).startswith("Kept from execution 1") for row in journal] == [True] * 3 + [False] * 3
    assert all(row["placed"] for row in journal)
    assert await engine.execution(first.id) == before, "history is not touched"


async def test_variables_are_as_they_were_before_the_step(engine: Engine) -> None:
    first = await paid(engine)
    again = await replay(engine, first.id, "pay")
    assert (await engine.execution(again.id))["state"]["v"] == {"tier": "gold", "risk": 3}


async def test_the_same_again_from_the_start(engine: Engine) -> None:
    first = await paid(engine)
    again = await replay(engine, first.id, "pay", keeps=False, reason="the prices were wrong")
    await engine.settle()
    row = await engine.execution(again.id)
    assert (row["status"], row["input"]) == ("COMPLETED", {"tier": "gold"})
    assert row["metadata"]["replay"]["before"] == "recompute"
    assert len(engine.http.requests) == 4
    (event,) = await engine.fetch("select * from weft.audit_logs where action = 'execution.replay'")
    assert event["resource_id"] == str(first.id)
    assert event["after"] == {
        "execution_id": str(again.id), "from": "pay", "before": "recompute", "version": 1,
        "reason": "the prices were wrong",
    }  # fmt: skip


async def test_a_failed_execution_is_replayed_in_the_version_that_mends_it(engine: Engine) -> None:
    engine.http.replies = [ok(b'{"risk": 3}'), ok(status=400), ok()]
    workflow = await engine.workflow({**PAY})
    first = await engine.start(workflow, {"tier": "gold"})
    await engine.settle()
    assert (await engine.execution(first.id))["status"] == "FAILED"
    mended = {**PAY, "steps": [one if one["key"] != "late" else call("late") for one in PAY["steps"]]}
    version = await publish(engine, workflow, mended, 2)
    again = await replay(engine, first.id, "pay", version=2)
    assert again.version_id == version
    await engine.settle()
    row = await engine.execution(again.id)
    assert (row["status"], row["version_id"]) == ("COMPLETED", version)
    assert engine.http.keys[-1] == f"{again.id}:late:5:1"
    with pytest.raises(VersionUnknown):
        await replay(engine, first.id, "pay", version=3)


async def test_another_input_is_checked_and_used(engine: Engine) -> None:
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "number"}}}
    workflow = await engine.workflow(
        chain(step("a", "transform", {"output": 1}), step("b", "end", {"output": "{{ input.n }}"}), input=schema)
    )
    first = await engine.start(workflow, {"n": 1}, inline=True)
    again = await replay(engine, first.id, "b", input={"n": 2}, has_input=True)
    await engine.settle()
    assert (await engine.execution(again.id))["output"] == 2
    with pytest.raises(InputInvalid):
        await replay(engine, first.id, "b", input=None, has_input=True)


FORK: dict[str, Any] = {
    "steps": [
        step("fork", "parallel"), step("a", "transform", {"output": 1}), call("b"), step("meet", "join"),
        step("end", "end", {"output": ["{{ steps.a.output }}", "{{ steps.b.status }}"]}),
    ],
    "transitions": [
        {"from": "fork", "to": "a"}, {"from": "fork", "to": "b"}, {"from": "a", "to": "meet"},
        {"from": "b", "to": "meet"}, {"from": "meet", "to": "end"},
    ],
}  # fmt: skip


async def test_a_join_after_the_step_waits_only_for_what_can_arrive(engine: Engine) -> None:
    first = await engine.start(await engine.workflow({**FORK}), None)
    await engine.settle()
    again = await replay(engine, first.id, "b")
    await engine.settle()
    row = await engine.execution(again.id)
    assert (row["status"], row["output"]) == ("COMPLETED", [1, "COMPLETED"])
    ran = [name for name, _, _ in await engine.journal(again.id) if name]
    assert ran == ["fork", "a", "b", "meet", "end"]


async def test_a_step_whose_inputs_never_ran_is_refused_with_their_names(engine: Engine) -> None:
    document: dict[str, Any] = {
        "steps": [
            step("split", "condition"), step("x", "transform", {"output": 1}), step("y", "transform", {"output": 2}),
            step("after_y", "transform", {"output": "{{ steps.y.output }}"}), step("end", "end"),
        ],
        "transitions": [
            {"from": "split", "to": "y", "when": "input.y"}, {"from": "split", "to": "x", "default": True},
            {"from": "x", "to": "end"}, {"from": "y", "to": "after_y"}, {"from": "after_y", "to": "end"},
        ],
    }  # fmt: skip
    first = await engine.start(await engine.workflow(document), {"y": False}, inline=True)
    with pytest.raises(ReplayInputsMissing, match=r"'after_y' builds on .* 'y'"):
        await replay(engine, first.id, "after_y")
    assert (await replay(engine, first.id, "y")).created, "what it builds on has run"
    assert (await replay(engine, first.id, "after_y", keeps=False)).created


async def test_a_step_that_failed_is_no_input(engine: Engine) -> None:
    engine.http.replies = [ok(status=400)]
    first = await engine.start(await engine.workflow(chain(call("one"), call("two"))), None)
    await engine.settle()
    with pytest.raises(ReplayInputsMissing, match="'one'"):
        await replay(engine, first.id, "two")


async def test_what_cannot_be_replayed_says_why(engine: Engine, bob: Actor) -> None:
    body = chain(step("x", "transform", {"output": 1}))
    workflow = await engine.workflow(chain(step("each", "for_each", {"items": "{{ [1] }}", "body": body})))
    first = await engine.start(workflow, None, inline=True)
    with pytest.raises(ReplayStepUnknown, match="inside of 'each'"):
        await replay(engine, first.id, "each.x")
    with pytest.raises(ReplayStepUnknown, match="no step 'nothing'"):
        await replay(engine, first.id, "nothing")
    with pytest.raises(ExecutionNotFound):
        await replay(engine, first.id, "each", actor=bob)
    async with engine.database.pool.acquire() as connection:
        await connection.execute(f"begin; set local app.tenant_id = '{engine.actor.tenant_id}'")
        await connection.execute("""update weft.workflow_executions set metadata = '{"simulation": true}'""")
        await connection.execute("commit")
    with pytest.raises(SimulationUnavailable):
        await replay(engine, first.id, "each")
    assert len(await engine.fetch("select 1 from weft.workflow_executions")) == 1


async def test_one_key_is_one_replay(engine: Engine) -> None:
    first = await paid(engine)
    replayed = await asyncio.gather(*(replay(engine, first.id, "pay", idempotency_key="k") for _ in range(5)))
    assert len({one.id for one in replayed}) == 1
    assert sum(one.created for one in replayed) == 1
    with pytest.raises(IdempotencyKeyReused):
        await replay(engine, first.id, "score", idempotency_key="k")
    rows = await engine.fetch("select 1 from weft.audit_logs where action = 'execution.replay'")
    assert len(rows) == 1


async def test_a_loop_is_replayed_from_its_newest_turn(engine: Engine) -> None:
    document: dict[str, Any] = {
        "steps": [
            step("head", "transform", {"output": "{{ now }}"}, max_visits=3, on_error="out"),
            call("ask"),
            step("test", "condition"),
            step("out", "end", {"output": "{{ steps.ask.output.body.n }}"}),
        ],
        "transitions": [
            {"from": "head", "to": "ask"}, {"from": "ask", "to": "test"},
            {"from": "test", "to": "head", "when": "steps.ask.output.body.n < 2"},
            {"from": "test", "to": "out", "default": True},
        ],
    }  # fmt: skip
    engine.http.replies = [ok(b'{"n": 1}'), ok(b'{"n": 2}'), ok(b'{"n": 7}')]
    first = await engine.start(await engine.workflow(document), None)
    await engine.settle()
    again = await replay(engine, first.id, "ask")
    await engine.settle()
    assert (await engine.execution(again.id))["output"] == 7
    ran = [name for name, _, _ in await engine.journal(again.id) if name]
    assert ran == ["head", "ask", "test", "out"]
