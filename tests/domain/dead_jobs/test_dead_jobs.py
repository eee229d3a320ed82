"""Dead jobs over HTTP: listed, explained, retried with their executions, dropped with a reason."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from tests.domain.limits.conftest import Desk
from tests.domain.limits.conftest import desk as desk_of_limits
from tests.factories import executions
from tests.factories.executions import CALL

from weft.core.actor import Actor, system_actor
from weft.core.ids import new_id
from weft.db.database import Database
from weft.db.hot import transaction
from weft.domain.dead_jobs import rules

desk = desk_of_limits


@pytest.fixture
async def workflow(database: Database, desk: Desk) -> UUID:
    return await executions.workflow(database, desk.actor, steps=[CALL], name="ledger")


BURY = """
insert into weft.dispatch_dead (tenant_id, id, kind, reason, execution_id, claims, lapses, last_error, created_at)
select $1, $2, $3, 'It was set aside.', $4, 6, 0, 'KeyError. The worker''s log has the whole of it.', now()
"""


async def bury(
    database: Database, actor: Actor, execution_id: str, *, kind: str = "start", status: str | None = "FAILED"
) -> str:
    """A dead job of an execution that was started and failed because of it."""
    job = new_id()
    async with transaction(database, system_actor(actor.tenant_id)) as connection:
        await connection.execute(BURY, actor.tenant_id, job, kind, UUID(execution_id))
        await connection.execute("delete from weft.dispatch_jobs where execution_id = $1", UUID(execution_id))
        if status is not None:
            await connection.execute(
                "update weft.workflow_executions set status = $2 where id = $1", UUID(execution_id), status
            )
    return str(job)


async def started(desk: Desk, workflow: UUID) -> str:
    return str((await desk.mine.post(f"/workflows/{workflow}/executions", json={})).json()["id"])


async def test_another_tenant_s_dead_jobs_do_not_exist(database: Database, desk: Desk, workflow: UUID) -> None:
    job = await bury(database, desk.actor, await started(desk, workflow))
    for answer in (
        await desk.theirs.get(f"/dead-jobs/{job}"),
        await desk.theirs.post(f"/dead-jobs/{job}/retry"),
        await desk.theirs.post(f"/dead-jobs/{job}/drop", json={"reason": "mine"}),
    ):
        assert (answer.status_code, answer.json()["type"]) == (404, "/errors/dead_job_not_found")
    assert (await desk.theirs.post("/dead-jobs/retry", json={})).json()["matched"] == 0
    assert (await desk.theirs.post("/dead-jobs/drop", json={"reason": "mine"})).json()["matched"] == 0
    assert (await desk.mine.get(f"/dead-jobs/{job}")).status_code == 200


async def test_a_dead_job_explains_itself(database: Database, desk: Desk, workflow: UUID) -> None:
    job = await bury(database, desk.actor, await started(desk, workflow))
    told = (await desk.mine.get(f"/dead-jobs/{job}")).json()
    assert told["explanation"].startswith(
        "A job was to take up a new execution of the workflow 'ledger'. It was tried 5"
    )
    assert "The last error was: KeyError." in told["explanation"]
    assert "goes on from where it failed" in told["explanation"]
    assert (told["execution_status"], told["workflow_name"], told["claims"]) == ("FAILED", "ledger", 6)


async def test_a_retry_brings_the_failed_execution_back_in_one_transaction(
    database: Database, desk: Desk, workflow: UUID
) -> None:
    execution = await started(desk, workflow)
    job = await bury(database, desk.actor, execution)
    assert (await desk.mine.post(f"/dead-jobs/{job}/retry")).status_code == 204
    assert (await desk.mine.get(f"/executions/{execution}")).json()["status"] == "RUNNING"
    assert (await desk.mine.get(f"/dead-jobs/{job}")).status_code == 404
    assert [row["kind"] for row in await executions.jobs(database, desk.actor)] == ["step"]
    assert (await desk.mine.post(f"/dead-jobs/{job}/retry")).status_code == 404


async def test_a_job_whose_execution_lives_is_queued_again(database: Database, desk: Desk, workflow: UUID) -> None:
    job = await bury(database, desk.actor, await started(desk, workflow), status=None)
    assert (await desk.mine.post(f"/dead-jobs/{job}/retry")).status_code == 204
    (row,) = await executions.jobs(database, desk.actor)
    assert (str(row["id"]), row["state"], row["claims"]) == (job, "ready", 0)


async def test_a_job_whose_execution_is_over_is_only_taken_out(database: Database, desk: Desk, workflow: UUID) -> None:
    job = await bury(database, desk.actor, await started(desk, workflow), status="COMPLETED")
    assert (await desk.mine.post(f"/dead-jobs/{job}/retry")).status_code == 204
    assert await executions.jobs(database, desk.actor) == []
    assert (await desk.mine.get("/dead-jobs")).json()["items"] == []


async def test_an_execution_that_still_cannot_be_read_keeps_its_dead_job(
    database: Database, desk: Desk, workflow: UUID
) -> None:
    execution = await started(desk, workflow)
    job = await bury(database, desk.actor, execution)
    async with transaction(database, desk.actor) as connection:
        await connection.execute("""update weft.workflow_executions set state = '{"i": {"from": "the future"}}'""")
    answer = await desk.mine.post(f"/dead-jobs/{job}/retry")
    assert (answer.status_code, answer.json()["type"]) == (409, "/errors/execution_unreadable")
    assert (await desk.mine.get(f"/dead-jobs/{job}")).status_code == 200
    many = (await desk.mine.post("/dead-jobs/retry", json={})).json()
    assert (many["matched"], many["done"], [row["id"] for row in many["refused"]]) == (1, 0, [job])


async def test_dropping_needs_a_reason_and_is_audited(database: Database, desk: Desk, workflow: UUID) -> None:
    execution = await started(desk, workflow)
    job = await bury(database, desk.actor, execution)
    assert (await desk.mine.post(f"/dead-jobs/{job}/drop", json={"reason": " "})).status_code == 422
    assert (await desk.mine.post(f"/dead-jobs/{job}/drop", json={"reason": "a test order"})).status_code == 204
    assert (await desk.mine.get(f"/executions/{execution}")).json()["status"] == "FAILED"
    (row,) = (await desk.mine.get("/audit", params={"action": "dead_job.drop"})).json()["items"]
    assert row["resource_id"] == job
    assert row["after"]["reason"] == "a test order"


async def test_many_are_counted_first_and_done_by_filter(database: Database, desk: Desk, workflow: UUID) -> None:
    for _ in range(3):
        await bury(database, desk.actor, await started(desk, workflow))
    other = await executions.workflow(database, desk.actor, steps=[CALL])
    spared = await bury(database, desk.actor, await started(desk, other), kind="timer")
    chosen = {"workflow_id": str(workflow)}
    assert (await desk.mine.post("/dead-jobs/retry", json=chosen | {"dry_run": True})).json() == {
        "matched": 3, "done": 0, "more": False, "refused": [],
    }  # fmt: skip
    assert len((await desk.mine.get("/dead-jobs", params=chosen)).json()["items"]) == 3
    first = (await desk.mine.post("/dead-jobs/retry", json=chosen | {"limit": 2})).json()
    assert (first["matched"], first["done"], first["more"]) == (2, 2, True)
    rest = (await desk.mine.post("/dead-jobs/drop", json=chosen | {"reason": "late"})).json()
    assert (rest["matched"], rest["done"], rest["more"]) == (1, 1, False)
    (left,) = (await desk.mine.get("/dead-jobs", params={"kind": "timer"})).json()["items"]
    assert left["id"] == spared


@pytest.mark.parametrize(
    ("claims", "lapses", "said"),
    [
        (1, 0, "It could not be tried at all."),
        (2, 0, "It was tried once, and failed"),
        (6, 5, "It was tried 5 times, and its worker died or stood still each time."),
        (6, 2, "2 of them ended with a worker that died"),
    ],
)
def test_the_story_tells_how_it_was_tried(claims: int, lapses: int, said: str) -> None:
    job: dict[str, Any] = {
        "kind": "start", "claims": claims, "lapses": lapses, "last_error": None,
        "died_at": datetime(2026, 1, 1, tzinfo=UTC),
    }  # fmt: skip
    assert said in rules.explanation(job, workflow=None, status=None)


@pytest.mark.parametrize("status", [None, "FAILED", "COMPLETED", "CANCELLED", "RUNNING"])
@pytest.mark.parametrize("kind", [*rules.PURPOSES, "teleport"])
def test_every_retry_is_foretold(kind: str, status: str | None) -> None:
    assert rules.on_retry(status, kind).endswith(".")
    assert rules.purpose(kind)
