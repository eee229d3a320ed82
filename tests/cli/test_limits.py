"""`weft limit`, `weft dead` and `weft tenant limits`."""

from __future__ import annotations

from uuid import UUID

import pytest
from tests.cli.conftest import Weft
from tests.cli.test_execution import actor as actor_of_executions
from tests.conftest import TestDatabase
from tests.factories import executions
from tests.factories.executions import CALL

from weft.core.actor import Actor
from weft.core.ids import new_id
from weft.db.database import Database
from weft.db.hot import transaction

actor = actor_of_executions

INVALID, NOT_FOUND = 2, 5


async def test_limits_of_a_workflow(database: Database, actor: Actor, weft: Weft) -> None:
    await executions.workflow(database, actor, name="Ledger", steps=[CALL])
    said = weft("limit", "set", "ledger", "--concurrent", "1", "--when-full", "refuse", "--priority", "high")
    assert (said.code, said.err) == (0, "")
    assert "priority       50" in said.out
    assert weft("execution", "start", "Ledger").code == 0
    full = weft("execution", "start", "Ledger")
    assert full.code != 0
    assert "1 of 1" in full.err
    row = weft("limit", "list", "--json").json()[0]
    assert (row["workflow_name"], row["in_use"], row["waiting"]) == ("Ledger", 1, 0)
    assert weft("limit", "show", "--json").json()["concurrent_executions"] is None
    assert "no limits of its own" in weft("limit", "clear", "Ledger").out
    assert weft("limit", "show", "Ledger", "--json").json()["concurrent"] is None
    started = weft("execution", "start", "Ledger", "--priority", "-5", "--json").json()
    assert weft("execution", "show", started["id"], "--json").json()["priority"] == -5


async def test_rates_of_targets(actor: Actor, weft: Weft) -> None:
    said = weft("limit", "rate", "*.Example.com", "--calls", "100", "--burst", "10")
    assert said.out == "*.example.com: 100 calls in 1 s, 10 at once.\n"
    assert weft("limit", "rates", "--json").json()[0]["calls"] == 100
    wrong = weft("limit", "rate", "http://example.com", "--calls", "1")
    assert (wrong.code, "is no target" in wrong.err) == (INVALID, True)
    assert weft("limit", "unrate", "*.example.com").code == INVALID, "it asks first"
    assert weft("limit", "unrate", "*.example.com", "--yes").code == 0
    gone = weft("limit", "unrate", "*.example.com", "--yes")
    assert (gone.code, "`weft limit rates` shows" in gone.err) == (NOT_FOUND, True)
    assert "No target has a rate limit" in weft("limit", "rates").out


async def test_dead_jobs_are_listed_explained_retried_and_dropped(database: Database, actor: Actor, weft: Weft) -> None:
    workflow = await executions.workflow(database, actor, name="Ledger", steps=[CALL])
    for _ in range(3):
        started = weft("execution", "start", "Ledger", "--json").json()
        await bury(database, actor, UUID(started["id"]))
    rows = weft("dead", "list", "--workflow", "ledger", "--json").json()
    assert [row["workflow_id"] for row in rows] == [str(workflow)] * 3
    assert "Ledger" in weft("dead", "list").out
    told = weft("dead", "show", rows[0]["id"])
    assert told.out.startswith("A job was to take up a new execution of the workflow 'Ledger'.")
    assert weft("dead", "retry", rows[0]["id"], "--dry-run").out == "It would be tried again.\n"
    assert weft("dead", "drop", rows[0]["id"], "--dry-run").out == "It would be dropped.\n"
    assert weft("dead", "retry", rows[0]["id"]).out == "It is tried again.\n"
    nobody = weft("dead", "retry")
    assert (nobody.code, "--all" in nobody.err) == (INVALID, True)
    assert weft("dead", "retry", "--all", "--dry-run").out == "2 dead jobs would be tried again.\n"
    assert weft("dead", "drop", rows[1]["id"], "--yes").code == INVALID, "it wants a reason"
    assert weft("dead", "drop", rows[1]["id"], "--reason", "test").code == INVALID, "it asks first"
    assert weft("dead", "drop", rows[1]["id"], "--reason", "test", "--yes").out == "It is dropped.\n"
    done = weft("dead", "drop", "--kind", "start", "--reason", "test", "--yes", "--json").json()
    assert (done["matched"], done["done"]) == (1, 1)
    assert weft("dead", "list").out == "No dead jobs.\n"


async def bury(database: Database, actor: Actor, execution_id: UUID) -> None:
    async with transaction(database, actor) as connection:
        await connection.execute("delete from weft.dispatch_jobs where execution_id = $1", execution_id)
        await connection.execute("update weft.workflow_executions set status = 'FAILED' where id = $1", execution_id)
        await connection.execute(
            "insert into weft.dispatch_dead (tenant_id, id, kind, reason, execution_id, claims, created_at)"
            " values ($1, $2, 'start', 'It was set aside.', $3, 6, now())", actor.tenant_id, new_id(), execution_id,
        )  # fmt: skip


async def test_the_operator_sets_what_a_tenant_may_use(
    actor: Actor, test_database: TestDatabase, weft: Weft, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEFT_DATABASE_URL", test_database.app)
    shown = await _in_thread(weft, "tenant", "limits", "acme", "--concurrent-executions", "3", "--weight", "2")
    assert (shown["concurrent_executions"], shown["weight"], shown["concurrent_jobs"]) == (3, 2, None)
    shown = await _in_thread(weft, "tenant", "limits", "acme", "--payload-bytes", "1000000")
    assert shown["payload_bytes"] == 1_000_000
    shown = await _in_thread(weft, "tenant", "limits", "acme", "--concurrent-executions", "none")
    assert (shown["concurrent_executions"], shown["weight"]) == (None, 2)
    for wrong in (["--concurrent-jobs", "many"], ["--concurrent-executions", "0"]):
        assert (await _run(weft, "tenant", "limits", "acme", *wrong)).code == INVALID
    unknown = await _run(weft, "tenant", "limits", "nobody")
    assert (unknown.code, "weft tenant list" in unknown.err) == (NOT_FOUND, True)


async def _run(weft: Weft, *words: str):  # type: ignore[no-untyped-def]  # a Result
    """The command runs an event loop of its own."""
    import asyncio

    return await asyncio.to_thread(weft, *words)


async def _in_thread(weft: Weft, *words: str):  # type: ignore[no-untyped-def]  # what it says as JSON
    return (await _run(weft, *words, "--json")).json()
