"""Pausing and resuming on a real database: nothing new begins, nothing is lost, whatever is under way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from tests.engine.conftest import Engine, ok
from tests.engine.documents import call, chain, step
from tests.engine.test_delivery import claim
from tests.engine.test_events import send

from weft.engine.news import Cancelled, News, Paused, Resumed, TakenUp, What
from weft.worker import errands


async def tell(engine: Engine, execution_id: UUID, what: What) -> bool:
    return execution_id in await engine.driver.deliver(engine.actor.tenant_id, [News(execution_id, what)])


async def pause(engine: Engine, execution_id: UUID) -> bool:
    return await tell(engine, execution_id, Paused("ada"))


async def resume(engine: Engine, execution_id: UUID) -> bool:
    return await tell(engine, execution_id, Resumed("ada"))


async def status(engine: Engine, execution_id: UUID) -> str:
    return str((await engine.execution(execution_id))["status"])


@asynccontextmanager
async def working(engine: Engine) -> AsyncIterator[None]:
    """A worker, until the block is left."""
    worker = engine.worker()
    task = asyncio.create_task(worker.run())
    try:
        async with asyncio.timeout(60):
            yield
    finally:
        worker.stop()
        await task


async def test_an_effect_under_way_is_heard_and_the_next_is_held(engine: Engine) -> None:
    engine.http.gate = asyncio.Event()
    workflow = await engine.workflow(chain(call("one"), call("two"), step("end", "end", {"output": 1})))
    result = await engine.start(workflow, None)
    async with working(engine):
        await engine.http.asked.wait()
        assert await pause(engine, result.id)
        engine.http.gate.set()
        while await engine.jobs():  # noqa: ASYNC110  the database tells nobody
            await asyncio.sleep(0.01)
    assert await engine.journal(result.id) == [(None, 0, "PENDING"), ("one", 1, "COMPLETED")]
    assert await status(engine, result.id) == "PAUSED"
    await resume(engine, result.id)
    await engine.settle()
    assert await status(engine, result.id) == "COMPLETED"
    assert engine.http.keys == [f"{result.id}:one:1:1", f"{result.id}:two:2:1"]
    rows = await engine.fetch("select visit, count(*) as n from weft.execution_logs where visit > 0 group by visit")
    assert {row["n"] for row in rows} == {1}


async def test_an_errand_that_nobody_has_begun_waits_for_the_resumption(engine: Engine) -> None:
    result = await engine.start(await engine.workflow(chain(call(), step("end", "end", {"output": 1}))), None)
    await engine.driver.deliver(engine.actor.tenant_id, [News(result.id, TakenUp(), (await claim(engine))[0].fence)])
    assert [job["kind"] for job in await engine.jobs()] == ["step"]
    await pause(engine, result.id)
    await engine.settle()
    assert engine.http.requests == []
    assert await engine.jobs() == [], "the job is kept in the state, so that nobody polls for it"
    assert (await engine.execution(result.id))["state"]["h"] == [["step", 1, 1]]
    await resume(engine, result.id)
    await engine.settle()
    assert await status(engine, result.id) == "COMPLETED"
    assert engine.http.keys == [f"{result.id}:call:1:1"]
    assert [row for row in await engine.journal(result.id) if row[0] == "call"] == [("call", 1, "COMPLETED")]


async def test_an_execution_paused_before_it_was_taken_up_begins_when_it_is_resumed(engine: Engine) -> None:
    result = await engine.start(await engine.workflow(chain(step("a", "end", {"output": "{{ execution.number }}"}))), 1)
    await pause(engine, result.id)
    await engine.settle()
    assert (await status(engine, result.id), await engine.jobs()) == ("PAUSED", [])
    await resume(engine, result.id)
    row = await engine.execution(result.id)
    assert (row["status"], row["output"]) == ("COMPLETED", 1)


async def test_paused_and_resumed_before_it_was_taken_up_it_is_as_if_nothing_was(engine: Engine) -> None:
    result = await engine.start(await engine.workflow(chain(step("a", "end", {"output": 7}))), None)
    await pause(engine, result.id)
    await resume(engine, result.id)
    assert await status(engine, result.id) == "PENDING"
    await engine.settle()
    assert (await engine.execution(result.id))["output"] == 7


async def test_a_retry_that_falls_due_meanwhile_is_held(engine: Engine) -> None:
    engine.http.replies = [ok(status=503), ok()]
    workflow = await engine.workflow(chain(call(retry={"attempts": 2, "initial": "60s", "jitter": False})))
    result = await engine.start(workflow, None)
    await engine.settle()
    await pause(engine, result.id)
    engine.clock.advance(100)
    await engine.settle()
    assert (await engine.jobs(), len(engine.http.requests)) == ([], 1)
    await resume(engine, result.id)
    await engine.settle()
    assert await engine.journal(result.id) == [
        (None, 0, "PENDING"), (None, 0, "RUNNING"), ("call", 1, "FAILED"), ("call", 2, "COMPLETED"),
    ]  # fmt: skip


async def test_a_delay_that_falls_due_meanwhile_is_over(engine: Engine) -> None:
    workflow = await engine.workflow(chain(step("wait", "delay", {"for": "1h"}), step("end", "end", {"output": 1})))
    result = await engine.start(workflow, None, inline=True)
    await pause(engine, result.id)
    engine.clock.advance(4000)
    await engine.settle()
    assert await engine.journal(result.id) == [(None, 0, "PENDING"), ("wait", 1, "COMPLETED")]
    await resume(engine, result.id)
    assert await status(engine, result.id) == "COMPLETED"


@pytest.mark.parametrize("on_timeout", ["fail", "continue"])
async def test_a_timeout_counts_when_the_execution_goes_on_unless_there_is_an_answer_by_then(
    engine: Engine, on_timeout: str
) -> None:
    wait = step("paid", "wait_for_event", {"event": "order.paid", "on_timeout": on_timeout}, timeout=60)
    workflow = await engine.workflow(chain(wait, step("end", "end", {"output": "{{ steps.paid.output.payload }}"})))
    heard = (await engine.start(workflow, None, inline=True)).id
    await pause(engine, heard)
    engine.clock.advance(120)
    await engine.settle()
    assert (await engine.journal(heard))[-1] == ("paid", 1, "RUNNING"), "it still waits"
    await send(engine, payload="late, but in time")
    await engine.settle()
    await resume(engine, heard)
    row = await engine.execution(heard)
    assert (row["status"], row["output"]) == ("COMPLETED", "late, but in time")


async def test_waits_that_are_content_with_nothing_get_it_when_the_execution_goes_on(engine: Engine) -> None:
    wait = step("paid", "wait_for_event", {"event": "order.paid", "on_timeout": "continue"}, timeout=60)
    last = await engine.workflow(chain(wait))
    more = await engine.workflow(chain({**wait}, call()))
    ended, goes_on = [(await engine.start(one, None, inline=True)).id for one in (last, more)]
    for one in (ended, goes_on):
        await pause(engine, one)
    engine.clock.advance(120)
    await engine.settle()
    for one in (ended, goes_on):
        assert await status(engine, one) == "PAUSED"
        assert await resume(engine, one)
        assert (await engine.journal(one))[1] == (None, 0, "RUNNING"), "the journal says that it was resumed"
    assert await status(engine, ended) == "COMPLETED"
    await engine.settle()
    assert await status(engine, goes_on) == "COMPLETED"
    assert len(engine.http.requests) == 1
    assert await engine.fetch("select 1 from weft.event_waits") == []


async def test_items_under_way_end_and_no_other_begins(engine: Engine) -> None:
    document = chain(
        step(
            "lines",
            "for_each",
            {"items": "{{ input }}", "concurrency": 2, "body": chain(call(), step("out", "transform", {"output": 1}))},
        ),
        step("end", "end", {"output": "{{ steps.lines.output }}"}),
    )
    engine.http.gate = asyncio.Event()
    result = await engine.start(await engine.workflow(document), [1, 2, 3, 4, 5])
    async with working(engine):
        while len(engine.http.requests) < 2:
            engine.http.asked.clear()
            await engine.http.asked.wait()
        await pause(engine, result.id)
        engine.http.gate.set()
        while await engine.jobs():  # noqa: ASYNC110  the database tells nobody
            await asyncio.sleep(0.01)
    assert len(engine.http.requests) == 2
    journal = await engine.journal(result.id)
    assert [row for row in journal if row[0] == "lines.out"] == []
    await resume(engine, result.id)
    await engine.settle()
    row = await engine.execution(result.id)
    assert (row["status"], row["output"], len(set(engine.http.keys))) == ("COMPLETED", [1] * 5, 5)


async def test_cancelling_what_is_paused_leaves_nothing_behind(engine: Engine) -> None:
    result = await engine.start(await engine.workflow(chain(call("one"), call("two"))), None, inline=True)
    await pause(engine, result.id)
    await engine.settle()
    await tell(engine, result.id, Cancelled("no need", "ada"))
    assert not await resume(engine, result.id)
    await engine.settle()
    assert (await status(engine, result.id), engine.http.requests) == ("CANCELLED", [])
    rows = await engine.fetch("select 1 from weft.execution_logs where status = 'RUNNING'")
    assert rows == []


async def test_pausing_twice_and_resuming_twice_changes_nothing(engine: Engine) -> None:
    result = await engine.start(await engine.workflow(chain(call())), None, inline=True)
    assert [await pause(engine, result.id), await pause(engine, result.id)] == [True, False]
    assert [await resume(engine, result.id), await resume(engine, result.id)] == [True, False]
    await engine.settle()
    assert (await status(engine, result.id), len(engine.http.requests)) == ("COMPLETED", 1)


async def test_an_errand_whose_worker_died_is_brought_to_its_end_while_paused(engine: Engine) -> None:
    from tests.engine.test_delivery import lapse

    result = await engine.start(await engine.workflow(chain(call(), call("two"))), None, inline=True)
    await claim(engine, "dies")
    await pause(engine, result.id)
    await lapse(engine)
    await engine.settle()
    assert engine.http.keys == [f"{result.id}:call:1:1"], "it had begun: its outcome must be known"
    assert await status(engine, result.id) == "PAUSED"


# -- sub-workflows -------------------------------------------------------------------------------------------


async def three_levels(engine: Engine, *last: dict[str, Any], **more: Any) -> UUID:
    """`top` waits for `middle`, which waits for `leaf`."""
    await engine.workflow(chain(*last, name="leaf"))
    await engine.workflow(chain(step("down", "sub_workflow", {"workflow": "leaf"}, **more), name="middle"))
    return await engine.workflow(chain(step("down", "sub_workflow", {"workflow": "middle"}, **more), name="top"))


async def family(engine: Engine) -> list[Any]:
    return await engine.fetch("select * from weft.workflow_executions order by depth, created_at")


async def statuses(engine: Engine) -> list[str]:
    return [row["status"] for row in await family(engine)]


async def test_pausing_reaches_every_level_and_so_does_resuming(engine: Engine) -> None:
    top = await engine.start(await three_levels(engine, step("wait", "delay", {"for": "1h"}), call()), None)
    await engine.settle()
    await pause(engine, top.id)
    await engine.settle()
    assert await statuses(engine) == ["PAUSED"] * 3
    engine.clock.advance(4000)
    await engine.settle()
    assert engine.http.requests == []
    await resume(engine, top.id)
    await engine.settle()
    assert await statuses(engine) == ["COMPLETED"] * 3


async def test_what_somebody_paused_by_itself_stays_paused(engine: Engine) -> None:
    top = await engine.start(await three_levels(engine, step("wait", "delay", {"for": "1h"})), None)
    await engine.settle()
    leaf = (await family(engine))[2]["id"]
    await pause(engine, leaf)
    await pause(engine, top.id)
    await engine.settle()
    await resume(engine, top.id)
    await engine.settle()
    assert await statuses(engine) == ["WAITING", "WAITING", "PAUSED"]


async def test_a_sub_workflow_that_was_not_started_yet_is_started_when_the_parent_goes_on(engine: Engine) -> None:
    await engine.workflow(chain(step("end", "end", {"output": 5}), name="leaf"))
    top = await engine.start(
        await engine.workflow(chain(step("down", "sub_workflow", {"workflow": "leaf"}))), None, inline=True
    )
    await pause(engine, top.id)
    await engine.settle()
    assert len(await family(engine)) == 1
    await resume(engine, top.id)
    await engine.settle()
    assert [(row["status"], row["output"]) for row in await family(engine)] == [("COMPLETED", 5)] * 2


async def test_a_sub_workflow_that_was_being_started_is_paused_after_all(engine: Engine) -> None:
    """The worker read the parent before it was paused, and stored the child afterwards."""
    await engine.workflow(chain(step("wait", "delay", {"for": "1h"}), name="leaf"))
    top = await engine.start(
        await engine.workflow(chain(step("down", "sub_workflow", {"workflow": "leaf"}))), None, inline=True
    )
    (job,) = await claim(engine)
    run = (await engine.driver.load(engine.actor.tenant_id, [top.id]))[top.id]
    await pause(engine, top.id)
    what = await errands.start_child(engine.driver, engine.starter, run, job)
    await engine.driver.deliver(engine.actor.tenant_id, [News(top.id, what, job.fence)])
    await engine.settle()
    assert await statuses(engine) == ["PAUSED", "PAUSED"]
    await resume(engine, top.id)
    await engine.settle()
    assert await statuses(engine) == ["WAITING", "WAITING"]


async def test_a_sub_workflow_whose_step_was_dropped_while_it_was_being_started_is_cancelled(engine: Engine) -> None:
    await engine.workflow(chain(step("wait", "delay", {"for": "1h"}), name="leaf"))
    top = await engine.start(
        await engine.workflow(chain(step("down", "sub_workflow", {"workflow": "leaf"}))), None, inline=True
    )
    (job,) = await claim(engine)
    run = (await engine.driver.load(engine.actor.tenant_id, [top.id]))[top.id]
    await tell(engine, top.id, Cancelled("", "ada"))
    await engine.settle(until=lambda jobs: [one["kind"] for one in jobs] == ["child"])
    what = await errands.start_child(engine.driver, engine.starter, run, job)
    await engine.driver.deliver(engine.actor.tenant_id, [News(top.id, what, job.fence)])
    await engine.settle()
    assert await statuses(engine) == ["CANCELLED", "CANCELLED"]


async def test_however_pause_and_resume_are_overtaken_child_and_parent_agree(engine: Engine) -> None:
    """The jobs of several pauses and resumptions lie in the queue together, and many workers take them."""
    top = await engine.start(await three_levels(engine, step("wait", "delay", {"for": "1h"})), None)
    await engine.settle()
    for _ in range(3):
        await pause(engine, top.id)
        await resume(engine, top.id)
    await engine.settle(workers=3)
    assert await statuses(engine) == ["WAITING"] * 3
    await pause(engine, top.id)
    await resume(engine, top.id)
    await pause(engine, top.id)
    await engine.settle(workers=3)
    assert await statuses(engine) == ["PAUSED"] * 3
