"""Steps that wait for events, events that steps emit, and what delivery promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from tests.engine.conftest import Engine
from tests.engine.documents import call, chain, step

from weft.core.actor import Actor
from weft.db import hot
from weft.db.hot import transaction
from weft.domain.events.storing import NewEvent, store
from weft.engine import drive
from weft.engine.events.delivery import Delivery
from weft.engine.events.looking import look
from weft.engine.news import Cancelled, News, TakenUp
from weft.engine.queue import Job, Queue


def wait(key: str = "paid", **config: Any) -> dict[str, Any]:
    more = {name: config.pop(name) for name in ("timeout", "on_error", "required") if name in config}
    return step(key, "wait_for_event", {"event": "order.paid", **config}, **more)


async def send(engine: Engine, kind: str = "order.paid", correlation: str = "", payload: Any = None) -> UUID:
    event = NewEvent(kind, "API", engine.clock(), correlation, payload)
    async with transaction(engine.database, engine.actor) as connection:
        await store(connection, engine.actor.tenant_id, [event])
    return event.id


async def claim(engine: Engine, owner: str = "me", limit: int = 50) -> list[Job]:
    return await Queue(engine.database, owner, timedelta(seconds=30)).claim(limit)


async def started(engine: Engine, document: dict[str, Any], value: Any = None) -> UUID:
    result = await engine.start(await engine.workflow(document), value)
    await engine.settle()
    return result.id


async def status(engine: Engine, execution_id: UUID) -> str:
    found: str = (await engine.execution(execution_id))["status"]
    return found


async def open_waits(engine: Engine) -> list[Any]:
    return await engine.fetch("select * from weft.event_waits where taken is null")


# -- waiting -----------------------------------------------------------------------------------------------


async def test_a_step_waits_for_its_event_and_puts_it_out(engine: Engine) -> None:
    document = chain(wait(correlation="{{ input.order }}"), step("end", "end", {"output": "{{ steps.paid.output }}"}))
    one = await started(engine, document, {"order": "A-1"})
    assert await status(engine, one) == "WAITING"
    assert await engine.jobs() == []
    await send(engine, correlation="A-2", payload=1)
    await engine.settle()
    assert await status(engine, one) == "WAITING"
    event = await send(engine, correlation="A-1", payload={"sum": 3})
    await engine.settle()
    row = await engine.execution(one)
    assert row["status"] == "COMPLETED"
    assert row["output"] | {"received_at": ""} == {
        "id": str(event), "type": "order.paid", "correlation": "A-1", "payload": {"sum": 3}, "received_at": ""
    }  # fmt: skip
    assert await engine.fetch("select * from weft.event_waits") == []
    effects = await engine.fetch("select effects from weft.events where id = $1", event)
    assert effects[0]["effects"] == {"woken": 1, "started": [], "refused": []}


async def test_an_event_that_came_before_the_step_counts_from_the_start_but_not_from_now(engine: Engine) -> None:
    early = chain(step("pause", "delay", {"for": 60}), wait(), step("end", "end"))
    late = chain(step("pause", "delay", {"for": 60}), wait(**{"from": "now"}), step("end", "end"))
    first, second = [await started(engine, document) for document in (early, late)]
    await send(engine)
    await engine.settle()
    engine.clock.advance(61)
    await engine.settle()
    assert (await status(engine, first), await status(engine, second)) == ("COMPLETED", "WAITING")
    await send(engine)
    await engine.settle()
    assert await status(engine, second) == "COMPLETED"


async def test_events_before_the_execution_do_not_count(engine: Engine) -> None:
    await send(engine)
    await engine.settle()
    engine.clock.advance(1)
    one = await started(engine, chain(wait()))
    assert await status(engine, one) == "WAITING"


async def test_a_filter_passes_over_events_and_sees_the_execution(engine: Engine) -> None:
    document = chain(wait(filter="event.payload.sum >= input.least"), step("end", "end"))
    one = await started(engine, document, {"least": 10})
    for total in (3, 12, 40):
        await send(engine, payload={"sum": total})
        await engine.settle()
    rows = await engine.fetch("select data from weft.execution_logs where step_key = 'paid'")
    assert rows[0]["data"]["payload"] == {"sum": 12}
    assert await status(engine, one) == "COMPLETED"


async def test_the_first_of_several_types_counts(engine: Engine) -> None:
    one = await started(engine, chain(wait(event=["order.paid", "order.lost"])))
    assert len(await open_waits(engine)) == 2
    await send(engine, "order.lost")
    await engine.settle()
    assert (await engine.execution(one))["output"]["type"] == "order.lost"
    assert await engine.fetch("select * from weft.event_waits") == []


async def test_a_wait_ends_with_its_timeout(engine: Engine) -> None:
    fails = await started(engine, chain(wait(timeout=60)))
    late = [wait(timeout=60, on_error="late"), step("late", "end", {"output": 1})]
    routed = await started(engine, {"steps": late, "transitions": []})
    end = step("end", "end", {"output": "{{ steps.paid.output }}"})
    content = await started(engine, chain(wait(timeout=60, on_timeout="continue"), end))
    engine.clock.advance(61)
    await engine.settle()
    assert [await status(engine, one) for one in (fails, routed, content)] == ["FAILED", "COMPLETED", "COMPLETED"]
    assert (await engine.execution(fails))["error"]["kind"] == "timeout"
    assert (await engine.execution(content))["output"] is None
    assert await open_waits(engine) == []
    await send(engine)
    await engine.settle()
    assert await status(engine, fails) == "FAILED"


async def test_a_cancelled_execution_waits_no_more(engine: Engine) -> None:
    one = await started(engine, chain(wait()))
    await engine.driver.deliver(engine.actor.tenant_id, [News(one, Cancelled("no", "ada"))])
    assert await engine.fetch("select * from weft.event_waits") == []


async def test_a_step_that_waits_again_takes_the_next_event(engine: Engine) -> None:
    document = {
        "steps": [
            step("turns", "loop", {"until": "index >= 3", "max_iterations": 5, "body": chain(wait())}),
            step("end", "end", {"output": "{{ steps.turns.output.last.payload }}"}),
        ],
        "transitions": [{"from": "turns", "to": "end"}],
    }  # fmt: skip
    one = await started(engine, document)
    for number in range(2):
        await send(engine, payload=number)
        await engine.settle()
    assert await status(engine, one) == "WAITING"
    await send(engine, payload="third")
    await engine.settle()
    assert (await engine.execution(one))["output"] == "third"


async def test_a_wait_until_is_over_at_its_time(engine: Engine) -> None:
    document = chain(step("until", "wait_until", {"until": "{{ input.at }}"}), step("end", "end"))
    one = await started(engine, document, {"at": (engine.clock() + timedelta(hours=1)).isoformat()})
    assert await status(engine, one) == "WAITING"
    engine.clock.advance(3601)
    await engine.settle()
    assert await status(engine, one) == "COMPLETED"


# -- no wake-up is lost ------------------------------------------------------------------------------------


async def test_no_order_of_waiting_and_sending_loses_the_wake_up(engine: Engine) -> None:
    """Every interleaving of the two transactions and of the two jobs that follow them."""
    tenant = engine.actor.tenant_id
    workflow = await engine.workflow(chain(wait(correlation="{{ input }}"), step("end", "end")))
    delivery = Delivery(engine.driver, engine.starter)

    async def begin(one: UUID, job: Job) -> None:
        await engine.driver.deliver(tenant, [News(one, TakenUp(), job.fence)])

    async def work(kind: str) -> None:
        for job in await claim(engine):
            if job.kind == "event":
                await delivery.deliver(job)
            else:
                for answered, what in await look(engine.driver, tenant, [job]):
                    await engine.driver.deliver(tenant, [News(job.execution_id, what, answered.fence)])

    orders = [
        ("wait", "look", "send", "deliver"),
        ("wait", "send", "look", "deliver"),
        ("send", "deliver", "wait", "look"),
        ("send", "wait", "work"),
    ]
    for place, order in enumerate(orders):
        key = f"k{place}"
        one = (await engine.start(workflow, key)).id
        (job,) = await claim(engine)
        for act in order:
            match act:
                case "wait":
                    await begin(one, job)
                case "send":
                    await send(engine, correlation=key)
                case _:
                    await work(act)
        await work("rest")
        assert await status(engine, one) == "COMPLETED", order
        assert await engine.jobs() == []


async def test_an_event_that_is_stored_while_the_wait_is_not_committed_yet_finds_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The delivery reads no wait, because its transaction is open; the wait's own job finds the event."""

    @asynccontextmanager
    async def patient(database: Any, actor: Actor, *, read_only: bool = False) -> AsyncIterator[Any]:
        async with transaction(database, actor, read_only=read_only) as connection:
            await connection.execute("set local lock_timeout = '60s'")  # three do for all but a slow machine
            yield connection

    monkeypatch.setattr(drive, "transaction", patient)
    tenant = engine.actor.tenant_id
    one = (await engine.start(await engine.workflow(chain(wait())))).id
    (job,) = await claim(engine)
    async with transaction(engine.database, engine.actor) as blocker:
        # The save that begins the wait stands at this lock, its row unseen, while the event is sent and delivered.
        await blocker.execute("select 1 from weft.workflow_executions where id = $1 for update", one)
        saving = asyncio.create_task(engine.driver.deliver(tenant, [News(one, TakenUp(), job.fence)]))
        await send(engine)
        (event,) = await claim(engine)
        await Delivery(engine.driver, engine.starter).deliver(event)
    await saving
    assert await status(engine, one) == "WAITING"
    await engine.settle()
    assert await status(engine, one) == "COMPLETED"


async def test_an_event_that_is_delivered_twice_changes_nothing(engine: Engine) -> None:
    one = await started(engine, chain(wait(), call(), step("end", "end")))
    await send(engine)
    (job,) = await claim(engine)
    delivery = Delivery(engine.driver, engine.starter)
    await asyncio.gather(delivery.deliver(job), delivery.deliver(job))
    await delivery.deliver(job)
    await engine.settle()
    assert await status(engine, one) == "COMPLETED"
    assert len(engine.http.requests) == 1


async def test_two_events_at_once_settle_a_wait_once(engine: Engine) -> None:
    one = await started(engine, chain(wait(), call(), step("end", "end")))
    for number in range(2):
        await send(engine, payload=number)
    jobs = await claim(engine)
    delivery = Delivery(engine.driver, engine.starter)
    await asyncio.gather(*(delivery.deliver(job) for job in jobs))
    await engine.settle()
    assert await status(engine, one) == "COMPLETED"
    assert len(engine.http.requests) == 1
    taken = await engine.fetch("select data from weft.execution_logs where step_key = 'paid'")
    assert taken[0]["data"]["payload"] in (0, 1)


# -- many --------------------------------------------------------------------------------------------------


async def test_an_event_wakes_many_executions_in_sets_and_goes_on_where_it_was(
    engine: Engine, monkeypatch: Any
) -> None:
    monkeypatch.setattr("weft.engine.events.delivery.PAGE", 10)
    workflow = await engine.workflow(chain(wait(), step("end", "end")))
    await asyncio.gather(*(engine.start(workflow) for _ in range(35)))
    await engine.settle()
    await send(engine)
    (job,) = await claim(engine)
    delivery = Delivery(engine.driver, engine.starter)
    wake, pages = delivery._wake, 0

    async def die_after_two(*values: Any) -> int:
        nonlocal pages
        if pages == 2:
            raise ConnectionError("killed")
        pages += 1
        return await wake(*values)

    monkeypatch.setattr(delivery, "_wake", die_after_two)
    with suppress(ConnectionError):
        await delivery.deliver(job)
    rows = await engine.fetch("select detail, claims from weft.dispatch_jobs")
    assert rows[0]["detail"]["woken"] == 20
    done = await engine.fetch("select count(*) as n from weft.workflow_executions where status = 'COMPLETED'")
    assert done[0]["n"] == 20
    async with hot.transaction(engine.database, engine.actor) as connection:
        await connection.execute("update weft.dispatch_jobs set lease_until = now() - interval '1 hour'")
    await Queue(engine.database, "other", timedelta(seconds=30)).promote(engine.clock())
    await engine.settle()
    done = await engine.fetch("select count(*) as n from weft.workflow_executions where status = 'COMPLETED'")
    assert done[0]["n"] == 35
    effects = await engine.fetch("select effects from weft.events")
    assert effects[0]["effects"]["woken"] == 35


# -- emitting ----------------------------------------------------------------------------------------------


async def test_an_event_that_a_step_emits_wakes_another_execution(engine: Engine) -> None:
    waiting = await started(engine, chain(wait(correlation="7"), step("end", "end")))
    emit = step("say", "emit_event", {"event": "order.paid", "correlation": "{{ input }}", "payload": {"by": "step"}})
    result = await engine.start(await engine.workflow(chain(emit)), 7)
    await engine.settle()
    assert (await engine.execution(result.id))["output"]["type"] == "order.paid"
    assert await status(engine, waiting) == "COMPLETED"
    rows = await engine.fetch("select source, execution_id, depth, payload from weft.events")
    assert [tuple(row) for row in rows] == [("STEP", result.id, 1, {"by": "step"})]


async def test_an_execution_hears_the_event_that_it_emits_itself(engine: Engine) -> None:
    emit = step("say", "emit_event", {"event": "order.paid"})
    one = await started(engine, chain(emit, wait(), step("end", "end")))
    assert await status(engine, one) == "COMPLETED"
