"""Migrations from code: `upgrade`, `downgrade`, `status`. The owner's connection, never the application's.

Revisions are applied one at a time, each with a short `lock_timeout` and again when a lock was not given: traffic
goes first. Whoever migrates has an advisory lock of the session; others wait for their turn and then find nothing to
do. They ask for it again and again instead of waiting in the server: a statement that waits there holds a snapshot,
which an index that is built concurrently would wait for in turn.

Alembic is imported when first needed: neither the API nor a command that only asks starts it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from weft.core.errors import Conflict, Unavailable
from weft.db import checks, engines
from weft.db.base import SCHEMA
from weft.db.history import Note
from weft.db.operation_tables import RevisionKind
from weft.db.revisions import MIGRATIONS, Chain, Revision, kind_of

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["MIGRATIONS", "Chain", "Options", "Progress", "Revision"]

LOCK_NOT_AVAILABLE = "55P03"
DEADLOCK = "40P01"
STATEMENT_CANCELLED = "57014"
_LONG_LOCK = "10min"
"""For what is built without a lock: it waits for old transactions, and nobody waits for it meanwhile."""

_BY_HAND = """-- For the owner of the schema (weft_owner), e.g. with: psql -v ON_ERROR_STOP=1
set app.maintenance = 'on';
set lock_timeout = '2s';

"""
TURN: Final = "select pg_try_advisory_lock(hashtext('weft.migrate'))"
_ASK_AGAIN = 0.2


class SchemaLocked(Unavailable):
    code = "schema_locked"

    def __init__(self, revision: Revision) -> None:
        super().__init__(
            f"Revision {revision.id} waited for a lock and gave up so that traffic could go on. Nothing was changed by "
            "it. Try again when fewer long transactions run (`select * from pg_stat_activity` shows them)."
        )


class MigrationRuns(Unavailable):
    code = "migration_runs"

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"Another migration of this database runs, for more than {seconds:.0f} seconds now. Wait until it is over; "
            "`weft db status` shows how far it is."
        )


class MigrationFailed(Conflict):
    """A revision's own statements failed. `applied` are the revisions that this run applied before."""

    code = "migration_failed"

    def __init__(self, revision: Revision, said: str, applied: Sequence[Revision], *, direction: str) -> None:
        before = f" {', '.join(r.id for r in applied)} before it {'are' if len(applied) > 1 else 'is'} {direction}."
        left = (
            " What it had built is left as it was; the next run removes it and begins again."
            if revision.concurrently
            else " Nothing of it is left in the database."
        )
        super().__init__(
            f"Revision {revision.id} ({revision.title}) failed: {said.rstrip('.')}.{left}{before if applied else ''} "
            "Mend the cause and run the command again: it goes on from there."
        )
        self.revision = revision


@dataclass(frozen=True, slots=True)
class Options:
    """How patient a migration is, in seconds, and what the history keeps of it. `statement` is by kind; 0: no limit."""

    lock: float = 2.0
    attempts: int = 5
    pause: float = 0.4
    turn: float = 600.0
    statement: Mapping[str, float] = field(
        default_factory=lambda: {RevisionKind.expand: 60, RevisionKind.backfill: 1800, RevisionKind.contract: 60}
    )
    reason: str | None = None
    backup: str | None = None
    restore_point: str | None = None

    def statement_limit(self, revision: Revision) -> float:
        if revision.statement_seconds is not None:
            return revision.statement_seconds
        return 0 if revision.concurrently else self.statement[kind_of(revision)]


@dataclass(frozen=True, slots=True)
class Progress:
    """What just happened: "waits" for its turn, "begun", "locked" (a lock was not given), "done"."""

    what: str
    revision: Revision | None = None
    number: int = 0
    of: int = 0
    attempt: int = 1
    seconds: float = 0.0
    up: bool = True


Tell = Callable[[Progress], None]


def run_script(bind: Connection, sql: str) -> None:
    """Run many statements in the migration's transaction, by the simple protocol; or print them (`--sql`)."""
    from alembic import op

    if op.get_context().as_sql:
        op.get_context().impl.static_output(sql)
        return
    bind.exec_driver_sql("select 1")  # the adapter begins its transaction with the first statement
    connection: Any = bind.connection.dbapi_connection
    connection.run_async(lambda raw: raw.execute(sql))


async def upgrade(
    owner_dsn: str,
    target: str = "head",
    *,
    directories: Sequence[Path] = (),
    options: Options | None = None,
    tell: Tell | None = None,
) -> list[Revision]:
    """Apply every revision up to `target`; hands back those it applied. Safe to call by several processes at once.

    `directories` hold more revisions, of plug-ins or of tests. Raises `SchemaLocked`, `MigrationRuns`,
    `MigrationFailed`, `RevisionUnknown`, and what `weft.db.checks` refuses.
    """
    return await _run(owner_dsn, Chain(directories), target, True, options or Options(), tell or _silent)


async def downgrade(
    owner_dsn: str,
    target: str,
    *,
    directories: Sequence[Path] = (),
    options: Options | None = None,
    tell: Tell | None = None,
) -> list[Revision]:
    """Take revisions back to `target` (a revision id, `-1`, or `base`); hands back those it took."""
    return await _run(owner_dsn, Chain(directories), target, False, options or Options(), tell or _silent)


async def _run(dsn: str, chain: Chain, target: str, up: bool, options: Options, tell: Tell) -> list[Revision]:
    done: list[Revision] = []
    async with _turn(dsn, options, tell) as connection:
        at = await _current(connection)
        moves = chain.upwards(at, target) if up else chain.downwards(at, target)
        for number, revision in enumerate(moves, 1):
            progress = Progress("begun", revision, number, len(moves), up=up)
            tell(progress)
            began = time.monotonic()
            try:
                await _apply(connection, chain, revision, up, options, tell, progress)
            except _driver_errors() as error:
                raise _failure(error, revision, done, up, options) from error
            done.append(revision)
            tell(replace(progress, what="done", seconds=time.monotonic() - began))
    return done


@asynccontextmanager
async def _turn(dsn: str, options: Options, tell: Tell) -> AsyncIterator[AsyncConnection]:
    """The connection that everything is done with, when nobody else migrates. It ends with the connection."""
    from sqlalchemy.pool import NullPool

    engine = engines.make(
        dsn,
        poolclass=NullPool,
        connect_args={
            # The owner sees no row without this, so references would be taken as good without being looked at.
            "server_settings": {"application_name": "weft migrate", "app.maintenance": "on"},
            "statement_cache_size": 0,
        },
    )
    try:
        async with engine.connect() as connection:
            until = time.monotonic() + options.turn
            told = False
            while not (await connection.exec_driver_sql(TURN)).scalar():
                await connection.commit()
                if time.monotonic() >= until:
                    raise MigrationRuns(options.turn)
                if not told:
                    tell(Progress("waits"))
                    told = True
                await asyncio.sleep(_ASK_AGAIN)
            await connection.exec_driver_sql(f"create schema if not exists {SCHEMA}")
            await connection.commit()
            yield connection
    finally:
        await engine.dispose()


async def _apply(
    connection: AsyncConnection,
    chain: Chain,
    revision: Revision,
    up: bool,
    options: Options,
    tell: Tell,
    progress: Progress,
) -> None:
    """One revision, again when a lock was not given. The connection is in no transaction before and after."""
    lock = _LONG_LOCK if revision.concurrently else f"{round(options.lock * 1000)}ms"
    limit = options.statement_limit(revision)
    await connection.exec_driver_sql(f"set lock_timeout = '{lock}'")
    await connection.exec_driver_sql(f"set statement_timeout = '{round(limit * 1000)}ms'")
    await connection.commit()
    for attempt in range(1, options.attempts + 1):
        try:
            if up:
                await checks.require(connection, revision, chain.directories)
                if revision.concurrently:
                    await connection.commit()  # the questions began a transaction, and it must run outside of one
            await connection.run_sync(_step, chain, revision, up, options)
            await connection.commit()
        except _driver_errors() as error:
            await _abandon(connection)
            if _state(error) not in (LOCK_NOT_AVAILABLE, DEADLOCK):
                raise
            if attempt == options.attempts:
                raise SchemaLocked(revision) from error
            tell(replace(progress, what="locked", attempt=attempt))
            await asyncio.sleep(options.pause * 2 ** (attempt - 1))
        except BaseException:
            await _abandon(connection)
            raise
        else:
            return


def _step(connection: Connection, chain: Chain, revision: Revision, up: bool, options: Options) -> None:
    from alembic import command

    settings = chain.config()
    settings.attributes["connection"] = connection
    settings.attributes["note"] = Note(time.monotonic(), options.reason, options.backup, options.restore_point)
    if up:
        command.upgrade(settings, revision.id)
    else:
        command.downgrade(settings, revision.before or "base")


async def _abandon(connection: AsyncConnection) -> None:
    """Nothing of what failed stays in the connection; one that is lost has nothing anyway."""
    try:
        await connection.rollback()
    except _driver_errors():
        await connection.invalidate()


async def _current(connection: AsyncConnection) -> str | None:
    there = (await connection.exec_driver_sql(f"select to_regclass('{SCHEMA}.alembic_version')")).scalar()
    found = None
    if there is not None:
        found = (await connection.exec_driver_sql(f"select version_num from {SCHEMA}.alembic_version")).scalar()
    await connection.commit()
    return None if found is None else str(found)


def _driver_errors() -> tuple[type[Exception], ...]:
    from alembic.util import CommandError
    from asyncpg import InterfaceError, PostgresError
    from sqlalchemy.exc import SQLAlchemyError

    return (SQLAlchemyError, PostgresError, InterfaceError, CommandError, OSError)


def _state(error: BaseException) -> str | None:
    return getattr(getattr(error, "orig", error), "sqlstate", None)


def _failure(
    error: Exception, revision: Revision, done: Sequence[Revision], up: bool, options: Options
) -> MigrationFailed:
    original = getattr(error, "orig", None) or error
    said = str(original.__cause__ or original).strip().splitlines()
    sentence = said[0] if said else type(original).__name__
    if _state(error) == STATEMENT_CANCELLED:
        sentence = (
            f"a statement took longer than the {options.statement_limit(revision):.0f} seconds that it may; "
            f"the settings (migrate.{revision.kind}_seconds) or the revision's own statement_seconds allow more"
        )
    return MigrationFailed(revision, sentence, done, direction="applied" if up else "taken back")


def _silent(_progress: Progress) -> None:
    return None


def head(directories: Sequence[Path] = ()) -> str:
    """The revision this code was written for."""
    return Chain(directories).head


async def current(dsn: str) -> str | None:
    """The revision the database is at, or None when it was never migrated. Any login will do."""
    import asyncpg

    connection = await asyncpg.connect(engines.address(dsn))
    try:
        exists = await connection.fetchval("select to_regclass('weft.alembic_version') is not null")
        return await connection.fetchval("select version_num from weft.alembic_version") if exists else None
    finally:
        await connection.close()


async def status(dsn: str, directories: Sequence[Path] = ()) -> list[Revision]:
    """Every revision this code knows, oldest first, and whether the database has it."""
    chain = Chain(directories)
    at = await current(dsn)
    left = {r.id for r in chain.upwards(at, "head")} if at is None or chain.knows(at) else set()
    known = at is None or chain.knows(at)
    return [replace(r, applied=known and r.id not in left) for r in chain.revisions]


def knows(revision: str) -> bool:
    """Whether this code has that revision; if not, the schema is newer than the code."""
    return Chain().knows(revision)


def offline_sql(start: str, target: str, directories: Sequence[Path] = ()) -> str:
    """The SQL that `upgrade` would run, for review and for whoever runs it by hand, as the owner."""
    return _BY_HAND + Chain(directories).sql_between(None if start == "base" else start, target)
