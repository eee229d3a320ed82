"""The guides about notifications and code work as they are written, with a worker and a mail server of their own."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.adapters.mail_server import mail_process
from tests.conftest import TestDatabase
from tests.docs.documents import DOCS, Block, blocks
from tests.docs.test_first_steps import Shell

from weft.api import serve
from weft.api.assemble import assembled
from weft.db.database import Database
from weft.domain.identity.access import open_scope
from weft.http.state import Services
from weft.ops import seed
from weft.settings import load_settings
from weft.worker.run import open_worker

GUIDES = DOCS / "guides"
SIGN_IN = Block(("online",), "echo admin123 | weft login --email admin@example.com --password-stdin", 0)


class Installation:
    """The whole of weft in a thread: API, worker, and a mail server that keeps what it is given."""

    def __init__(self, dsn: str, place: Path) -> None:
        self._dsn, self._place = dsn, place
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.ready = threading.Event()
        self.mails: list[dict[str, Any]] = []
        self._server: serve.Server | None = None
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="weft")

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
        self.thread.join()
        self._socket.close()

    async def _run(self) -> None:
        database = await Database.open(self._dsn, size=3, hot_size=3, master_key=bytes(32))
        try:
            async with mail_process(self._place, "none") as mail:
                environ = {
                    "HOME": str(self._place), "WEFT_SMTP_HOST": "127.0.0.1", "WEFT_SMTP_PORT": str(mail.port),
                    "WEFT_SMTP_SENDER": "weft@example.com", "WEFT_SMTP_SECURITY": "none",
                    "WEFT_WORKER_METRICS_PORT": "0",
                }  # fmt: skip
                settings = load_settings(environ, directory=self._place)
                async with (
                    assembled(Services(database, open_scope, bytes(32), public_url=self.url)) as app,
                    open_worker(settings, self._dsn, bytes(32)) as worker,
                ):
                    working = asyncio.create_task(worker.run())
                    self._server = serve.server(app)
                    self.ready.set()
                    await self._server.serve(sockets=[self._socket])
                    worker.stop()
                    await working
                    assert mail.process.stdin is not None
                    mail.process.stdin.close()
                    assert mail.process.stdout is not None
                    self.mails = [json.loads(line) async for line in mail.process.stdout]
        finally:
            self.ready.set()
            await database.close()


@contextmanager
def installation(database: TestDatabase, place: Path) -> Iterator[Installation]:
    asyncio.run(seed.run(database.app, "development", ["ai-workflow-platform"], master_key=bytes(32)))
    made = Installation(database.app, place)
    made.thread.start()
    made.ready.wait()
    try:
        yield made
    finally:
        made.stop()


@pytest.mark.parametrize("page", ["notifications.md", "code.md"])
def test_a_guide_works_as_it_is_written(page: str, test_database: TestDatabase, tmp_path: Path) -> None:
    marked = list(blocks(GUIDES / page))
    assert {block.kind for block in marked} >= {"file", "online", "says"}
    with installation(test_database, tmp_path) as running:
        shell = Shell(tmp_path, running.url)
        shell.run(SIGN_IN)
        for block in marked:
            shell.run(block)
    if page == "notifications.md":
        (mail,) = running.mails
        assert (mail["headers"]["subject"], "Dear Ada," in mail["text"]) == ("Order A-17", True)
