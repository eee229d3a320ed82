"""A server of the operators' own, older than what weft brings, with a database whose name an address has to quote."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.ops.test_encrypted_server import PROGRAMS, ask

from weft.cli import command_line, output
from weft.ops import postgres_files, postgres_user
from weft.ops.connections import connect, with_database, with_role
from weft.ops.postgres import ConnectionFacts, ephemeral_cluster
from weft.ops.postgres_files import Programs
from weft.ops.recovery.points import PointRefused, mark_now

pytestmark = pytest.mark.debian

NAME: Final = "we ft%2F@" + 26 * "ü"
"""Longer in bytes than in letters: what is put behind it has to fit into the 63 that a name may have."""
SLUGS: Final = "select string_agg(slug, ',' order by slug) from weft.tenants"


@pytest.fixture(scope="module")
def server() -> Iterator[ConnectionFacts]:
    if not (PROGRAMS / "postgres").exists():
        pytest.skip("the distribution's PostgreSQL 15 is not installed")
    with tempfile.TemporaryDirectory(prefix="weft-own-") as directory:
        place, programs = Path(directory), Programs(PROGRAMS)
        data = place / "data"
        postgres_files.create_data(programs, data, postgres_user.choose(data), password="secret", durable=False)
        (data / "pg_hba.conf").write_text("local all,replication all trust\n")
        with (data / "postgresql.conf").open("a") as settings:
            settings.write("\nwal_level = replica\nmax_wal_senders = 5\nmax_slot_wal_keep_size = '1GB'\n")
        with ephemeral_cluster(place, programs=programs) as facts:
            yield facts


@pytest.fixture
def weft(
    place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Any]]:
    """The command; its exit code, and what it says with --json or why it does not."""
    monkeypatch.setenv("WEFT_HOME", str(place / "home"))
    monkeypatch.chdir(place)

    def run(*words: str) -> tuple[int, Any]:
        code = command_line.run([*words, "--json"])
        said = capfd.readouterr()
        return code, json.loads(said.out) if code == 0 else said.err

    yield run
    output.use_json(False)


def test_its_backups_restore_and_its_restores_find_the_database(
    server: ConnectionFacts, weft: Callable[..., Any], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = server.superuser_dsn
    ask(admin, "create role helper login createrole createdb")
    helper = with_role(admin, "helper", "")
    _, made = weft("db", "init", "--admin-url", helper, "--database", NAME)
    monkeypatch.setenv("WEFT_DATABASE_URL", made["database_url"])
    monkeypatch.setenv("WEFT_DATABASE_OWNER_URL", made["database_owner_url"])
    assert weft("db", "migrate")[0] == 0
    assert weft("tenant", "create", "acme", "--name", "Acme", "--owner-email", "ada@example.com")[0] == 0

    monkeypatch.setenv("WEFT_DATABASE_ADMIN_URL", helper)
    assert weft("db", "backup")[0] == 0, "who made the database is not let in, and the owner is"
    monkeypatch.setenv("WEFT_DATABASE_ADMIN_URL", admin)
    code, kept = weft("db", "backup", "--verify")
    assert (code, kept["verified"]) == (0, True), kept
    ask(admin, "create role keeper login", f'grant connect on database "{NAME}" to keeper')
    ask(with_database(admin, NAME), "update weft.tenants set slug = 'other'")
    code, done = weft("db", "restore", "latest", "--replace", "--yes")
    assert (code, done["database"]) == (0, NAME), done
    assert ask(with_database(admin, NAME), SLUGS) == "acme"
    assert ask(with_role(with_database(admin, NAME), "keeper", ""), "select 1") == 1, "who was let in still is"

    monkeypatch.setenv("WEFT_DATABASE_REPLICATION_URL", with_database(admin, NAME))
    assert weft("db", "wal", "start")[0] == 0
    code, said = weft("db", "restore", "--to", "latest", "--into", str(place / "restored"), "--yes")
    assert code == 0, said
    code, said = weft("db", "wal", "restore", "--to", "latest", "--database", "nowhere", "--into", str(place / "again"))
    assert (code, "--database" in said, "db init" in said) == (6, True, False), said


def test_a_drill_that_may_not_mark_the_moment_says_who_lets_it(
    server: ConnectionFacts,
) -> None:
    ask(server.superuser_dsn, "create role nobody_much login")

    async def run() -> None:
        connection = await connect(with_role(server.superuser_dsn, "nobody_much", ""))
        try:
            async with connection.transaction():
                await mark_now(connection, "here")
        finally:
            await connection.close()

    with pytest.raises(PointRefused, match=r"'nobody_much' may not make restore points\. Let a superuser run"):
        asyncio.run(run())
