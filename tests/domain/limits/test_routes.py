"""Limits over HTTP."""

from __future__ import annotations

from typing import Any

from tests.domain.limits.conftest import Desk
from tests.factories import executions
from tests.factories.executions import CALL

from weft.core.actor import system_actor
from weft.db.database import Database
from weft.db.scope import enter
from weft.domain.limits.schemas import TenantLimitsWrite
from weft.domain.limits.service import tenants


async def start(desk: Desk, workflow: object, **body: Any) -> Any:
    return await desk.mine.post(f"/workflows/{workflow}/executions", json=body)


async def test_other_tenants_neither_see_nor_change_them(database: Database, desk: Desk) -> None:
    workflow = await executions.workflow(database, desk.actor)
    path = f"/workflows/{workflow}/limits"
    assert (await desk.mine.put(path, json={"concurrent": 1})).status_code == 200
    rate = (await desk.mine.put("/rate-limits", json={"target": "api.example.com", "calls": 1})).json()
    for answer in (
        await desk.theirs.get(path),
        await desk.theirs.put(path, json={"concurrent": 9}),
        await desk.theirs.delete(path),
        await desk.theirs.get(f"/rate-limits/{rate['id']}"),
        await desk.theirs.delete(f"/rate-limits/{rate['id']}"),
    ):
        assert answer.status_code == 404, answer.text
    assert (await desk.theirs.get("/rate-limits")).json()["items"] == []
    assert (await desk.theirs.get("/limits/workflows")).json()["items"] == []
    assert (await desk.mine.get(path)).json()["concurrent"] == 1


async def test_a_workflow_s_limits_and_what_is_used_of_them(database: Database, desk: Desk) -> None:
    workflow = await executions.workflow(database, desk.actor, steps=[CALL], name="ledger")
    path = f"/workflows/{workflow}/limits"
    fresh = (await desk.mine.get(path)).json()
    assert (fresh["concurrent"], fresh["priority"], fresh["row_version"]) == (None, 0, 0)
    wanted = {"concurrent": 1, "when_full": "queue", "priority": "high"}
    answer = await desk.mine.put(path, json=wanted, headers={"If-Match": '"0"'})
    assert (answer.status_code, answer.json()["priority"]) == (200, 50), answer.text
    started = [(await start(desk, workflow, input=n)).json() for n in range(3)]
    now = (await desk.mine.get(path)).json()
    assert (now["in_use"], now["waiting"], now["workflow_name"]) == (1, 2, "ledger")
    assert (await desk.mine.get("/limits/workflows")).json()["items"] == [now]
    waiting = (await desk.mine.get(f"/executions/{started[1]['id']}")).json()
    assert (waiting["status"], waiting["priority"]) == ("PENDING", 50)
    assert waiting["waits_for"] == "waits for a free place of its workflow: 1 of 1 in use"
    running = (await desk.mine.get(f"/executions/{started[0]['id']}")).json()
    assert running["waits_for"] is None
    assert (await desk.mine.put(path, json=wanted, headers={"If-Match": '"7"'})).status_code == 412
    assert (await desk.mine.delete(path)).status_code == 204
    now = (await desk.mine.get(path)).json()
    assert (now["in_use"], now["waiting"], now["concurrent"]) == (3, 0, None)


async def test_a_full_workflow_that_refuses_answers_429(database: Database, desk: Desk) -> None:
    workflow = await executions.workflow(database, desk.actor, steps=[CALL])
    await desk.mine.put(f"/workflows/{workflow}/limits", json={"concurrent": 1, "when_full": "refuse"})
    assert (await start(desk, workflow)).status_code == 202
    answer = await start(desk, workflow)
    assert (answer.status_code, answer.json()["type"]) == (429, "/errors/workflow_full")
    assert len((await desk.mine.get("/executions")).json()["items"]) == 1


async def test_priorities_are_the_start_s_or_the_workflow_s(database: Database, desk: Desk) -> None:
    workflow = await executions.workflow(database, desk.actor, steps=[CALL])
    await start(desk, workflow)
    await desk.mine.put(f"/workflows/{workflow}/limits", json={"priority": -7})
    for wanted in ({}, {"priority": "high"}, {"priority": 99}):
        assert (await start(desk, workflow, **wanted)).status_code == 202
    rows = await executions.jobs(database, desk.actor)
    assert [row["priority"] for row in rows] == [0, -7, 50, 99]
    for wrong in ("urgent", 101, "50", 1.5):
        assert (await start(desk, workflow, priority=wrong)).status_code == 422, wrong


async def test_what_cannot_be_meant_is_refused(database: Database, desk: Desk) -> None:
    workflow = await executions.workflow(database, desk.actor)
    path = f"/workflows/{workflow}/limits"
    for body, code in (
        ({"key": "input.customer"}, "limit_empty"),
        ({"when_full": "refuse"}, "limit_empty"),
        ({"concurrent": 1, "key": "execution.id"}, "limit_key_invalid"),
        ({"concurrent": 1, "key": "input.("}, "limit_key_invalid"),
        ({"concurrent": 1, "key": "42"}, "limit_key_invalid"),
    ):
        answer = await desk.mine.put(path, json=body)
        assert (answer.status_code, answer.json()["type"]) == (422, f"/errors/{code}"), answer.text
    for wrong in ({"concurrent": 0}, {"concurrent": 10_001}, {"concurrent": 1, "priority": 101}, {"other": 1}):
        assert (await desk.mine.put(path, json=wrong)).status_code == 422, wrong
    assert (await desk.mine.get(path)).json()["row_version"] == 0


async def test_rate_limits_are_kept_by_target(desk: Desk) -> None:
    wanted = {"target": " API.Example.com ", "calls": 100, "burst": 10}
    made = await desk.mine.put("/rate-limits", json=wanted)
    assert (made.status_code, made.json()["target"]) == (201, "api.example.com")
    again = await desk.mine.put("/rate-limits", json={"target": "api.example.com", "calls": 5, "seconds": 60})
    assert (again.status_code, again.json()["id"], again.json()["burst"]) == (200, made.json()["id"], 1)
    (row,) = (await desk.mine.get("/rate-limits")).json()["items"]
    assert (row["calls"], row["seconds"]) == (5, 60)
    wrong = await desk.mine.put("/rate-limits", json={"target": "https://api.example.com", "calls": 1})
    assert wrong.json()["type"] == "/errors/rate_limit_target_invalid"
    assert (await desk.mine.delete(f"/rate-limits/{row['id']}")).status_code == 204
    assert (await desk.mine.get(f"/rate-limits/{row['id']}")).status_code == 404


async def test_members_see_what_the_operator_allows_and_cannot_raise_it(database: Database, desk: Desk) -> None:
    operator = system_actor(desk.actor.tenant_id, "operator")
    async with enter(database, operator) as scope:
        await tenants.set_limits(scope, TenantLimitsWrite(concurrent_executions=2, concurrent_jobs=7, weight=3))
    workflow = await executions.workflow(database, desk.actor, steps=[CALL])
    for _ in range(3):
        await start(desk, workflow)
    assert (await desk.mine.get("/limits")).json() == {
        "concurrent_executions": 2, "in_use": 2, "waiting": 1, "concurrent_jobs": 7, "weight": 3,
        "payload_bytes": None,
    }  # fmt: skip
    tenant = (await desk.mine.get("/tenant")).json()
    assert tenant["limits"] == {"concurrent_executions": 2, "concurrent_jobs": 7, "weight": 3}
    refused = await desk.mine.patch("/tenant", json={"limits": {"concurrent_executions": 1000}})
    assert refused.status_code == 422
    assert (await desk.theirs.get("/limits")).json()["concurrent_executions"] is None
    async with enter(database, operator) as scope:
        await tenants.set_limits(scope, TenantLimitsWrite(concurrent_executions=None))
    now = (await desk.mine.get("/limits")).json()
    assert (now["concurrent_executions"], now["in_use"], now["concurrent_jobs"]) == (None, 3, 7)
