"""Transactions of the hot path when the server goes away under them."""

from __future__ import annotations

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
        await admin.execute("select pg_terminate_backend($1)", pid)
    finally:
        await admin.close()
    async with transaction(database, ada) as connection:
        assert await connection.fetchval("select pg_backend_pid()") != pid


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
