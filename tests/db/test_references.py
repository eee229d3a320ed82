"""What goes when a parent goes, and what keeps it: every reference, from the catalogue and by deleting.

A row that is nothing without its parent goes along. What people made, and what is history, refuses: it is taken away
by whoever means to, never by the way.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from sqlalchemy import ForeignKeyConstraint
from tests.conftest import TestDatabase
from tests.db.test_isolation import insert, row_of

from weft.core.ids import new_id
from weft.migrations.models import METADATA

GOES_ALONG = {
    ("api_key_uses", "api_keys"),
    ("api_keys", "tenant_users"),
    ("event_waits", "workflow_executions"),
    ("execution_places", "workflow_executions"),
    ("item_chunks", "workflow_executions"),
    ("item_results", "workflow_executions"),
    ("payloads", "workflow_executions"),
    ("questions", "workflow_executions"),
    ("rate_limit_states", "rate_limits"),
    ("role_permissions", "roles"),
    ("schedule_runs", "workflow_triggers"),
    ("sessions", "tenant_users"),
    ("user_permissions", "tenant_users"),
    ("workflow_counters", "workflows"),
    ("workflow_limits", "workflows"),
    ("workflow_schedules", "workflow_triggers"),
}
"""(child, parent): credentials and rights of a member, what an execution holds, what belongs to a schedule or limit."""

REFERENCES = sorted(
    (table.name, str(key.name)) for table in METADATA.sorted_tables for key in table.foreign_key_constraints
)


@pytest.fixture
async def admin(migrated: TestDatabase) -> AsyncIterator[Any]:
    """Within a transaction that is rolled back."""
    connection = await asyncpg.connect(migrated.admin)
    try:
        await connection.execute("begin")
        yield connection
    finally:
        await connection.close()


async def test_every_reference_has_the_on_delete_that_it_should(admin: Any) -> None:
    """Only these two ways: SET NULL would null `tenant_id` too, and has no meaning on a distributed PostgreSQL."""
    rows = await admin.fetch(
        """select c.relname as child, t.relname as parent, k.confdeltype::text as way from pg_constraint k
             join pg_class c on c.oid = k.conrelid join pg_class t on t.oid = k.confrelid
            where k.contype = 'f' and k.connamespace = 'weft'::regnamespace and k.conparentid = 0"""
    )
    assert {(row["child"], row["parent"]) for row in rows if row["way"] == "c"} == GOES_ALONG
    assert {row["way"] for row in rows} == {"a", "c"}
    assert len(rows) == len(REFERENCES)


@pytest.mark.parametrize(("name", "reference"), REFERENCES)
async def test_a_deleted_parent_takes_its_children_along_or_stays(name: str, reference: str, admin: Any) -> None:
    """No child is ever left without its parent."""
    child = METADATA.tables[f"weft.{name}"]
    [key] = [key for key in child.foreign_key_constraints if key.name == reference]
    parent, values = key.referred_table, await _planted(admin, key)
    of_parent = " and ".join(f"{element.column.name} = {values[element.parent.name]}" for element in key.elements)
    of_child = " and ".join(f"{element.parent.name} = {values[element.parent.name]}" for element in key.elements)
    delete = f"delete from weft.{parent.name} where {of_parent}"
    if (name, parent.name) in GOES_ALONG:
        assert await admin.execute(delete) == "DELETE 1"
    else:
        await admin.execute("savepoint whole")
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await admin.execute(delete)
        await admin.execute("rollback to savepoint whole")
    here = [
        await admin.fetchval(f"select count(*) from weft.{table} where {words}")
        for table, words in ((parent.name, of_parent), (name, of_child))
    ]
    assert here == ([0, 0] if (name, parent.name) in GOES_ALONG else [1, 1])


async def _planted(admin: Any, key: ForeignKeyConstraint) -> dict[str, str]:
    """A parent and its child, of a tenant of their own; the child's values."""
    tenant = new_id()
    parent = key.referred_table
    await admin.execute(
        "set local session_replication_role = replica"
    )  # neither other parents nor the audit are wanted
    if parent.name != "tenants":
        await admin.execute("insert into weft.tenants (id, slug, name) values ($1, 'acme', 'Acme')", tenant)
    given = {"id": f"'{tenant}'"} if parent.name == "tenants" else {}
    above = row_of(parent, tenant, **given)
    names = {e.parent.name: e.column.name for e in key.elements if e.parent.name != "tenant_id"}
    below = row_of(key.table, tenant, **{name: above[of_parent] for name, of_parent in names.items()})
    await admin.execute(insert(parent, above))
    await admin.execute(insert(key.table, below))
    await admin.execute("set local session_replication_role = origin")
    await admin.execute("select set_config('app.tenant_id', $1, true)", str(tenant))
    return below
