"""Starting, waiting for, cancelling and retrying executions over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest
from tests.conftest import TestDatabase
from tests.factories import executions, identity
from tests.factories.executions import CALL, FAIL, SET
from tests.factories.identity import Person

from weft.core.actor import Actor
from weft.db.database import Database
from weft.db.hot import transaction
from weft.db.scope import enter
from weft.domain.clients.models import Client
from weft.engine.outcomes import Done, Failed
from weft.engine.process import EngineProcess

Headers = dict[str, str]


@pytest.fixture
async def acme(database: Database) -> Person:
    return await identity.tenant(database, "acme")


@pytest.fixture
async def actor(database: Database, acme: Person) -> Actor:
    return await identity.actor(database, acme)


@pytest.fixture
async def signed(database: Database, acme: Person) -> Headers:
    return await identity.bearer(database, acme)


@pytest.fixture
async def engine(database: Database) -> AsyncIterator[EngineProcess]:
    async with executions.engine(database) as opened:
        yield opened


@pytest.fixture
async def http(database: Database, engine: EngineProcess) -> AsyncIterator[httpx2.AsyncClient]:
    async with executions.client(database, engine) as opened:
        yield opened


@pytest.fixture
async def workflow(database: Database, actor: Actor) -> UUID:
    """Ends at once: its output is the amount."""
    return await executions.workflow(database, actor, name="Invoice", output={"total": "{{ input.amount }}"})


@pytest.fixture
async def slow(database: Database, actor: Actor) -> UUID:
    """Waits for a worker."""
    return await executions.workflow(database, actor, steps=[CALL], name="Slow")


async def journal(database: Database, actor: Actor, execution_id: str) -> list[tuple[str | None, str]]:
    async with transaction(database, actor, read_only=True) as connection:
        rows = await connection.fetch(
            "select step_key, status from weft.execution_logs where execution_id = $1 order by started_at, id",
            UUID(execution_id),
        )
    return [(row[0], row[1]) for row in rows]


async def audited(database: Database, actor: Actor, execution_id: str) -> list[tuple[str, str | None, str | None]]:
    async with transaction(database, actor, read_only=True) as connection:
        rows = await connection.fetch(
            "select action, actor_id, ip from weft.audit_logs where resource_id = $1 order by at", execution_id
        )
    return [(row[0], row[1], row[2]) for row in rows]


# -- who may -------------------------------------------------------------------------------------------------


async def test_nobody_starts_anything_without_signing_in(http: httpx2.AsyncClient, workflow: UUID) -> None:
    for path in ("/v1/executions", f"/v1/workflows/{workflow}/executions"):
        answer = await http.post(path, json={})
        assert (answer.status_code, answer.json()["type"]) == (401, "/errors/credential_missing")


@pytest.mark.parametrize("command", ["cancel", "retry"])
async def test_nobody_commands_anything_without_signing_in(http: httpx2.AsyncClient, command: str) -> None:
    assert (await http.post(f"/v1/executions/{uuid4()}/{command}")).status_code == 401


async def test_reading_is_not_enough_to_start_or_to_command(
    database: Database, http: httpx2.AsyncClient, acme: Person, workflow: UUID
) -> None:
    headers = await identity.bearer(database, await identity.somebody(database, acme, "executions:read"))
    begun = await http.post("/v1/executions", json={"workflow": str(workflow)}, headers=headers)
    assert (begun.status_code, begun.json()["type"]) == (403, "/errors/permission_missing")
    for command in ("cancel", "retry"):
        answer = await http.post(f"/v1/executions/{uuid4()}/{command}", headers=headers)
        assert answer.status_code == 403


async def test_another_tenants_workflow_and_executions_do_not_exist(
    database: Database, http: httpx2.AsyncClient, signed: Headers, slow: UUID
) -> None:
    begun = await http.post(f"/v1/workflows/{slow}/executions", json={}, headers=signed)
    stranger = await identity.bearer(database, await identity.tenant(database, "globex"))
    answer = await http.post("/v1/executions", json={"workflow": str(slow)}, headers=stranger)
    assert (answer.status_code, answer.json()["type"]) == (404, "/errors/workflow_not_found")
    for command in ("cancel", "retry"):
        answer = await http.post(f"/v1/executions/{begun.json()['id']}/{command}", headers=stranger)
        assert (answer.status_code, answer.json()["type"]) == (404, "/errors/execution_not_found")
    assert (await http.get(f"/v1/executions/{begun.json()['id']}", headers=signed)).json()["status"] == "PENDING"


async def test_another_sites_page_cannot_start_anything(
    database: Database, http: httpx2.AsyncClient, acme: Person, workflow: UUID
) -> None:
    cookie = {"Cookie": f"weft_session={await identity.session(database, acme)}"}
    path = f"/v1/workflows/{workflow}/executions"
    foreign = await http.post(path, json={}, headers={**cookie, "Sec-Fetch-Site": "cross-site"})
    assert (foreign.status_code, foreign.json()["type"]) == (403, "/errors/origin_refused")
    own = await http.post(path, json={}, headers={**cookie, "Sec-Fetch-Site": "same-origin"})
    assert own.status_code == 202


# -- starting ------------------------------------------------------------------------------------------------


async def test_a_start_is_stored_and_left_to_a_worker(
    database: Database, http: httpx2.AsyncClient, signed: Headers, actor: Actor, workflow: UUID
) -> None:
    answer = await http.post(f"/v1/workflows/{workflow}/executions", json={"input": {"amount": 7}}, headers=signed)
    begun = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/executions/{begun['id']}"
    assert (begun["status"], begun["number"], begun["output"]) == ("PENDING", 1, None)
    assert [job["kind"] for job in await executions.jobs(database, actor)] == ["start"]


async def test_a_workflow_is_found_by_its_name_however_it_is_written(
    http: httpx2.AsyncClient, signed: Headers, workflow: UUID
) -> None:
    for name in ("Invoice", "  iNVOICE ", str(workflow)):
        answer = await http.post("/v1/executions", json={"workflow": name}, headers=signed)
        assert (answer.status_code, answer.json()["workflow_id"]) == (202, str(workflow))


async def test_what_was_said_with_a_start_is_kept(
    database: Database, http: httpx2.AsyncClient, signed: Headers, actor: Actor, acme: Person, workflow: UUID
) -> None:
    async with enter(database, actor) as scope:
        client = await scope.add(Client(name="Initech"))
    said = {
        "workflow": str(workflow),
        "input": {"amount": 10**20, "text": "Zoë 🎈"},
        "version": 1,
        "metadata": {"batch": "b-7"},
        "client_id": str(client.id),
        "correlation_id": "order-4711",
    }
    begun = await http.post("/v1/executions", json=said, headers={**signed, "Idempotency-Key": "k-1"})
    found = (await http.get(f"/v1/executions/{begun.json()['id']}", headers=signed)).json()
    del said["workflow"]
    assert {key: found[key] for key in said} == said
    assert (found["workflow_name"], found["idempotency_key"]) == ("Invoice", "k-1")
    assert (found["trigger"], found["started_by"]) == ("MANUAL", str(acme.user_id))


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"version": 9}, 404, "version_not_found"),
        ({"client_id": "018f0000-0000-7000-8000-000000000000"}, 422, "client_unknown"),
        ({"metadata": {"simulation": "yes"}}, 422, "simulation_unclear"),
        ({"metadata": {"simulation": True, "script": {"steps": 1}}}, 422, "script_invalid"),
        ({"version": 0}, 422, "request_invalid"),
        ({"inputs": {}}, 422, "request_invalid"),
        ({"input": {"text": "a\0b"}}, 422, "request_invalid"),
        ({"correlation_id": "no blanks"}, 422, "request_invalid"),
    ],
)
async def test_a_wrong_start_starts_nothing_and_says_why(
    database: Database, http: httpx2.AsyncClient, signed: Headers, actor: Actor, workflow: UUID,
    body: dict[str, object], status: int, code: str,
) -> None:  # fmt: skip
    answer = await http.post(f"/v1/workflows/{workflow}/executions", json=body, headers=signed)
    assert (answer.status_code, answer.json()["type"]) == (status, f"/errors/{code}")
    assert await executions.jobs(database, actor) == []


async def test_an_input_that_does_not_fit_names_the_field(
    database: Database, http: httpx2.AsyncClient, signed: Headers, actor: Actor
) -> None:
    schema = {"type": "object", "required": ["amount"], "properties": {"amount": {"type": "number"}}}
    workflow = await executions.workflow(database, actor, input=schema)
    answer = await http.post(f"/v1/workflows/{workflow}/executions", json={"input": {}}, headers=signed)
    assert (answer.status_code, answer.json()["type"]) == (422, "/errors/input_invalid")
    assert answer.json()["errors"][0]["path"] == ["amount"]


async def test_a_workflow_that_is_not_active_cannot_be_started(
    database: Database, http: httpx2.AsyncClient, signed: Headers, actor: Actor
) -> None:
    workflow = await executions.workflow(database, actor, active=False)
    answer = await http.post(f"/v1/workflows/{workflow}/executions", json={}, headers=signed)
    assert (answer.status_code, answer.json()["type"]) == (409, "/errors/workflow_not_active")


# -- idempotency keys ----------------------------------------------------------------------------------------


async def test_the_same_key_answers_with_the_same_execution(
    http: httpx2.AsyncClient, signed: Headers, workflow: UUID
) -> None:
    headers = {**signed, "Idempotency-Key": "order-1"}
    path = f"/v1/workflows/{workflow}/executions"
    first = await http.post(path, json={"input": {"amount": 1}}, headers=headers)
    again = await http.post(path, json={"input": {"amount": 1}}, headers=headers)
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json() == again.json()
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"


async def test_the_same_key_for_another_input_is_refused(
    http: httpx2.AsyncClient, signed: Headers, workflow: UUID
) -> None:
    headers = {**signed, "Idempotency-Key": "order-1"}
    path = f"/v1/workflows/{workflow}/executions"
    await http.post(path, json={"input": {"amount": 1}}, headers=headers)
    answer = await http.post(path, json={"input": {"amount": 2}}, headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (409, "/errors/idempotency_key_reused")


async def test_fifty_requests_at_once_under_one_key_start_one_execution(
    database: Database, http: httpx2.AsyncClient, signed: Headers, actor: Actor, workflow: UUID
) -> None:
    headers = {**signed, "Idempotency-Key": "only-once"}
    path = f"/v1/workflows/{workflow}/executions"
    answers = await asyncio.gather(*(http.post(path, json={"input": 1}, headers=headers) for _ in range(50)))
    assert sorted(a.status_code for a in answers) == [200] * 49 + [202]
    assert len({a.json()["id"] for a in answers}) == 1
    assert len(await executions.jobs(database, actor)) == 1
    async with transaction(database, actor, read_only=True) as connection:
        assert await connection.fetchval("select count(*) from weft.workflow_executions") == 1


@pytest.mark.parametrize("key", ["", "with blank", "x" * 201])
async def test_a_key_is_visible_ascii(http: httpx2.AsyncClient, signed: Headers, workflow: UUID, key: str) -> None:
    answer = await http.post(
        f"/v1/workflows/{workflow}/executions", json={}, headers={**signed, "Idempotency-Key": key}
    )
    assert (answer.status_code, answer.json()["type"]) == (422, "/errors/request_invalid")


# -- waiting -------------------------------------------------------------------------------------------------


async def test_what_needs_no_outside_world_ends_within_the_request(
    database: Database, http: httpx2.AsyncClient, signed: Headers, actor: Actor, workflow: UUID
) -> None:
    answer = await http.post(
        f"/v1/workflows/{workflow}/executions?wait=5s", json={"input": {"amount": 7}}, headers=signed
    )
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["output"]) == ("COMPLETED", {"total": 7})
    assert await executions.jobs(database, actor) == []


async def test_waiting_ends_when_a_worker_finishes(
    http: httpx2.AsyncClient, signed: Headers, actor: Actor, engine: EngineProcess, slow: UUID
) -> None:
    request = asyncio.create_task(http.post("/v1/executions?wait=30s", json={"workflow": str(slow)}, headers=signed))
    async with asyncio.timeout(60):
        row = await executions.stored(engine, actor)
        assert (row["status"], row["awaited"]) == ("RUNNING", True)
        await executions.settle(engine, actor, row["id"], Done({"paid": True}))
        answer = await request
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["output"]) == ("COMPLETED", {"paid": True})
    assert len(engine.waiters) == 0


async def test_no_transaction_is_open_while_a_request_waits(
    test_database: TestDatabase, http: httpx2.AsyncClient, signed: Headers, actor: Actor, engine: EngineProcess,
    slow: UUID,
) -> None:  # fmt: skip
    path = f"/v1/workflows/{slow}/executions?wait=30s"
    waiting = [asyncio.create_task(http.post(path, json={}, headers=signed)) for _ in range(20)]
    admin = await asyncpg.connect(test_database.admin)
    try:
        async with asyncio.timeout(60):
            begun: list[asyncpg.Record] = []
            while len(begun) < len(waiting):  # more than there are connections
                begun = await admin.fetch("select id from weft.workflow_executions where status = 'RUNNING'")
            while await admin.fetchval(
                "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
                " and xact_start is not null"
            ):
                pass
            assert not any(request.done() for request in waiting)
            await asyncio.gather(*(executions.settle(engine, actor, row["id"], Done()) for row in begun))
            assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}
    finally:
        await admin.close()


async def test_waiting_in_vain_says_where_to_look(
    http: httpx2.AsyncClient, signed: Headers, engine: EngineProcess, slow: UUID
) -> None:
    answer = await http.post(f"/v1/workflows/{slow}/executions?wait=50ms", json={}, headers=signed)
    assert (answer.status_code, answer.json()["status"]) == (202, "RUNNING")
    assert answer.headers["location"] == f"/v1/executions/{answer.json()['id']}"
    assert len(engine.waiters) == 0


@pytest.mark.parametrize("wait", ["31s", "soon", "-1s", "1e9", ""])
async def test_a_wait_is_at_most_half_a_minute(
    http: httpx2.AsyncClient, signed: Headers, workflow: UUID, wait: str
) -> None:
    answer = await http.post(f"/v1/workflows/{workflow}/executions?wait={wait}", json={}, headers=signed)
    assert (answer.status_code, answer.json()["type"]) == (422, "/errors/wait_unclear")


@pytest.mark.parametrize("wait", ["5", "0.5", "0s", "500ms", "PT1S"])
async def test_a_wait_is_written_in_several_ways(
    http: httpx2.AsyncClient, signed: Headers, workflow: UUID, wait: str
) -> None:
    answer = await http.post(f"/v1/workflows/{workflow}/executions?wait={wait}", json={}, headers=signed)
    assert answer.status_code == 200


async def test_a_failure_that_was_waited_for_is_told(
    database: Database, http: httpx2.AsyncClient, signed: Headers, actor: Actor
) -> None:
    workflow = await executions.workflow(database, actor, steps=[FAIL])
    answer = await http.post(f"/v1/workflows/{workflow}/executions?wait=5", json={}, headers=signed)
    assert (answer.status_code, answer.json()["status"]) == (200, "FAILED")
    assert answer.json()["error"] == {"step": "refuse", "kind": "fail", "message": "The amount is not ours to pay."}


async def test_waiting_under_a_used_key_waits_for_the_first_execution(
    http: httpx2.AsyncClient, signed: Headers, actor: Actor, engine: EngineProcess, slow: UUID
) -> None:
    headers = {**signed, "Idempotency-Key": "k"}
    path = f"/v1/workflows/{slow}/executions"
    first = (await http.post(path, json={}, headers=headers)).json()
    await executions.take_up(engine, actor, UUID(first["id"]))
    again = asyncio.create_task(http.post(f"{path}?wait=30s", json={}, headers=headers))
    async with asyncio.timeout(60):
        await executions.waited_for(engine)
        await executions.settle(engine, actor, UUID(first["id"]), Done(1))
        answer = await again
    assert (answer.status_code, answer.json()["id"], answer.json()["output"]) == (200, first["id"], 1)


# -- cancel and retry ----------------------------------------------------------------------------------------


async def begun(http: httpx2.AsyncClient, signed: Headers, workflow: UUID) -> str:
    answer = await http.post(f"/v1/workflows/{workflow}/executions?wait=0", json={}, headers=signed)
    assert answer.json()["status"] == "RUNNING"
    return str(answer.json()["id"])


async def test_cancelling_ends_an_execution_and_is_recorded(
    database: Database, http: httpx2.AsyncClient, signed: Headers, actor: Actor, acme: Person, slow: UUID
) -> None:
    execution_id = await begun(http, signed, slow)
    answer = await http.post(f"/v1/executions/{execution_id}/cancel", json={"reason": "A test."}, headers=signed)
    cancelled = answer.json()
    assert (answer.status_code, cancelled["status"]) == (200, "CANCELLED")
    assert cancelled["completed_at"] is not None
    assert cancelled["error"] == {"kind": "cancelled", "message": "A test."}
    assert await audited(database, actor, execution_id) == [("execution.cancel", str(acme.user_id), "198.51.100.4")]
    assert sorted(await journal(database, actor, execution_id), key=str) == [
        ("call", "CANCELLED"),
        (None, "CANCELLED"),
    ]


async def test_an_execution_that_nobody_has_taken_up_can_be_cancelled(
    http: httpx2.AsyncClient, signed: Headers, actor: Actor, engine: EngineProcess, slow: UUID
) -> None:
    started = (await http.post(f"/v1/workflows/{slow}/executions", json={}, headers=signed)).json()
    answer = await http.post(f"/v1/executions/{started['id']}/cancel", headers=signed)
    assert (answer.status_code, answer.json()["status"]) == (200, "CANCELLED")
    await executions.take_up(engine, actor, UUID(started["id"]))
    found = (await http.get(f"/v1/executions/{started['id']}", headers=signed)).json()
    assert (found["status"], found["completed_at"]) == ("CANCELLED", answer.json()["completed_at"])


async def test_what_is_over_cannot_be_cancelled(http: httpx2.AsyncClient, signed: Headers, workflow: UUID) -> None:
    ended = await http.post(
        f"/v1/workflows/{workflow}/executions?wait=5", json={"input": {"amount": 1}}, headers=signed
    )
    path = f"/v1/executions/{ended.json()['id']}"
    answer = await http.post(f"{path}/cancel", headers=signed)
    assert (answer.status_code, answer.json()["type"]) == (409, "/errors/execution_final")
    assert (await http.get(path, headers=signed)).json()["output"] == {"total": 1}


async def test_of_many_who_cancel_at_once_one_succeeds(http: httpx2.AsyncClient, signed: Headers, slow: UUID) -> None:
    execution_id = await begun(http, signed, slow)
    answers = await asyncio.gather(
        *(http.post(f"/v1/executions/{execution_id}/cancel", headers=signed) for _ in range(5))
    )
    assert sorted(a.status_code for a in answers) == [200, 409, 409, 409, 409]
    assert {a.json()["type"] for a in answers if a.status_code == 409} == {"/errors/execution_final"}


async def test_a_step_that_ends_while_its_execution_is_cancelled_leaves_one_of_two_ends(
    http: httpx2.AsyncClient, signed: Headers, actor: Actor, engine: EngineProcess, slow: UUID
) -> None:
    for _ in range(5):
        execution_id = await begun(http, signed, slow)
        cancel, _ = await asyncio.gather(
            http.post(f"/v1/executions/{execution_id}/cancel", headers=signed),
            executions.settle(engine, actor, UUID(execution_id), Done("paid")),
        )
        found = (await http.get(f"/v1/executions/{execution_id}", headers=signed)).json()
        if cancel.status_code == 200:
            assert (found["status"], found["output"]) == ("CANCELLED", None)
        else:
            assert (cancel.status_code, found["status"], found["output"]) == (409, "COMPLETED", "paid")


async def failed(http: httpx2.AsyncClient, signed: Headers, actor: Actor, engine: EngineProcess, slow: UUID) -> str:
    execution_id = await begun(http, signed, slow)
    await executions.settle(engine, actor, UUID(execution_id), Failed("http_4xx", "Refused.", retryable=False))
    return execution_id


async def test_a_failed_execution_goes_on_from_where_it_failed(
    database: Database, http: httpx2.AsyncClient, signed: Headers, actor: Actor, acme: Person, engine: EngineProcess
) -> None:
    steps = [{**SET, "config": {"vars": {"seen": True}}}, CALL]
    workflow = await executions.workflow(database, actor, steps=steps)
    execution_id = await begun(http, signed, workflow)
    await executions.settle(engine, actor, UUID(execution_id), Failed("http_4xx", "No.", retryable=False), visit=2)
    path = f"/v1/executions/{execution_id}"
    assert (await http.get(path, headers=signed)).json()["retry_resumes"] == ["call"]
    answer = await http.post(f"{path}/retry", headers=signed)
    assert (answer.status_code, answer.json()["status"], answer.json()["error"]) == (200, "RUNNING", None)
    assert [(step["step"], step["phase"]) for step in answer.json()["steps"]] == [("call", "running")]
    await executions.settle(engine, actor, UUID(execution_id), Done({"paid": True}), visit=3)
    ended = (await http.get(path, headers=signed)).json()
    assert (ended["status"], ended["output"]) == ("COMPLETED", {"paid": True})
    assert [action for action, _, _ in await audited(database, actor, execution_id)] == ["execution.retry"]


async def test_of_many_who_retry_at_once_one_succeeds(
    http: httpx2.AsyncClient, signed: Headers, actor: Actor, engine: EngineProcess, slow: UUID
) -> None:
    execution_id = await failed(http, signed, actor, engine, slow)
    answers = await asyncio.gather(
        *(http.post(f"/v1/executions/{execution_id}/retry", headers=signed) for _ in range(5))
    )
    assert sorted(a.status_code for a in answers) == [200, 409, 409, 409, 409]


async def test_only_what_failed_can_be_retried(http: httpx2.AsyncClient, signed: Headers, slow: UUID) -> None:
    execution_id = await begun(http, signed, slow)
    answer = await http.post(f"/v1/executions/{execution_id}/retry", headers=signed)
    assert (answer.status_code, answer.json()["type"]) == (409, "/errors/execution_not_failed")


async def test_an_execution_that_was_undone_cannot_be_retried(
    database: Database, http: httpx2.AsyncClient, actor: Actor, signed: Headers
) -> None:
    undo = {"key": "undo", "type": "transform", "config": {"output": "{{ compensating.step }}"}}
    workflow = await executions.workflow(
        database, actor, steps=[{**SET, "compensate": "undo"}, FAIL, undo],
        transitions=[{"from": "answer", "to": "refuse"}], name="Undone",
    )  # fmt: skip
    begun = await http.post(
        f"/v1/workflows/{workflow}/executions?wait=5s", json={"input": {"amount": 1}}, headers=signed
    )
    assert begun.json()["status"] == "FAILED"
    answer = await http.post(f"/v1/executions/{begun.json()['id']}/retry", headers=signed)
    assert (answer.status_code, answer.json()["type"]) == (409, "/errors/execution_compensated")
    assert "Replay it from the start" in answer.json()["detail"]
