from __future__ import annotations

import asyncio
import io
import json
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest
import structlog
import uvicorn
from tests.conftest import TestDatabase
from tests.factories import api, identity
from tests.factories.identity import Person

from weft.api.app import create_app
from weft.cli import command_line
from weft.db.database import Database
from weft.domain.identity import access
from weft.http.state import Services


@dataclass(frozen=True)
class Served:
    """A real server on a loopback port, with one tenant in it."""

    url: str
    owner: Person
    database: TestDatabase


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


Weft = Callable[..., Result]


class Server:
    """The application in a thread of its own, with its own event loop and database connections."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server: uvicorn.Server | None = None
        self._made = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="weft api")

    def __enter__(self) -> Self:
        self._thread.start()
        self._made.wait()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    async def _serve(self) -> None:
        database = await Database.open(self._dsn, size=3, hot_size=2, master_key=bytes(32))
        try:
            services = Services(database, access.open_scope, cursor_key=bytes(32), public_url=self.url)
            app = create_app(services, api.ROUTERS)
            config = uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=5)
            self._server = uvicorn.Server(config)
            self._made.set()
            await self._server.serve(sockets=[self._socket])
            await access.settle(database)
        finally:
            self._made.set()
            await database.close()


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person's machine without any trace of weft. Hands back the file where sign-ins will be kept."""
    for name in [name for name in os.environ if name.startswith("WEFT_") and name != "WEFT_TEST_CLUSTER"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "config" / "weft" / "credentials.json"


@pytest.fixture
def weft(nobody: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Weft:
    """Runs one command line: `weft("member", "list", stdin="")`."""

    def run(*arguments: str, stdin: str = "") -> Result:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        code = command_line.run(arguments)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture
async def served(
    test_database: TestDatabase, database: Database, nobody: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Served]:
    owner = await identity.tenant(database, "acme")
    with Server(test_database.app) as server:
        monkeypatch.setenv("WEFT_URL", server.url)
        # The server shares our standard output here, where only the commands' own words belong.
        structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
        yield Served(server.url, owner, test_database)
    structlog.reset_defaults()
