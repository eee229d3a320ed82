"""Waiting for executions: told by notifications, made sure by looking, and nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest
from tests.conftest import TestDatabase
from tests.factories import executions
from tests.factories.executions import CALL

from weft.core.actor import Actor
from weft.core.ids import new_id
from weft.db.database import Database
from weft.engine.outcomes import Done
from weft.engine.process import EngineProcess
from weft.engine.start_errors import WorkflowUnknown
from weft.engine.start_requests import StartRequest
from weft.engine.waiting import CHANNEL, Waiters, start_and_wait

NOBODY = "postgresql://weft_app@127.0.0.1:1/nowhere"
"""An address at which nothing listens."""


@pytest.fixture
async def engine(database: Database) -> AsyncIterator[EngineProcess]:
    async with executions.engine(database) as opened:
        yield opened


@pytest.fixture
async def slow(database: Database, ada: Actor) -> UUID:
    return await executions.workflow(database, ada, steps=[CALL])


async def wait_for(engine: EngineProcess, waiters: Waiters, actor: Actor, workflow: UUID, seconds: float = 60) -> str:
    result = await start_and_wait(
        engine.starter, waiters, engine.database, actor, StartRequest(workflow), seconds=seconds
    )
    return result.status


async def test_the_end_of_an_awaited_execution_is_told(engine: EngineProcess, ada: Actor, slow: UUID) -> None:
    assert engine.waiters.is_listening
    waiting = asyncio.create_task(wait_for(engine, engine.waiters, ada, slow))
    async with asyncio.timeout(60):
        row = await executions.stored(engine, ada)
        await executions.settle(engine, ada, row["id"], Done(1))
        assert await waiting == "COMPLETED"


async def test_without_a_listening_connection_looking_finds_it(engine: EngineProcess, ada: Actor, slow: UUID) -> None:
    deaf = Waiters(engine.database, listen_dsn=NOBODY, look_every=0.01)
    await deaf.open(patience=0.01)
    assert not deaf.is_listening
    try:
        waiting = asyncio.create_task(wait_for(engine, deaf, ada, slow))
        async with asyncio.timeout(60):
            row = await executions.stored(engine, ada)
            await executions.settle(engine, ada, row["id"], Done(1))
            assert await waiting == "COMPLETED"
    finally:
        await deaf.close()


async def test_an_execution_that_nobody_announced_is_found_by_looking(
    engine: EngineProcess, ada: Actor, slow: UUID
) -> None:
    started = await executions.start(engine, ada, slow)
    await executions.take_up(engine, ada, started.id)
    await executions.settle(engine, ada, started.id, Done(1))
    with engine.waiters.expect(ada.tenant_id, started.id) as ending:
        assert not ending.is_over
        await engine.waiters.look()
        assert ending.is_over


async def test_many_tenants_wait_side_by_side_and_hear_of_their_own(
    engine: EngineProcess, database: Database, ada: Actor, bob: Actor, slow: UUID
) -> None:
    other = await executions.workflow(database, bob, steps=[CALL])
    mine, theirs = await executions.start(engine, ada, slow), await executions.start(engine, bob, other)
    await executions.take_up(engine, bob, theirs.id)
    await executions.settle(engine, bob, theirs.id, Done(1))
    with (
        engine.waiters.expect(ada.tenant_id, mine.id) as first,
        engine.waiters.expect(bob.tenant_id, theirs.id) as second,
        engine.waiters.expect(ada.tenant_id, theirs.id),
    ):
        await engine.waiters.look()
        assert (first.is_over, second.is_over) == (False, True)


async def test_a_lost_connection_is_opened_again(
    test_database: TestDatabase, engine: EngineProcess, ada: Actor, slow: UUID
) -> None:
    admin = await asyncpg.connect(test_database.admin)
    try:
        ended = await admin.fetchval(
            "select count(pg_terminate_backend(pid, 60000)) from pg_stat_activity"
            " where datname = current_database() and application_name = 'weft waiting requests'"
        )
    finally:
        await admin.close()
    assert ended == 1
    waiting = asyncio.create_task(wait_for(engine, engine.waiters, ada, slow))
    async with asyncio.timeout(60):
        row = await executions.stored(engine, ada)
        await executions.settle(engine, ada, row["id"], Done(1))
        assert await waiting == "COMPLETED"


async def test_whoever_goes_away_is_not_waited_for(engine: EngineProcess, ada: Actor, slow: UUID) -> None:
    left = asyncio.Event()

    async def gone() -> None:
        await left.wait()

    waiting = asyncio.create_task(
        start_and_wait(engine.starter, engine.waiters, engine.database, ada, StartRequest(slow), seconds=60, left=gone)
    )
    async with asyncio.timeout(60):
        await executions.waited_for(engine)
        left.set()
        assert (await waiting).status == "RUNNING"
    assert len(engine.waiters) == 0


async def test_a_cancelled_request_leaves_nothing_behind(engine: EngineProcess, ada: Actor, slow: UUID) -> None:
    waiting = asyncio.create_task(wait_for(engine, engine.waiters, ada, slow))
    async with asyncio.timeout(60):
        await executions.stored(engine, ada)
        waiting.cancel()
        await asyncio.wait([waiting])
    assert len(engine.waiters) == 0


async def test_a_refused_start_leaves_nothing_behind(engine: EngineProcess, ada: Actor) -> None:
    with pytest.raises(WorkflowUnknown):
        await wait_for(engine, engine.waiters, ada, new_id())
    assert len(engine.waiters) == 0


async def test_nonsense_on_the_channel_is_ignored(
    test_database: TestDatabase, engine: EngineProcess, ada: Actor
) -> None:
    execution_id = new_id()
    with engine.waiters.expect(ada.tenant_id, execution_id) as ending:
        connection = await asyncpg.connect(test_database.app)
        try:
            for payload in ("", "nonsense", str(new_id()), str(execution_id)):
                await connection.execute("select pg_notify($1, $2)", CHANNEL, payload)
        finally:
            await connection.close()
        assert await ending.wait(60)


async def test_closing_ends_the_listening_connection(test_database: TestDatabase, database: Database) -> None:
    async with executions.engine(database):
        pass
    admin = await asyncpg.connect(test_database.admin)
    try:
        query = "select count(*) from pg_stat_activity where datname = current_database() and application_name = $1"
        async with asyncio.timeout(60):
            while await admin.fetchval(query, "weft waiting requests"):
                pass
    finally:
        await admin.close()
