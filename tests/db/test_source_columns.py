"""The columns, indexes and references that the source documents list, in the tables that people will look for them.

Names are ours (`createdAt` is `created_at`); a reference carries the tenant, and an index begins with it. Where ours
differs on purpose, the table of the source documents says so and why.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.db.test_tables import catalogue

__all__ = ["catalogue"]
"""A fixture that is written elsewhere."""

TIME = "timestamp with time zone"
COLUMNS = {
    "users": ["id uuid", "email text", "password_hash text null", "name text"],
    "tenant_users": ["role_id uuid", "email text", "status text default 'ACTIVE'::text"],
    "clients": [
        "id uuid", "name text", "email text null", "phone text null", "address text null", "company text null",
        "notes text null", "is_active boolean default true",
    ],
    "workflows": [
        "id uuid", "name text", "description text null", "client_id uuid null",
        "status text default 'DRAFT'::text",
        "version integer default 0", "created_by uuid null",
    ],
    "workflow_versions": ["workflow_id uuid", "number integer"],
    "workflow_steps": [
        "id uuid", "version_id uuid", "name text", "description text null", "step_type text", "order integer",
        "config jsonb", "is_required boolean default true",
    ],
    "workflow_transitions": [
        "id uuid", "version_id uuid", "from_step_id uuid", "to_step_id uuid", "condition jsonb null",
        "is_default boolean default false",
    ],
    "workflow_executions": [
        "id uuid", "workflow_id uuid", "client_id uuid null", "status text default 'PENDING'::text",
        f"started_at {TIME} null",
        f"completed_at {TIME} null", "metadata jsonb default '{}'::jsonb", "input jsonb null", "output jsonb null",
        "error jsonb null",
    ],
    "execution_logs": [
        "id uuid", "execution_id uuid", "step_id uuid null", "status text default 'PENDING'::text",
        "message text null", "data jsonb null",
        "error jsonb null", f"started_at {TIME}", f"completed_at {TIME} null",
    ],
    "tenants": [
        "id uuid", "slug text", "name text", "tier text default 'FREE'::text",
        "feature_flags jsonb default '{}'::jsonb",
        "limits jsonb default '{}'::jsonb", f"deleted_at {TIME} null",
    ],
    "api_keys": ["user_id uuid", "scopes ARRAY", f"expires_at {TIME} null"],
    "audit_logs": [
        "tenant_id uuid", "actor_id text null", "action text", "resource_type text", "resource_id text null",
        "before jsonb null", "after jsonb null",
    ],
}  # fmt: skip
BOTH_TIMES = ("users", "clients", "workflows", "workflow_executions")

INDEXED = {
    "workflows": ["client_id", "status"],
    "workflow_steps": ["version_id", "version_id, order"],
    "workflow_transitions": ["version_id", "from_step_id", "to_step_id"],
    "workflow_executions": ["workflow_id", "client_id", "status"],
    "execution_logs": ["execution_id", "step_id"],
    "user_permissions": ["user_id"],
    "tenant_users": ["email_key"],
}

STATES = {
    "workflows.status": {"DRAFT", "ACTIVE", "INACTIVE", "ARCHIVED"},
    "workflow_executions.status": {"PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"},
    "execution_logs.status": {"PENDING", "RUNNING", "COMPLETED", "FAILED", "SKIPPED"},
    "tenant_users.status": {"ACTIVE", "INACTIVE", "INVITED", "SUSPENDED"},
    "tenants.tier": {"FREE", "PRO", "ENTERPRISE"},
}

REFERENCES = [
    "workflows.client_id clients", "workflow_executions.client_id clients", "workflow_executions.workflow_id workflows",
    "workflow_versions.workflow_id workflows", "workflow_steps.version_id workflow_versions",
    "workflow_transitions.version_id workflow_versions", "workflow_transitions.from_step_id workflow_steps",
    "workflow_transitions.to_step_id workflow_steps", "execution_logs.execution_id workflow_executions",
    "execution_logs.step_id workflow_steps", "tenant_users.tenant_id tenants", "tenant_users.user_id users",
    "api_keys.user_id tenant_users", "clients.tenant_id tenants", "workflows.tenant_id tenants",
]  # fmt: skip


@pytest.mark.parametrize("table", COLUMNS)
async def test_a_table_has_the_columns_that_people_know(table: str, catalogue: Any) -> None:
    rows = await catalogue.fetch(
        """select column_name, data_type, is_nullable = 'YES' as nullable, column_default as standard
             from information_schema.columns where table_schema = 'weft' and table_name = $1""",
        table,
    )
    found = {
        f"{row['column_name']} {row['data_type']}{' null' if row['nullable'] else ''}"
        f"{'' if row['standard'] is None else ' default ' + row['standard']}"
        for row in rows
    }
    times = [f"created_at {TIME} default now()", f"updated_at {TIME} default now()"]
    assert {*COLUMNS[table], *(times if table in BOTH_TIMES else [])} - found == set()


@pytest.mark.parametrize("table", INDEXED)
async def test_a_table_has_the_indexes_that_people_know(table: str, catalogue: Any) -> None:
    rows = await catalogue.fetch(
        """select array(select a.attname::text from unnest(i.indkey) with ordinality k(number, place)
                          join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number
                         order by place) as names
             from pg_index i where i.indrelid = ('weft.' || $1)::regclass and i.indisvalid""",
        table,
    )
    found = [", ".join(row["names"]) + "," for row in rows]
    for columns in INDEXED[table]:
        assert any(names.startswith(f"tenant_id, {columns},") for names in found), columns


@pytest.mark.parametrize("column", STATES)
async def test_a_state_has_the_words_that_people_know(column: str, catalogue: Any) -> None:
    table, _, name = column.partition(".")
    check = await catalogue.fetchval(
        """select pg_get_constraintdef(oid) from pg_constraint
            where conrelid = ('weft.' || $1)::regclass and conname = $2""",
        table,
        f"{table}_{name}_check",
    )
    assert STATES[column] <= set(re.findall(r"'([A-Z]+)'", check))


async def test_relations_that_people_know_are_references(catalogue: Any) -> None:
    rows = await catalogue.fetch(
        """select c.relname || '.' || a.attname || ' ' || t.relname as words from pg_constraint k
             join pg_class c on c.oid = k.conrelid join pg_class t on t.oid = k.confrelid
             join pg_attribute a on a.attrelid = k.conrelid and a.attnum = k.conkey[array_length(k.conkey, 1)]
            where k.contype = 'f' and k.connamespace = 'weft'::regnamespace and k.conparentid = 0"""
    )
    assert set(REFERENCES) - {row["words"] for row in rows} == set()
