"""Attacks, generated from the tables: another tenant's rows are read, written, taken over and referred to.

Every tenant table of the metadata is attacked, so a new table is covered on the day it is added. Victim rows are
planted by a superuser with triggers off; the attacker is the application role with another tenant's context.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, Table
from tests.conftest import TestDatabase

from weft.core.ids import new_id
from weft.migrations.models import METADATA

TENANT_TABLES = [t for t in METADATA.sorted_tables if "tenant_id" in t.columns]
NAMES = [t.name for t in TENANT_TABLES]
REFERENCES = sorted(
    (table.name, str(key.name))
    for table in TENANT_TABLES
    for key in table.foreign_key_constraints
    if "tenant_id" in key.column_keys and len(key.column_keys) > 1
)


def value_for(column: Column[Any], table: Table) -> str:
    """A literal that the column's type and checks accept."""
    for check in table.constraints:
        if isinstance(check, CheckConstraint):
            allowed = re.match(rf"{column.name} in \('([^']+)'", str(check.sqltext))
            if allowed:
                return f"'{allowed.group(1)}'"
    kind = column.type.compile(dialect=asyncpg_dialect()).partition(" COLLATE")[0]
    samples = {
        "UUID": f"'{new_id()}'", "TEXT": f"'x{new_id().hex}'", "JSONB": "'{}'", "BYTEA": "'\\x00'", "INTEGER": "1",
        "BIGINT": "1", "SMALLINT": "1", "BOOLEAN": "true", "TIMESTAMP WITH TIME ZONE": "now()", "TEXT[]": "'{}'",
        "INTEGER[]": "'{}'",
    }  # fmt: skip
    return samples[kind if not kind.startswith("NUMERIC") else "INTEGER"]


def asyncpg_dialect() -> Any:
    from sqlalchemy.dialects import postgresql

    return postgresql.dialect()  # type: ignore[no-untyped-call]  # untyped in SQLAlchemy


def row_of(table: Table, tenant_id: UUID, **given: str) -> dict[str, str]:
    """A whole row of the tenant, as SQL literals."""
    row = {
        column.name: value_for(column, table) for column in table.columns if not column.nullable or column.name in given
    }
    own = {"tenant_id": f"'{tenant_id}'"} if "tenant_id" in table.columns else {}
    return {**row, **own, **given}


def insert(table: Table, row: dict[str, str]) -> str:
    names = ", ".join(f'"{name}"' for name in row)
    return f"insert into weft.{table.name} ({names}) values ({', '.join(row.values())})"


@dataclass
class Battlefield:
    attacker: Any
    planter: Any
    mine: UUID
    theirs: UUID

    async def plant(self, table: Table, tenant_id: UUID) -> dict[str, str]:
        row = row_of(table, tenant_id)
        await self.planter.execute(insert(table, row))
        return row


@pytest.fixture
async def field(test_database: TestDatabase) -> AsyncIterator[Battlefield]:
    planter = await asyncpg.connect(test_database.admin)
    attacker = await asyncpg.connect(test_database.app)
    mine, theirs = new_id(), new_id()
    await planter.execute("set session_replication_role = replica")  # no triggers: neither references nor audit
    for tenant_id in (mine, theirs):
        await planter.execute(
            "insert into weft.tenants (id, slug, name) values ($1, $2, 'T')", tenant_id, f"t{tenant_id.hex[-12:]}"
        )
    await attacker.execute(f"begin; set local app.tenant_id = '{mine}'")
    try:
        yield Battlefield(attacker, planter, mine, theirs)
    finally:
        await attacker.close()
        await planter.close()


def key_of(row: dict[str, str], table: Table) -> str:
    columns = [c.name for c in table.primary_key.columns if c.name not in ("started_at", "at")]
    return " and ".join(f"{name} = {row[name]}" for name in columns)


async def refused(attacker: Any, statement: str) -> bool:
    """Whether the database says no; the transaction goes on."""
    await attacker.execute("savepoint attack")
    try:
        done = await attacker.execute(statement)
    except (
        asyncpg.InsufficientPrivilegeError, asyncpg.ForeignKeyViolationError, asyncpg.CheckViolationError,
        asyncpg.UniqueViolationError,
    ):  # fmt: skip
        await attacker.execute("rollback to savepoint attack")
        return True
    return bool(done.endswith(" 0"))


@pytest.mark.parametrize("name", NAMES)
async def test_another_tenant_neither_reads_nor_changes_a_row(name: str, field: Battlefield) -> None:
    table = METADATA.tables[f"weft.{name}"]
    theirs = await field.plant(table, field.theirs)
    key = key_of(theirs, table)
    assert await field.planter.fetchval(f"select count(*) from weft.{name} where {key}") == 1
    assert await field.attacker.fetchval(f"select count(*) from weft.{name}") == 0
    assert await field.attacker.fetchval(f"select count(*) from weft.{name} where {key}") == 0
    column = next(c.name for c in table.columns if c.name not in ("tenant_id", "id"))
    assert await refused(field.attacker, f'update weft.{name} set "{column}" = "{column}" where {key}')
    assert await refused(field.attacker, f"delete from weft.{name} where {key}")
    assert await refused(field.attacker, f"delete from weft.{name}")
    assert await field.planter.fetchval(f"select count(*) from weft.{name} where {key}") == 1


@pytest.mark.parametrize("name", NAMES)
async def test_a_row_cannot_be_put_into_or_moved_to_another_tenant(name: str, field: Battlefield) -> None:
    table = METADATA.tables[f"weft.{name}"]
    assert await refused(field.attacker, insert(table, row_of(table, field.theirs)))
    mine = await field.plant(table, field.mine)
    moved = f"update weft.{name} set tenant_id = '{field.theirs}' where {key_of(mine, table)}"
    assert await refused(field.attacker, moved)
    assert await field.planter.fetchval(f"select count(*) from weft.{name} where tenant_id = '{field.theirs}'") == 0


@pytest.mark.parametrize("name", NAMES)
async def test_an_upsert_does_not_reach_another_tenants_row(name: str, field: Battlefield) -> None:
    table = METADATA.tables[f"weft.{name}"]
    theirs = await field.plant(table, field.theirs)
    columns = ", ".join(f'"{c.name}"' for c in table.primary_key.columns)
    upsert = f"{insert(table, theirs)} on conflict ({columns}) do update set tenant_id = excluded.tenant_id"
    assert await refused(field.attacker, upsert)
    assert await refused(field.attacker, f"{insert(table, theirs)} on conflict ({columns}) do nothing")


@pytest.mark.parametrize("name", NAMES)
async def test_without_a_tenant_there_is_nothing(name: str, field: Battlefield) -> None:
    table = METADATA.tables[f"weft.{name}"]
    await field.plant(table, field.theirs)
    await field.attacker.execute("rollback")
    assert await field.attacker.fetchval(f"select count(*) from weft.{name}") == 0
    await field.attacker.execute("begin")
    assert await refused(field.attacker, insert(table, row_of(table, field.mine)))
    assert await refused(field.attacker, f"delete from weft.{name}")
    await field.attacker.execute("rollback; begin; set local app.tenant_id = 'nonsense'")
    with pytest.raises(asyncpg.DataError):
        await field.attacker.fetchval(f"select count(*) from weft.{name}")


@pytest.mark.parametrize(("name", "reference"), REFERENCES)
async def test_a_reference_cannot_lead_into_another_tenant(name: str, reference: str, field: Battlefield) -> None:
    table = METADATA.tables[f"weft.{name}"]
    key = next(k for k in table.foreign_key_constraints if k.name == reference)
    assert isinstance(key, ForeignKeyConstraint)
    parent = key.referred_table
    target = await field.plant(parent, field.theirs)
    mine = row_of(table, field.mine)
    for other in table.foreign_key_constraints:
        # Other references of the row are made good, so that only the one under attack can refuse it.
        if other is not key and other.referred_table.name != "tenants":
            good = row_of(other.referred_table, field.mine)
            await field.planter.execute(insert(other.referred_table, good) + " on conflict do nothing")
            mine |= {e.parent.name: good[e.column.name] for e in other.elements if e.column.name in good}
    mine |= {e.parent.name: target[e.column.name] for e in key.elements if e.column.name != "tenant_id"}
    mine["tenant_id"] = f"'{field.mine}'"
    with pytest.raises(asyncpg.PostgresError) as refusal:
        await field.attacker.execute(insert(table, mine))
    assert refusal.type in (asyncpg.ForeignKeyViolationError, asyncpg.InsufficientPrivilegeError)
    if refusal.type is asyncpg.ForeignKeyViolationError:
        assert refusal.value.constraint_name == reference


async def test_global_tables_show_the_own_row_only(field: Battlefield) -> None:
    user = new_id()
    await field.planter.execute(
        "insert into weft.users (id, email, email_key, name) values ($1, 'a@b.c', 'a@b.c', 'A')", user
    )
    assert await field.attacker.fetch("select id from weft.tenants") == [(field.mine,)]
    assert await field.attacker.fetchval("select count(*) from weft.users") == 0
    await field.attacker.execute(f"set local app.user_id = '{user}'")
    assert await field.attacker.fetchval("select count(*) from weft.users") == 1
    assert await refused(field.attacker, f"update weft.tenants set name = 'taken' where id = '{field.theirs}'")
    assert await refused(field.attacker, "update weft.users set name = 'taken'")
    assert await refused(field.attacker, "delete from weft.tenants")


async def test_the_owner_sees_rows_only_under_maintenance(test_database: TestDatabase, field: Battlefield) -> None:
    await field.plant(METADATA.tables["weft.clients"], field.mine)
    owner = await asyncpg.connect(test_database.owner)
    try:
        assert await owner.fetchval("select count(*) from weft.clients") == 0
        await owner.execute("set app.maintenance = 'on'")
        assert await owner.fetchval("select count(*) from weft.clients") == 1
    finally:
        await owner.close()
