"""Who waits for a connection waits not for ever, and not in any number."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.conftest import TestDatabase
from tests.factories import api, identity

from weft.core.actor import Actor
from weft.db.database import Database
from weft.db.hot import AWAY, transaction
from weft.db.pools import DatabaseBusy, Gate, Patience
from weft.db.scope import enter
from weft.settings import SettingsInvalid, load_settings

SOON = Patience(seconds=0.05, waiting=10)
TWO = Patience(seconds=30.0, waiting=2)


@asynccontextmanager
async def one_connection(test_database: TestDatabase, patience: Patience) -> AsyncIterator[Database]:
    opened = await Database.open(test_database.app, size=1, hot_size=1, master_key=bytes(32), patience=patience)
    try:
        yield opened
    finally:
        await opened.close()


def test_a_gate_counts_who_waits() -> None:
    gate = Gate(1)
    with gate:
        assert gate.waiting == 1
        with pytest.raises(DatabaseBusy), gate:
            raise AssertionError("nobody else comes in")
    assert (gate.waiting, gate.refused) == (0, 1)
    with Gate(None), Gate(None):
        pass


async def test_the_engine_s_connection_is_waited_for_a_while_only(test_database: TestDatabase, ada: Actor) -> None:
    async with one_connection(test_database, SOON) as database:
        async with transaction(database, ada):
            with pytest.raises(DatabaseBusy) as caught:
                async with transaction(database, ada):
                    raise AssertionError("there is only one")
        assert caught.value.retry_after == 1.0
        assert isinstance(caught.value, AWAY), "whoever tries again later does so here, too"
        assert database.pool.gate.refused == 1
        async with transaction(database, ada) as connection:
            assert await connection.fetchval("select 1") == 1


@pytest.mark.parametrize("pool", ["rooms", "hot"])
async def test_too_many_are_sent_away_at_once_and_the_others_served(
    test_database: TestDatabase, ada: Actor, pool: str
) -> None:
    async with one_connection(test_database, TWO) as database:
        gate = database.gate if pool == "rooms" else database.pool.gate
        opened = enter if pool == "rooms" else transaction

        async def use() -> str:
            async with opened(database, ada):
                return "served"

        async with opened(database, ada):
            waiting = [asyncio.create_task(use()) for _ in range(2)]
            while gate.waiting < 2:  # noqa: ASYNC110  a gate tells nobody
                await asyncio.sleep(0)
            with pytest.raises(DatabaseBusy):
                await use()
        assert await asyncio.gather(*waiting) == ["served", "served"]
        assert (gate.waiting, gate.refused) == (0, 1)


async def test_a_request_is_told_to_come_back(test_database: TestDatabase) -> None:
    async with one_connection(test_database, SOON) as database:
        owner = await identity.tenant(database, "acme")
        headers = await identity.bearer(database, owner)
        actor = await identity.actor(database, owner)
        async with api.client(database) as client:
            async with enter(database, actor):
                answer = await client.get("/v1/clients", headers=headers)
            assert answer.status_code == 503
            assert answer.json()["type"] == "/errors/database_busy"
            assert answer.headers["Retry-After"] == "1"
            assert database.gate.refused == 1
            assert (await client.get("/v1/clients", headers=headers)).status_code == 200


def test_a_pooler_needs_a_direct_way_for_notifications(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "WEFT_DATABASE_POOLER": "transaction"}
    with pytest.raises(SettingsInvalid, match="WEFT_DATABASE_LISTEN_URL"):
        load_settings(environ | {"WEFT_DATABASE_URL": "postgresql://a@pooler/weft"}, directory=tmp_path)
