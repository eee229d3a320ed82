"""Restoring the whole: proved before it takes the old one's place, and the old one kept; or nothing at all."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from tests.conftest import TestDatabase
from tests.factories import executions
from tests.ops.backup.conftest import House
from tests.ops.backup.test_making import lived_in

from weft.core.actor import Actor
from weft.core.errors import WeftError
from weft.db import fingerprint
from weft.db.database import Database
from weft.db.scope import enter
from weft.domain.secrets import service as secrets
from weft.domain.secrets.service import Cell
from weft.ops.backup import manifest, programs, restoring
from weft.ops.backup.errors import MasterKeyDiffers, RestoreDiffers, RestoreFailed
from weft.ops.backup.restoring import (
    AdminAddressMissing,
    DatabaseNotEmpty,
    Replaced,
    RestoreRunning,
    RevisionUnknown,
)
from weft.ops.backup.sealing import makers_keys
from weft.ops.connections import with_database


async def restored(house: House, backup: str, **options: Any) -> Replaced:
    return await asyncio.to_thread(restoring.restore, house.settings, house.addresses, backup, **options)


@pytest.fixture
async def admin(test_database: TestDatabase) -> AsyncIterator[asyncpg.Connection]:
    """Whoever watches from outside, and tidies up what a restore keeps."""
    connection = await asyncpg.connect(test_database.cluster.dsn("postgres"))
    try:
        yield connection
        for name in await kept(connection, test_database):
            await connection.execute(f'drop database "{name}" with (force)')
    finally:
        await connection.close()


async def kept(admin: asyncpg.Connection, of: TestDatabase) -> list[str]:
    rows = await admin.fetch(
        "select datname from pg_database where starts_with(datname, $1) and datname <> $2 order by 1",
        of.name[:36],
        of.name,
    )
    return [row[0] for row in rows]


async def opened(database: Database, actor: Actor) -> str:
    """The secret, as a worker would read it."""
    async with enter(database, actor) as scope:
        row = await scope.raw.fetchrow("select id, name, version, value from weft.secrets where name = 'pay'")
        return await secrets.opened(scope, Cell(UUID(int=row["id"].int), row["name"], row["version"], row["value"]))


SET = """
select d.datconnlimit, s.setrole::regrole::text, s.setconfig from pg_database d
  join pg_db_role_setting s on s.setdatabase = d.oid where d.datname = $1 order by 2"""


async def test_what_happened_since_is_undone_and_the_old_database_kept(
    house: House, database: Database, test_database: TestDatabase, admin: asyncpg.Connection
) -> None:
    actor, workflow_id = await lived_in(database, executed=5)
    made = await house.backup()
    await executions.fill(database, actor, workflow_id, 7, since=None)
    before = await asyncpg.connect(test_database.admin)
    schema = await fingerprint.take(before)
    await before.close()
    with pytest.raises(DatabaseNotEmpty, match="holds 1 tenant"):
        await restored(house, made.id)
    for setting in (
        "set timezone = 'Asia/Tokyo'", "set search_path = weft, \"Odd Name\"", "set app.note = 'it''s = so'",
        "connection limit 77",
    ):  # fmt: skip
        await admin.execute(f'alter database "{test_database.name}" {setting}')
    await admin.execute(f"alter role weft_app in database \"{test_database.name}\" set work_mem = '9MB'")
    told = await admin.fetch(SET, test_database.name)
    done = await restored(house, made.id, replace=True)
    assert len(told) == 2
    assert await admin.fetch(SET, test_database.name) == told
    assert (done.database, done.rows, done.revision, done.pending) == (test_database.name, made.rows, "0001", False)
    assert await kept(admin, test_database) == [done.kept]
    # The pool's connections were ended; the next ones meet the restored database, as the same roles.
    again = await Database.open(test_database.app, size=1, hot_size=1, master_key=bytes(32))
    try:
        async with enter(again, actor, read_only=True) as scope:
            assert await scope.raw.fetchval("select count(*) from weft.workflow_executions") == 5
        assert await opened(again, actor) == "s3cret"
        async with enter(again, actor) as scope:
            assert await scope.raw.fetchval("select weft.ensure_partitions(3)") == 0
    finally:
        await again.close()
    after = await asyncpg.connect(test_database.admin)
    left = fingerprint.compare(schema, await fingerprint.take(after))
    assert {difference.kind for difference in left} == {"setting"}, "only what was set after the first look"
    assert await after.fetchval("select count(*) from weft.backups") == 1, "told anew what the places have"
    await after.close()
    assert done.kept is not None
    old = await asyncpg.connect(with_database(test_database.admin, done.kept))
    assert await old.fetchval("select count(*) from weft.workflow_executions") == 12
    await old.close()


async def test_into_an_empty_database_and_without_keeping_the_old(
    house: House, database: Database, test_database: TestDatabase, admin: asyncpg.Connection
) -> None:
    made = await house.backup()
    assert (await restored(house, made.id)).kept is not None, "a schema was there, but no tenant: nothing to ask"
    await admin.execute(f"drop database {test_database.name} with (force)")
    found = await asyncio.to_thread(restoring.look, house.settings, house.addresses, made.id)
    assert (found.tenants, found.backup.id) == (0, made.id)
    assert (await restored(house, made.id)).kept is None, "there was none"
    assert (await restored(house, made.id, drop_old=True)).kept is None
    assert len(await kept(admin, test_database)) == 1, "the first one's"


async def test_whatever_is_wrong_leaves_the_database_as_it_was(
    house: House,
    database: Database,
    test_database: TestDatabase,
    admin: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    actor, _ = await lived_in(database, executed=3)
    made = await house.backup()
    read = manifest.read(house.target, made.id, [made.signer])
    key = makers_keys(house.settings).signing_key

    async def refused(error: type[WeftError], of: House = house, **options: Any) -> None:
        with pytest.raises(error):
            await restored(of, made.id, replace=True, **options)
        assert await kept(admin, test_database) == []
        async with enter(database, actor, read_only=True) as scope:
            assert await scope.raw.fetchval("select count(*) from weft.workflow_executions") == 3

    await refused(MasterKeyDiffers, house.with_settings(WEFT_MASTER_KEY="22" * 32))
    await refused(AdminAddressMissing, replace(house, addresses=replace(house.addresses, admin=None)))
    await refused(AdminAddressMissing, replace(house, addresses=replace(house.addresses, admin=test_database.owner)))
    manifest.write(house.target, replace(read, revision="9999"), key)
    await refused(RevisionUnknown)
    counts = dict(read.tables)
    counts["tenants"] = replace(counts["tenants"], rows=2)
    manifest.write(house.target, replace(read, tables=counts), key)
    await refused(RestoreDiffers)
    manifest.write(house.target, read, key)
    monkeypatch.setattr(programs, "restore", _fails)
    await refused(RestoreFailed)
    await admin.fetchval(restoring.TAKE_LOCK, restoring.LOCK, test_database.name[: restoring.LONGEST])
    await refused(RestoreRunning)


def _fails(*_: object, **__: object) -> None:
    raise RestoreFailed("could not read from input file")


async def test_what_a_kill_left_is_tidied(house: House, test_database: TestDatabase, admin: asyncpg.Connection) -> None:
    made = await house.backup()
    base = f"{test_database.name[: restoring.LONGEST]}{restoring.RESTORED}"
    others = [f"{base}to_compare", f"{base}20200101t000000z0", f"{base}2020t00z"]
    for name in (f"{base}20200101t000000z", *others):
        await admin.execute(f'create database "{name}"')
    await admin.execute(f"alter database {test_database.name} with allow_connections false")
    done = await restored(house, made.id, drop_old=True)
    assert done.kept is None
    assert set(await kept(admin, test_database)) == set(others), "what people called nearly the same is theirs"


async def test_a_database_that_is_being_exchanged_stays_closed(
    house: House, test_database: TestDatabase, admin: asyncpg.Connection
) -> None:
    made = await house.backup()
    await admin.fetchval(restoring.TAKE_LOCK, restoring.LOCK, test_database.name[: restoring.LONGEST])
    await admin.execute(f"alter database {test_database.name} with allow_connections false")
    with pytest.raises(RestoreRunning):
        await asyncio.to_thread(restoring.look, house.settings, house.addresses, made.id)
    closed = "select datallowconn from pg_database where datname = $1"
    assert await admin.fetchval(closed, test_database.name) is False


async def test_a_copy_of_the_key_file_is_all_that_a_new_machine_needs(
    house: House, database: Database, admin: asyncpg.Connection, tmp_path: Path
) -> None:
    await lived_in(database, executed=1)
    made = await house.backup()
    assert made.new_identity is not None
    offline = Path(shutil.move(made.new_identity, tmp_path / "offline-key"))
    other = house.with_settings(WEFT_HOME=str(tmp_path / "new"), WEFT_BACKUP_PLACE=made.place)
    done = await restored(other, made.id, replace=True, identity=offline, drop_old=True)
    assert done.rows == made.rows
