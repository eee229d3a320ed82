"""Event triggers: one execution for each event and trigger."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest
from tests.conftest import make_tenant
from tests.engine.conftest import Engine
from tests.engine.documents import chain, step
from tests.engine.test_events import claim, send

from weft.db.scope import enter
from weft.domain.workflows.errors import TriggerConfigInvalid
from weft.domain.workflows.models import TriggerKind, WorkflowTrigger
from weft.domain.workflows.schemas import EventConfig, TriggerCreate, TriggerUpdate
from weft.domain.workflows.service import triggers
from weft.engine.events.delivery import Delivery


async def follow(engine: Engine, workflow: UUID, event: Any = "order.paid", **config: Any) -> WorkflowTrigger:
    new = TriggerCreate(kind=TriggerKind.event, config=EventConfig(event=event, **config))
    async with enter(engine.database, engine.actor) as scope:
        return (await triggers.create(scope, workflow, new)).trigger


async def executions(engine: Engine, workflow: UUID | None = None) -> list[Any]:
    rows = await engine.fetch("select * from weft.workflow_executions order by id")
    return [row for row in rows if workflow is None or row["workflow_id"] == workflow]


async def test_an_event_starts_what_follows_it_with_its_payload_or_a_mapping(engine: Engine) -> None:
    plain = await engine.workflow(chain(step("end", "end", {"output": "{{ input }}"})))
    mapped = await engine.workflow(chain(step("end", "end", {"output": "{{ input.total }}"})))
    await follow(engine, plain)
    trigger = await follow(
        engine, mapped, input={"total": "{{ event.payload.sum * 2 }}"}, filter="event.payload.sum > 5"
    )
    await follow(engine, mapped, "order.lost")
    event = await send(engine, payload={"sum": 21})
    await send(engine, payload={"sum": 1})
    await engine.settle()
    begun = [row["output"] for row in await executions(engine, plain)]
    assert sorted(begun, key=lambda payload: payload["sum"]) == [{"sum": 1}, {"sum": 21}]
    (row,) = await executions(engine, mapped)
    assert (row["output"], row["trigger"], row["trigger_id"]) == (42, "EVENT", trigger.id)
    assert row["metadata"]["event"] == {"id": str(event), "type": "order.paid"}
    effects = (await engine.fetch("select effects from weft.events where id = $1", event))[0]["effects"]
    assert {"trigger": str(trigger.id), "execution": str(row["id"])} in effects["started"]


async def test_a_trigger_may_name_a_correlation_and_several_types(engine: Engine) -> None:
    workflow = await engine.workflow(chain(step("end", "end", {"output": "{{ input }}"})))
    await follow(engine, workflow, ["a.b", "c.d"], correlation="x")
    for kind, correlation in (("a.b", "x"), ("c.d", "x"), ("c.d", "y"), ("a.b", "")):
        await send(engine, kind, correlation, payload=kind)
    await engine.settle()
    assert sorted(row["output"] for row in await executions(engine)) == ["a.b", "c.d"]


async def test_an_event_delivered_twice_starts_one_execution(engine: Engine) -> None:
    workflow = await engine.workflow(chain(step("end", "end")))
    await follow(engine, workflow)
    await send(engine)
    (job,) = await claim(engine)
    first, second = Delivery(engine.driver, engine.starter), Delivery(engine.driver, engine.starter)
    await asyncio.gather(first.deliver(job), second.deliver(job))
    await second.deliver(job)
    await engine.settle()
    assert len(await executions(engine)) == 1


async def test_a_changed_trigger_is_known_at_once(engine: Engine) -> None:
    workflow = await engine.workflow(chain(step("end", "end")))
    trigger = await follow(engine, workflow)
    delivery = Delivery(engine.driver, engine.starter)

    async def deliver() -> int:
        await send(engine)
        for job in await claim(engine):
            if job.kind == "event":
                await delivery.deliver(job)
        return len(await executions(engine))

    assert await deliver() == 1
    async with enter(engine.database, engine.actor) as scope:
        await triggers.update(scope, workflow, trigger.id, TriggerUpdate(enabled=False))
    assert await deliver() == 1
    async with enter(engine.database, engine.actor) as scope:
        await triggers.update(scope, workflow, trigger.id, TriggerUpdate(enabled=True, config=EventConfig(event="x.y")))
    assert await deliver() == 1
    async with enter(engine.database, engine.actor) as scope:
        await triggers.update(scope, workflow, trigger.id, TriggerUpdate(config=EventConfig(event="order.paid")))
    assert await deliver() == 2
    async with enter(engine.database, engine.actor) as scope:
        await triggers.delete(scope, workflow, trigger.id)
    assert await deliver() == 2


async def test_what_cannot_be_started_is_said_of_the_event(engine: Engine) -> None:
    document = chain(step("end", "end")) | {"input": {"type": "object", "required": ["sum"]}}
    workflow = await engine.workflow(document)
    await follow(engine, workflow)
    event = await send(engine, payload={"other": 1})
    await engine.settle()
    assert await executions(engine) == []
    effects = (await engine.fetch("select effects from weft.events where id = $1", event))[0]["effects"]
    assert effects["refused"][0]["code"] == "input_invalid"
    assert "sum" in effects["refused"][0]["message"]


async def test_another_tenant_s_event_starts_nothing(engine: Engine) -> None:
    await follow(engine, await engine.workflow(chain(step("end", "end"))))
    engine.actor, ada = await make_tenant(engine.database, "eve"), engine.actor
    await send(engine)
    await engine.settle()
    engine.actor = ada
    assert await executions(engine) == []


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (EventConfig(event="order.paid", filter="input.x"), "`event` only"),
        (EventConfig(event="order.paid", filter="event.payload.("), "cannot be used"),
        (EventConfig(event="order.paid", filter={"field": "vars.x", "operator": "exists"}), "`event` only"),
        (EventConfig(event="order.paid", input={"a": "{{ body.x }}"}), "`event` only"),
        (EventConfig(event="workflow.begun"), "weft tells of no 'workflow.begun'"),
    ],
)
async def test_a_config_that_cannot_work_is_refused(engine: Engine, config: Any, words: str) -> None:
    workflow = await engine.workflow(chain(step("end", "end")))
    async with enter(engine.database, engine.actor) as scope:
        with pytest.raises(TriggerConfigInvalid, match=words):
            await triggers.create(scope, workflow, TriggerCreate(kind=TriggerKind.event, config=config))


# -- the end of another workflow -----------------------------------------------------------------------------


async def test_the_end_of_a_workflow_starts_another(engine: Engine) -> None:
    first = await engine.workflow(chain(step("end", "end", {"output": {"n": 1}}), name="first"))
    second = await engine.workflow(chain(step("end", "end", {"output": "{{ input }}"}), name="second"))
    await follow(engine, second, "workflow.completed", filter="event.payload.workflow == 'first'")
    one = await engine.start(first)
    await engine.settle()
    (row,) = await executions(engine, second)
    assert row["output"]["output"] == {"n": 1}
    assert (row["output"]["execution"], row["output"]["status"]) == (str(one.id), "COMPLETED")
    assert row["depth"] == 1


async def test_a_failed_and_a_cancelled_end_are_told_too(engine: Engine) -> None:
    broken = await engine.workflow(chain(step("no", "fail", {"message": "Not today."}), name="broken"))
    heard = await engine.workflow(chain(step("end", "end", {"output": "{{ input.error.message }}"}), name="heard"))
    await follow(engine, heard, ["workflow.failed"])
    await engine.start(broken)
    await engine.settle()
    (row,) = await executions(engine, heard)
    assert row["output"] == "Not today."


async def test_ends_that_nobody_asks_for_are_neither_told_nor_stored(engine: Engine) -> None:
    workflow = await engine.workflow(chain(step("end", "end")))
    await engine.start(workflow, inline=True)
    assert await engine.jobs() == []
    other = await engine.workflow(chain(step("end", "end")))
    trigger = await follow(engine, other, "workflow.failed")
    await engine.start(workflow, inline=True)
    assert [job["kind"] for job in await engine.jobs()] == ["ended"]
    await engine.settle()
    assert await engine.fetch("select * from weft.events") == []
    async with enter(engine.database, engine.actor) as scope:
        await triggers.delete(scope, other, trigger.id)
    await engine.start(workflow, inline=True)
    await engine.settle()  # this one finds out that nobody asks any more
    await engine.start(workflow, inline=True)
    assert await engine.jobs() == []


async def test_a_step_may_wait_for_the_end_of_an_execution(engine: Engine) -> None:
    slow = await engine.workflow(chain(step("pause", "delay", {"for": 60}), step("end", "end", {"output": 5})))
    one = await engine.start(slow)
    wait = step("over", "wait_for_event", {"event": "workflow.completed", "correlation": "{{ input }}"})
    waiting = await engine.start(await engine.workflow(chain(wait)), str(one.id))
    await engine.settle()
    engine.clock.advance(61)
    await engine.settle()
    assert (await engine.execution(waiting.id))["output"]["payload"]["output"] == 5
