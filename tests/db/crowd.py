"""Two tenants with 100,000 rows in every table that grows, made by one statement for each table."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
from tests.factories import executions, identity
from tests.factories.identity import Person

from weft.db.database import Database

ROWS = 100_000
FEWER = 20_000
"""What nobody has 100,000 of."""
BIG = "n % 5 < 3"
"""The rows of the tenant whose lists are read; the others are another's."""

_WHEN = "now() - interval '50 days' * (n::float / 100000)"
_ID = "md5('{table}' || n)::uuid"

# Columns and their expressions; every row has a number n. w, v, r: the tenant's workflow, its version, a role.
_TABLES: dict[str, str] = {
    "clients": "name 'Client ' || n, name_key 'client ' || lpad(n::text, 6, '0'), created_at {when}",
    "workflows": "name 'w' || n, name_key 'w' || lpad(n::text, 6, '0'), status (array['DRAFT', 'ACTIVE'])[1 + n % 2],"
    " client_id md5('clients' || n)::uuid, created_at {when}",
    "workflow_versions": "workflow_id {w}, number 10 + n, definition '{{}}'::jsonb, content_hash 'x',"
    " created_at {when}",
    "workflow_triggers": "workflow_id {w}, kind case when n = 1 then 'SCHEDULE' else 'MANUAL' end, created_at {when}",
    "workflow_executions": "workflow_id {w}, version_id {v}, number 10 + n,"
    " status (array['COMPLETED', 'COMPLETED', 'FAILED'])[1 + n % 3], client_id md5('clients' || n % 50)::uuid,"
    " created_at {when}, started_at {when}, completed_at {when}",
    "execution_logs": "execution_id md5('workflow_executions' || n / 2)::uuid, visit 1 + n % 2, attempt 1,"
    " status 'COMPLETED', started_at {when}",
    "audit_logs": "action (array['insert', 'update'])[1 + n % 2], resource_type 'clients', resource_id (n % 500)::text,"
    " actor_id (n % 40)::text, correlation_id n::text, at {when}",
    "events": "type (array['paid', 'sent', 'lost'])[1 + n % 3], correlation (n % 100)::text, received_at {when},"
    " source 'API'",
    "questions": "execution_id md5('workflow_executions' || n)::uuid, visit 1, attempt 1, step 'ask',"
    " question 'Is it?', asked_at {when}, status (array['OPEN', 'ANSWERED'])[1 + n % 2]",
    "dispatch_dead": "kind 'step', reason 'no', created_at {when}, died_at {when},"
    " execution_id md5('workflow_executions' || n)::uuid",
    "schedule_runs": "trigger_id {t}, due_at {when}, status (array['STARTED', 'SKIPPED'])[1 + n % 2],"
    " decided_at {when}, open false",
    "archives": "period_from {when}, period_to {when}, executions 1, rows 1, created_at {when}",
    "tenant_users": "user_id md5('users' || n)::uuid, role_id {r}, email n || '@example.com',"
    " email_key n || '@example.com', name 'Member ' || n, created_at {when}",
    "api_keys": "user_id md5('users' || n)::uuid, name 'key', prefix 'p' || n, secret_hash '\\x00', scopes '{{}}',"
    " created_at {when}",
    "message_templates": "name 'template-' || lpad((n / 10)::text, 6, '0'), version 1 + n % 10, text 'hello',"
    " is_newest n % 10 = 6, created_at {when}",
    "secrets": "name 'secret-' || lpad(n::text, 6, '0'), value '\\x00', rotated_at {when}, created_at {when}",
    "rate_limits": "target 'host-' || lpad(n::text, 6, '0'), calls 1, created_at {when}",
    "roles": "name 'role-' || lpad(n::text, 6, '0'), created_at {when}",
    "workflow_limits": "workflow_id md5('workflows' || n)::uuid, concurrent 1, created_at {when}",
}

_SMALLER = {"workflow_triggers", "archives", "api_keys", "secrets", "rate_limits", "roles", "workflow_limits"}

FILLED = frozenset(_TABLES)


@dataclass(frozen=True)
class Crowd:
    """What is needed to ask for the lists of the big tenant."""

    owner: Person
    headers: dict[str, str]
    path: dict[str, str] = field(default_factory=dict)
    """Values for the parts of addresses."""


async def gather(database: Database, admin_dsn: str) -> Crowd:
    """Fill an empty, migrated database. Needs a superuser: rows come in without triggers and checks of references."""
    big, small = await identity.tenant(database, "big"), await identity.tenant(database, "small")
    workflows: list[UUID] = []
    for person in (big, small):
        actor = await identity.actor(database, person)
        workflows.append(await executions.workflow(database, actor))
    admin = await asyncpg.connect(admin_dsn)
    try:
        await admin.execute("set session_replication_role = replica; set work_mem = '64MB'")
        await _months(admin)
        of = await _owned(admin, big.tenant_id, small.tenant_id)
        for table, columns in _TABLES.items():
            await admin.execute(_statement(table, columns, of))
        await admin.execute("vacuum analyze")
    finally:
        await admin.close()
    return Crowd(
        big,
        await identity.bearer(database, big),
        {
            "workflow_id": str(workflows[0]),
            "number": "1",
            "trigger_id": str(_md5("workflow_triggers", 1)),
            "execution_id": str(_md5("workflow_executions", 100)),
            "name": "template-000001",
        },
    )


async def _owned(admin: asyncpg.Connection, *tenants: UUID) -> dict[str, str]:
    """Expressions that give each row what belongs to its tenant: t(enant), w(orkflow), v(ersion), r(ole)."""
    rows = [
        await admin.fetchrow(
            "select w.tenant_id as t, w.id as w, w.current_version_id as v, r.id as r from weft.workflows w"
            " join weft.roles r on r.tenant_id = w.tenant_id and r.name = 'MEMBER' where w.tenant_id = $1",
            tenant,
        )
        for tenant in tenants
    ]
    return {name: f"case when {BIG} then '{rows[0][name]}'::uuid else '{rows[1][name]}'::uuid end" for name in "twvr"}


def _statement(table: str, columns: str, of: dict[str, str]) -> str:
    parts = [part.strip().split(" ", 1) for part in _split(columns)]
    filled = {name: value for name, value in of.items() if name != "t"}
    filled |= {"when": _WHEN, "t": "md5('workflow_triggers1')::uuid"}
    names = ", ".join(name for name, _ in parts)
    values = ", ".join(value.format(**filled) for _, value in parts)
    rows = FEWER if table in _SMALLER else ROWS
    return (
        f"insert into weft.{table} (tenant_id, id, {names})"
        f" select {of['t']}, {_ID.format(table=table)}, {values} from generate_series(1, {rows}) n"
    )


def _split(columns: str) -> list[str]:
    """At the commas that stand in no brackets."""
    parts, depth, current = [], 0, ""
    for letter in columns:
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += letter
    return [*parts, current]


def _md5(table: str, n: int) -> UUID:
    from hashlib import md5

    return UUID(md5(f"{table}{n}".encode(), usedforsecurity=False).hexdigest())


async def _months(admin: asyncpg.Connection) -> None:
    """Partitions for the months before those that are there."""
    first = datetime.now(UTC).replace(day=1)
    for _ in range(3):
        until, first = first, (first - timedelta(days=1)).replace(day=1)
        for parent in ("execution_logs", "audit_logs"):
            name = f"weft.{parent}_{first:%Y%m}"
            if await admin.fetchval("select to_regclass($1) is null", name):
                await admin.execute(
                    f"create table {name} partition of weft.{parent}"
                    f" for values from ('{first:%Y-%m-%d} 00:00:00+00') to ('{until:%Y-%m-%d} 00:00:00+00')"
                )
