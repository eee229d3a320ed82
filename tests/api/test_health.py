"""Alive, ready, and measured."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import httpx2
import pytest
from tests.conftest import Enter, TestDatabase

from weft.api.app import create_app
from weft.api.health import Heartbeat, Readiness, worker_heartbeat
from weft.api.metrics import Metrics, listener
from weft.core.ids import new_id
from weft.db.database import Database
from weft.domain.identity.access import open_scope
from weft.http.state import Services
from weft.ops import preflight
from weft.ops.monitoring.facts import Sampler


@asynccontextmanager
async def process(database: Database, readiness: Readiness) -> AsyncIterator[httpx2.AsyncClient]:
    app = create_app(Services(database, open_scope, bytes(32)), [], readiness=readiness)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://weft.test") as client:
        yield client


async def test_a_process_that_answers_is_alive_whatever_its_database_does(test_database: TestDatabase) -> None:
    gone = await Database.open(test_database.app, size=1, hot_size=1)
    await gone.close()
    async with process(gone, Readiness()) as client:
        answer = await client.get("/healthz")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["checks"]) == (503, {"database": "silent"})


async def test_ready_with_the_schema_that_the_code_needs(database: Database) -> None:
    async with process(database, Readiness(schema=preflight.newest_revision())) as client:
        answer = await client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ready", "checks": {"database": "ok", "schema": "ok"}}


async def test_not_ready_with_another_schema(database: Database) -> None:
    async with process(database, Readiness(schema="2099_01_01_future")) as client:
        answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]["schema"]) == (503, "differs")


async def test_not_ready_without_a_schema(database: Database, test_database: TestDatabase) -> None:
    admin = await asyncpg.connect(test_database.admin)
    try:
        await admin.execute("drop table weft.alembic_version")
    finally:
        await admin.close()
    async with process(database, Readiness(schema="any")) as client:
        answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]["schema"]) == (503, "missing")


async def beats(age: float | None) -> float | None:
    return age


async def breaks() -> float | None:
    raise asyncpg.PostgresConnectionError("gone")


@pytest.mark.parametrize(
    ("heartbeat", "word"),
    [
        (lambda _: beats(0.5), "ok"),
        (lambda _: beats(600.0), "late"),
        (lambda _: beats(None), "absent"),
        (lambda _: breaks(), "unknown"),
    ],
)
async def test_a_missing_worker_is_said_but_requests_are_answered(
    database: Database, heartbeat: Heartbeat, word: str
) -> None:
    async with process(database, Readiness(heartbeat=heartbeat)) as client:
        answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]["worker"]) == (200, word)


class TestMetrics:
    async def scrape(self, database: Database, metrics: Metrics) -> str:
        sampler = Sampler(database, 0)
        metrics.watch(database, sampler)
        app = listener(metrics, database, sampler)
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://metrics") as client:
            answer = await client.get("/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain")
        return answer.text

    async def test_the_queue_and_the_pools_are_there(self, database: Database, as_ada: Enter) -> None:
        metrics = Metrics()
        async with as_ada() as scope:
            await scope.enqueue("workflows.published")
            await scope.enqueue("workflows.published")
        text = await self.scrape(database, metrics)
        assert 'weft_queue_jobs{state="ready"} 2.0' in text
        assert 'weft_queue_oldest_seconds{state="ready"}' in text
        assert "weft_queue_readable 1.0" in text
        assert 'weft_database_connections{pool="rooms"} 1.0' in text
        assert 'weft_database_connections_used{pool="rooms"} 0.0' in text
        assert 'weft_database_connections_used{pool="hot"}' in text

    async def test_without_a_database_the_rest_is_still_served(self, test_database: TestDatabase) -> None:
        gone = await Database.open(test_database.app, size=1, hot_size=1)
        metrics = Metrics()
        metrics.observe("GET", "/v1/clients", 200, 0.01)
        await gone.close()
        text = await self.scrape(gone, metrics)
        assert "weft_queue_readable 0.0" in text
        assert 'weft_http_request_seconds_count{method="GET",route="/v1/clients",status="2xx"} 1.0' in text

    async def test_they_are_not_where_tenants_are(self, database: Database) -> None:
        async with process(database, Readiness()) as client:
            assert (await client.get("/metrics")).status_code == 404


async def test_a_worker_is_heard_of_by_its_connection(database: Database, test_database: TestDatabase) -> None:
    assert await worker_heartbeat(database) is None
    worker = await Database.open(test_database.app, application_name="weft worker", size=1, hot_size=1)
    try:
        async with worker.pool.acquire() as connection:
            await connection.fetchval("select 1")
            age = await worker_heartbeat(database)
    finally:
        await worker.close()
    assert age is not None
    assert age < 60


async def test_behind_a_pooler_a_worker_is_heard_of_by_what_it_wrote(
    database: Database, test_database: TestDatabase
) -> None:
    """The pooler's connections bear the name of whoever used them last; the one for notifications is its own."""
    async with database.pool.acquire() as connection:
        await connection.execute("select weft.beat($1, 'worker', 'here', '0', '0001')", new_id())
    assert await worker_heartbeat(database) is None, "written by one that is gone"
    listener = await Database.open(test_database.app, application_name="weft worker listen", size=1, hot_size=1)
    try:
        async with listener.pool.acquire() as connection:
            await connection.fetchval("select 1")
            age = await worker_heartbeat(database)
    finally:
        await listener.close()
    assert age is not None
    assert age < 60
