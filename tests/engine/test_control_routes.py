"""Pausing, resuming, replaying and moving executions over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from tests.factories import executions, identity
from tests.factories.executions import CALL, SET
from tests.factories.identity import Person

from weft.core.actor import Actor
from weft.db.database import Database
from weft.db.hot import transaction
from weft.engine.outcomes import Done
from weft.engine.process import EngineProcess

Headers = dict[str, str]
PAY = {**CALL, "key": "pay"}


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
    """A step in memory, then one that waits for a worker; in version 2 that one has another name."""
    made = await executions.workflow(database, actor, steps=[SET, CALL], name="Invoice")
    await executions.renew(database, actor, made, steps=[SET, PAY], name="Invoice")
    return made


async def begun(http: httpx2.AsyncClient, signed: Headers, workflow: UUID) -> str:
    body = {"input": {"amount": 7}, "version": 1}
    answer = await http.post(f"/v1/workflows/{workflow}/executions?wait=0", json=body, headers=signed)
    assert answer.json()["status"] == "RUNNING"
    return str(answer.json()["id"])


async def said(
    http: httpx2.AsyncClient, signed: Headers, execution_id: str, command: str, **body: Any
) -> tuple[int, str]:
    answer = await http.post(f"/v1/executions/{execution_id}/{command}", json=body or None, headers=signed)
    found = answer.json()
    return answer.status_code, found.get("status") if answer.status_code < 300 else found["type"]


async def audited(database: Database, actor: Actor, execution_id: str) -> list[tuple[str, str | None, str | None]]:
    async with transaction(database, actor, read_only=True) as connection:
        rows = await connection.fetch(
            "select action, actor_id, ip from weft.audit_logs where resource_id = $1 order by at", execution_id
        )
    return [(row[0], row[1], row[2]) for row in rows]


# -- who may -------------------------------------------------------------------------------------------------

COMMANDS: dict[str, dict[str, Any] | None] = {"pause": None, "resume": None, "replay": {"from": "call"}}
MIGRATION = {"from_version": 1, "to_version": 2}


@pytest.mark.parametrize("command", COMMANDS)
async def test_commands_need_a_sign_in_and_the_permission(
    database: Database, http: httpx2.AsyncClient, acme: Person, command: str
) -> None:
    path = f"/v1/executions/{uuid4()}/{command}"
    assert (await http.post(path, json=COMMANDS[command])).status_code == 401
    starter = await identity.bearer(
        database, await identity.somebody(database, acme, "executions:read", "executions:start")
    )
    answer = await http.post(path, json=COMMANDS[command], headers=starter)
    assert (answer.status_code, answer.json()["type"]) == (403, "/errors/permission_missing")
    moved = await http.post(f"/v1/workflows/{uuid4()}/migrations", json=MIGRATION, headers=starter)
    assert moved.status_code == 403


async def test_another_tenants_executions_and_workflows_do_not_exist(
    database: Database, http: httpx2.AsyncClient, signed: Headers, workflow: UUID
) -> None:
    execution_id = await begun(http, signed, workflow)
    stranger = await identity.bearer(database, await identity.tenant(database, "globex"))
    for command, body in COMMANDS.items():
        answer = await http.post(f"/v1/executions/{execution_id}/{command}", json=body, headers=stranger)
        assert (answer.status_code, answer.json()["type"]) == (404, "/errors/execution_not_found")
    answer = await http.post(f"/v1/workflows/{workflow}/migrations", json=MIGRATION, headers=stranger)
    assert (answer.status_code, answer.json()["type"]) == (404, "/errors/workflow_not_found")
    found = (await http.get(f"/v1/executions/{execution_id}", headers=signed)).json()
    assert (found["status"], found["version"]) == ("RUNNING", 1)


# -- pause and resume ----------------------------------------------------------------------------------------


async def test_an_execution_is_paused_and_resumed(
    database: Database, http: httpx2.AsyncClient, signed: Headers, actor: Actor, acme: Person, engine: EngineProcess,
    workflow: UUID,
) -> None:  # fmt: skip
    execution_id = await begun(http, signed, workflow)
    assert await said(http, signed, execution_id, "pause", reason="A check.") == (200, "PAUSED")
    assert await said(http, signed, execution_id, "pause") == (200, "PAUSED"), "again: nothing changes"
    await executions.settle(engine, actor, UUID(execution_id), Done({"paid": True}), visit=2)
    assert (await http.get(f"/v1/executions/{execution_id}", headers=signed)).json()["status"] == "COMPLETED"
    logs = (await http.get(f"/v1/executions/{execution_id}/logs?order=asc", headers=signed)).json()["items"]
    (note,) = [row["message"] for row in logs if row["step"] is None]
    assert note.startswith("Paused by ")
    assert note.endswith(": nothing new begins. A check.")
    assert (await audited(database, actor, execution_id))[0] == ("execution.pause", str(acme.user_id), "198.51.100.4")


async def test_what_is_held_is_shown_and_goes_on_with_the_resumption(
    database: Database, http: httpx2.AsyncClient, signed: Headers, actor: Actor, engine: EngineProcess
) -> None:
    made = await executions.workflow(database, actor, steps=[CALL, PAY])
    execution_id = await begun(http, signed, made)
    await said(http, signed, execution_id, "pause")
    await executions.settle(engine, actor, UUID(execution_id), Done(1))
    found = (await http.get(f"/v1/executions/{execution_id}", headers=signed)).json()
    assert [(step["step"], step["phase"]) for step in found["steps"]] == [("pay", "held")]
    assert await said(http, signed, execution_id, "resume") == (200, "RUNNING")
    found = (await http.get(f"/v1/executions/{execution_id}", headers=signed)).json()
    assert [(step["step"], step["phase"]) for step in found["steps"]] == [("pay", "running")]
    assert ("step", 2) in [(job["kind"], job["visit"]) for job in await executions.jobs(database, actor)]
    assert [action for action, _, _ in await audited(database, actor, execution_id)] == [
        "execution.pause", "execution.resume",
    ]  # fmt: skip


async def test_what_is_over_cannot_be_paused_and_what_runs_cannot_be_resumed(
    http: httpx2.AsyncClient, signed: Headers, workflow: UUID
) -> None:
    execution_id = await begun(http, signed, workflow)
    assert await said(http, signed, execution_id, "resume") == (409, "/errors/execution_not_paused")
    await said(http, signed, execution_id, "cancel")
    assert await said(http, signed, execution_id, "pause") == (409, "/errors/execution_not_pausable")
    assert await said(http, signed, execution_id, "resume") == (409, "/errors/execution_not_paused")


async def test_of_many_who_resume_at_once_none_is_told_a_lie(
    http: httpx2.AsyncClient, signed: Headers, workflow: UUID
) -> None:
    execution_id = await begun(http, signed, workflow)
    await said(http, signed, execution_id, "pause")
    answers = await asyncio.gather(*(said(http, signed, execution_id, "resume") for _ in range(5)))
    assert answers.count((200, "RUNNING")) == 1
    assert set(answers) == {(200, "RUNNING"), (409, "/errors/execution_not_paused")}


# -- replay --------------------------------------------------------------------------------------------------


async def test_a_replay_is_a_new_execution_that_says_what_it_repeats(
    database: Database, http: httpx2.AsyncClient, signed: Headers, actor: Actor, engine: EngineProcess, workflow: UUID
) -> None:
    execution_id = await begun(http, signed, workflow)
    await executions.settle(engine, actor, UUID(execution_id), Done({"paid": True}), visit=2)
    path = f"/v1/executions/{execution_id}/replay"
    keyed = {**signed, "Idempotency-Key": "k-1"}
    first = await http.post(path, json={"from": "call"}, headers=keyed)
    assert (first.status_code, first.json()["status"], first.json()["number"]) == (202, "PENDING", 2)
    again = await http.post(path, json={"from": "call"}, headers=keyed)
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    assert again.headers["idempotency-replayed"] == "true"
    found = (await http.get(first.headers["location"], headers=signed)).json()
    assert found["metadata"]["replay"] == {"of": execution_id, "number": 1, "from": "call", "before": "keep"}
    assert (found["trigger"], [(step["step"], step["phase"]) for step in found["steps"]]) == (
        "REPLAY",
        [("call", "held")],
    )
    await executions.take_up(engine, actor, UUID(found["id"]))
    await executions.settle(engine, actor, UUID(found["id"]), Done({"paid": 2}), visit=2)
    assert (await http.get(first.headers["location"], headers=signed)).json()["output"] == {"paid": 2}
    assert [action for action, _, _ in await audited(database, actor, execution_id)] == ["execution.replay"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"from": "nothing"}, 422, "replay_step_unknown"),
        ({"from": "pay"}, 422, "replay_step_unknown"),
        ({"from": "call", "version": 7}, 404, "version_not_found"),
        ({"from": "call", "before": "guess"}, 422, "request_invalid"),
        ({"before": "keep"}, 422, "request_invalid"),
    ],
)
async def test_a_wrong_replay_stores_nothing(
    database: Database, http: httpx2.AsyncClient, signed: Headers, actor: Actor, workflow: UUID,
    body: dict[str, Any], status: int, code: str,
) -> None:  # fmt: skip
    execution_id = await begun(http, signed, workflow)
    assert await said(http, signed, execution_id, "replay", **body) == (status, f"/errors/{code}")
    assert len((await http.get("/v1/executions", headers=signed)).json()["items"]) == 1
    assert await audited(database, actor, execution_id) == []


# -- migrations ----------------------------------------------------------------------------------------------


async def test_a_migration_is_seen_first_and_then_done(
    database: Database, http: httpx2.AsyncClient, signed: Headers, actor: Actor, engine: EngineProcess, workflow: UUID
) -> None:
    ids = [await begun(http, signed, workflow) for _ in range(3)]
    path = f"/v1/workflows/{workflow}/migrations"
    refused = (await http.post(path, json=MIGRATION, headers=signed)).json()
    assert (refused["dry_run"], refused["movable"], refused["refused"]) == (True, 0, 3)
    (group,) = refused["groups"]
    assert (group["executions"], group["steps"]) == (3, [{"step": "call", "target": None}])
    assert "no counterpart" in group["problems"][0]

    mapped = {**MIGRATION, "mapping": {"call": "pay"}}
    preview = (await http.post(path, json={**mapped, "limit": 2}, headers=signed)).json()
    assert (preview["movable"], preview["moved"], preview["next"]) == (2, 0, ids[1])
    assert preview["items"][0]["moves"] == [{"step": "call", "target": "pay", "tokens": 1}]
    rest = (await http.post(path, json={**mapped, "after": preview["next"]}, headers=signed)).json()
    assert ([item["execution_id"] for item in rest["items"]], rest["next"]) == (ids[2:], None)

    done = (await http.post(path, json={**mapped, "dry_run": False}, headers=signed)).json()
    assert (done["moved"], done["refused"]) == (3, 0)
    await executions.settle(engine, actor, UUID(ids[0]), Done({"paid": True}), visit=2)
    found = (await http.get(f"/v1/executions/{ids[0]}", headers=signed)).json()
    assert (found["status"], found["version"]) == ("COMPLETED", 2)
    assert [action for action, _, _ in await audited(database, actor, ids[0])] == ["execution.migrate"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({**MIGRATION, "mapping": {"call": "nothing"}}, 422, "mapping_invalid"),
        ({"from_version": 1, "to_version": 1}, 422, "migration_to_itself"),
        ({"from_version": 1, "to_version": 9}, 404, "version_not_found"),
        ({**MIGRATION, "executions": [str(uuid4())]}, 404, "execution_not_found"),
        ({**MIGRATION, "executions": []}, 422, "request_invalid"),
        ({**MIGRATION, "status": ["COMPLETED"]}, 422, "request_invalid"),
        ({**MIGRATION, "limit": 201}, 422, "request_invalid"),
        ({"from_version": 1}, 422, "request_invalid"),
    ],
)
async def test_a_wrong_migration_is_refused_as_a_whole(
    http: httpx2.AsyncClient, signed: Headers, workflow: UUID, body: dict[str, Any], status: int, code: str
) -> None:
    answer = await http.post(f"/v1/workflows/{workflow}/migrations", json=body, headers=signed)
    assert (answer.status_code, answer.json()["type"]) == (status, f"/errors/{code}")
