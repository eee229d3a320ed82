"""The server whose log is kept: how to reach it for replication, what it is, and the programs that fit it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from weft.ops import postgres_files
from weft.ops.connections import ServerUnreachable, connect, driver_dsn, query_text
from weft.ops.home import Home
from weft.ops.installation import DatabaseAddressMissing
from weft.ops.postgres import find_running
from weft.ops.postgres_files import Programs
from weft.ops.recovery.errors import (
    IncrementalTooOld,
    ProgramsTooOld,
    ReplicationRefused,
    ServerProgramFailed,
    SummariesOff,
    WalLevelTooLow,
    WalNotConfigured,
)
from weft.ops.recovery.segments import lsn
from weft.settings import Settings

if TYPE_CHECKING:
    import asyncpg

T = TypeVar("T")

_DEBIAN = Path("/usr/lib/postgresql")
_PLAIN = ("disable", "allow", "prefer", "")
"""Values of `sslmode` that programs without TLS understand; the first is what they then do."""
_PATIENCE = 3600.0


@dataclass(frozen=True, slots=True)
class Slot:
    """The replication slot: what keeps the server from throwing away WAL that we do not have yet."""

    restart_lsn: int | None
    active: bool
    lost: bool
    lag_bytes: int


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What the server says of itself."""

    system: str
    major: int
    segment_bytes: int
    timeline: int
    wal_level: str
    summarize_wal: bool
    role: str


@dataclass(frozen=True, slots=True)
class Source:
    """A server, its address, and the programs for it. Made by `source_of`; addresses of an embedded server change."""

    address: Callable[[], str] = field(repr=False)
    embedded: bool

    def facts(self) -> ServerFacts:
        """Ask the server. Raises `ServerUnreachable`, `ReplicationRefused` or `WalLevelTooLow`."""
        return self._ask(_facts)

    def slot(self, name: str) -> Slot | None:
        return self._ask(lambda connection: _slot(connection, name))

    def ensure_slot(self, name: str) -> bool:
        """Make the slot, holding WAL from now on; whether it is new."""
        return self._ask(lambda connection: _ensure_slot(connection, name))

    def drop_slot(self, name: str) -> None:
        self._ask(lambda connection: _drop_slot(connection, name))

    def position(self) -> tuple[int, datetime]:
        """How far the server's log is safe on its disk, and its clock just before: all older commits are in it."""
        return self._ask(_position)

    def programs(self, major: int) -> Programs:
        """Programs that can talk to this server: our own where they can, else those of the system."""
        tls = dict(parse_qsl(urlsplit(self.address()).query)).get("sslmode", "") not in _PLAIN
        return client_programs(major, tls=tls)

    def command(self, programs: Programs, program: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
        """A command line and its environment; the password stands in the environment, which others cannot see."""
        address, password = without_secret(driver_dsn(self.address()))
        environment = files_environment()
        if password is not None:
            environment["PGPASSWORD"] = password
        environment["PGAPPNAME"] = "weft wal"
        return [str(programs.directory / program), "-d", address, *arguments], environment

    def _ask(self, question: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        async def ask() -> T:
            connection = await connect(self.address(), application="weft wal")
            try:
                return await question(connection)
            finally:
                await connection.close()

        return asyncio.run(ask())


def source_of(settings: Settings) -> Source:
    """The server of this installation, for replication. An embedded one must run by the time it is asked."""
    database = settings.database
    if database.replication_url is not None:
        url = database.replication_url
        return Source(lambda: url, embedded=False)
    if database.url is not None:
        raise WalNotConfigured
    home = Home(settings.home)

    def address() -> str:
        running = find_running(home)
        if running is None:
            raise DatabaseAddressMissing
        return running.superuser_dsn

    return Source(address, embedded=True)


def require_archivable(facts: ServerFacts) -> None:
    if facts.wal_level not in ("replica", "logical"):
        raise WalLevelTooLow(facts.wal_level)


def require_summaries(facts: ServerFacts) -> None:
    if facts.major < 17:
        raise IncrementalTooOld(facts.major)
    if not facts.summarize_wal:
        raise SummariesOff


def files_environment() -> dict[str, str]:
    return postgres_files.environment() | {"HOME": os.environ.get("HOME", "/")}


def client_programs(major: int, *, tls: bool = False) -> Programs:
    """The oldest of the programs here that are not older than the server. Raises `ProgramsTooOld`."""
    found = [(own.major(), own) for own in _candidates(ours=not tls)]
    fitting = sorted(((version, one) for version, one in found if version >= major), key=lambda pair: pair[0])
    if not fitting:
        raise ProgramsTooOld(major, tls=tls)
    return fitting[0][1]


def server_programs(major: int) -> Programs:
    """Programs that can run a data directory of that version. Raises `ProgramsTooOld`."""
    for programs in _candidates(ours=True):
        if (programs.directory / "postgres").exists() and programs.major() == major:
            return programs
    raise ProgramsTooOld(major, tls=False, exactly=True)


def _candidates(*, ours: bool) -> list[Programs]:
    places = []
    if ours:
        with contextlib.suppress(postgres_files.ServerProgramsMissing):
            places.append(Programs.embedded())
    if (on_path := shutil.which("pg_receivewal")) is not None:
        places.append(Programs(Path(on_path).resolve().parent))
    places += [Programs(path) for path in sorted(_DEBIAN.glob("*/bin"), reverse=True)]
    return [one for one in places if (one.directory / "postgres").exists()]


def without_secret(dsn: str) -> tuple[str, str | None]:
    """An address without its password, and the password: arguments of a process can be read by everybody."""
    parts = urlsplit(dsn)
    credentials, at, host = parts.netloc.rpartition("@")
    user, colon, secret = credentials.partition(":")
    query = parse_qsl(parts.query)
    password = unquote(secret) if colon else dict(query).get("password")
    kept = query_text((key, value) for key, value in query if key != "password")
    return urlunsplit(parts._replace(netloc=f"{user}{at}{host}", query=kept)), password


def run(command: list[str], environment: dict[str, str], *, timeout: float = _PATIENCE) -> str:
    """Run one of PostgreSQL's client programs; raises `ServerProgramFailed` with its last words."""
    done = subprocess.run(  # noqa: S603 - a program of PostgreSQL's
        command, capture_output=True, text=True, check=False, env=environment, timeout=timeout, cwd="/"
    )
    if done.returncode != 0:
        raise ServerProgramFailed(Path(command[0]).name, done.stderr or done.stdout)
    return done.stdout


def replication_refusal(said: str, role: str) -> ReplicationRefused | None:
    """Whether a program's last words mean that this role may not replicate."""
    if re.search(r"permission denied|must be superuser|pg_hba\.conf|REPLICATION attribute", said):
        return ReplicationRefused(role, said.strip().splitlines()[-1])
    return None


async def _facts(connection: asyncpg.Connection) -> ServerFacts:
    import asyncpg

    number = int(await connection.fetchval("show server_version_num"))
    role, may = await connection.fetchrow(
        "select current_user::text, rolsuper or rolreplication from pg_roles where rolname = current_user"
    )
    if not may:
        raise ReplicationRefused(role, "it lacks the attribute REPLICATION")
    try:
        system = await connection.fetchval("select system_identifier from pg_control_system()")
        timeline = await connection.fetchval("select timeline_id from pg_control_checkpoint()")
    except asyncpg.InsufficientPrivilegeError as error:
        raise ReplicationRefused(role, str(error)) from error
    return ServerFacts(
        system=str(system),
        major=number // 10_000,
        segment_bytes=int(await connection.fetchval("select setting from pg_settings where name = 'wal_segment_size'")),
        timeline=await _timeline(connection, timeline),
        wal_level=await connection.fetchval("show wal_level"),
        summarize_wal=number >= 170_000 and await connection.fetchval("show summarize_wal") == "on",
        role=role,
    )


async def _timeline(connection: asyncpg.Connection, checkpointed: int) -> int:
    """The timeline that is written now; after a promotion the control file knows only at its next checkpoint."""
    name: str = await connection.fetchval("select pg_walfile_name(pg_current_wal_lsn())")
    return max(int(name[:8], 16), checkpointed)


async def _slot(connection: asyncpg.Connection, name: str) -> Slot | None:
    row = await connection.fetchrow(
        "/* weft:recovery.slot */ select restart_lsn::text, active, wal_status,"
        " coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::bigint as lag"
        " from pg_replication_slots where slot_name = $1",
        name,
    )
    if row is None:
        return None
    position = lsn(row["restart_lsn"]) if row["restart_lsn"] else None
    return Slot(position, row["active"], row["wal_status"] == "lost", row["lag"])


async def _ensure_slot(connection: asyncpg.Connection, name: str) -> bool:
    import asyncpg

    if await _slot(connection, name) is not None:
        return False
    try:
        await connection.execute("select pg_create_physical_replication_slot($1, true)", name)
    except asyncpg.DuplicateObjectError:
        return False
    except asyncpg.InsufficientPrivilegeError as error:
        raise ReplicationRefused(await connection.fetchval("select current_user"), str(error)) from error
    return True


async def _drop_slot(connection: asyncpg.Connection, name: str) -> None:
    await connection.execute(
        "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1 and not active", name
    )


async def _position(connection: asyncpg.Connection) -> tuple[int, datetime]:
    row = await connection.fetchrow(
        "/* weft:recovery.position */ select clock_timestamp() as at, pg_current_wal_flush_lsn()::text as position"
    )
    return lsn(row["position"]), row["at"]


__all__ = ["ServerFacts", "ServerUnreachable", "Slot", "Source", "source_of"]
