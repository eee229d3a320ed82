"""Restoring a whole database: beside the one that is there, proved, and only then in its place.

The dump goes into a database of its own on the same server. When every table agrees with the manifest the names are
exchanged: both renames are one transaction, so there is always a database of that name. The old one stays, under a
name that says when it was replaced, until somebody drops it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import asyncpg

from weft.core.clock import Clock, utc_now
from weft.core.errors import Conflict, Invalid, Unavailable, WeftError
from weft.db import migrate
from weft.ops.backup import catalogue, manifest, programs, proving, records
from weft.ops.backup.counting import full_access
from weft.ops.backup.errors import RestoreDiffers
from weft.ops.backup.manifest import Manifest
from weft.ops.backup.sealing import readers_keys
from weft.ops.backup.telling import Tell, silent
from weft.ops.connections import connect, database_of, with_database
from weft.ops.installation import Addresses
from weft.ops.keys import present_master_key
from weft.ops.private_folders import private_folder
from weft.ops.roles import APP, OWNER, bootstrap
from weft.settings import Settings

LOCK: Final = 0x77667273
TAKE_LOCK: Final = "select pg_try_advisory_lock($1, hashtext($2))"
RESTORED: Final = "_restored_"
BEFORE: Final = "_before_"
LONGEST: Final = 36
"""A name has 63 bytes at most; what is put behind it needs 27."""

_END_CONNECTIONS: Final = """
select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()
"""

_GRANTS: Final = """
select g.privilege_type as privilege, r.rolname as role
  from pg_database d cross join aclexplode(d.datacl) g join pg_roles r on r.oid = g.grantee
 where d.datname = $1 and r.rolname <> all($2::text[]) order by 2, 1
"""
"""Whom the operator let into the database besides weft: who brings the WAL away, who watches."""

_SETTINGS: Final = """
select r.rolname as role, split_part(said, '=', 1) as name, substr(said, strpos(said, '=') + 1) as value
  from pg_database d join pg_db_role_setting g on g.setdatabase = d.oid left join pg_roles r on r.oid = g.setrole
 cross join unnest(g.setconfig) with ordinality s (said, nth)
 where d.datname = $1 and (r.rolname is not null or g.setrole = 0) order by 1 nulls first, nth
"""
_LISTS: Final = ("search_path", "session_preload_libraries", "local_preload_libraries", "temp_tablespaces")
"""Their stored values are written as lists of names already."""

_LEFT: Final = """
select datname from pg_database
 where starts_with(datname, $1) and substr(datname, length($1) + 1) ~ '^[0-9]{8}t[0-9]{6}z$'
"""


class AdminAddressMissing(Invalid):
    code = "admin_address_missing"

    def __init__(self) -> None:
        super().__init__(
            "Restoring a whole database makes a new one, and functions that belong to several roles. Set "
            "WEFT_DATABASE_ADMIN_URL to a superuser of this server for this command; or restore one tenant (--tenant), "
            "for which the owner is enough."
        )


class DatabaseNotEmpty(Conflict):
    code = "database_not_empty"

    def __init__(self, database: str, tenants: int) -> None:
        super().__init__(
            f"The database {database} holds {tenants} tenant{'s' if tenants != 1 else ''}. Say --replace to put the "
            "backup in its place; the present database is kept under another name."
        )


class RevisionUnknown(Conflict):
    code = "revision_unknown"

    def __init__(self, revision: str | None) -> None:
        super().__init__(
            f"The backup is of schema revision {revision}, which this version of weft does not know. "
            "Restore it with the version that made it, or a newer one."
        )


class DatabaseBusy(Unavailable):
    code = "database_busy"

    def __init__(self, database: str) -> None:
        super().__init__(
            f"Somebody's connection to {database} did not end, so it could not be exchanged. Stop what uses it "
            "(`weft up`, workers, poolers) and try again. Nothing was changed."
        )


class RestoreRunning(Conflict):
    code = "restore_running"

    def __init__(self) -> None:
        super().__init__("Another restore works on this server at this moment. Wait for it, then try again.")


@dataclass(frozen=True, slots=True)
class Found:
    """What there is before a restore."""

    backup: Manifest
    database: str
    tenants: int
    """In the database that is there now; it is replaced when there are any."""


@dataclass(frozen=True, slots=True)
class Replaced:
    """What a restore did. `kept`: the name under which the old database stays."""

    backup: str
    database: str
    tables: int
    rows: int
    seconds: float
    revision: str | None
    kept: str | None
    pending: bool
    """Whether this code has revisions that the backup did not have yet."""
    warnings: list[str] = field(default_factory=list)
    """What could not be done after the exchange."""

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def look(
    settings: Settings, addresses: Addresses, backup: str, *, place: str | None = None, identity: Path | None = None
) -> Found:
    """What would be restored, and over what. Checks manifest, keys and revision; changes nothing, but that it opens a
    database which a restore that was killed left closed."""
    keys = readers_keys(settings, identity)
    made = proving.logical(catalogue.find(settings, backup, place), backup, keys)
    proving.same_master_key(made, present_master_key(settings))
    if made.revision is None or not migrate.knows(made.revision):
        raise RevisionUnknown(made.revision)
    database = database_of(addresses.app)
    if addresses.admin is None:
        raise AdminAddressMissing
    return Found(made, database, asyncio.run(_tenants(addresses)))


def restore(
    settings: Settings,
    addresses: Addresses,
    backup: str,
    *,
    replace: bool = False,
    drop_old: bool = False,
    place: str | None = None,
    identity: Path | None = None,
    tell: Tell = silent,
    clock: Clock = utc_now,
) -> Replaced:
    """Put a backup in the place of this installation's database. Blocking, and not inside an event loop.

    Without `replace` it refuses a database that holds tenants. Until the very end nothing of the old one is touched.
    """
    began = clock()
    found = look(settings, addresses, backup, place=place, identity=identity)
    if found.tenants and not replace:
        raise DatabaseNotEmpty(found.database, found.tenants)
    keys = readers_keys(settings, identity)
    target = catalogue.find(settings, backup, place)
    work = _Restoring(addresses, found, began, tell, drop_old=drop_old)
    with (
        private_folder() as directory,
        proving.unpacked(target, found.backup, keys, directory, tell=tell) as dump,
    ):
        kept = asyncio.run(work.run(dump, present_master_key(settings)))
    return Replaced(
        backup=backup,
        database=found.database,
        tables=len(found.backup.tables),
        rows=found.backup.rows,
        seconds=(clock() - began).total_seconds(),
        revision=found.backup.revision,
        kept=kept,
        pending=found.backup.revision != migrate.head(),
        warnings=_tell_database(settings, addresses, identity),
    )


def _tell_database(settings: Settings, addresses: Addresses, identity: Path | None) -> list[str]:
    """What the places have now; and what could not be told. The exchange is done: nothing here undoes it."""
    warnings: list[str] = []
    try:
        access = asyncio.run(full_access(addresses))
        asyncio.run(records.save(access, catalogue.listed(settings, identity, say=warnings.append)))
    except (WeftError, asyncpg.PostgresError) as error:
        warnings.append(f"The database does not know of its backups yet ({error}); the next one tells it.")
    return warnings


class _Restoring:
    """One whole restore. Its connection holds a lock from the beginning to the end: one at a time for a database."""

    def __init__(self, addresses: Addresses, found: Found, now: datetime, tell: Tell, *, drop_old: bool) -> None:
        assert addresses.admin is not None, "looked at before"  # noqa: S101 - for the type checker
        self._admin = addresses.admin
        self._found = found
        self._tell = tell
        self._drop_old = drop_old
        stamp = manifest.new_id(now).partition("-")[0].lower()
        self._base = _short(found.database)
        self._fresh = f"{self._base}{RESTORED}{stamp}"
        self._old = f"{self._base}{BEFORE}{stamp}"

    async def run(self, dump: Path, master_key: bytes | None) -> str | None:
        """The name under which the old database stays, if there was one."""
        connection = await connect(with_database(self._admin, "postgres"), application="weft db restore")
        try:
            if not await connection.fetchval(TAKE_LOCK, LOCK, self._base):
                raise RestoreRunning
            await self._tidy(connection)
            try:
                await self._fill(dump, master_key)
                self._tell("exchanging")
                return await self._exchange(connection)
            except BaseException:
                await connection.execute(f"drop database if exists {_quoted(self._fresh)} with (force)")
                raise
        finally:
            await connection.close()

    async def _tidy(self, connection: asyncpg.Connection) -> None:
        """Drop what a restore that was killed left: nobody else is at it, the lock says. By its whole name, time and
        all: what somebody else called nearly the same is theirs."""
        rows = await connection.fetch(_LEFT, f"{self._base}{RESTORED}")
        for row in rows:
            await connection.execute(f"drop database {_quoted(row['datname'])} with (force)")

    async def _fill(self, dump: Path, master_key: bytes | None) -> None:
        """The backup in a database of its own, compared with its manifest."""
        await bootstrap(with_database(self._admin, "postgres"), self._fresh)
        self._tell("restoring")
        dsn = with_database(self._admin, self._fresh)
        connection = await connect(dsn, application="weft db restore")
        try:
            major = connection.get_server_version().major
            clients = programs.clients_for(major, dsn)
            to = programs.login(dsn, options=proving.BUILDING)
            await asyncio.to_thread(programs.restore, clients, to, dump, jobs=proving.JOBS, server_major=major)
            if found := await proving.differences(connection, self._found.backup, self._tell):
                raise RestoreDiffers(self._found.backup.id, found)
            if master_key is not None:
                await proving.keys_open(connection, self._found.backup.id, master_key)
            await connection.execute("analyze")
            await connection.fetchval("select weft.ensure_partitions(3)")  # an old backup lacks the months of now
        finally:
            await connection.close()

    async def _exchange(self, connection: asyncpg.Connection) -> str | None:
        """Give the new database the name of the old one.

        Whoever is killed between the two statements leaves a database that takes no connections. The next restore opens
        it again, and so does `bootstrap`, which every start of `weft up` runs.
        """
        name = self._found.database
        if not await connection.fetchval("select exists (select from pg_database where datname = $1)", name):
            await connection.execute(f"alter database {_quoted(self._fresh)} rename to {_quoted(name)}")
            return None
        for grant in await connection.fetch(_GRANTS, name, [OWNER, APP]):
            await connection.execute(
                f"grant {grant['privilege']} on database {_quoted(self._fresh)} to {_quoted(grant['role'])}"
            )
        await self._keep_settings(connection, name)
        await connection.execute(f"alter database {_quoted(name)} with allow_connections false")
        try:
            await connection.execute(_END_CONNECTIONS, name)
            async with connection.transaction():
                await connection.execute(f"alter database {_quoted(name)} rename to {_quoted(self._old)}")
                await connection.execute(f"alter database {_quoted(self._fresh)} rename to {_quoted(name)}")
        except BaseException as error:
            await connection.execute(f"alter database {_quoted(name)} with allow_connections true")
            if isinstance(error, asyncpg.ObjectInUseError):
                raise DatabaseBusy(name) from error
            raise
        if self._drop_old:
            await connection.execute(f"drop database {_quoted(self._old)} with (force)")
            return None
        await connection.execute(f"alter database {_quoted(self._old)} with allow_connections true")
        return self._old

    async def _keep_settings(self, connection: asyncpg.Connection, name: str) -> None:
        """What the operator set for the database, and for a role in it; a dump has neither."""
        limit = await connection.fetchval("select datconnlimit from pg_database where datname = $1", name)
        await connection.execute(f"alter database {_quoted(self._fresh)} connection limit {limit}")
        for one in await connection.fetch(_SETTINGS, name):
            value = one["value"] or "''"
            if one["name"] not in _LISTS:
                value = await connection.fetchval("select quote_literal($1::text)", one["value"])
            whom = f"role {_quoted(one['role'])} in database" if one["role"] else "database"
            await connection.execute(f"alter {whom} {_quoted(self._fresh)} set {one['name']} = {value}")


async def _tenants(addresses: Addresses) -> int:
    """How many tenants the present database has; none where it has no schema or does not exist."""
    assert addresses.admin is not None, "asked before"  # noqa: S101 - for the type checker
    database = database_of(addresses.app)
    connection = await connect(with_database(addresses.admin, "postgres"), application="weft db restore")
    try:
        if not await connection.fetchval("select rolsuper from pg_roles where rolname = current_user"):
            raise AdminAddressMissing
        if not await _opened(connection, database):
            return 0
    finally:
        await connection.close()
    connection = await connect(with_database(addresses.admin, database), application="weft db restore")
    try:
        if await connection.fetchval("select to_regclass('weft.tenants')") is None:
            return 0
        found: int = await connection.fetchval("select count(*) from weft.tenants")
        return found
    finally:
        await connection.close()


async def _opened(connection: asyncpg.Connection, database: str) -> bool:
    """Whether it exists. One that a restore closed for its exchange, and was killed then, is opened again.

    Raises `RestoreRunning` if it is closed because somebody exchanges it at this moment: their lock says so.
    """
    is_open = await connection.fetchval("select datallowconn from pg_database where datname = $1", database)
    if is_open is False:
        if not await connection.fetchval(TAKE_LOCK, LOCK, _short(database)):
            raise RestoreRunning
        await connection.execute(f"alter database {_quoted(database)} with allow_connections true")
    return is_open is not None


def _short(database: str) -> str:
    return database.encode()[:LONGEST].decode(errors="ignore")


def _quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'
