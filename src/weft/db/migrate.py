"""Migrations from code: `upgrade`, `downgrade`, `status`. The owner's connection, never the application's.

Alembic is imported when first needed: neither the API nor a command that only asks starts it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft.core.errors import Unavailable
from weft.db.base import SCHEMA

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

MIGRATIONS = Path(__file__).parent.parent / "migrations"
LOCK_TIMEOUT = "2s"
ATTEMPTS = 5
LOCK_NOT_AVAILABLE = "55P03"


class SchemaLocked(Unavailable):
    code = "schema_locked"

    def __init__(self) -> None:
        super().__init__(
            "The migration waited for a lock and gave up so that traffic could go on. Nothing was changed. "
            "Try again when fewer long transactions run (`select * from pg_stat_activity` shows them)."
        )


@dataclass(frozen=True, slots=True)
class Revision:
    id: str
    title: str
    kind: str
    applied: bool


def run_script(bind: Connection, sql: str) -> None:
    """Run many statements in the migration's transaction, by the simple protocol; or print them (`--sql`)."""
    from alembic import op

    if op.get_context().as_sql:
        op.get_context().impl.static_output(sql)
        return
    bind.exec_driver_sql("select 1")  # the adapter begins its transaction with the first statement
    connection: Any = bind.connection.dbapi_connection
    connection.run_async(lambda raw: raw.execute(sql))


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config


async def _with_connection(dsn: str, work: Callable[[Connection], None]) -> None:
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    engine = create_async_engine(
        sqlalchemy_url(dsn),
        poolclass=NullPool,
        connect_args={
            "server_settings": {"lock_timeout": LOCK_TIMEOUT, "application_name": "weft migrate"},
            "statement_cache_size": 0,
        },
    )
    try:
        async with engine.connect() as connection:
            await connection.exec_driver_sql(f"create schema if not exists {SCHEMA}")
            await connection.commit()
            await connection.run_sync(work)
            await connection.commit()
    finally:
        await engine.dispose()


def sqlalchemy_url(dsn: str) -> str:
    """The same address for SQLAlchemy: any `postgresql://` or `postgres://` URL, with asyncpg as driver."""
    scheme, _, rest = dsn.partition("://")
    if scheme.partition("+")[0] not in ("postgresql", "postgres"):
        raise ValueError("a database address begins with postgresql://")
    return f"postgresql+asyncpg://{rest}"


async def _retrying(work: Callable[[], Awaitable[None]]) -> None:
    from asyncpg import PostgresError
    from sqlalchemy.exc import DBAPIError

    for attempt in range(1, ATTEMPTS + 1):
        try:
            await work()
            return
        except (DBAPIError, PostgresError) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            if getattr(cause, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                raise
            if attempt == ATTEMPTS:
                raise SchemaLocked from error
            await asyncio.sleep(0.2 * 2**attempt)


async def _alembic(dsn: str, name: str, target: str) -> None:
    from alembic import command

    def work(connection: Connection) -> None:
        config = _config()
        config.attributes["connection"] = connection
        getattr(command, name)(config, target)

    await _retrying(lambda: _with_connection(dsn, work))


async def upgrade(owner_dsn: str, target: str = "head") -> None:
    """Apply every revision up to `target`. Safe to call by several processes at once."""
    await _alembic(owner_dsn, "upgrade", target)


async def downgrade(owner_dsn: str, target: str) -> None:
    """Take revisions back to `target` (a revision id, `-1`, or `base`)."""
    await _alembic(owner_dsn, "downgrade", target)


def head() -> str:
    """The revision this code was written for."""
    from alembic.script import ScriptDirectory

    return str(ScriptDirectory.from_config(_config()).get_current_head())


async def current(dsn: str) -> str | None:
    """The revision the database is at, or None when it was never migrated. Any login will do."""
    import asyncpg

    connection = await asyncpg.connect(dsn)
    try:
        exists = await connection.fetchval("select to_regclass('weft.alembic_version') is not null")
        return await connection.fetchval("select version_num from weft.alembic_version") if exists else None
    finally:
        await connection.close()


async def status(dsn: str) -> list[Revision]:
    """Every revision this code knows, oldest first, and whether the database has it."""
    from alembic.script import ScriptDirectory

    script = ScriptDirectory.from_config(_config())
    at = await current(dsn)
    applied = {r.revision for r in script.iterate_revisions(at, "base")} if at and knows(at) else set()
    return [
        Revision(
            id=r.revision,
            title=(r.doc or "").splitlines()[0] if r.doc else "",
            kind=getattr(r.module, "kind", "expand"),
            applied=r.revision in applied,
        )
        for r in reversed(list(script.walk_revisions()))
    ]


def knows(revision: str) -> bool:
    """Whether this code has that revision; if not, the schema is newer than the code."""
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    try:
        return ScriptDirectory.from_config(_config()).get_revision(revision) is not None
    except CommandError:
        return False


def offline_sql(start: str, target: str) -> str:
    """The SQL that `upgrade` would run, for review."""
    import io

    from alembic import command

    buffer = io.StringIO()
    config = _config()
    config.output_buffer = buffer
    command.upgrade(config, f"{start}:{target}", sql=True)
    return buffer.getvalue()
