"""pg_dump and pg_restore: which ones to use for a server, and running them without showing a password to anybody."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from weft.ops import postgres_files
from weft.ops.backup.errors import DumpFailed, ProgramsMissing, RestoreFailed
from weft.ops.connections import driver_dsn, query_text
from weft.ops.postgres_files import Programs, ServerProgramsMissing
from weft.ops.processes import dies_with_us

CHUNK: Final = 1 << 16
DEBIAN: Final = Path("/usr/lib/postgresql")
_ENCRYPTED: Final = ("require", "verify-ca", "verify-full")
_SAID: Final = 500
_TIMEOUT: Final = "transaction_timeout"
_TIMEOUT_SINCE: Final = 17
_SETTING: Final = f"Command was: SET {_TIMEOUT} = 0;"


@dataclass(frozen=True, slots=True)
class Clients:
    """pg_dump and pg_restore of one build."""

    directory: Path

    @property
    def dump(self) -> Path:
        return self.directory / "pg_dump"

    @property
    def restore(self) -> Path:
        return self.directory / "pg_restore"

    def major(self) -> int:
        done = subprocess.run(  # noqa: S603 - a program that we found
            [str(self.dump), "--version"], capture_output=True, text=True, check=False, env=postgres_files.environment()
        )
        # A distribution adds its own: `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
        found = re.search(r"\(PostgreSQL\) (\d+)", done.stdout)
        return int(found[1]) if found else 0


def embedded() -> Clients:
    return Clients(Programs.embedded().directory)


def clients_for(server_major: int, dsn: str = "") -> Clients:
    """Programs that can talk to a server: at least as new as it. Raises `ProgramsMissing`.

    The embedded ones speak no TLS, so for an address that demands it the system's are taken.
    """
    encrypted = dict(parse_qsl(urlsplit(dsn).query)).get("sslmode") in _ENCRYPTED
    seen: list[str] = []
    for clients in _candidates(embedded_too=not encrypted):
        major = clients.major()
        if major >= server_major:
            return clients
        seen.append(str(major))
    raise ProgramsMissing(server_major, ", ".join(seen) or "none", encrypted=encrypted)


def _candidates(*, embedded_too: bool) -> Iterator[Clients]:
    if embedded_too:
        with contextlib.suppress(ServerProgramsMissing):
            yield embedded()
    if (found := shutil.which("pg_dump")) is not None:
        yield Clients(Path(found).parent)
    for directory in sorted(DEBIAN.glob("*/bin"), reverse=True):
        if (directory / "pg_dump").exists():
            yield Clients(directory)


@dataclass(frozen=True, slots=True)
class Login:
    """An address as PostgreSQL's own programs take it: the password by the environment, which others cannot read."""

    address: str
    environment: Mapping[str, str]


def login(dsn: str, *, options: str = "") -> Login:
    parts = urlsplit(driver_dsn(dsn))
    query = [(key, value) for key, value in parse_qsl(parts.query) if key != "password"]
    password = dict(parse_qsl(parts.query)).get("password") or unquote(parts.password or "")
    user, _, host = parts.netloc.rpartition("@")
    user = user.partition(":")[0]
    address = urlunsplit(parts._replace(netloc=f"{user}@{host}" if user else host, query=query_text(query)))
    environment = postgres_files.environment() | {"PGCONNECT_TIMEOUT": "10", "PGAPPNAME": "weft db backup"}
    if password:
        environment["PGPASSWORD"] = password
    if options:
        environment["PGOPTIONS"] = options
    for name in ("PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY", "HOME"):
        if name in os.environ:
            environment[name] = os.environ[name]
    return Login(address, environment)


class Dump:
    """A running pg_dump. Start it in the main thread: there the kernel ends it with us, even by kill -9."""

    def __init__(self, clients: Clients, to: Login, *, snapshot: str, as_owner: bool) -> None:
        command = [str(clients.dump), "--format=custom", "--compress=3", "--schema=weft", "--no-password"]
        command += [f"--snapshot={snapshot}", "--lock-wait-timeout=60s", f"--dbname={to.address}"]
        if as_owner:
            command.append("--enable-row-security")  # with app.maintenance on: otherwise it refuses, rightly
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=dict(to.environment),
            cwd="/",
            preexec_fn=dies_with_us(signal.SIGTERM),
        )

    def chunks(self) -> Iterator[bytes]:
        """What it writes. Raises `DumpFailed` instead of ending when it did not finish."""
        source: IO[bytes] | None = self._process.stdout
        if source is not None:
            while chunk := source.read(CHUNK):
                yield chunk
        if self._process.wait() != 0:
            raise DumpFailed(_last_words(self._said))

    def end(self) -> None:
        """Stop it if it still runs; harmless otherwise."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._said.close()


def restore(clients: Clients, to: Login, dump: Path, *, jobs: int, server_major: int) -> None:
    """Put a dump into a database that has no schema of weft. Raises `RestoreFailed`.

    Since 17 pg_restore begins with a setting that an older server does not know. It has to go on after that error, and
    must not have met another one.
    """
    unknown = server_major < _TIMEOUT_SINCE <= clients.major()
    command = [str(clients.restore), f"--dbname={to.address}", "--no-password", f"--jobs={jobs}"]
    if not unknown:
        command.append("--exit-on-error")
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [*command, str(dump)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env=dict(to.environment),
            cwd="/",
            preexec_fn=dies_with_us(signal.SIGTERM),
        )
        try:
            code = process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
        if code != 0 and not (unknown and code == 1 and _only_the_setting(said)):
            raise RestoreFailed(_last_words(said))


def _only_the_setting(said: IO[bytes]) -> bool:
    """Whether pg_restore came to its end, which it says, and every error was that of the setting."""
    said.seek(0)
    text = said.read().decode(errors="replace")
    return "errors ignored on restore" in text and text.count("pg_restore: error:") == text.count(_SETTING)


def _last_words(said: IO[bytes]) -> str:
    said.seek(0)
    lines = said.read().decode(errors="replace").strip().splitlines()
    errors = [line for line in lines if "error" in line.lower() and _TIMEOUT not in line] or lines
    return (errors[0] if errors else "it said nothing")[:_SAID].rstrip(".")
