"""A server that is away is one line of the pool, not a traceback for every try."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import asyncpg
import pytest
from tests.conftest import TestDatabase

from weft.core.actor import Actor
from weft.db import away
from weft.db.database import Database, DatabaseUnavailable
from weft.db.hot import AWAY, transaction
from weft.db.scope import enter


class Ear(logging.Handler):
    """Keeps what is logged, and tells that something was."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.heard = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.heard.set()


@pytest.fixture
def ear(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ear]:
    away.say_briefly()
    pool = logging.getLogger("asyncpg.pool")
    (brief,) = [one for one in pool.filters if isinstance(one, away._OneLine)]
    monkeypatch.setattr(brief, "_next", 0.0)
    ear = Ear()
    pool.addHandler(ear)
    yield ear
    pool.removeHandler(ear)


async def test_a_lost_server_is_one_line(database: Database, test_database: TestDatabase, ear: Ear) -> None:
    admin = await asyncpg.connect(test_database.cluster.dsn("postgres"))
    try:
        await admin.execute(f"alter database {test_database.name} allow_connections false")
        ended = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1"
        await admin.execute(ended, test_database.name)
        await asyncio.wait_for(ear.heard.wait(), 30)
    finally:
        await admin.execute(f"alter database {test_database.name} allow_connections true")
        await admin.close()
    (record,) = ear.records
    assert (record.getMessage(), record.exc_info) == ("the database is away; trying again", None)
    async with database.pool.acquire() as connection:
        assert await connection.fetchval("select 1") == 1


async def test_a_database_that_a_restore_exchanges_is_away_for_a_moment(
    database: Database, test_database: TestDatabase, ada: Actor
) -> None:
    admin = await asyncpg.connect(test_database.cluster.dsn("postgres"))
    try:
        await admin.execute(f"alter database {test_database.name} allow_connections false")
        ended = "select count(pg_terminate_backend(pid, 60000)) from pg_stat_activity where datname = $1"
        await admin.execute(ended, test_database.name)
        for _ in range(database.pool.get_max_size() + 2):
            with pytest.raises(AWAY):
                async with database.pool.acquire() as connection:
                    await connection.fetchval("select 1")
        with pytest.raises(DatabaseUnavailable):
            async with transaction(database, ada):
                pass
        with pytest.raises(DatabaseUnavailable):
            async with enter(database, ada):
                pass
    finally:
        await admin.execute(f"alter database {test_database.name} allow_connections true")
        await admin.close()


def test_it_is_said_once_a_minute_and_other_lines_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("weft.db.away.time", type("", (), {"monotonic": staticmethod(lambda: clock[0])}))
    brief = away._OneLine()

    def passes(text: str) -> bool:
        record = logging.LogRecord("asyncpg.pool", logging.WARNING, "", 0, text, (), None)
        return bool(brief.filter(record))

    lost = "Failed to restore the pool connection floor; retrying"
    assert [passes(lost), passes(lost), passes("Pool.close() is taking over 60 seconds")] == [True, False, True]
    clock[0] += 61
    assert passes(lost)


def test_filters_do_not_add_up() -> None:
    for _ in range(3):
        away.say_briefly()
    assert len([one for one in logging.getLogger("asyncpg.pool").filters if isinstance(one, away._OneLine)]) == 1
