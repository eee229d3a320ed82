"""The whole of weft behind a PgBouncer that pools transactions: nothing of one client reaches another."""

from __future__ import annotations

import asyncio
import http.server
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import select
from tests.conftest import TestDatabase, make_tenant
from tests.factories import executions
from tests.ops.scale.bouncer import PROGRAM, Bouncer, bouncer

from weft.core.actor import Actor
from weft.core.ids import new_id
from weft.db import pools
from weft.db.database import Database
from weft.db.hot import transaction
from weft.db.scope import enter
from weft.domain.clients.models import Client
from weft.engine.process import EngineProcess
from weft.ops import preflight
from weft.ops.doctor import pooler
from weft.ops.doctor.answers import Verdict
from weft.settings import load_settings
from weft.worker.run import open_worker

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="PgBouncer is not installed; .ci/run installs it")

TENANTS = 6
ROUNDS = 8
CONTEXT = "select coalesce(current_setting('app.tenant_id', true), '')"


@pytest.fixture
def one(test_database: TestDatabase) -> Iterator[Bouncer]:
    """One connection to the server, for everybody."""
    with bouncer(test_database, connections=1) as running:
        yield running


@pytest.fixture
def several(test_database: TestDatabase) -> Iterator[Bouncer]:
    with bouncer(test_database, connections=4) as running:
        yield running


@pytest.fixture
async def through(one: Bouncer, test_database: TestDatabase) -> AsyncIterator[Database]:
    patience = pools.Patience(seconds=60)  # everybody waits for the one connection behind it
    opened = await Database.open(one.dsn(test_database.name), size=5, hot_size=5, pooled=True, patience=patience)
    try:
        yield opened
    finally:
        await opened.close()


async def test_tenants_that_share_one_server_connection_see_their_own_rows_only(through: Database) -> None:
    actors = [await make_tenant(through, f"tenant-{number}") for number in range(TENANTS)]

    async def live(actor: Actor) -> None:
        for turn in range(ROUNDS):
            async with enter(through, actor) as scope:
                await scope.add(Client(name=f"{actor.name} {turn}"))
            async with enter(through, actor, read_only=True) as scope:
                found = await scope.all(select(Client))
                assert {client.name for client in found} == {f"{actor.name} {n}" for n in range(turn + 1)}
            async with transaction(through, actor, read_only=True) as connection:
                assert await connection.fetchval("select count(*) from weft.clients") == turn + 1

    async def be_nobody() -> None:
        for _ in range(ROUNDS * TENANTS):
            async with through.pool.acquire() as connection:  # no transaction of ours: no tenant
                assert await connection.fetchval(CONTEXT) == ""
                assert await connection.fetchval("select count(*) from weft.clients") == 0

    await asyncio.gather(*map(live, actors), be_nobody())


async def test_what_a_session_sets_would_reach_others_so_weft_sets_nothing_there(
    through: Database, one: Bouncer, test_database: TestDatabase
) -> None:
    """The trap itself, so that the test above is known to have looked at something."""
    ada = await make_tenant(through, "ada")
    async with enter(through, ada) as scope:
        await scope.add(Client(name="Grace"))
    careless = await asyncpg.connect(one.dsn(test_database.name), statement_cache_size=0)
    try:
        await careless.execute(f"set app.tenant_id = '{ada.tenant_id}'")
        async with through.pool.acquire() as connection:
            assert await connection.fetchval("select count(*) from weft.clients") == 1
    finally:
        await careless.close()


async def test_whether_statements_may_be_kept_is_found_out(one: Bouncer, test_database: TestDatabase) -> None:
    assert (await pools.behind_pooler(test_database.app)).kept is False, "a server hands every name through"
    for _ in range(2):  # and leaves no statement behind
        assert (await pools.behind_pooler(one.dsn(test_database.name))).kept is follows_statements()


async def test_without_the_setting_statements_of_clients_meet(one: Bouncer, test_database: TestDatabase) -> None:
    if follows_statements():
        pytest.skip("this PgBouncer keeps prepared statements apart")
    first = await asyncpg.connect(one.dsn(test_database.name))
    second = await asyncpg.connect(one.dsn(test_database.name))
    try:
        await (await first.prepare("select 1", name="mine")).fetchval()
        with pytest.raises(asyncpg.DuplicatePreparedStatementError):
            await second.prepare("select 2", name="mine")
    finally:
        await first.close()
        await second.close()


async def test_a_notification_needs_the_direct_address(
    through: Database, one: Bouncer, test_database: TestDatabase
) -> None:
    came = asyncio.Event()
    pooled = await asyncpg.connect(one.dsn(test_database.name), statement_cache_size=0)
    direct = await asyncpg.connect(test_database.app)
    try:
        await pooled.add_listener("weft_jobs", lambda *_: None)
        await direct.add_listener("weft_jobs", lambda *_: came.set())
        async with through.pool.acquire() as connection:
            await connection.execute("select pg_notify('weft_jobs', 'job')")
        await asyncio.wait_for(came.wait(), 60)
    finally:
        await pooled.close()
        await direct.close()


async def test_an_execution_runs_through_api_queue_and_worker(
    several: Bouncer, test_database: TestDatabase, tmp_path: Path
) -> None:
    """Start, claim, call, save, and the answer to the request that waits, which comes by a notification."""
    with answering() as port:
        dsn = several.dsn(test_database.name)
        assert not [f for f in await preflight.check(dsn) if not f.warning]
        settings = load_settings(
            {
                "HOME": str(tmp_path), "WEFT_DATABASE_URL": dsn, "WEFT_DATABASE_LISTEN_URL": test_database.app,
                "WEFT_DATABASE_POOLER": "transaction", "WEFT_WORKER_METRICS_PORT": "0",
                "WEFT_HTTP_ALLOW": f"127.0.0.1:{port}", "WEFT_WORKER_POLL_SECONDS": "60",
            },
            directory=tmp_path,
        )  # fmt: skip
        api = await Database.open(dsn, size=3, hot_size=3, master_key=bytes(32), pooled=True)
        try:
            ada = await make_tenant(api, "ada")
            call = {"key": "call", "type": "http", "config": {"method": "GET", "url": f"http://127.0.0.1:{port}/"}}
            workflow_id = await executions.workflow(api, ada, steps=[call])
            async with (
                EngineProcess(api, listen_dsn=settings.database.listen_url) as engine,
                open_worker(settings, dsn, bytes(32)) as worker,
            ):
                working = asyncio.create_task(worker.run())
                for _ in range(3):
                    execution_id = new_id()
                    with engine.waiters.expect(ada.tenant_id, execution_id) as ending:
                        await executions.start(engine, ada, workflow_id, execution_id=execution_id, awaited=True)
                        assert await ending.wait(50)
                worker.stop()
                await working
        finally:
            await api.close()


async def test_the_doctor_finds_a_pooler_that_nobody_told_weft_of(one: Bouncer, test_database: TestDatabase) -> None:
    found = await pooler.pooler(one.dsn(test_database.name), told=False)
    assert found is not None
    assert (found.verdict, found.topic) == (Verdict.warning, "pooler")
    assert "WEFT_DATABASE_POOLER=transaction" in found.next_step
    told = await pooler.pooler(one.dsn(test_database.name), told=True)
    assert told is not None
    assert told.verdict is Verdict.ok
    assert await pooler.pooler(test_database.app, told=False) is None


def follows_statements() -> bool:
    import subprocess

    assert PROGRAM is not None
    words = subprocess.run([PROGRAM, "-V"], capture_output=True, text=True, check=True).stdout.split()
    return tuple(map(int, words[1].split(".")[:2])) >= (1, 24)  # since then by default


class answering:  # noqa: N801  a context manager that reads as a phrase
    """A server on loopback that says yes."""

    def __enter__(self) -> int:
        class Yes(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(b'{"yes": true}')

            def log_message(self, *_: object) -> None:
                return None

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Yes)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        return int(self.server.server_address[1])

    def __exit__(self, *_: object) -> None:
        with closing(self.server.socket):
            self.server.shutdown()
            self.thread.join()
