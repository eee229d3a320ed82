"""A server of the operators' own that speaks TLS and nothing else: the distribution's, as the embedded one cannot."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import pytest
from tests.factories.certificates import self_signed
from tests.ports import free_port

from weft.cli import command_line, output
from weft.ops import postgres_files, postgres_user
from weft.ops.backup.programs import Clients
from weft.ops.connections import ServerUnreachable, connect
from weft.ops.postgres import ephemeral_cluster
from weft.ops.postgres_files import Programs

pytestmark = pytest.mark.debian

PROGRAMS: Final = Path("/usr/lib/postgresql/15/bin")
RULES: Final = "hostssl all,replication all 127.0.0.1/32 scram-sha-256\nlocal all all scram-sha-256\n"


@dataclass(frozen=True)
class Encrypted:
    port: int
    authority: Path
    other_authority: Path

    def address(self, login: str, database: str = "weft", *, host: str = "localhost", **query: str) -> str:
        asked = {"sslmode": "verify-full", "sslrootcert": str(self.authority), **query}
        return f"postgresql://{login}@{host}:{self.port}/{database}?{urlencode(asked)}"

    @property
    def admin(self) -> str:
        return self.address("postgres:secret", "postgres")


def ask(address: str, *statements: str) -> Any:
    async def run() -> Any:
        connection = await connect(address)
        try:
            return [await connection.fetchval(statement) for statement in statements][-1]
        finally:
            await connection.close()

    return asyncio.run(run())


@pytest.fixture(scope="module")
def server() -> Iterator[Encrypted]:
    if not (PROGRAMS / "postgres").exists():
        pytest.skip("the distribution's PostgreSQL 15 is not installed")
    with tempfile.TemporaryDirectory(prefix="weft-tls-") as directory:
        place, programs = Path(directory), Programs(PROGRAMS)
        data, port = place / "data", free_port()
        run_as = postgres_user.choose(data)
        postgres_files.create_data(programs, data, run_as, password="secret", durable=False)
        certificate, key = self_signed(place, "localhost")
        for name, file in (("server.crt", certificate), ("server.key", key)):
            (data / name).write_bytes(file.read_bytes())
            (data / name).chmod(0o600)
            postgres_user.hand_over(data / name, run_as)
        (data / "pg_hba.conf").write_text(RULES)
        with (data / "postgresql.conf").open("a") as settings:
            settings.write(f"\nlisten_addresses = '127.0.0.1'\nport = {port}\nssl = on\n")
            settings.write("wal_level = replica\nmax_wal_senders = 5\nmax_slot_wal_keep_size = '1GB'\n")
        with ephemeral_cluster(place, programs=programs):
            yield Encrypted(port, certificate, self_signed(place, "elsewhere")[0])


Weft = Callable[..., Any]


@pytest.fixture
def weft(place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Weft]:
    """The command; gives what it says with --json. Subprocesses write, too: hence their descriptors."""
    monkeypatch.setenv("WEFT_HOME", str(place / "home"))
    monkeypatch.setenv("WEFT_BACKUP_PLACE", str(place / "backups"))
    monkeypatch.chdir(place)

    def run(*words: str) -> Any:
        code = command_line.run([*words, "--json"])
        said = capfd.readouterr()
        assert code == 0, said.err
        return json.loads(said.out)

    yield run
    output.use_json(False)


def test_the_whole_life_of_an_installation(
    server: Encrypted, weft: Weft, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = weft("db", "init", "--admin-url", server.admin)
    monkeypatch.setenv("WEFT_DATABASE_URL", made["database_url"])
    monkeypatch.setenv("WEFT_DATABASE_OWNER_URL", made["database_owner_url"])
    assert "sslmode=verify-full" in made["database_url"]
    encrypted = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"
    assert ask(made["database_url"], encrypted) is True
    weft("db", "migrate")
    weft("tenant", "create", "acme", "--name", "Acme", "--owner-email", "ada@example.com")
    assert weft("db", "check") == []

    assert weft("db", "backup", "--verify")["verified"] is True
    weft("db", "restore", "latest", "--tenant", "acme", "--as", "copy", "--yes")
    slugs = "select string_agg(slug, ',' order by slug) from weft.tenants"
    admin = server.address("postgres:secret")
    assert ask(admin, slugs) == "acme,copy"

    ask(admin, "create role weft_wal login replication password 'log'", "grant connect on database weft to weft_wal")
    monkeypatch.setenv("WEFT_DATABASE_REPLICATION_URL", server.address("weft_wal:log"))
    weft("db", "wal", "start")
    weft("db", "restore", "--to", "latest", "--into", str(place / "restored"), "--yes")
    assert (place / "restored" / "PG_VERSION").read_text().strip() == "15"


@pytest.mark.parametrize(
    ("login", "said"),
    [
        ({"host": "127.0.0.1"}, "not valid for '127.0.0.1'. The address demands more"),
        ({"sslrootcert": "other"}, "self-signed certificate. The address demands more"),
        ({"sslrootcert": "/nowhere.pem"}, "Check the files that sslrootcert, sslcert and sslkey name"),
        ({"sslmode": "disable"}, "no encryption. Check role and password in the address, and pg_hba.conf"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_to_look_at(server: Encrypted, login: dict[str, str], said: str) -> None:
    if login.get("sslrootcert") == "other":
        login = {"sslrootcert": str(server.other_authority)}
    with pytest.raises(ServerUnreachable) as refused:
        ask(server.address("postgres:secret", "postgres", **login), "select 1")
    assert said in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_role_that_may_not_connect_is_told_the_grant(server: Encrypted) -> None:
    ask(
        server.admin, "create role outsider login password 'secret'", "create database closed",
        "revoke connect on database closed from public",
    )  # fmt: skip
    with pytest.raises(ServerUnreachable, match="needs `grant connect on database closed to outsider`") as refused:
        ask(server.address("outsider:secret", "closed"), "select 1")
    assert "\n" not in str(refused.value)


def test_the_distribution_s_programs_say_their_version(server: Encrypted) -> None:
    assert Clients(PROGRAMS).major() == 15
