"""What goes: orphans and what is over its time, and nothing that somebody still needs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
from tests.conftest import TestDatabase
from tests.factories import identity
from tests.ops.test_retention import shelf_of
from tests.ops.upkeep.conftest import NOW, Keep, said

from weft.core.actor import Actor
from weft.core.ids import new_id
from weft.db.database import Database
from weft.db.hot import transaction

_PAYLOAD = """
insert into weft.payloads (tenant_id, execution_id, id, size, stored_size, encoding, data)
values ($1, $2, $3, 100, 10, 'zlib', '\\x00')
"""
_COUNT = "insert into weft.payload_usage (tenant_id, payloads, size, stored_size) values ($1, $2, $3, $4)"


async def payloads(admin: Any) -> set[UUID]:
    return {UUID(int=row[0].int) for row in await admin.fetch("select id from weft.payloads")}


async def test_values_without_an_execution_go_and_those_that_have_one_or_are_being_written_stay(
    database: Database, ada: Actor, keep: Keep, admin: Any, test_database: TestDatabase
) -> None:
    shelf = await shelf_of(database, ada)
    execution = await shelf.put(datetime.now(UTC))
    kept, lost, written = new_id(), new_id(), new_id()
    await admin.execute(_PAYLOAD, ada.tenant_id, execution, kept)
    await admin.execute("set session_replication_role = replica")
    await admin.execute(_PAYLOAD, ada.tenant_id, new_id(), lost)
    await admin.execute("set session_replication_role = origin")
    await admin.execute(_COUNT, ada.tenant_id, 2, 200, 20)
    async with transaction(database, ada) as writing:
        copy = new_id()
        await writing.execute(
            "insert into weft.workflow_executions (tenant_id, id, workflow_id, version_id, number)"
            " select tenant_id, $2, workflow_id, version_id, 77 from weft.workflow_executions where id = $1",
            execution, copy,
        )  # fmt: skip
        await writing.execute(_PAYLOAD, ada.tenant_id, copy, written)
        report = await keep("orphans")
    assert said(report, "orphans") == {"payloads": ("done", "1 value deleted")}
    assert await payloads(admin) == {kept, written}
    usage = await admin.fetchrow("select payloads, size, stored_size from weft.payload_usage")
    assert tuple(usage) == (1, 100, 10), "the trigger took the value off the counter"


async def test_a_wrong_counter_of_values_is_set_right(database: Database, ada: Actor, keep: Keep, admin: Any) -> None:
    execution = await (await shelf_of(database, ada)).put(datetime.now(UTC))
    await admin.execute(_PAYLOAD, ada.tenant_id, execution, new_id())
    await admin.execute(_COUNT, ada.tenant_id, 5, 900, 90)
    report = await keep("orphans")
    assert said(report, "orphans") == {"payload_usage": ("done", "1 counter set right")}
    assert tuple(await admin.fetchrow("select payloads, size, stored_size from weft.payload_usage")) == (1, 100, 10)
    assert (await keep("orphans")).steps == []


async def test_sessions_and_events_that_are_over_go_after_their_time(
    database: Database, keep: Keep, admin: Any
) -> None:
    owner = await identity.tenant(database, "acme")
    await identity.bearer(database, owner)
    await identity.bearer(database, owner)
    sessions = [row[0] for row in await admin.fetch("select id from weft.sessions order by id")]
    await admin.execute("update weft.sessions set expires_at = $1", NOW - timedelta(days=29))
    await admin.execute("update weft.sessions set expires_at = $2 where id = $1", sessions[0], NOW - timedelta(days=31))
    tenant = await admin.fetchval("select id from weft.tenants")
    for days in (29, 31):
        await admin.execute(
            "insert into weft.events (tenant_id, id, type, source, payload, received_at)"
            " values ($1, $2, 'a.b', 'API', '{}', $3)",
            tenant, new_id(), NOW - timedelta(days=days),
        )  # fmt: skip
    report = await keep("expired")
    assert said(report, "expired") == {"sessions": ("done", "1 row deleted"), "events": ("done", "1 row deleted")}
    assert [row[0] for row in await admin.fetch("select id from weft.sessions")] == sessions[1:]
    assert await admin.fetchval("select count(*) from weft.events") == 1
    by = await admin.fetchval(
        "select actor_name from weft.audit_logs where resource_type = 'sessions' and action = 'delete'"
    )
    assert by == "maintenance"


async def test_missing_months_are_made(keep: Keep, admin: Any) -> None:
    following = await admin.fetchval("select to_char(now() at time zone 'utc' + interval '3 months', 'YYYYMM')")
    await admin.execute(f"drop table weft.execution_logs_{following}")
    report = await keep("partitions")
    assert said(report, "partitions") == {f"execution_logs_{following}": ("done", "1 partition made")}
    assert (await keep("partitions")).steps == []


async def test_retention_does_a_round(keep: Keep) -> None:
    report = await keep("retention")
    assert said(report, "retention")["old executions"] == ("done", "0 executions deleted, 0 of them archived")


async def test_a_database_that_is_well_needs_nothing_else(keep: Keep, test_database: TestDatabase) -> None:
    connection = await asyncpg.connect(test_database.owner)
    try:
        await connection.execute("vacuum analyze")
    finally:
        await connection.close()
    report = await keep()
    assert {(step.task, step.outcome) for step in report.steps} == {("retention", "done")}
