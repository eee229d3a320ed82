"""Transactions of the engine's hot path: raw asyncpg, opened like every scope with the tenant in one round trip."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from weft.core.actor import Actor
from weft.db.context import opening
from weft.db.database import Connection, Database, DatabaseUnavailable

AWAY = (
    DatabaseUnavailable,
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that broke while it was being released
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)
"""What is raised when the server is not there, is starting, or has just gone: later will work."""


@asynccontextmanager
async def transaction(database: Database, actor: Actor, *, read_only: bool = False) -> AsyncIterator[Connection]:
    """A transaction in the actor's tenant. Commits on a clean exit, rolls back on any exception."""
    connection = await _acquire(database)
    try:
        await _open(connection, opening(actor, read_only=read_only))
        try:
            yield connection
        except BaseException:
            await _end(connection, "ROLLBACK")
            raise
        await connection.execute("COMMIT")
    finally:
        if not _is_gone(connection) and connection.is_in_transaction():
            connection.terminate()  # never hand an open transaction to the next user
        await database.pool.release(connection)


async def _acquire(database: Database) -> Connection:
    try:
        return await database.pool.acquire()
    except AWAY as error:
        raise DatabaseUnavailable from error


async def _open(connection: Connection, statement: str) -> None:
    """Begin. A pooled connection may have lost its server while nobody looked: it is thrown away, nothing was done."""
    try:
        await connection.execute(statement)
    except AWAY as error:
        connection.terminate()
        raise DatabaseUnavailable from error


def _is_gone(connection: Connection) -> bool:
    """Whether it is closed. One that was terminated is no longer ours, and cannot even be asked."""
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:
        return True


async def _end(connection: Any, statement: str) -> None:
    try:
        if not _is_gone(connection):
            await connection.execute(statement)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        connection.terminate()
