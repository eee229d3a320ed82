"""`weft db init` on a server of one's own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from weft.cli import command_line, output
from weft.ops.postgres import ConnectionFacts


@pytest.fixture
def server(bare_server: ConnectionFacts, place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ConnectionFacts]:
    monkeypatch.setenv("WEFT_HOME", str(place / "home"))
    monkeypatch.delenv("WEFT_DATABASE_ADMIN_URL", raising=False)
    monkeypatch.chdir(place)
    yield bare_server
    output.use_json(False)


def ask(dsn: str, query: str) -> object:
    async def run() -> object:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    return asyncio.run(run())


def verifiers(server: ConnectionFacts) -> object:
    return ask(server.superuser_dsn, "select array_agg(rolpassword order by rolname) from pg_authid where rolcanlogin")


def test_it_makes_everything_and_prints_addresses_that_work(
    server: ConnectionFacts, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line.run(["db", "init", "--admin-url", server.superuser_dsn, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert "database weft" in facts["created"]
    assert ask(facts["database_url"], "select current_user") == "weft_app"
    assert ask(facts["database_owner_url"], "select current_user") == "weft_owner"


def test_it_takes_the_administrator_from_the_environment_and_names_the_next_step(
    server: ConnectionFacts, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command_line.run(["db", "init"]) == 2
    assert "--admin-url" in capsys.readouterr().err
    monkeypatch.setenv("WEFT_DATABASE_ADMIN_URL", server.superuser_dsn)
    assert command_line.run(["db", "init", "--database", "other"]) == 0
    shown = capsys.readouterr().out
    assert "WEFT_DATABASE_URL=postgresql://weft_app:" in shown
    assert "weft db migrate" in shown


def test_passwords_can_be_kept(server: ConnectionFacts, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.run(["db", "init", "--admin-url", server.superuser_dsn]) == 0
    before = verifiers(server)
    assert command_line.run(["db", "init", "--admin-url", server.superuser_dsn, "--keep-passwords"]) == 0
    assert verifiers(server) == before
    assert ":PASSWORD@" in capsys.readouterr().out.rpartition("Everything was there")[2]
    assert command_line.run(["db", "init", "--admin-url", server.superuser_dsn]) == 0
    assert verifiers(server) != before


@pytest.mark.parametrize("name", ["", "n" * 64, "ü" * 32])
def test_a_name_that_no_database_can_have_is_refused_before_anything_is_made(
    server: ConnectionFacts, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    before = verifiers(server)
    assert command_line.run(["db", "init", "--admin-url", server.superuser_dsn, "--database", name]) == 2
    assert "1 to 63 bytes" in capsys.readouterr().err
    assert verifiers(server) == before
