"""Every statement is counted under its name, and a slow one is told, without its values."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import func, select
from structlog.testing import capture_logs
from tests.conftest import Enter, TestDatabase, make_tenant

from weft.core.actor import Actor
from weft.db.database import Database
from weft.db.hot import transaction
from weft.db.measure import BUCKETS, MOST_LABELS, MeasuredQueuePool, Statements, Timing, label_of, told_by
from weft.db.pools import HotPool
from weft.db.scope import enter
from weft.domain.clients.models import Client
from weft.domain.identity.models import Tenant


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("/* weft:queue.claim */ select 1", "queue.claim"),
        ("\n/* weft:a.b */ select * from weft.clients", "a.b"),
        ("SELECT weft.clients.id \nFROM weft.clients WHERE x", "rooms.select_clients"),
        ("INSERT INTO weft.clients (a) VALUES ($1)", "rooms.insert_clients"),
        ("UPDATE weft.clients SET a = $1", "rooms.update_clients"),
        ("delete from weft.clients", "rooms.delete_clients"),
        ("show server_version", "unnamed"),
        ("select '/* not a label", "unnamed"),
    ],
)
def test_names(text: str, label: str) -> None:
    assert label_of(text) == label


def test_durations_fall_into_buckets() -> None:
    timing = Timing()
    for seconds in (0.0001, BUCKETS[0], 0.3, 99.0):
        timing.add(seconds)
    assert (timing.count, timing.longest, sum(timing.buckets)) == (4, 99.0, 4)
    assert (timing.buckets[0], timing.buckets[BUCKETS.index(0.5)], timing.buckets[-1]) == (2, 1, 1)


def test_names_are_bounded_and_so_is_what_is_remembered() -> None:
    statements = Statements()
    for number in range(MOST_LABELS + 50):
        for times in range(8):
            statements.took(f"/* weft:made.up_{number} */ select {times}", 0.001, str)
    assert len(statements.timings) == MOST_LABELS + 1
    assert statements.timings["other"].count == 50 * 8
    assert len(statements._known) <= 2_000


def test_who_asked_is_read_from_what_began_the_transaction() -> None:
    tenant = "01a21413-edd4-7000-b377-571c205b5138"
    opening = f"BEGIN; SET LOCAL app.tenant_id = '{tenant}'; SET LOCAL app.correlation_id = 'it''s me'"
    assert told_by(opening) == {"tenant": tenant, "correlation_id": "it's me"}
    assert told_by("BEGIN READ ONLY; SET LOCAL app.correlation_id = ''") == {}


async def test_both_ways_to_the_database_are_counted(database: Database, ada: Actor, as_ada: Enter) -> None:
    before = {label: timing.count for label, timing in database.statements.timings.items()}
    async with transaction(database, ada) as connection:
        for _ in range(3):
            await connection.fetchval("/* weft:tests.hot */ select $1::int", 1)
        await connection.fetch("/* weft:tests.rows */ select 1")
        await connection.fetchrow("/* weft:tests.rows */ select 1")
        await connection.execute("/* weft:tests.rows */ select $1::int", 1)
    async with as_ada() as scope:
        await scope.all(select(Client).where(Client.tenant_id == scope.tenant_id))
        await scope.raw.fetchval("/* weft:tests.raw */ select 1")
    timings = database.statements.timings
    assert timings["tests.hot"].count == timings["tests.rows"].count == 3
    assert timings["rooms.select_clients"].count == timings["tests.raw"].count == 1
    assert timings["transaction.begin"].count == before.get("transaction.begin", 0) + 2
    assert timings["transaction.commit"].count == before.get("transaction.commit", 0) + 2
    assert timings["tests.hot"].seconds > 0


SLEPT = ("tests.slow", "rooms.select_tenants")


async def test_a_slow_statement_is_told_with_its_tenant_and_without_its_values(test_database: TestDatabase) -> None:
    database = await Database.open(test_database.app, size=1, hot_size=1, slow_ms=25)
    try:
        actor = await make_tenant(database, "ada")
        before = database.statements.slow_count
        with capture_logs() as lines:
            async with transaction(database, actor) as connection:
                await connection.fetchval("/* weft:tests.slow */ select pg_sleep($1), $2::text", 0.03, "confidential")
            async with enter(database, actor) as scope:
                await scope.session.execute(select(func.pg_sleep(0.03)).select_from(Tenant))
                await scope.session.execute(select(Client.id))
    finally:
        await database.close()
    slow = [line for line in lines if line["event"] == "slow statement"]
    # On a busy machine others may take as long, and are told then; those that slept are in any case.
    assert [line["label"] for line in slow if line["label"] in SLEPT] == list(SLEPT)
    for line in slow:
        assert line["ms"] >= 25
        assert (line["tenant"], line["correlation_id"]) == (str(actor.tenant_id), actor.correlation_id)
    assert "confidential" not in str(lines)
    assert database.statements.slow_count - before == len(slow)


async def test_a_statement_that_fails_is_counted_too(database: Database, as_ada: Enter) -> None:
    async with as_ada() as scope:
        with pytest.raises(Exception, match="division"):
            await scope.raw.fetchval("/* weft:tests.fails */ select 1 / 0")
    assert database.statements.timings["tests.fails"].count == 1


async def test_waiting_for_a_connection_is_seen(test_database: TestDatabase) -> None:
    database = await Database.open(test_database.app, size=1, hot_size=1)
    try:
        hot, rooms = database.pool, database.engine.pool
        assert isinstance(hot, HotPool)
        assert isinstance(rooms, MeasuredQueuePool)
        for pool, take in ((hot, lambda: database.pool.acquire()), (rooms, lambda: database.engine.connect())):
            first = await take()
            second = asyncio.ensure_future(_taken(take))
            async with asyncio.timeout(60):
                while not pool.waits.waiting:  # noqa: ASYNC110 - a number of the pool, which tells nobody
                    await asyncio.sleep(0)
            assert pool.waits.timing.count == 1
            await (hot.release(first) if pool is hot else first.close())
            again = await second
            assert (pool.waits.waiting, pool.waits.timing.count) == (0, 2)
            await (hot.release(again) if pool is hot else again.close())
    finally:
        await database.close()


async def _taken(take: Any) -> Any:
    return await take()
