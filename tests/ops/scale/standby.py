"""A primary that writes a log as in production, and a streaming replica of it; both end with the test session."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from weft.db import migrate
from weft.ops import postgres_files as files
from weft.ops import postgres_user
from weft.ops.home import Home
from weft.ops.installation import DATABASE, embedded_addresses, login_passwords
from weft.ops.postgres import ConnectionFacts, EmbeddedPostgres
from weft.ops.postgres_files import PORT, SUPERUSER, Programs
from weft.ops.processes import dies_with_us
from weft.ops.roles import APP, bootstrap


@dataclass
class Standby:
    """A copy of a primary that follows it, until it is stopped."""

    data: Path
    facts: ConnectionFacts
    password: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def app(self) -> str:
        return self.facts.dsn(APP, self.password, DATABASE)

    @property
    def admin(self) -> str:
        return self.facts.dsn(SUPERUSER, self.facts.password, DATABASE)

    def start(self) -> None:
        self.process = subprocess.Popen(
            [str(Programs.embedded().postgres), "-D", str(self.data)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", env=files.environment(),
            start_new_session=True, preexec_fn=dies_with_us(signal.SIGINT),
            **files.identity(postgres_user.choose(self.data)),
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError):
                lines = (self.data / "postmaster.pid").read_text().splitlines()
                if len(lines) > 7 and lines[0] == str(self.process.pid) and lines[7].strip() == "ready":
                    return
            time.sleep(0.01)
        raise RuntimeError("the standby did not start")

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(60)
            self.process = None


@dataclass
class Pair:
    home: Home
    primary: str
    admin: str
    owner: str
    facts: ConnectionFacts
    standby: Standby

    async def level(self) -> None:
        """Something was committed just now, and the replica has it: it is not behind by an old change."""
        here, there = await asyncpg.connect(self.admin), await asyncpg.connect(self.standby.admin)
        try:
            await here.execute("select pg_current_xact_id()")
            position = await here.fetchval("select pg_current_wal_flush_lsn()::text")
            async with asyncio.timeout(60):
                has = "select pg_last_wal_replay_lsn() >= $1::text::pg_lsn"
                while not await there.fetchval(has, position):  # noqa: ASYNC110 - the server tells nobody
                    await asyncio.sleep(0.01)
        finally:
            await here.close()
            await there.close()


@contextlib.contextmanager
def following(home: Home, facts: ConnectionFacts, name: str) -> Iterator[Standby]:
    """A new replica of a running primary, with a slot of its own."""
    run_as = postgres_user.choose(home.data)
    place = home.path / name
    place.mkdir(mode=0o700)
    postgres_user.hand_over(place, run_as)
    postgres_user.let_in(place, run_as)
    source = f"host={facts.sockets} port={PORT} user={SUPERUSER} password={facts.password}"
    command = [str(Programs.embedded().directory / "pg_basebackup"), "-D", str(place / "data"), "-d", source]
    command += ["-R", "-C", "-S", name, "-X", "stream", "-c", "fast", "--no-sync"]
    files.run_program(command, run_as)
    sockets = files.socket_directory(place / "run", run_as)
    with (place / "data" / "postgresql.auto.conf").open("a") as settings:
        settings.write(f"unix_socket_directories = '{sockets}'\nhot_standby_feedback = on\nfsync = off\n")
        settings.write("shared_buffers = '16MB'\n")
    standby = Standby(place / "data", ConnectionFacts(sockets, facts.password, 0), login_passwords(home)[APP])
    standby.start()
    try:
        yield standby
    finally:
        standby.stop()


@contextlib.contextmanager
def pair(place: Path) -> Iterator[Pair]:
    home = Home(place / "home")
    with EmbeddedPostgres(home) as facts:
        asyncio.run(bootstrap(facts.superuser_dsn, DATABASE, login_passwords(home)))
        addresses = embedded_addresses(home, facts)
        asyncio.run(migrate.upgrade(addresses.require_owner()))
        with following(home, facts, "replica") as standby:
            admin = facts.dsn(SUPERUSER, facts.password, DATABASE)
            yield Pair(home, addresses.app, admin, addresses.require_owner(), facts, standby)
