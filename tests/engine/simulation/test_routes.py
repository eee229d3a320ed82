"""Simulation and backtest over HTTP: who may, for which tenant, and that requests have a limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx2
import pytest
from tests.factories import executions, identity, workflows
from tests.factories.executions import CALL, SET
from tests.factories.identity import Person

from weft.api.app import create_app
from weft.core.actor import Actor
from weft.db.database import Database
from weft.domain.identity import access
from weft.engine import registry
from weft.engine import routes as engine_routes
from weft.engine.outcomes import Done
from weft.engine.process import EngineProcess
from weft.engine.simulation import routes
from weft.engine.simulation.errors import SimulationsBusy
from weft.engine.simulation.places import AT_ONCE, Places
from weft.http.state import Services

Headers = dict[str, str]
NOBODY = "0198f3a0-0000-7000-8000-00000000c0de"


@pytest.fixture
async def acme(database: Database) -> Person:
    return await identity.tenant(database, "acme")


@pytest.fixture
async def actor(database: Database, acme: Person) -> Actor:
    return await identity.actor(database, acme)


@pytest.fixture
async def signed(database: Database, acme: Person) -> Headers:
    return await identity.bearer(database, await identity.somebody(database, acme, "workflows:simulate"))


@pytest.fixture
async def engine(database: Database) -> AsyncIterator[EngineProcess]:
    async with executions.engine(database, answers=False) as opened:
        yield opened


@pytest.fixture
async def http(
    database: Database, engine: EngineProcess, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx2.AsyncClient]:
    monkeypatch.setattr(routes, "SECONDS", 60.0)  # ten of them are few for a machine that stands still
    services = Services(database, access.open_scope, cursor_key=bytes(32), public_url="http://weft.example")
    app = create_app(services, (routes.router,))
    engine_routes.attach(app, engine)
    transport = httpx2.ASGITransport(app=app, client=("198.51.100.4", 4321))
    async with httpx2.AsyncClient(transport=transport, base_url="http://weft.example") as opened:
        yield opened
    await access.settle(database)


async def post(http: httpx2.AsyncClient, headers: Headers, path: str, **body: Any) -> Any:
    answer = await http.post(f"/v1/workflows{path}", headers=headers, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_definition_is_simulated_without_being_stored(http: httpx2.AsyncClient, signed: Headers) -> None:
    registry.kinds()
    definition = workflows.definition(steps=[CALL], name="Pay")
    script = {"steps": {"call": {"output": {"status": 200}, "duration": "2s"}}}
    result = await post(
        http, signed, "/simulate", definition=definition, runs=20, seed=3, script=script,
        **{"assert": ["completed == 1", "p95_duration <= 1"]},
    )  # fmt: skip
    assert (result["workflow"], result["runs"], result["completed"], result["duration"]["p95"]) == ("Pay", 20, 1.0, 2.0)
    assert [one["holds"] for one in result["assertions"]] == [True, False]
    assert result["passed"] is False


async def test_a_version_is_simulated_with_its_sub_workflows(
    database: Database, http: httpx2.AsyncClient, actor: Actor, signed: Headers
) -> None:
    await executions.workflow(database, actor, steps=[SET], name="Leaf", output={"total": "{{ input.amount }}"})
    parent = await executions.workflow(
        database, actor, name="Parent",
        steps=[{"key": "sub", "type": "sub_workflow", "config": {"workflow": "leaf", "input": {"amount": 7}}}],
        output="{{ steps.sub.output.total == 7 }}",
    )  # fmt: skip
    result = await post(http, signed, f"/{parent}/simulate", runs=2)
    assert (result["completed"], result["answered_by_default"]) == (1.0, [])
    unknown = await http.post(f"/v1/workflows/{parent}/simulate", headers=signed, json={"version": 9})
    assert (unknown.status_code, unknown.json()["type"]) == (404, "/errors/version_not_found")


async def test_past_executions_go_through_another_definition(
    database: Database, engine: EngineProcess, http: httpx2.AsyncClient, actor: Actor, signed: Headers
) -> None:
    output = {"got": "{{ steps.call.output }}"}
    workflow = await executions.workflow(database, actor, steps=[CALL], name="Pay", output=output)
    begun = [await executions.start(engine, actor, workflow) for _ in range(3)]
    for number, one in enumerate(begun):
        await executions.take_up(engine, actor, one.id)
        await executions.settle(engine, actor, one.id, Done({"body": number}))
    same = await post(http, signed, f"/{workflow}/backtest", to_version=1)
    assert (same["executions"], same["same"], same["to"]) == (3, 3, "version 1")
    definition = workflows.definition(steps=[CALL], name="Pay", output={"got": "{{ steps.call.output.body }}"})
    other = await post(http, signed, f"/{workflow}/backtest", definition=definition, last=2)
    assert (other["executions"], other["different"]) == (2, 2)
    assert other["rows"][0]["changes"] == [{"path": "output.got", "before": {"body": 2}, "after": 2}]
    chosen = [str(begun[1].id)]
    (row,) = (await post(http, signed, f"/{workflow}/backtest", to_version=1, executions=chosen))["rows"]
    assert row["id"] == chosen[0]
    asked = {"to_version": 1, "status": "FAILED"}
    none = await http.post(f"/v1/workflows/{workflow}/backtest", headers=signed, json=asked)
    assert (none.status_code, none.json()["type"]) == (404, "/errors/backtest_empty")


async def test_another_tenant_s_workflow_does_not_exist(
    database: Database, engine: EngineProcess, http: httpx2.AsyncClient, actor: Actor
) -> None:
    workflow = await executions.workflow(database, actor, steps=[SET])
    begun = await executions.start(engine, actor, workflow, inline=True)
    other = await identity.tenant(database, "other")
    headers = await identity.bearer(database, other)
    for path, body in (("simulate", {}), ("backtest", {"to_version": 1})):
        answer = await http.post(f"/v1/workflows/{workflow}/{path}", headers=headers, json=body)
        assert (answer.status_code, answer.json()["type"]) == (404, "/errors/workflow_not_found")
    own = await executions.workflow(database, await identity.actor(database, other), steps=[SET])
    answer = await http.post(
        f"/v1/workflows/{own}/backtest", headers=headers, json={"to_version": 1, "executions": [str(begun.id)]}
    )
    assert answer.json()["type"] == "/errors/backtest_empty"


@pytest.mark.parametrize("path", ["simulate", f"{NOBODY}/simulate", f"{NOBODY}/backtest"])
async def test_reading_is_not_enough(database: Database, http: httpx2.AsyncClient, acme: Person, path: str) -> None:
    assert (await http.post(f"/v1/workflows/{path}", json={})).status_code == 401
    reader = await identity.somebody(database, acme, "workflows:read", "executions:read", "workflows:write")
    answer = await http.post(f"/v1/workflows/{path}", headers=await identity.bearer(database, reader), json={})
    assert (answer.status_code, answer.json()["type"]) == (403, "/errors/permission_missing")


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("simulate", {"definition": {"name": "x"}}, "definition_unsound"),
        ("simulate", {"definition": {}, "runs": 1001}, "request_invalid"),
        ("{}/simulate", {"script": {"steps": {"a": {"ouput": 1}}}}, "script_invalid"),
        ("{}/simulate", {"assert": ["nothing > 1"]}, "assertion_unclear"),
        ("{}/backtest", {}, "request_invalid"),
        ("{}/backtest", {"to_version": 1, "definition": {}}, "request_invalid"),
        ("{}/backtest", {"to_version": 1, "last": 1001}, "request_invalid"),
    ],
)
async def test_what_is_wrong_is_said(
    database: Database, http: httpx2.AsyncClient, actor: Actor, signed: Headers, path: str, body: Any, code: str
) -> None:
    workflow = await executions.workflow(database, actor, steps=[SET])
    answer = await http.post(f"/v1/workflows/{path.format(workflow)}", headers=signed, json=body)
    assert (answer.status_code, answer.json()["type"]) == (422, f"/errors/{code}")


async def test_a_request_has_ten_seconds(
    http: httpx2.AsyncClient, signed: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "SECONDS", -1.0)
    answer = await http.post(
        "/v1/workflows/simulate", headers=signed, json={"definition": workflows.definition(steps=[CALL])}
    )
    assert (answer.status_code, answer.json()["type"]) == (429, "/errors/simulation_too_long")


async def test_a_tenant_has_one_at_a_time_and_a_process_two() -> None:
    places = Places()
    tenants = [UUID(int=number) for number in range(AT_ONCE + 1)]
    async with places.taken(tenants[0]):
        with pytest.raises(SimulationsBusy):
            async with places.taken(tenants[0]):
                pass
        async with places.taken(tenants[1]):
            waiting = asyncio.create_task(_take(places, tenants[2]))
            await asyncio.sleep(0)
            assert not waiting.done()
        await waiting
    async with places.taken(tenants[0]):
        pass


async def _take(places: Places, tenant_id: UUID) -> None:
    async with places.taken(tenant_id):
        pass
