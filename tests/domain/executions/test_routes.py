"""Looking at executions over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from tests.factories import executions, identity
from tests.factories.executions import CALL, FAIL, SET
from tests.factories.identity import Person

from weft.core.actor import Actor
from weft.db.database import Database
from weft.db.scope import enter
from weft.domain.clients.models import Client
from weft.domain.workflows import service as workflows
from weft.engine.outcomes import Done, Failed
from weft.engine.process import EngineProcess

Headers = dict[str, str]
NOBODY = "0198f3a0-0000-7000-8000-00000000c0de"
PATHS = ("/v1/executions", "/v1/executions/counts", f"/v1/executions/{NOBODY}", f"/v1/executions/{NOBODY}/logs")


@pytest.fixture
async def acme(database: Database) -> Person:
    return await identity.tenant(database, "acme")


@pytest.fixture
async def actor(database: Database, acme: Person) -> Actor:
    return await identity.actor(database, acme)


@pytest.fixture
async def signed(database: Database, acme: Person) -> Headers:
    return await identity.bearer(database, await identity.somebody(database, acme, "executions:read"))


@pytest.fixture
async def engine(database: Database) -> AsyncIterator[EngineProcess]:
    async with executions.engine(database, answers=False) as opened:
        yield opened


@pytest.fixture
async def http(database: Database, engine: EngineProcess) -> AsyncIterator[httpx2.AsyncClient]:
    async with executions.client(database, engine) as opened:
        yield opened


async def get(http: httpx2.AsyncClient, headers: Headers, path: str, **query: Any) -> Any:
    answer = await http.get(f"/v1/executions{path}", headers=headers, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


# -- who may -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
async def test_nobody_looks_without_signing_in(http: httpx2.AsyncClient, path: str) -> None:
    answer = await http.get(path)
    assert (answer.status_code, answer.json()["type"]) == (401, "/errors/credential_missing")


@pytest.mark.parametrize("path", PATHS)
async def test_starting_is_not_looking(database: Database, http: httpx2.AsyncClient, acme: Person, path: str) -> None:
    headers = await identity.bearer(database, await identity.somebody(database, acme, "executions:start"))
    assert (await http.get(path, headers=headers)).status_code == 403


async def test_another_tenants_executions_do_not_exist(
    database: Database, http: httpx2.AsyncClient, engine: EngineProcess, actor: Actor, signed: Headers
) -> None:
    begun = await executions.start(engine, actor, await executions.workflow(database, actor))
    stranger = await identity.bearer(database, await identity.tenant(database, "globex"))
    for path in ("", "/logs"):
        answer = await http.get(f"/v1/executions/{begun.id}{path}", headers=stranger)
        assert (answer.status_code, answer.json()["type"]) == (404, "/errors/execution_not_found")
    assert (await get(http, stranger, ""))["items"] == []
    assert (await get(http, stranger, "", workflow_id=str(begun.workflow_id)))["items"] == []
    assert (await get(http, stranger, "/counts"))["total"] == 0
    assert len((await get(http, signed, ""))["items"]) == 1


# -- lists ---------------------------------------------------------------------------------------------------


async def test_the_list_is_newest_first_and_comes_in_pages(
    database: Database, http: httpx2.AsyncClient, engine: EngineProcess, actor: Actor, signed: Headers
) -> None:
    workflow = await executions.workflow(database, actor, name="Invoice")
    for _ in range(5):
        await executions.start(engine, actor, workflow, inline=True)
    first = await get(http, signed, "", limit=2)
    second = await get(http, signed, "", limit=2, cursor=first["next_cursor"])
    third = await get(http, signed, "", limit=2, cursor=second["next_cursor"])
    assert [item["number"] for page in (first, second, third) for item in page["items"]] == [5, 4, 3, 2, 1]
    assert third["next_cursor"] is None
    shown = first["items"][0]
    assert (shown["workflow_name"], shown["version"], shown["status"]) == ("Invoice", 1, "COMPLETED")
    assert shown["duration_ms"] >= 0
    assert not {"input", "output", "state"} & shown.keys()


async def test_the_list_is_filtered(
    database: Database, http: httpx2.AsyncClient, engine: EngineProcess, actor: Actor, signed: Headers
) -> None:
    async with enter(database, actor) as scope:
        client = await scope.add(Client(name="Initech"))
    good, bad = await executions.workflow(database, actor), await executions.workflow(database, actor, steps=[FAIL])
    one = await executions.start(engine, actor.correlated("order-7"), good, inline=True, client_id=client.id)
    two = await executions.start(engine, actor, bad, inline=True)
    three = await executions.start(engine, actor, good, trigger="WORKFLOW", parent_id=one.id, parent_visit=1, depth=1)
    now = datetime.now(UTC)
    ids = {one.id: "one", two.id: "two", three.id: "three"}
    for query, expected in (
        ({}, {"one", "two", "three"}),
        ({"status": "FAILED"}, {"two"}),
        ({"status": "PENDING"}, {"three"}),
        ({"workflow_id": str(good)}, {"one", "three"}),
        ({"workflow_id": str(good), "status": "COMPLETED"}, {"one"}),
        ({"client_id": str(client.id)}, {"one"}),
        ({"correlation_id": "order-7"}, {"one"}),
        ({"trigger": "workflow"}, {"three"}),
        ({"parent_id": str(one.id)}, {"three"}),
        ({"created_from": (now - timedelta(hours=1)).isoformat()}, {"one", "two", "three"}),
        ({"created_to": (now - timedelta(hours=1)).isoformat()}, set()),
        ({"created_from": (now + timedelta(hours=1)).isoformat()}, set()),
    ):
        items = (await get(http, signed, "", **query))["items"]
        assert {ids[UUID(item["id"])] for item in items} == expected, query
    failed = (await get(http, signed, "", status="FAILED"))["items"][0]
    assert failed["error_message"] == "The amount is not ours to pay."


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"status": "DONE"}, "request_invalid"),
        ({"created_from": "2026-03-01T00:00:00"}, "request_invalid"),
        ({"created_from": "2026-03-02T00:00:00Z", "created_to": "2026-03-01T00:00:00Z"}, "period_invalid"),
        ({"limit": 201}, "request_invalid"),
        ({"cursor": "nonsense"}, "cursor_invalid"),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(
    http: httpx2.AsyncClient, signed: Headers, query: dict[str, Any], code: str
) -> None:
    answer = await http.get("/v1/executions", params=query, headers=signed)
    assert (answer.status_code, answer.json()["type"]) == (422, f"/errors/{code}")


async def test_executions_of_a_deleted_workflow_stay_visible(
    database: Database, http: httpx2.AsyncClient, engine: EngineProcess, actor: Actor, signed: Headers
) -> None:
    workflow = await executions.workflow(database, actor, name="Gone")
    begun = await executions.start(engine, actor, workflow, inline=True)
    async with enter(database, actor) as scope:
        await workflows.delete(scope, workflow)
    assert (await get(http, signed, ""))["items"][0]["workflow_name"] == "Gone"
    assert (await get(http, signed, f"/{begun.id}"))["workflow_name"] == "Gone"


# -- one execution -------------------------------------------------------------------------------------------


async def test_everything_about_a_finished_execution(
    database: Database, http: httpx2.AsyncClient, engine: EngineProcess, actor: Actor, signed: Headers
) -> None:
    workflow = await executions.workflow(database, actor, output="{{ steps.answer.output }}")
    begun = await executions.start(
        engine, actor, workflow, inline=True, input={"amount": 7}, metadata={"batch": 1}, idempotency_key="k"
    )
    found = await get(http, signed, f"/{begun.id}")
    assert (found["input"], found["output"], found["error"]) == ({"amount": 7}, {"total": 7}, None)
    assert (found["status"], found["steps"], found["live_steps"]) == ("COMPLETED", [], 0)
    assert (found["metadata"], found["idempotency_key"], found["depth"]) == ({"batch": 1}, "k", 0)
    assert (found["duration_ms"] >= 0, found["queued_ms"] >= 0) == (True, True)


async def test_a_running_execution_tells_where_it_stands(
    database: Database, http: httpx2.AsyncClient, engine: EngineProcess, actor: Actor, signed: Headers
) -> None:
    wait = {"key": "wait", "type": "delay", "config": {"for": "1h"}, "timeout": "2h"}
    workflow = await executions.workflow(
        database, actor,
        steps=[{**SET, "split": "all"}, CALL, wait],
        transitions=[{"from": "answer", "to": "call"}, {"from": "answer", "to": "wait"}],
    )  # fmt: skip
    begun = await executions.start(engine, actor, workflow, inline=True)
    found = await get(http, signed, f"/{begun.id}")
    steps = {step["step"]: step for step in found["steps"]}
    assert (found["status"], found["live_steps"], found["completed_at"]) == ("RUNNING", 2, None)
    assert (steps["call"]["phase"], steps["call"]["attempt"]) == ("running", 1)
    assert steps["wait"]["phase"] == "waiting"
    since = datetime.fromisoformat(steps["wait"]["since"])
    assert datetime.fromisoformat(steps["wait"]["resumes_at"]) - since == timedelta(hours=1)
    assert datetime.fromisoformat(steps["wait"]["times_out_at"]) - since == timedelta(hours=2)


async def test_a_step_between_two_attempts_tells_when_it_is_tried_again(
    database: Database, http: httpx2.AsyncClient, engine: EngineProcess, actor: Actor, signed: Headers
) -> None:
    call = {**CALL, "retry": {"attempts": 2, "initial": "1h", "jitter": False}}
    workflow = await executions.workflow(database, actor, steps=[call])
    begun = await executions.start(engine, actor, workflow, inline=True)
    await executions.settle(engine, actor, begun.id, Failed("http_5xx", "Busy."))
    (step,) = (await get(http, signed, f"/{begun.id}"))["steps"]
    assert (step["phase"], step["attempt"]) == ("retrying", 1)
    assert datetime.fromisoformat(step["resumes_at"]) - datetime.now(UTC) > timedelta(minutes=30)


async def test_an_execution_that_does_not_exist(http: httpx2.AsyncClient, signed: Headers) -> None:
    for path in ("", "/logs"):
        answer = await http.get(f"/v1/executions/{uuid4()}{path}", headers=signed)
        assert (answer.status_code, answer.json()["type"]) == (404, "/errors/execution_not_found")
    assert (await http.get("/v1/executions/7", headers=signed)).status_code == 422


# -- the journal ---------------------------------------------------------------------------------------------


async def test_the_journal_tells_what_happened(
    database: Database, http: httpx2.AsyncClient, engine: EngineProcess, actor: Actor, signed: Headers
) -> None:
    workflow = await executions.workflow(database, actor, steps=[SET, CALL])
    begun = await executions.start(engine, actor, workflow, inline=True, input={"amount": 7})
    await executions.settle(engine, actor, begun.id, Failed("http_4xx", "No.", retryable=False), visit=2)
    rows = (await get(http, signed, f"/{begun.id}/logs", order="asc"))["items"]
    assert [(row["step"], row["status"], row["attempt"]) for row in rows] == [
        ("answer", "COMPLETED", 1),
        ("call", "FAILED", 1),
    ]
    first, second = rows
    assert (first["data"], first["error"], first["execution_id"]) == ({"total": 7}, None, str(begun.id))
    assert (second["data"], second["error"]) == (None, {"kind": "http_4xx", "message": "No."})
    assert (first["step_id"] is None, second["completed_at"] is None) == (False, False)
    assert second["duration_ms"] >= 0
    newest_first = (await get(http, signed, f"/{begun.id}/logs"))["items"]
    assert newest_first == rows[::-1]


async def test_the_journal_is_filtered_and_comes_in_pages(
    database: Database, http: httpx2.AsyncClient, engine: EngineProcess, actor: Actor, signed: Headers
) -> None:
    price = {"key": "price", "type": "transform", "config": {"output": "{{ item }}"}}
    body = {"steps": [price], "transitions": []}
    loop = {"key": "lines", "type": "for_each", "config": {"items": "{{ input.lines }}", "body": body}}
    workflow = await executions.workflow(database, actor, steps=[loop, CALL])
    begun = await executions.start(engine, actor, workflow, inline=True, input={"lines": [10, 20, 30]})
    path = f"/{begun.id}/logs"
    priced = (await get(http, signed, path, step="lines.price", order="asc"))["items"]
    assert sorted(row["data"] for row in priced) == [10, 20, 30]
    assert {row["frame"] for row in priced} == {"1.0", "1.1", "1.2"}
    assert [row["step"] for row in (await get(http, signed, path, status="RUNNING"))["items"]] == ["call"]
    first = await get(http, signed, path, limit=3, order="asc")
    second = await get(http, signed, path, limit=3, order="asc", cursor=first["next_cursor"])
    assert len({row["id"] for row in [*first["items"], *second["items"]]}) == 5
    assert second["next_cursor"] is None


# -- counts --------------------------------------------------------------------------------------------------


async def test_executions_are_counted_by_status(
    database: Database, http: httpx2.AsyncClient, engine: EngineProcess, actor: Actor, signed: Headers
) -> None:
    good, bad = await executions.workflow(database, actor), await executions.workflow(database, actor, steps=[FAIL])
    for workflow in (good, good, bad):
        await executions.start(engine, actor, workflow, inline=True)
    slow = await executions.workflow(database, actor, steps=[CALL])
    begun = await executions.start(engine, actor, slow, inline=True)
    everything = await get(http, signed, "/counts")
    assert everything["total"] == 4
    assert {s: n for s, n in everything["by_status"].items() if n} == {"COMPLETED": 2, "FAILED": 1, "RUNNING": 1}
    assert set(everything["by_status"]) >= {"PENDING", "WAITING", "PAUSED", "CANCELLED"}
    await executions.settle(engine, actor, begun.id, Done())
    assert (await get(http, signed, "/counts", workflow_id=str(slow)))["by_status"]["COMPLETED"] == 1
    assert (await get(http, signed, "/counts", workflow_id=str(good)))["total"] == 2
    earlier = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    assert (await get(http, signed, "/counts", created_to=earlier))["total"] == 0
    answer = await http.get("/v1/executions/counts", headers=signed, params={
        "created_from": earlier, "created_to": earlier
    })  # fmt: skip
    assert (answer.status_code, answer.json()["type"]) == (422, "/errors/period_invalid")


# -- simulated ones ------------------------------------------------------------------------------------------


async def test_simulated_ones_are_marked_filtered_and_not_counted(
    database: Database, http: httpx2.AsyncClient, engine: EngineProcess, actor: Actor, signed: Headers
) -> None:
    workflow = await executions.workflow(database, actor)
    real = await executions.start(engine, actor, workflow, inline=True)
    simulated = await executions.start(engine, actor, workflow, inline=True, metadata={"simulation": True})
    rows = (await get(http, signed, ""))["items"]
    assert {row["id"]: row["simulation"] for row in rows} == {str(real.id): False, str(simulated.id): True}
    for wanted, found in ((True, simulated), (False, real)):
        (row,) = (await get(http, signed, "", simulation=wanted))["items"]
        assert row["id"] == str(found.id)
    assert (await get(http, signed, f"/{simulated.id}"))["simulation"] is True
    for query in ({}, {"workflow_id": str(workflow)}):
        assert (await get(http, signed, "/counts", **query))["by_status"]["COMPLETED"] == 1
