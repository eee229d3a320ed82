"""The first steps work as they are written: every marked block is run, and says what the page says it does."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.conftest import TestDatabase
from tests.docs.documents import DOCS, ROOT, Block, blocks

from weft.api import serve
from weft.api.assemble import assembled
from weft.db.database import Database
from weft.domain.identity.access import open_scope
from weft.http.state import Services
from weft.ops import seed

PAGE = DOCS / "guides" / "first-steps.md"
EXECUTIONS = DOCS / "guides" / "executions.md"
SCHEDULES = DOCS / "guides" / "schedules.md"
README = ROOT / "README.md"
EVENTS = DOCS / "guides" / "events.md"
WORKFLOWS = DOCS / "guides" / "workflows.md"
LIMITS = DOCS / "guides" / "limits.md"
BACKUP = DOCS / "guides" / "backup.md"
ADDRESS = "http://127.0.0.1:8080"
"""What the page says; the tests' server answers elsewhere."""


class Shell:
    """Runs blocks one after the other in a directory of its own, as somebody who has just cloned weft."""

    def __init__(self, place: Path, url: str = ADDRESS, **environment: str) -> None:
        self.url = url
        self.place = place
        self.said = ""
        programs = place / "programs"
        programs.mkdir()
        weft = programs / "weft"
        weft.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m weft "$@"\n')
        weft.chmod(0o755)
        work = place / "work"
        work.mkdir()
        (work / "weft").symlink_to(weft)  # where a clone has its launcher
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("WEFT_", "XDG_"))}
        self._work = work
        self._environment = kept | {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(place),
            "COLUMNS": "200",
            "WEFT_URL": url,
            **environment,
        }

    def run(self, block: Block) -> None:
        match block.kind:
            case "file":
                (self._work / block.words[1]).write_text(block.text + "\n")
            case "offline" | "online":
                self._script(block)
            case "says":
                for line in block.text.splitlines():
                    assert line.strip() in self.said, f"line {block.line}: {line!r} is not in:\n{self.said}"
            case _:
                raise AssertionError(f"line {block.line}: nobody knows the mark {block.words}")

    def _script(self, block: Block) -> None:
        done = subprocess.run(
            ["sh", "-eu", "-c", _patient(block.text.replace(ADDRESS, self.url))],
            cwd=self._work,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        self.said = done.stdout
        assert done.returncode == block.exit_code, f"line {block.line}: {done.returncode}\n{done.stdout}"


def _patient(script: str) -> str:
    """Whoever waits some seconds for an end waits as long as it takes here: it comes all the same."""
    return re.sub(r"(?<=[?&]wait=)\d+s", "30s", re.sub(r"(?<=--wait )\d+s", "5m", script))


@contextmanager
def serving(dsn: str) -> Iterator[str]:
    """The whole API on a loopback port, in a thread with an event loop of its own."""
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    ready = threading.Event()
    servers: list[serve.Server] = []

    async def answer() -> None:
        database = await Database.open(dsn, size=3, hot_size=3, master_key=bytes(32))
        try:
            async with assembled(Services(database, open_scope, bytes(32), public_url=url)) as app:
                server = serve.server(app)
                servers.append(server)
                ready.set()
                await server.serve(sockets=[listening])
        finally:
            ready.set()
            await database.close()

    thread = threading.Thread(target=lambda: asyncio.run(answer()), name="weft api")
    thread.start()
    ready.wait()
    try:
        yield url
    finally:
        for server in servers:
            server.stop()
        thread.join()
        listening.close()


@pytest.mark.parametrize("page", [PAGE, WORKFLOWS, BACKUP], ids=["first steps", "workflows", "backup"])
def test_what_needs_no_server_works(page: Path, place: Path) -> None:
    shell = Shell(place)
    ran = 0
    for block in blocks(page):
        if block.kind == "online":
            break
        shell.run(block)
        ran += block.kind == "offline"
    assert ran >= 2


@pytest.mark.skipif(shutil.which("curl") is None, reason="the pages use curl, which is not installed here")
@pytest.mark.parametrize(
    ("page", "scripts"),
    [(PAGE, 8), (EXECUTIONS, 5), (SCHEDULES, 2), (README, 2), (EVENTS, 3), (LIMITS, 5)],
    ids=["first steps", "executions", "schedules", "README", "events", "limits"],
)
def test_the_whole_page_works(page: Path, scripts: int, tmp_path: Path, test_database: TestDatabase) -> None:
    asyncio.run(seed.run(test_database.app, "development", ["ai-workflow-platform"], master_key=bytes(32)))
    ran = 0
    with serving(test_database.app) as url:
        shell = Shell(tmp_path, url)
        for block in blocks(page):
            shell.run(block)
            ran += block.kind == "online"
    assert ran >= scripts
