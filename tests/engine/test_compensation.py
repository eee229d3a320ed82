"""Undoing on the real engine: what handlers see, what the journal and the error say, and that nothing is repeated."""

from __future__ import annotations

from typing import Any

from tests.engine.conftest import Engine, ok
from tests.engine.documents import call, step

from weft.core.ports import HttpRequest, HttpResponse
from weft.engine.news import Cancelled, News


def trip(**more: Any) -> dict[str, Any]:
    undo = {"method": "POST", "url": "http://stub/cancel", "body": "{{ compensating }}"}
    return {
        "steps": [
            step("car", "transform", {"output": {"booking": 1}}, compensate="cancel_car"),
            step("hotel", "http", {"method": "POST", "url": "http://stub/hotel"}, compensate="cancel_hotel"),
            call("pay"),
            step("cancel_car", "http", undo),
            step("cancel_hotel", "transform", {"output": "{{ compensating.output.status }}"}),
        ],
        "transitions": [{"from": "car", "to": "hotel"}, {"from": "hotel", "to": "pay"}],
        **more,
    }


def declined(request: HttpRequest) -> HttpResponse:
    return ok(status=402 if request.url.endswith("/pay") else 200)


async def run(engine: Engine, document: dict[str, Any], value: Any = None) -> Any:
    result = await engine.start(await engine.workflow(document), value)
    await engine.settle()
    return await engine.execution(result.id)


async def test_a_failure_is_undone_and_the_error_stays_what_it_was(engine: Engine) -> None:
    engine.http.replies = [declined]
    row = await run(engine, trip())
    assert row["status"] == "FAILED"
    assert (row["error"]["step"], row["error"]["kind"]) == ("pay", "http_4xx")
    assert await engine.journal(row["id"]) == [
        (None, 0, "RUNNING"), ("car", 1, "COMPLETED"), ("hotel", 1, "COMPLETED"), ("pay", 1, "FAILED"),
        ("cancel_hotel", 1, "COMPLETED"), ("cancel_car", 1, "COMPLETED"),
    ]  # fmt: skip
    rows = await engine.fetch("select step_key, data, message from weft.execution_logs where step_key like 'cancel%'")
    found = {r["step_key"]: r for r in rows}
    assert found["cancel_hotel"]["data"] == 200
    assert b'"booking":1' in (engine.http.requests[-1].body or b"").replace(b" ", b"")
    notes = await engine.fetch("select message from weft.execution_logs where visit = 0")
    assert notes[0]["message"] == "It will end as FAILED; before that 2 steps are undone."


async def test_while_it_is_undone_the_execution_runs_and_says_why_it_will_fail(engine: Engine) -> None:
    engine.http.replies = [declined]
    document = trip()
    document["steps"][3] = step("cancel_car", "delay", {"for": 60})
    row = await run(engine, document)
    assert (row["status"], row["error"]["step"]) == ("WAITING", "pay")
    news = [News(row["id"], Cancelled("stop", "ada"))]
    await engine.driver.deliver(engine.actor.tenant_id, news)
    assert (await engine.execution(row["id"]))["status"] == "WAITING"
    engine.clock.advance(61)
    await engine.settle()
    row = await engine.execution(row["id"])
    assert (row["status"], row["error"]["step"], row["error"]["kind"]) == ("FAILED", "pay", "http_4xx")


async def test_what_could_not_be_undone_is_said_in_the_error(engine: Engine) -> None:
    engine.http.replies = [lambda request: ok(status=200 if request.url.endswith("/hotel") else 410)]
    row = await run(engine, trip())
    assert row["error"]["kind"] == "compensation_failed"
    assert row["error"]["not_undone"] == ["car"]
    assert row["error"]["cause"]["step"] == "pay"
    assert "'car' did could not be undone" in row["error"]["message"]


async def test_a_cancelled_execution_is_undone_and_then_cancelled(engine: Engine) -> None:
    document = trip()
    document["steps"][2] = step("pay", "delay", {"for": 60})
    row = await run(engine, document)
    await engine.driver.deliver(engine.actor.tenant_id, [News(row["id"], Cancelled("not wanted", "ada"))])
    await engine.settle()
    row = await engine.execution(row["id"])
    assert (row["status"], row["error"]["message"]) == ("CANCELLED", "not wanted")
    done = [(step, how) for step, _, how in await engine.journal(row["id"]) if step and step.startswith("cancel")]
    assert done == [("cancel_hotel", "COMPLETED"), ("cancel_car", "COMPLETED")]


async def test_everything_instant_is_undone_in_the_same_save(engine: Engine) -> None:
    document = {
        "steps": [
            step("a", "set", {"vars": {"a": 1}}, compensate="un_a"),
            step("no", "fail", {"message": "No."}),
            step("un_a", "transform", {"output": "{{ compensating.step }}"}),
        ],
        "transitions": [{"from": "a", "to": "no"}],
    }
    result = await engine.start(await engine.workflow(document), inline=True)
    assert (result.status, (result.error or {})["message"]) == ("FAILED", "No.")
    rows = await engine.fetch("select data from weft.execution_logs where step_key = 'un_a'")
    assert rows[0]["data"] == "a"


async def test_a_step_undoes_and_the_flow_goes_on(engine: Engine) -> None:
    engine.http.replies = [declined]
    document = trip()
    document["steps"][2] |= {"on_error": "back"}
    document["steps"] += [step("back", "compensate"), step("end", "end", {"output": "{{ steps.back.output }}"})]
    document["transitions"].append({"from": "back", "to": "end"})
    row = await run(engine, document)
    assert (row["status"], row["output"]) == ("COMPLETED", {"undone": 2})


async def test_a_step_whose_handlers_fail_fails_with_its_own_kind(engine: Engine) -> None:
    engine.http.replies = [lambda request: ok(status=200 if request.url.endswith("/hotel") else 410)]
    document = trip()
    document["steps"][2] |= {"on_error": "back"}
    document["steps"] += [
        step("back", "compensate", on_error="end"),
        step("end", "end", {"output": "{{ steps.back.error.kind }}"}),
    ]
    row = await run(engine, document)
    assert (row["status"], row["output"]) == ("COMPLETED", "compensation_failed")
