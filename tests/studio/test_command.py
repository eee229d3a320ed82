"""`weft db studio` itself: it says its address, opens once, and ends cleanly."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

import httpx2
import pytest
from tests.conftest import TestDatabase
from tests.docs.documents import DOCS
from tests.factories import identity

from weft.cli import command_line
from weft.db.database import Database
from weft.studio.serve import StudioPortTaken


async def test_it_says_its_address_and_ends_with_a_signal(
    test_database: TestDatabase, database: Database, tmp_path: Path
) -> None:
    await identity.tenant(database, "acme")
    environ = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "WEFT_DATABASE_URL": test_database.app,
        "WEFT_DATABASE_OWNER_URL": test_database.owner,
    }  # fmt: skip
    words = ("-m", "weft", "db", "studio", "--json", "--port", "0", "--tenant", "acme", "--as", "owner@acme.example")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *words,
        env=environ,
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        lines = [await process.stdout.readline() for _ in range(3)]
        url = json.loads(b"".join(lines))["url"]
        async with httpx2.AsyncClient(follow_redirects=True, trust_env=False, timeout=60) as client:
            page = await client.get(url)
        assert page.status_code == 200
        assert "<strong>Acme</strong>" in page.text
        process.send_signal(signal.SIGTERM)
        _, said = await process.communicate()
        assert process.returncode == 0
        assert b"For another browser:  http://127.0.0.1:" in said
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def test_without_a_port_it_listens_where_people_look_for_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The port that the guide names, on this machine; another by the setting or the option."""
    asked: list[tuple[str, int]] = []

    def listen(host: str, port: int) -> NoReturn:
        asked.append((host, port))
        raise StudioPortTaken(host, port, "not in a test")

    monkeypatch.setattr("weft.studio.serve.listen", listen)
    monkeypatch.setenv("WEFT_HOME", str(tmp_path))
    monkeypatch.delenv("WEFT_STUDIO_PORT", raising=False)
    assert command_line.run(["db", "studio"]) != 0
    monkeypatch.setenv("WEFT_STUDIO_PORT", "5600")
    assert command_line.run(["db", "studio"]) != 0
    assert command_line.run(["db", "studio", "--port", "5700"]) != 0
    assert asked == [("127.0.0.1", 5555), ("127.0.0.1", 5600), ("127.0.0.1", 5700)]
    assert "127.0.0.1:5555" in (DOCS / "guides" / "studio.md").read_text(encoding="utf-8")


def test_the_command_line_and_the_api_do_not_load_it() -> None:
    import subprocess

    code = "import sys, weft.cli.database_studio, weft.api.app; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "starlette_admin" not in loaded
    assert "weft.studio" not in loaded
