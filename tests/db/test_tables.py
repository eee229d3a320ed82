"""What tables have in common, and what each exception is for: keys that are UUIDs, times of their own, their names.

A new table keeps the rule, or stands here with a reason.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from tests.conftest import TestDatabase
from tests.docs import seed_documents

OTHER_KEYS = {
    "backups": "its name is that of its folder, and tells its time",
    "data_migrations": "a name in the code",
    "installation": "one row",
    "item_chunks": "numbers of a list within an execution",
    "item_results": "numbers of a list within an execution",
    "last_runs": "a kind of work, one row for each",
    "permissions": "resource and action: the words that the code asks for",
    "recovery_archives": "the name of a replication slot",
    "recovery_markers": "numbers within a drill",
}
"""Keys that are not UUIDs alone. Besides them, a table of months has the time by which it is divided in its key."""

APPENDED = "written once"
OWN_TIMES = "its times have names that say more"
OF_PARENT = "made and read with its parent, which has the times"
STANDING = "how something stands now, changed by machines many times a second or a minute"

WITHOUT_TIMES = {
    "api_key_uses": OWN_TIMES, "app_instances": OWN_TIMES, "archives": APPENDED, "audit_logs": APPENDED,
    "backups": OWN_TIMES, "data_migrations": OWN_TIMES, "dispatch_dead": OWN_TIMES, "dispatch_jobs": STANDING,
    "dispatch_limits": STANDING, "event_interests": STANDING, "event_waits": OWN_TIMES, "events": OWN_TIMES,
    "execution_logs": OWN_TIMES, "execution_places": OWN_TIMES, "installation": OWN_TIMES, "item_chunks": OF_PARENT,
    "item_results": OF_PARENT, "last_runs": OWN_TIMES, "message_templates": APPENDED, "migration_history": APPENDED,
    "payload_usage": STANDING, "payloads": OF_PARENT, "permissions": "the code's own words, the same in every database",
    "questions": OWN_TIMES, "rate_limit_states": STANDING, "recovery_archives": STANDING, "recovery_drills": APPENDED,
    "recovery_markers": APPENDED, "schedule_runs": OWN_TIMES, "tenant_limits": "the audit log has who changed it, when",
    "workflow_counters": STANDING, "workflow_publications": APPENDED, "workflow_schedules": OWN_TIMES,
    "workflow_steps": OF_PARENT, "workflow_transitions": OF_PARENT, "workflow_versions": APPENDED,
}  # fmt: skip
"""Tables that lack `created_at` or `updated_at`, and why."""

THEIRS = {
    "tenants": "tenants", "users": "users", "tenant_users": "tenant_users", "roles": "roles",
    "permissions": "permissions", "role_permissions": "role_permissions", "workflows": "workflows",
    "workflow_executions": "workflow_executions", "audit_logs": "audit_logs", "organizations": "tenants",
    "api_keys": "api_keys", "executions": "workflow_executions", "Tenant": "tenants", "User": "users",
    "Permission": "user_permissions", "Workflow": "workflows", "WorkflowVersion": "workflow_versions",
    "Execution": "workflow_executions", "ExecutionLog": "execution_logs", "clients": "clients",
    "workflow_steps": "workflow_steps", "workflow_transitions": "workflow_transitions",
    "execution_logs": "execution_logs",
}  # fmt: skip
"""The tables that the source documents name, and ours."""

NOT_YET = {
    "approval_requests", "ai_agent_tasks", "agents", "models", "canvases", "projects", "gaps", "predictions",
    "integrations", "workflow_reports",
}  # fmt: skip
"""Those that come with a later part: once there is one of them, it moves to `THEIRS`."""


@pytest.fixture
async def catalogue(migrated: TestDatabase) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(migrated.app)
    try:
        yield connection
    finally:
        await connection.close()


async def columns(catalogue: Any, more: str) -> dict[str, set[str]]:
    """Column names by table, months left out."""
    rows = await catalogue.fetch(
        f"""select c.relname, array_agg(a.attname::text) filter (where {more}) as names
              from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
              left join pg_constraint k on k.conrelid = c.oid and k.contype = 'p'
             where c.relnamespace = 'weft'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
               and c.relname <> 'alembic_version'
             group by c.relname"""
    )
    return {row["relname"]: set(row["names"] or ()) for row in rows}


async def test_keys_are_uuids(catalogue: Any) -> None:
    """Made by whoever writes the row, without asking anybody, and not to be guessed by counting."""
    others = await columns(catalogue, "a.attnum = any(k.conkey) and a.atttypid <> 'uuid'::regtype")
    months = {"audit_logs": {"at"}, "execution_logs": {"started_at"}}
    assert {table for table, names in others.items() if names - months.get(table, set())} == set(OTHER_KEYS)


async def test_no_number_is_given_by_a_sequence(catalogue: Any) -> None:
    """What counts up tells how much there is."""
    rows = await catalogue.fetch(
        "select relname from pg_class where relkind = 'S' and relnamespace = 'weft'::regnamespace"
    )
    assert rows == []


async def test_tables_have_both_times_or_a_reason(catalogue: Any) -> None:
    found = await columns(catalogue, "a.attname in ('created_at', 'updated_at')")
    assert {table for table, names in found.items() if len(names) < 2} == set(WITHOUT_TIMES)


async def test_what_is_updated_is_touched_by_the_database(catalogue: Any) -> None:
    """`updated_at` is a trigger's, so no statement can forget it."""
    found = await columns(catalogue, "a.attname = 'updated_at'")
    rows = await catalogue.fetch(
        """select distinct c.relname from pg_trigger t join pg_class c on c.oid = t.tgrelid
            where not t.tgisinternal and t.tgfoid in ('weft.touch'::regproc, 'weft.touch_versioned'::regproc)"""
    )
    touched = {row["relname"] for row in rows}
    by_their_statements = {"data_migrations", "workflow_executions"}
    assert {table for table, names in found.items() if names} - touched == by_their_statements


@pytest.mark.parametrize("theirs", THEIRS)
async def test_a_table_that_a_document_names_is_there(theirs: str, catalogue: Any) -> None:
    assert await catalogue.fetchval(
        "select exists (select from pg_tables where schemaname = 'weft' and tablename = $1)", THEIRS[theirs]
    )


async def test_a_table_that_comes_later_is_not_there_yet(catalogue: Any) -> None:
    rows = await catalogue.fetch("select tablename from pg_tables where schemaname = 'weft'")
    assert {row["tablename"] for row in rows} & NOT_YET == set()
    later = [row for document in seed_documents.read()[1] for row in document.rows if row.later is not None]
    assert {"approvals", "AI agents", "canvases", "projects", "integrations", "reports"} <= {row.later for row in later}
