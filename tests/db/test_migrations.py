"""Up, down and up again, two at once, and every planted drift is found."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from tests.conftest import TestDatabase

from weft.db import fingerprint, migrate


@pytest.fixture
async def owner(test_database: TestDatabase) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(test_database.owner)
    try:
        yield connection
    finally:
        await connection.close()


async def test_down_and_up_again_gives_the_same_schema(test_database: TestDatabase, owner: Any) -> None:
    before = await fingerprint.take(owner)
    await migrate.downgrade(test_database.owner, "base")
    assert (
        await owner.fetchval(
            "select count(*) from pg_class where relnamespace = 'weft'::regnamespace and relkind in ('r', 'p')"
        )
        == 1
    )
    assert await owner.fetchval("select count(*) from pg_proc where pronamespace = 'weft'::regnamespace") == 0
    await migrate.upgrade(test_database.owner)
    assert fingerprint.compare(before, await fingerprint.take(owner)) == []


async def test_two_migrations_at_once_take_turns(test_database: TestDatabase) -> None:
    await migrate.downgrade(test_database.owner, "base")
    program = "import asyncio, sys; from weft.db import migrate; asyncio.run(migrate.upgrade(sys.argv[1]))"
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", program, test_database.owner) for _ in range(3)
    ]
    assert [await process.wait() for process in processes] == [0, 0, 0]
    assert await migrate.current(test_database.app) == migrate.head()


async def test_status_names_every_revision(test_database: TestDatabase) -> None:
    revisions = await migrate.status(test_database.app)
    assert [r.id for r in revisions][-1] == migrate.head()
    assert all(r.applied for r in revisions)
    assert all(r.kind in ("expand", "backfill", "contract") for r in revisions)


async def test_a_test_has_a_migrated_database_of_its_own(test_database: TestDatabase, owner: Any) -> None:
    """Made by a name that no other has, migrated, empty, and dropped afterwards: nobody has to create one."""
    assert await owner.fetchval("select current_database()") == test_database.name
    assert await migrate.current(test_database.app) == migrate.head()
    await owner.execute("set app.maintenance = 'on'")
    assert await owner.fetchval("select count(*) from weft.tenants") == 0


def test_a_revision_of_a_newer_version_is_not_known() -> None:
    assert migrate.knows(migrate.head())
    assert not migrate.knows("9999")


def test_the_sql_can_be_read_before_it_runs() -> None:
    sql = migrate.offline_sql("base", "head")
    assert "create policy tenant_rw on weft.workflows" in sql
    assert "INSERT INTO weft.alembic_version" in sql


async def test_a_lock_that_is_not_given_is_said_and_changes_nothing(test_database: TestDatabase, owner: Any) -> None:
    await owner.execute("begin; lock table weft.workflows in access share mode")
    with pytest.raises(migrate.SchemaLocked, match="Nothing was changed"):
        await migrate.downgrade(test_database.owner, "base", options=migrate.Options(lock=0.05, attempts=1))
    await owner.execute("rollback")
    assert await migrate.current(test_database.app) == migrate.head()
