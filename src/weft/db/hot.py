"""Transactions of the engine's hot path: raw asyncpg, opened like every scope with the tenant in one round trip."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg

from weft.core.actor import Actor
from weft.db.context import opening
from weft.db.database import Connection, Database, DatabaseUnavailable
from weft.db.pools import DatabaseBusy

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
    connection = await _begun(database, opening(actor, read_only=read_only))
    try:
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


async def _begun(database: Database, statement: str) -> Connection:
    """A connection of the pool in a transaction.

    A pooled connection may have lost its server while nobody looked: it is thrown away and the next one is asked, for
    nothing was done yet. When none is left a new one is made, and that says whether the server is there.
    """
    for _ in range(database.pool.get_max_size() + 1):
        try:
            connection = await database.pool.acquire()
        except DatabaseBusy:
            raise
        except AWAY as error:
            raise DatabaseUnavailable from error
        try:
            await connection.execute(statement)
        except BaseException as error:
            _drop(connection)  # it may have begun: never hand it to the next user
            await database.pool.release(connection)
            if isinstance(error, TimeoutError):  # a network that swallows packets: asking again would take as long
                raise DatabaseUnavailable from error
            if not isinstance(error, AWAY):
                raise
        else:
            return connection
    raise DatabaseUnavailable


def _is_gone(connection: Connection) -> bool:
    """Whether it is closed. One that was terminated is no longer ours, and cannot even be asked."""
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:
        return True


def _drop(connection: Connection) -> None:
    """Close it at once. One whose end was noticed meanwhile went back to the pool by itself, and says so."""
    with suppress(asyncpg.InterfaceError):
        connection.terminate()


async def _end(connection: Any, statement: str) -> None:
    try:
        if not _is_gone(connection):
            await connection.execute(statement)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        _drop(connection)
