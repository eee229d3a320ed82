"""Workflows within workflows within workflows: cancelling, failing, retrying, and how deep they may go."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from tests.engine.conftest import Engine, ok
from tests.engine.documents import call, chain, step
from tests.engine.test_delivery import claim, lapse
from tests.engine.test_pausing import family, statuses, tell, three_levels
from tests.engine.test_poison import until_ended, write

from weft.core.ids import new_id
from weft.engine.news import Cancelled, News, Paused, Resumed, Retried
from weft.engine.queue import Job, Queue
from weft.engine.run import Run
from weft.engine.start_errors import DEEPEST
from weft.worker import errands


async def test_cancelling_the_topmost_cancels_every_level(engine: Engine) -> None:
    top = await engine.start(await three_levels(engine, step("wait", "delay", {"for": "1h"})), None)
    await engine.settle()
    await tell(engine, top.id, Cancelled("no need", "ada"))
    await engine.settle()
    assert await statuses(engine) == ["CANCELLED"] * 3
    assert await engine.fetch("select 1 from weft.execution_logs where status = 'RUNNING'") == []
    engine.clock.advance(4000)
    await engine.settle()
    assert await engine.jobs() == []


async def test_a_cancelled_sub_workflow_fails_the_steps_that_wait_for_it(engine: Engine) -> None:
    await engine.start(
        await three_levels(engine, step("wait", "delay", {"for": "1h"}), retry={"attempts": 3, "initial": "1s"}), None
    )
    await engine.settle()
    top, middle, leaf = await family(engine)
    await tell(engine, leaf["id"], Cancelled("Sent twice.", "ada"))
    await engine.settle()
    middle = await engine.execution(middle["id"])
    assert (middle["status"], middle["error"]["step"], middle["error"]["kind"]) == ("FAILED", "down", "sub_workflow")
    assert middle["error"]["message"] == "The sub-workflow was cancelled: Sent twice."
    assert len(await family(engine)) == 3, "what somebody has cancelled is not started again"
    top = await engine.execution(top["id"])
    assert top["status"] == "FAILED"
    assert top["error"]["data"]["cause"] == {
        "execution_id": str(leaf["id"]), "kind": "cancelled", "message": "Sent twice.",
    }  # fmt: skip


async def test_an_error_shows_its_innermost_cause_through_all_levels(engine: Engine) -> None:
    top = await engine.start(await three_levels(engine, step("refuse", "fail", {"message": "Too dear."})), None)
    await engine.settle()
    assert await statuses(engine) == ["FAILED"] * 3
    _, middle, leaf = await family(engine)
    error = (await engine.execution(top.id))["error"]
    assert (error["step"], error["kind"], error["message"]) == ("down", "sub_workflow", "Too dear.")
    assert error["data"]["execution_id"] == str(middle["id"])
    assert error["data"]["cause"] == {
        "execution_id": str(leaf["id"]), "step": "refuse", "kind": "fail", "message": "Too dear.",
    }  # fmt: skip


async def test_an_error_route_can_read_the_cause(engine: Engine) -> None:
    await engine.workflow(chain(step("refuse", "fail", {"message": "Too dear."}), name="leaf"))
    document: dict[str, Any] = {
        "steps": [
            step("down", "sub_workflow", {"workflow": "leaf"}, on_error="mend"),
            step("end", "end"),
            step("mend", "end", {"output": "{{ steps.down.error.data.cause.step }}"}),
        ],
        "transitions": [{"from": "down", "to": "end"}],
    }
    top = await engine.start(await engine.workflow(document), None)
    await engine.settle()
    assert (await engine.execution(top.id))["output"] == "refuse"


async def test_a_new_attempt_starts_a_new_sub_workflow(engine: Engine) -> None:
    engine.http.replies = [ok(status=400), ok(status=400), ok()]
    workflow = await three_levels(engine, call(), retry={"attempts": 3, "initial": "1s", "jitter": False})
    top = await engine.start(workflow, None)
    for _ in range(3):
        await engine.settle()
        engine.clock.advance(10)
    await engine.settle()
    assert (await engine.execution(top.id))["status"] == "COMPLETED"
    leaves = [row["status"] for row in await family(engine) if row["depth"] == 2]
    assert leaves == ["FAILED", "FAILED", "COMPLETED"]


async def test_retrying_the_parent_starts_a_new_sub_workflow(engine: Engine) -> None:
    engine.http.replies = [ok(status=400), ok()]
    top = await engine.start(await three_levels(engine, call()), None)
    await engine.settle()
    assert await statuses(engine) == ["FAILED"] * 3
    await tell(engine, top.id, Retried("ada"))
    await engine.settle()
    assert (await engine.execution(top.id))["status"] == "COMPLETED"
    assert await statuses(engine) == ["COMPLETED", "FAILED", "COMPLETED", "FAILED", "COMPLETED"]


async def test_the_end_of_an_older_attempt_does_not_touch_the_newer_one(engine: Engine) -> None:
    """The first attempt ran out of time; the order to cancel its sub-workflow is about that one alone."""
    await engine.workflow(chain(step("wait", "delay", {"for": "1h"}), name="leaf"))
    once_more = {"attempts": 2, "initial": "60s", "jitter": False}
    patient = step("down", "sub_workflow", {"workflow": "leaf"}, timeout="10m", retry=once_more)
    await engine.start(await engine.workflow(chain(patient)), None)
    await engine.settle()
    engine.clock.advance(601)
    await engine.settle()
    engine.clock.advance(61)
    await engine.settle()
    assert await statuses(engine) == ["WAITING", "CANCELLED", "WAITING"]


# -- started by somebody who told nobody ---------------------------------------------------------------------------


async def being_started(engine: Engine) -> tuple[UUID, Run, Job]:
    """A parent whose sub-workflow a worker is about to start, as that worker knows it."""
    await engine.workflow(chain(step("wait", "delay", {"for": "1h"}), call(), name="leaf"))
    workflow = await engine.workflow(chain(step("down", "sub_workflow", {"workflow": "leaf"})))
    top = (await engine.start(workflow, None, inline=True)).id
    (job,) = await claim(engine, "first")
    return top, (await engine.driver.load(engine.actor.tenant_id, [top]))[top], job


async def released(engine: Engine, job: Job) -> None:
    """As a worker does that is told to stop: the job looks as if nobody had ever claimed it."""
    await Queue(engine.database, "first", timedelta(seconds=30)).release([(job.id, job.epoch)])


async def all_but_in_hand(engine: Engine) -> None:
    """Until nothing is left but the job that is in the test's hand."""
    await engine.settle(until=lambda jobs: all(job["kind"] == "child" or job["state"] == "scheduled" for job in jobs))


@pytest.mark.parametrize("end", ["dies", "stops"])
async def test_a_child_that_was_stored_after_its_parent_was_cancelled_is_cancelled_too(
    engine: Engine, end: str
) -> None:
    top, run, job = await being_started(engine)
    await tell(engine, top, Cancelled("", "ada"))
    await all_but_in_hand(engine)
    await errands.start_child(engine.driver, engine.starter, run, job)
    await (lapse(engine) if end == "dies" else released(engine, job))
    await engine.settle()
    assert await statuses(engine) == ["CANCELLED", "CANCELLED"]


async def test_a_worker_that_was_taken_for_dead_leaves_no_child_behind(engine: Engine) -> None:
    """Its job is somebody else's, who finds neither a child nor anybody who waits for it; only then it goes on."""
    top, run, job = await being_started(engine)
    await tell(engine, top, Cancelled("", "ada"))
    await lapse(engine)
    await engine.settle()
    assert (await engine.jobs(), await statuses(engine)) == ([], ["CANCELLED"])
    await errands.start_child(engine.driver, engine.starter, run, job)
    await engine.settle()
    assert await statuses(engine) == ["CANCELLED", "CANCELLED"]


async def test_a_child_that_was_stored_after_its_parent_was_paused_is_paused_too(engine: Engine) -> None:
    top, run, job = await being_started(engine)
    await tell(engine, top, Paused("ada"))
    await all_but_in_hand(engine)
    await errands.start_child(engine.driver, engine.starter, run, job)
    await released(engine, job)
    await engine.settle()
    assert await statuses(engine) == ["PAUSED", "PAUSED"]
    await tell(engine, top, Resumed("ada"))
    await engine.settle()
    assert await statuses(engine) == ["WAITING", "WAITING"]


async def test_a_child_that_is_buried_fails_the_step_that_waits_for_it(engine: Engine) -> None:
    """Nobody can read it any more, so it cannot tell its end itself. Those who follow ends hear of it too."""
    hears = {"event": "workflow.failed", "filter": "event.payload.error.kind == 'abandoned'"}
    listening = await engine.workflow(chain(step("hears", "wait_for_event", hears)))
    listener = (await engine.start(listening, None, inline=True)).id
    await engine.settle()
    top, run, job = await being_started(engine)
    what = await errands.start_child(engine.driver, engine.starter, run, job)
    await engine.driver.deliver(engine.actor.tenant_id, [News(top, what, job.fence)])
    leaf = (await family(engine))[-1]
    await spoil_version(engine, leaf["workflow_id"], leaf["id"])
    engine.driver.plans = type(engine.driver.plans)()
    rows = await until_ended(engine, [top, leaf["id"], listener])
    assert rows[listener]["output"]["payload"]["execution"] == str(leaf["id"])
    assert [rows[one]["status"] for one in (top, leaf["id"])] == ["FAILED", "FAILED"]
    error = rows[top]["error"]
    assert (error["step"], error["kind"], error["data"]["cause"]["kind"]) == ("down", "sub_workflow", "abandoned")


async def spoil_version(engine: Engine, workflow: UUID, execution: UUID) -> None:
    version = new_id()
    await write(
        engine,
        "insert into weft.workflow_versions (tenant_id, id, workflow_id, number, definition, content_hash)"
        " values ($1, $2, $3, 2, $4, 'y')", engine.actor.tenant_id, version, workflow, {"steps": [{"key": "a"}]},
    )  # fmt: skip
    await write(engine, "update weft.workflow_executions set version_id = $1 where id = $2", version, execution)


async def test_a_workflow_that_starts_itself_ends_at_the_limit(engine: Engine) -> None:
    itself = chain(step("again", "sub_workflow", {"workflow": "me"}), name="me")
    top = await engine.start(await engine.workflow(itself), None)
    await engine.settle()
    rows = await family(engine)
    assert [row["depth"] for row in rows] == list(range(DEEPEST + 1))
    assert {row["status"] for row in rows} == {"FAILED"}
    error = (await engine.execution(top.id))["error"]
    assert f"nested more than {DEEPEST} deep" in error["message"]
    assert error["data"]["cause"]["execution_id"] == str(rows[-1]["id"])
    assert len(str(error)) < 1_000, "an error does not grow with the depth"
