"""One tenant out of a backup: as it was, or a copy without its credentials; in one transaction, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from tests.conftest import TestDatabase
from tests.factories import executions, identity
from tests.factories.identity import Person
from tests.ops.backup.conftest import House
from tests.ops.backup.test_restoring import opened

from weft.core.actor import Actor, system_actor
from weft.db.database import Database
from weft.db.scope import enter
from weft.domain.secrets import service as secrets
from weft.domain.secrets.schemas import SecretPut
from weft.domain.workflows.schemas import TriggerCreate
from weft.domain.workflows.service import triggers
from weft.migrations.models import METADATA
from weft.ops.backup import moving, rewriting
from weft.ops.backup.errors import MasterKeyDiffers, RestoreDiffers
from weft.ops.backup.tenants import (
    Plan,
    SchemaNotCurrent,
    SlugTaken,
    TenantNotInBackup,
    TenantThere,
    Wanted,
    restore_tenant,
)

OLD = datetime(2020, 2, 3, tzinfo=UTC)


@pytest.fixture
async def ada(database: Database) -> Person:
    """A tenant with everything that has to be treated with care."""
    person = await identity.tenant(database, "ada")
    actor = system_actor(person.tenant_id)
    await identity.api_key(database, person)
    await identity.bearer(database, person)
    workflow_id = await executions.workflow(database, actor, steps=[executions.CALL])
    async with enter(database, actor) as scope:
        await secrets.put(scope, "pay", SecretPut(value="s3cret"))
        await triggers.create(scope, workflow_id, TriggerCreate(name="hook"))
    async with executions.engine(database) as engine:
        await executions.start(engine, actor, workflow_id, idempotency_key="once")
    await executions.fill(database, actor, workflow_id, 4)
    return person


@pytest.fixture
async def owner(test_database: TestDatabase) -> AsyncIterator[asyncpg.Connection]:
    """Sees every tenant."""
    connection = await asyncpg.connect(test_database.owner)
    await connection.execute("set app.maintenance = 'on'")
    try:
        yield connection
    finally:
        await connection.close()


async def restored(house: House, backup: str, wanted: Wanted, **options: Any) -> Plan:
    return await asyncio.to_thread(restore_tenant, house.settings, house.addresses, backup, wanted, **options)


async def rows(owner: asyncpg.Connection, table: str, tenant_id: UUID) -> int:
    key = "id" if table == "tenants" else "tenant_id"
    found: int = await owner.fetchval(f"select count(*) from weft.{table} where {key} = $1", tenant_id)
    return found


async def everything(owner: asyncpg.Connection, tenant_id: UUID) -> dict[str, list[str]]:
    """All rows of a tenant but its audit log, as text."""
    found = {}
    for table in METADATA.sorted_tables:
        key = "id" if table.name == "tenants" else "tenant_id"
        if table.name != "audit_logs" and key in table.columns and (key == "tenant_id" or table.name == "tenants"):
            query = f"select (r.*)::text from weft.{table.name} r where {key} = $1 order by 1"
            found[table.name] = [row[0] for row in await owner.fetch(query, tenant_id)]
    return {name: listed for name, listed in found.items() if listed}


async def test_a_copy_is_whole_readable_and_shares_no_credential(
    house: House, database: Database, ada: Person, owner: asyncpg.Connection
) -> None:
    as_owner = replace(house, addresses=replace(house.addresses, admin=None))  # the owner alone is enough
    made = await as_owner.backup()
    before = await everything(owner, ada.tenant_id)
    dry = await restored(as_owner, made.id, Wanted("ada", "twin"), dry_run=True)
    assert not dry.done
    assert dry.tables["workflow_executions"] == 5
    assert await owner.fetchval("select count(*) from weft.tenants") == 1

    plan = await restored(as_owner, made.id, Wanted("ada", "twin"))
    assert plan.done
    assert plan.is_copy
    assert (plan.held_jobs, plan.users_added, plan.users_matched, plan.conflicts) == (1, 0, 0, [])
    twin = plan.new_id
    assert await owner.fetchval("select slug from weft.tenants where id = $1", twin) == "twin"
    assert await everything(owner, ada.tenant_id) == before, "the original is untouched"
    for table in ("workflow_executions", "workflows", "workflow_versions", "tenant_users", "roles", "role_permissions"):
        assert await rows(owner, table, twin) == await rows(owner, table, ada.tenant_id) > 0, table
    for table in ("api_keys", "sessions", "dispatch_jobs"):
        assert await rows(owner, table, twin) == 0, table
    hook = await owner.fetchrow("select * from weft.workflow_triggers where tenant_id = $1", twin)
    assert (hook["enabled"], hook["token_hash"], hook["secret"]) == (False, None, None)
    assert await rows(owner, "dispatch_dead", twin) == 1

    actor = system_actor(twin)
    assert await opened(database, actor) == "s3cret", "sealed anew, for the new tenant"
    async with enter(database, actor) as scope:
        assert await scope.raw.fetchval("select count(*) from weft.workflow_executions") == 5
        assert await scope.raw.fetchval("select count(*) from weft.tenants") == 1
    keys = await owner.fetch("select tenant_id, wrapped from weft.tenant_keys")
    assert len({row["wrapped"] for row in keys}) == 2, "no data key is shared either"
    events = await owner.fetch("select action, after from weft.audit_logs where tenant_id = $1 order by at", twin)
    assert events[-1]["action"] == "tenant.restore"
    assert made.id in events[-1]["after"]
    logged = await rows(owner, "audit_logs", ada.tenant_id)
    assert len(events) == logged + 1, "the log came along, and nothing was logged twice"
    with pytest.raises(SlugTaken, match="--as"):
        await restored(as_owner, made.id, Wanted("ada", "twin"))


async def test_it_goes_back_to_what_it_was_while_another_goes_on(
    house: House, database: Database, ada: Person, owner: asyncpg.Connection
) -> None:
    made = await house.backup()
    before = await everything(owner, ada.tenant_id)
    workflow_id = await owner.fetchval("select id from weft.workflows")
    actor = system_actor(ada.tenant_id)
    await executions.fill(database, actor, workflow_id, 20)
    bob = await identity.tenant(database, "bob")
    others = await everything(owner, bob.tenant_id)
    async with enter(database, actor) as scope:
        await scope.raw.execute("update weft.api_keys set revoked_at = now()")
        await scope.raw.execute(
            "insert into weft.archives (tenant_id, id, period_from, period_to, executions, rows)"
            " values ($1, gen_random_uuid(), now(), now(), 1, 1)",
            ada.tenant_id,
        )
        await secrets.put(scope, "pay", SecretPut(value="changed"))
    logged = await rows(owner, "audit_logs", ada.tenant_id)

    with pytest.raises(TenantThere, match="--replace"):
        await restored(house, made.id, Wanted("ada"))
    plan = await restored(house, made.id, Wanted("ada", replace=True, run=True))
    assert (plan.is_copy, plan.held_jobs, plan.replaced["workflow_executions"]) == (False, 0, 25)
    after = await everything(owner, ada.tenant_id)
    assert len(after.pop("archives")) == 1, "where an archive lies is not forgotten"
    assert after.keys() == before.keys() - {"sessions"}, "everybody signs in again"
    for table in after.keys() - {"api_keys", "event_interests", "dispatch_limits"}:
        assert after[table] == before[table], table
    assert await owner.fetchval("select count(*) from weft.api_keys where revoked_at is not null") == 1, (
        "a key that was revoked since stays revoked"
    )
    assert await rows(owner, "dispatch_jobs", ada.tenant_id) == 1, "with --run it goes on"
    assert await rows(owner, "audit_logs", ada.tenant_id) == logged + 1, "the log only grows"
    assert await opened(database, actor) == "s3cret"
    assert await everything(owner, bob.tenant_id) == others


async def test_a_tenant_that_is_gone_comes_back_with_its_people_and_old_months(
    house: House, database: Database, ada: Person, owner: asyncpg.Connection
) -> None:
    actor = system_actor(ada.tenant_id)
    mia = await identity.member(database, ada, email="mia@ada.example")
    await owner.execute("select weft.ensure_partition('execution_logs', $1)", OLD.date())
    execution = await owner.fetchval("select id from weft.workflow_executions limit 1")
    await owner.execute(
        "insert into weft.execution_logs (tenant_id, started_at, id, execution_id)"
        " values ($1, $2, gen_random_uuid(), $3)",
        ada.tenant_id, OLD, execution,
    )  # fmt: skip
    made = await house.backup()
    for table in reversed(moving._tables(everything=True)):
        if table.name != "audit_logs":
            key = "id" if table.name == "tenants" else "tenant_id"
            await owner.execute(f"delete from weft.{table.name} where {key} = $1", ada.tenant_id)
    await owner.execute("drop table weft.execution_logs_202002")
    await owner.execute("delete from weft.users")
    # Mia has signed up again meanwhile, under another id.
    again = await identity.tenant(database, "other", email="mia@ada.example")

    plan = await restored(house, made.id, Wanted("ada"))
    assert (plan.done, plan.replaced, plan.users_added, plan.users_matched) == (True, {}, 1, 1)
    members = await owner.fetch("select user_id, email from weft.tenant_users where tenant_id = $1", ada.tenant_id)
    assert {row["email"]: row["user_id"] for row in members} == {ada.email: ada.user_id, mia.email: again.user_id}
    assert await owner.fetchval("select count(*) from weft.execution_logs where started_at = $1", OLD) == 1
    async with enter(database, actor) as scope:
        assert await scope.raw.fetchval("select count(*) from weft.execution_logs where started_at = $1", OLD) == 1
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await scope.raw.fetchval("select count(*) from weft.execution_logs_202002")


async def test_whatever_is_wrong_changes_nothing(
    house: House, database: Database, ada: Person, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await house.backup()
    before = await everything(owner, ada.tenant_id)
    with pytest.raises(TenantNotInBackup, match="older backup"):
        await restored(house, made.id, Wanted("nobody"))
    with pytest.raises(MasterKeyDiffers):
        await restored(house.with_settings(WEFT_MASTER_KEY="33" * 32), made.id, Wanted("ada", "twin"))
    dry = await restored(house, made.id, Wanted("ada"), dry_run=True)
    assert dry.conflicts
    assert "--replace" in dry.conflicts[0]
    assert dry.replaced["workflow_executions"] == 5

    async def wrong(self: moving.Moving, counts: moving.Counts) -> None:
        raise RestoreDiffers(made.id, ["secrets has 0 rows and should have 1"])

    with monkeypatch.context() as patched:
        patched.setattr(moving.Moving, "_compare", wrong)
        with pytest.raises(RestoreDiffers):
            await restored(house, made.id, Wanted("ada", replace=True))
    assert await everything(owner, ada.tenant_id) == before
    await owner.execute("update weft.alembic_version set version_num = '0000'")
    with pytest.raises(SchemaNotCurrent, match="weft db migrate"):
        await restored(house, made.id, Wanted("ada", replace=True))


def test_every_secret_column_is_dealt_with() -> None:
    """A new one must be sealed anew for copies, or left out of them: `rewriting` says which."""
    known = {f"{table}.{column}" for table, column in rewriting.CELLS} | set(rewriting.CREDENTIALS)
    secret = {f"{t.name}.{c.name}" for t in METADATA.sorted_tables for c in t.columns if c.info.get("secret")}
    assert secret == known


async def test_only_the_owner_may_leave_the_audit_log_out(database: Database, ada: Person) -> None:
    actor: Actor = system_actor(ada.tenant_id)
    async with enter(database, actor) as scope:
        before = await scope.raw.fetchval("select count(*) from weft.audit_logs")
        await scope.raw.execute("set local app.restore = 'on'")
        await scope.raw.execute("update weft.tenants set name = 'Changed'")
        assert await scope.raw.fetchval("select count(*) from weft.audit_logs") == before + 1
