"""One embedded installation with weft's schema, its archiver, and a way to let it work until something is so."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.ops.waiting import until

from weft.db import migrate
from weft.ops.backup.targets import targets_of
from weft.ops.home import Home
from weft.ops.installation import DATABASE, embedded_addresses, login_passwords
from weft.ops.postgres import EmbeddedPostgres
from weft.ops.recovery import base, status, vault
from weft.ops.recovery.archiver import Archiver
from weft.ops.recovery.plan import Base
from weft.ops.recovery.source import Source, source_of
from weft.ops.recovery.vault import Vault
from weft.ops.roles import bootstrap
from weft.settings import Settings, load_settings


@dataclass
class Installation:
    """A home with a running server."""

    home: Home
    server: EmbeddedPostgres
    settings: Settings
    said: list[str] = field(default_factory=list)
    archivers: list[Archiver] = field(default_factory=list)

    @property
    def source(self) -> Source:
        return source_of(self.settings)

    @property
    def place(self) -> Path:
        return status.directory(self.home.path)

    @property
    def admin(self) -> str:
        """The superuser, in weft's database."""
        return self.server.start().dsn("postgres", self.home.password("postgres"), DATABASE)

    def ask(self, *statements: str) -> Any:
        """Run statements on a connection of their own; the value of the last."""
        return asyncio.run(ask(self.admin, *statements))

    def now(self) -> datetime:
        """The server's clock, between two commits."""
        moment: datetime = self.ask("select clock_timestamp()")
        return moment

    def vaults(self) -> list[Vault]:
        return vault.writing(self.settings, self.source.facts().system)

    def reader(self, place: int = 0) -> Vault:
        return vault.reading(self.settings, targets_of(self.settings)[place], self.source.facts().system)

    def archiver(self, **options: Any) -> Archiver:
        """One that ships at every turn, unless told otherwise."""
        wal = self.settings.wal.model_copy(update={"ship_seconds": 0.0, **options})
        made = Archiver(self.source, self.source.facts(), self.vaults(), self.place, wal, self.said.append)
        made.begin()
        self.archivers.append(made)
        return made

    @contextlib.contextmanager
    def working(self) -> Iterator[Archiver]:
        """An archiver for a while; afterwards nothing takes in the WAL, as before."""
        archiver = self.archiver()
        try:
            yield archiver
        finally:
            archiver.stop()

    def make_base(self, *, incremental: bool = False) -> Base:
        return base.make(
            self.source, self.source.facts(), self.vaults(), self.place,
            incremental=incremental, say=self.said.append,
        )  # fmt: skip

    def bring_away(self, archiver: Archiver) -> None:
        """Until everything committed so far is on the target."""
        position = self.source.position()[0]
        turn_until(archiver, lambda: archiver.state is not None and archiver.state.position >= position)


def turn_until(archiver: Archiver, question: Callable[[], Any], *, seconds: float = 120.0) -> Any:
    """The first answer that counts as true, with a round before each. The archiver's own pauses are up to 15 s."""

    def asked() -> Any:
        archiver.turn()
        return question()

    return until(asked, seconds=seconds, what=f"it ({archiver.error})")


async def ask(dsn: str, *statements: str) -> Any:
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements[:-1]:
            await connection.execute(statement)
        return await connection.fetchval(statements[-1])
    finally:
        await connection.close()


def install(place: Path, **environ: str) -> Iterator[Installation]:
    home = Home(place / "a hóme")  # as people have them: with a space, and more than ASCII
    settings = load_settings({"HOME": str(place), "WEFT_HOME": str(home.path), **environ}, directory=place)
    server = EmbeddedPostgres(home)
    facts = server.start()
    try:
        # What it commits by itself would be one more commit in the log, at a time that no test knows.
        asyncio.run(ask(facts.superuser_dsn, "alter system set autovacuum = off", "select pg_reload_conf()"))
        asyncio.run(bootstrap(facts.superuser_dsn, DATABASE, login_passwords(home)))
        asyncio.run(migrate.upgrade(embedded_addresses(home, facts).require_owner()))
        yield Installation(home, server, settings)
    finally:
        server.stop()


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """For servers of a whole module."""
    with tempfile.TemporaryDirectory(prefix="weft-recovery-") as directory:
        yield Path(directory)
