"""Executions that are stored and simulated: rows like any other, a clock of their own, and nothing reached outside."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from tests.engine.conftest import Engine
from tests.engine.documents import call, chain, step

from weft.adapters.addresses import Allow
from weft.adapters.http_client import SafeHttpClient
from weft.core.actor import Actor
from weft.core.ids import new_id
from weft.engine import registry
from weft.engine.kinds import Call, Ports
from weft.engine.news import Cancelled, News, PlayOn, Retried, TakenUp
from weft.engine.outcomes import Done, Outcome
from weft.engine.queue import Job
from weft.engine.simulation.errors import ScriptInvalid
from weft.engine.simulation.stored import SLICE, SimulationUnclear
from weft.engine.steps.base import ErrandStep, config_of, output_of
from weft.engine.steps.http import STEP as HTTP
from weft.worker import errands

SIMULATED: dict[str, Any] = {"simulation": True}
YEAR = timedelta(days=300)


@pytest.fixture
def nothing_is_performed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def perform(call: Call, ports: Ports) -> Outcome:
        raise AssertionError(f"{call.step} was performed")

    monkeypatch.setattr(HTTP, "perform", perform)


@pytest.mark.usefixtures("nothing_is_performed")
async def test_errands_are_answered_and_delays_pass_at_once(engine: Engine) -> None:
    workflow = await engine.workflow(
        chain(
            call("pay"),
            step("wait", "delay", {"for": "300d"}),
            call("confirm"),
            step("done", "end", {"output": "{{ steps.confirm.output.body }}"}),
        )
    )
    script = {"steps": {"confirm": {"output": {"status": 200, "body": "paid"}, "duration": "2s", "cost": 0.25}}}
    before = engine.clock()
    started = await engine.start(workflow, {}, metadata={**SIMULATED, "script": script})
    await engine.settle()
    row = await engine.execution(started.id)
    assert (row["status"], row["output"], row["simulation"]) == ("COMPLETED", "paid", True)
    assert row["completed_at"] - row["started_at"] == YEAR + timedelta(seconds=2)
    assert before <= row["started_at"] <= engine.clock()
    assert engine.http.requests == []
    assert await engine.jobs() == []
    rows = await engine.fetch("select * from weft.execution_logs where execution_id = $1 order by visit", started.id)
    assert [(r["step_key"], r["status"]) for r in rows if r["step_key"]] == [
        ("pay", "COMPLETED"), ("wait", "COMPLETED"), ("confirm", "COMPLETED"), ("done", "COMPLETED"),
    ]  # fmt: skip
    assert all(before <= r["started_at"] <= engine.clock() for r in rows)
    said = {r["step_key"]: (r["message"], r["completed_at"] - r["started_at"]) for r in rows}
    assert said["pay"] == ("Simulated at +0 s, answered by default.", timedelta(0))
    assert said["wait"] == ("Simulated at +0 s.", YEAR)
    assert said["confirm"] == (
        "Simulated at +25920000 s, answered by script, cost 0.25.", timedelta(seconds=2),
    )  # fmt: skip
    assert said[None][0].startswith("Simulated: it took 25920002 s on its own clock and would have cost 0.25.")


async def test_it_also_runs_in_the_request(engine: Engine) -> None:
    workflow = await engine.workflow(chain(call("pay"), step("wait", "delay", {"for": "2h"}), step("done", "end", {})))
    started = await engine.start(workflow, {}, metadata=SIMULATED, inline=True)
    assert started.status == "COMPLETED"
    assert await engine.jobs() == []
    assert (await engine.execution(started.id))["simulation"] is True


async def test_the_input_may_stand_in_the_metadata(engine: Engine) -> None:
    workflow = await engine.workflow(chain(step("done", "end", {"output": "{{ input.userId }}"})))
    started = await engine.start(workflow, metadata={**SIMULATED, "inputData": {"userId": "123"}}, inline=True)
    assert (started.status, started.output) == ("COMPLETED", "123")
    given = await engine.start(
        workflow, {"userId": "7"}, metadata={**SIMULATED, "inputData": {"userId": "123"}}, inline=True
    )
    assert given.output == "7"


async def test_failures_are_retried_on_its_own_clock(engine: Engine) -> None:
    retry = {"attempts": 3, "backoff": "fixed", "initial": "1h", "jitter": False, "max": "1h"}
    workflow = await engine.workflow(chain(call("pay", retry=retry), step("done", "end", {})))
    script = {"steps": {"pay": [{"when": "attempt < 3", "fail": {"kind": "http_5xx"}}, {"output": {"status": 200}}]}}
    started = await engine.start(workflow, {}, metadata={**SIMULATED, "script": script})
    await engine.settle()
    row = await engine.execution(started.id)
    assert (row["status"], row["completed_at"] - row["started_at"]) == ("COMPLETED", timedelta(hours=2))
    assert [entry for entry in await engine.journal(started.id) if entry[0] == "pay"] == [
        ("pay", 1, "FAILED"), ("pay", 2, "FAILED"), ("pay", 3, "COMPLETED"),
    ]  # fmt: skip


async def test_sub_workflows_are_simulated_too_and_their_time_counts(engine: Engine) -> None:
    await engine.workflow(
        {"name": "child", **chain(call("book"), step("wait", "delay", {"for": "3h"}),
                                  step("done", "end", {"output": "{{ now }}"}))}
    )  # fmt: skip
    parent = await engine.workflow(
        {
            "steps": [
                step("first", "delay", {"for": "1h"}, split="all"),
                step("sub", "sub_workflow", {"workflow": "child"}),
                step("beside", "delay", {"for": "2h"}),
                step("done", "end", {"output": ["{{ steps.sub.output }}", "{{ execution.started_at }}"]}, join="all"),
            ],
            "transitions": [
                {"from": "first", "to": "sub"},
                {"from": "first", "to": "beside"},
                {"from": "sub", "to": "done"},
                {"from": "beside", "to": "done"},
            ],
        }
    )
    started = await engine.start(parent, {}, metadata=SIMULATED)
    await engine.settle()
    row = await engine.execution(started.id)
    assert (row["status"], row["completed_at"] - row["started_at"]) == ("COMPLETED", timedelta(hours=4))
    (child,) = await engine.fetch("select * from weft.workflow_executions where parent_id = $1", started.id)
    assert (child["simulation"], child["status"]) == (True, "COMPLETED")
    assert child["completed_at"] - child["started_at"] == timedelta(hours=3)
    then, begun = row["output"]
    assert (then[:13], begun[:13]) == (
        (row["started_at"] + timedelta(hours=4)).isoformat()[:13],
        row["started_at"].isoformat()[:13],
    )
    assert engine.http.requests == []


async def test_a_long_one_goes_on_in_slices_and_repeats_nothing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"steps": [call("pay"), step("after", "transform", {"output": "{{ index }}"})],
            "transitions": [{"from": "pay", "to": "after"}]}  # fmt: skip
    workflow = await engine.workflow(
        chain(
            step("many", "for_each", {"items": "input.numbers", "concurrency": 7, "body": body}),
            step("done", "end", {"output": "{{ steps.many.output }}"}),
        )
    )
    count = SLICE
    script = {"steps": {"many.pay": {"duration": {"uniform": ["1s", "9s"]}}}}
    started = await engine.start(workflow, {"numbers": list(range(count))}, metadata={**SIMULATED, "script": script})
    slices = 0
    deliver = engine.driver.deliver

    async def counted(tenant_id: Any, news: Any, **more: Any) -> Any:
        nonlocal slices
        slices += sum(isinstance(item.what, PlayOn) for item in news)
        return await deliver(tenant_id, news, **more)

    monkeypatch.setattr(engine.driver, "deliver", counted)
    await engine.settle()
    row = await engine.execution(started.id)
    assert (row["status"], row["output"]) == ("COMPLETED", list(range(count)))
    assert slices == 1
    journal = [entry for entry in await engine.journal(started.id) if entry[0]]
    assert len(journal) == 2 * count + 2
    assert {status for _, _, status in journal} == {"COMPLETED"}


async def test_a_slice_that_is_played_twice_counts_once(engine: Engine) -> None:
    """Two workers that hold the same slice: one save wins, the other sees that there is nothing left to do."""
    body = {"steps": [call("pay")], "transitions": []}
    loop = {"items": "input.numbers", "concurrency": 3, "body": body}
    workflow = await engine.workflow(chain(step("many", "for_each", loop), step("done", "end", {})))
    count = SLICE + SLICE // 2
    script = {"steps": {"many.pay": {"duration": "1s"}}}
    started = await engine.start(workflow, {"numbers": list(range(count))}, metadata={**SIMULATED, "script": script})
    tenant = engine.actor.tenant_id
    await engine.driver.deliver(tenant, [_taken_up(started.id)])
    assert (await engine.execution(started.id))["status"] == "RUNNING"
    again = [News(started.id, PlayOn())]
    await asyncio.gather(*(engine.driver.deliver(tenant, again) for _ in range(3)))
    row = await engine.execution(started.id)
    assert (row["status"], row["completed_at"] - row["started_at"]) == ("COMPLETED", timedelta(seconds=count / 3))
    journal = [entry for entry in await engine.journal(started.id) if entry[0]]
    assert len(journal) == count + 2
    assert {status for _, _, status in journal} == {"COMPLETED"}


async def test_a_failed_one_can_be_retried_and_a_cancelled_one_stays_so(engine: Engine) -> None:
    workflow = await engine.workflow(chain(call("pay"), step("done", "end", {})))
    script = {"steps": {"pay": [{"when": "visit == 1", "fail": {"retryable": False}, "duration": "4m"}, {}]}}
    started = await engine.start(workflow, {}, metadata={**SIMULATED, "script": script})
    await engine.settle()
    failed = await engine.execution(started.id)
    assert (failed["status"], failed["completed_at"] - failed["started_at"]) == ("FAILED", timedelta(minutes=4))
    await engine.driver.deliver(engine.actor.tenant_id, [News(started.id, Retried("Ada"))])
    row = await engine.execution(started.id)
    assert (row["status"], row["completed_at"] - row["started_at"]) == ("COMPLETED", timedelta(minutes=4))

    other = await engine.start(workflow, {}, metadata=SIMULATED)
    await engine.driver.deliver(engine.actor.tenant_id, [News(other.id, Cancelled("no", "Ada"))])
    await engine.settle()
    assert (await engine.execution(other.id))["status"] == "CANCELLED"


async def test_what_cannot_be_simulated_is_refused_and_nothing_is_started(engine: Engine) -> None:
    workflow = await engine.workflow(chain(call("pay"), step("done", "end", {})))
    with pytest.raises(SimulationUnclear):
        await engine.start(workflow, {}, metadata={"simulation": "yes"})
    with pytest.raises(ScriptInvalid, match=r"steps\.pay"):
        await engine.start(workflow, {}, metadata={**SIMULATED, "script": {"steps": {"pay": {"ouput": 1}}}})
    with pytest.raises(ScriptInvalid, match="leave `workflows` out"):
        await engine.start(workflow, {}, metadata={**SIMULATED, "script": {"workflows": {"a": {"steps": []}}}})
    assert await engine.fetch("select 1 from weft.workflow_executions") == []


async def test_the_worker_would_not_perform_a_simulated_step_either(engine: Engine) -> None:
    workflow = await engine.workflow(
        chain(step("sub", "sub_workflow", {"workflow": "child"}), call("pay"), step("done", "end", {}))
    )
    await engine.workflow({"name": "child", **chain(step("done", "end", {}))})
    started = await engine.start(workflow, {}, metadata=SIMULATED)
    await engine.driver.deliver(engine.actor.tenant_id, [_taken_up(started.id)])
    run = (await engine.driver.load(engine.actor.tenant_id, [started.id]))[started.id]
    job = Job(engine.actor.tenant_id, new_id(), "step", started.id, 1, 1, None, 1, 1)
    what = await errands.perform(engine.driver, Ports(http=engine.http), run, job)
    assert "never performed" in repr(what)


def _taken_up(execution_id: Any) -> Any:
    return News(execution_id, TakenUp())


async def test_a_server_that_would_be_called_hears_nothing(engine: Engine) -> None:
    """The worker has the real client here, and may reach the server; only real executions do."""
    heard = 0

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heard
        heard += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(hear, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    client = SafeHttpClient(Allow.parse(["127.0.0.1/32"]))
    engine.http = client  # type: ignore[assignment]  # the real one
    workflow = await engine.workflow(chain(step("pay", "http", {"url": url}), step("done", "end", {})))
    try:
        for metadata, calls in (({}, 1), (SIMULATED, 1), ({}, 2)):
            started = await engine.start(workflow, {}, metadata=metadata)
            await engine.settle()
            assert (await engine.execution(started.id))["status"] == "COMPLETED"
            assert heard == calls
    finally:
        server.close()
        await client.close()
        await server.wait_closed()


class Plug(ErrandStep):
    name = "plug"
    title = "Plug"
    config_schema = config_of()
    outputs_schema = output_of({"answer": {"type": "integer", "minimum": 42, "maximum": 42}})
    performed = 0

    async def call(self, call: Call, ports: Ports) -> Outcome:
        Plug.performed += 1
        return Done({"answer": 0})


async def test_a_plug_in_s_kind_answers_by_its_schema_and_is_not_performed(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.kinds()
    monkeypatch.setitem(registry.INSTALLED._kinds or {}, "plug", Plug())
    end = step("done", "end", {"output": "{{ steps.plug.output.answer }}"})
    workflow = await engine.workflow(chain(step("plug", "plug"), end))
    started = await engine.start(workflow, {}, metadata=SIMULATED)
    await engine.settle()
    assert ((await engine.execution(started.id))["output"], Plug.performed) == (42, 0)
    started = await engine.start(workflow, {})
    await engine.settle()
    assert ((await engine.execution(started.id))["output"], Plug.performed) == (0, 1)


async def test_another_tenant_s_sub_workflow_is_not_found(engine: Engine, bob: Actor) -> None:
    await engine.workflow({"name": "child", **chain(step("done", "end", {}))}, bob)
    parent = await engine.workflow(chain(step("sub", "sub_workflow", {"workflow": "child"}), step("done", "end", {})))
    started = await engine.start(parent, {}, metadata=SIMULATED)
    await engine.settle()
    row = await engine.execution(started.id)
    assert (row["status"], row["error"]["kind"]) == ("FAILED", "sub_workflow")
