"""Transactions of the hot path when the server goes away under them."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest
from tests.conftest import TestDatabase

from weft.core.actor import Actor
from weft.db.database import Database, DatabaseUnavailable
from weft.db.hot import transaction


async def test_a_connection_that_lost_its_server_is_replaced_and_nobody_notices(
    database: Database, test_database: TestDatabase, ada: Actor
) -> None:
    async with transaction(database, ada) as connection:
        pid = await connection.fetchval("select pg_backend_pid()")
    admin = await asyncpg.connect(test_database.admin)
    try:
        assert await admin.fetchval("select pg_terminate_backend($1, 60000)", pid), "it is gone when this has answered"
    finally:
        await admin.close()
    async with transaction(database, ada) as connection:
        assert await connection.fetchval("select pg_backend_pid()") != pid


async def test_a_connection_whose_end_is_noticed_while_it_begins_is_replaced_too(
    database: Database, ada: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has gone back to the pool by itself then, and nothing may be asked of it any more."""
    execute = asyncpg.Connection.execute
    ended: list[str] = []

    async def end(self: asyncpg.Connection, query: str, *args: Any, **options: Any) -> str:
        if not ended:
            ended.append(query)
            self.terminate()
        return str(await execute(self, query, *args, **options))

    async with transaction(database, ada):
        pass  # the pool has a connection
    monkeypatch.setattr(asyncpg.Connection, "execute", end)
    async with transaction(database, ada) as connection:
        assert await connection.fetchval("select 1") == 1
    assert len(ended) == 1
    assert database.pool.get_idle_size() == database.pool.get_size(), "nothing is held"


async def test_a_transaction_that_cannot_begin_says_so_and_nothing_else(
    database: Database, ada: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def execute(*_: object) -> None:
        raise asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress")

    async with transaction(database, ada):
        pass  # the pool has a connection
    with monkeypatch.context() as broken:
        broken.setattr(asyncpg.Connection, "execute", execute)
        with pytest.raises(DatabaseUnavailable):
            async with transaction(database, ada):
                raise AssertionError("it did not begin")
    async with transaction(database, ada) as connection:
        assert await connection.fetchval("select 1") == 1
