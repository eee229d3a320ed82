"""The pages about watching and about retention work as they are written, beside a real API and a real worker."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.conftest import TestDatabase
from tests.docs.documents import DOCS, blocks
from tests.docs.test_first_steps import Shell, serving
from tests.factories import identity

from weft.db.database import Database
from weft.settings import load_settings
from weft.worker.run import open_worker


@contextmanager
def working(dsn: str, home: Path) -> Iterator[None]:
    """A worker in a thread with an event loop of its own."""
    ready = threading.Event()
    stop: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
    environ = {"WEFT_DATABASE_URL": dsn, "WEFT_HOME": str(home), "WEFT_WORKER_METRICS_PORT": "0", "HOME": str(home)}

    async def work() -> None:
        try:
            async with open_worker(load_settings(environ, directory=home), dsn, bytes(32)) as worker:
                told = asyncio.Event()
                stop.append((asyncio.get_running_loop(), told))
                running = asyncio.create_task(worker.run())
                ready.set()
                await told.wait()
                worker.stop()
                await running
        finally:
            ready.set()

    thread = threading.Thread(target=lambda: asyncio.run(work()), name="weft worker")
    thread.start()
    ready.wait()
    try:
        yield
    finally:
        for loop, told in stop:
            loop.call_soon_threadsafe(told.set)
        thread.join()


async def _key(dsn: str) -> str:
    database = await Database.open(dsn, size=1, hot_size=1, master_key=bytes(32))
    try:
        return await identity.api_key(database, await identity.tenant(database, "acme"))
    finally:
        await database.close()


@pytest.mark.parametrize(("page", "scripts"), [("live.md", 2), ("retention.md", 1)])
def test_the_page_works(page: str, scripts: int, tmp_path: Path, test_database: TestDatabase) -> None:
    key = asyncio.run(_key(test_database.app))
    ran = 0
    with serving(test_database.app) as url, working(test_database.app, tmp_path):
        shell = Shell(tmp_path, url)
        shell._environment["WEFT_API_KEY"] = key
        for block in blocks(DOCS / "guides" / page):
            shell.run(block)
            ran += block.kind == "online"
    assert ran >= scripts
