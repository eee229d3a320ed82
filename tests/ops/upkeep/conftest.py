"""A database to be kept up: tables that somebody has left in a bad way, and the run that mends them."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
from tests.conftest import TestDatabase

from weft.api import serve
from weft.api.metrics import Metrics, listener
from weft.db.database import Database
from weft.ops.installation import Addresses
from weft.ops.monitoring.facts import Sampler
from weft.ops.upkeep.run import Report, maintain
from weft.ops.upkeep.tasks import Thresholds
from weft.settings import Settings, load_settings

NOW = datetime(2026, 6, 15, 3, tzinfo=UTC)
LOW = Thresholds(dead_rows=100, changed_rows=100, inserted_rows=100, wasted_bytes=50_000, pages=4)
"""Everything is worth its work, however small."""

Keep = Callable[..., Awaitable[Report]]
Plant = Callable[[str], Awaitable[None]]


@pytest.fixture
def addresses(test_database: TestDatabase) -> Addresses:
    return Addresses(test_database.app, test_database.owner, test_database.admin, embedded=False)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"WEFT_HOME": str(tmp_path)}, directory=tmp_path)


@pytest.fixture
async def admin(test_database: TestDatabase) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(test_database.admin)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
def plant(test_database: TestDatabase) -> Plant:
    """Run statements as the owner, on a connection of their own: its end is when the server's counters know of them."""

    async def run(statements: str) -> None:
        connection = await asyncpg.connect(test_database.owner)
        try:
            for statement in statements.split(";"):
                if statement.strip():
                    await connection.execute(statement)
        finally:
            await connection.close()

    return run


@pytest.fixture
def keep(addresses: Addresses, settings: Settings) -> Keep:
    """One run of maintenance."""

    async def run(*tasks: str, dry_run: bool = False, now: datetime = NOW, due: datetime | None = None) -> Report:
        report = await maintain(addresses, settings, now, tasks=tasks, dry_run=dry_run, due=due, thresholds=LOW)
        assert report is not None
        return report

    return run


def said(report: Report, task: str) -> dict[str, tuple[str, str]]:
    """By what was done: the outcome, and what was said of it."""
    return {step.what: (step.outcome, step.said) for step in report.steps if step.task == task}


EMPTY = (
    "create table weft.planted (id bigint primary key, word text not null)",
    "insert into weft.planted select n, 'word number ' || n from generate_series(1, 20000) n",
    "delete from weft.planted where id % 10 <> 0",
)


@contextmanager
def serving_metrics(dsn: str) -> Iterator[str]:
    """The metrics of an API process, on a port of its own, in a thread."""
    bound = socket.create_server(("127.0.0.1", 0))
    servers: list[serve.Server] = []
    ready = threading.Event()

    async def answer() -> None:
        database = await Database.open(dsn, size=1, hot_size=2)
        try:
            metrics, sampler = Metrics(), Sampler(database, 0)
            metrics.watch(database, sampler)
            await sampler.fresh()
            servers.append(serve.server(listener(metrics, database, sampler)))
            ready.set()
            await servers[0].serve(sockets=[bound])
        finally:
            ready.set()
            await database.close()

    thread = threading.Thread(target=lambda: asyncio.run(answer()), name="metrics")
    thread.start()
    ready.wait()
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        servers[0].stop()
        thread.join()
        bound.close()
