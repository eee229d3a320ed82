"""`weft db wal run`: the archiver's life. It waits for a server that is away, follows one that moved, and makes bases.

Nothing that can happen to a target or a server ends it: what a failing archive must never do is to take the
installation down with it. Only settings that cannot work are refused, at the start.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import asyncpg

from weft.core.clock import Clock, utc_now
from weft.core.errors import Conflict, Unavailable, WeftError
from weft.db.hot import AWAY
from weft.ops.backup.targets import targets_of
from weft.ops.connections import connect, with_database
from weft.ops.home import Home
from weft.ops.installation import DATABASE, DatabaseAddressMissing
from weft.ops.postgres import find_running
from weft.ops.recovery import base, status, vault
from weft.ops.recovery.archiver import Archiver, SystemChanged
from weft.ops.recovery.health import promised_within
from weft.ops.recovery.plan import Archived, Base, reach
from weft.ops.recovery.source import ServerFacts, source_of
from weft.ops.recovery.vault import Vault
from weft.ops.supervisor import Signals
from weft.settings import Settings

_WAIT: Final = 1.0
_RETRY_BASE: Final = 300.0
_PRUNE: Final = 3600.0
_LOOK: Final = 30.0
_NOTE: Final = 30.0
_NOTED: Final = """/* weft:recovery.archive */
insert into weft.recovery_archives as a (slot, at, complete_to, spool_bytes) values ($1, $2, $3, $4)
on conflict (slot) do update
   set at = excluded.at, spool_bytes = excluded.spool_bytes, complete_to = coalesce(excluded.complete_to, a.complete_to)
"""
Say = Callable[[str], None]


class ArchiverRuns(Conflict):
    code = "wal_archiver_runs"

    def __init__(self, place: Path) -> None:
        super().__init__(
            f"Another process keeps the WAL here ({place}). One is enough; `weft db wal status` says how it does."
        )


def keep(settings: Settings, signals: Signals, say: Say, *, clock: Clock = utc_now) -> None:
    """Until a signal says stop. Raises only what waiting would not mend."""
    source = source_of(settings)
    targets_of(settings)  # refused before anything waits
    place = status.directory(settings.home)
    said = ""
    with alone(place):
        while not signals.stops:
            try:
                facts = source.facts()
                vaults = vault.writing(settings, facts.system)
                archiver = Archiver(source, facts, vaults, place, settings.wal, say, clock)
                archiver.begin()
            except (Unavailable, DatabaseAddressMissing) as error:
                if error.message != said:
                    said = error.message
                    say(f"waiting for the server: {said}")
                signals.wait(_WAIT)
                continue
            said = ""
            say(f"taking in the WAL of cluster {facts.system}; it goes to {vaults[0].target.address}")
            try:
                _Keeping(settings, archiver, vaults, say, clock).run(signals)
            except SystemChanged as error:
                say(error.message)
            finally:
                archiver.stop()


@contextlib.contextmanager
def alone(place: Path) -> Iterator[None]:
    """Hold the spool's directory; the system frees it if we are killed. Raises `ArchiverRuns`."""
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(place / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ArchiverRuns(place) from None
        yield
    finally:
        os.close(descriptor)


def needs_base(bases: Sequence[Base], archived: Archived, facts: ServerFacts) -> bool:
    """Whether the present cannot be reached from any base: there is none on this timeline, or WAL is missing."""
    ours = [one for one in bases if one.timeline == facts.timeline]
    return not ours or reach(max(ours, key=lambda one: one.ended_at), archived).gap is not None


@dataclass(slots=True)
class _Keeping:
    """The time with one server."""

    settings: Settings
    archiver: Archiver
    vaults: Sequence[Vault]
    say: Say
    clock: Clock
    _making: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _looked: bool = field(default=False, init=False)
    _base_after: float = field(default=0.0, init=False)
    _prune_after: float = field(default=0.0, init=False)
    _look_after: float = field(default=0.0, init=False)
    _note_after: float = field(default=0.0, init=False)
    _began: float = field(default=0.0, init=False)
    _needed_since: datetime | None = field(default=None, init=False)
    _said_note: bool = field(default=False, init=False)

    def run(self, signals: Signals) -> None:
        try:
            while not signals.stops:
                pause = self.archiver.turn()
                try:
                    self._tend_bases(time.monotonic())
                except (WeftError, OSError) as error:
                    self._base_after = time.monotonic() + _RETRY_BASE
                    self.say(f"base backups: {getattr(error, 'message', error)}")
                self._note(time.monotonic())
                signals.wait(pause)
        finally:
            if self._making is not None and self._making.poll() is None:
                self._making.terminate()
                self._making.wait()

    def _tend_bases(self, now: float) -> None:
        if not self._looked or (self.archiver.needs_base and now >= self._look_after):
            self._look_after = now + _LOOK  # somebody may have made one by hand
            self._look()
        if self._making is not None:
            self._finish()
        elif now >= self._base_after and self._is_due():
            self._base_after = now + _RETRY_BASE
            self.say("making a base backup")
            command = [sys.executable, "-m", "weft", "db", "wal", "base", "--automatic", "--json"]
            self._making = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603 - our own command
        if now >= self._prune_after and not self.archiver.needs_base and self._making is None:
            self._prune_after = now + _PRUNE
            gone = base.prune(self.vaults, self.archiver.place, self.settings.wal, self.clock())
            if gone.bases or gone.segments:
                self.say(
                    f"deleted {len(gone.bases)} base backups and {len(gone.segments)} WAL segments that are too old"
                )

    def _look(self) -> None:
        """What is there: at the start, and again as long as a base is missing."""
        facts, archiver = self.archiver.facts, self.archiver
        troubles: list[str] = []
        bases = [one for one in self.vaults[0].bases(troubles) if one.timeline == facts.timeline]
        archiver.base_at = max((one.ended_at for one in bases), default=None)
        before = archiver.needs_base
        if archiver.needs_base:  # WAL was lost, or the slot is new: what began before that leads nowhere
            self._needed_since = self._needed_since or self.clock()
            archiver.needs_base = not any(one.started_at >= self._needed_since for one in bases)
        archived = self.vaults[0].archived(facts.segment_bytes, troubles)
        if not archiver.needs_base and needs_base(bases, archived, facts):
            archiver.needs_base = True
        if not archiver.needs_base:
            self._needed_since = None
        if not self._looked:
            for text in troubles:
                self.say(f"left aside: {text}")
        self._looked = True
        if before != archiver.needs_base:
            archiver.tell()

    def _is_due(self) -> bool:
        hours = self.settings.wal.base_hours
        if hours <= 0:
            return False
        at = self.archiver.base_at
        return self.archiver.needs_base or at is None or self.clock() - at >= timedelta(hours=hours)

    def _finish(self) -> None:
        assert self._making is not None, "asked only then"  # noqa: S101 - a fact, for the type checker
        code = self._making.poll()
        if code is None:
            return
        self._making = None
        if code != 0:
            self.say(f"the base backup failed (exit code {code}); the next try is in {_RETRY_BASE:.0f} seconds")
            return
        self._base_after = 0.0
        self._look()
        self.archiver.tell()
        self.say("the base backup is made")

    def _note(self, now: float) -> None:
        """Into the database, where health is asked: a slot alone does not show whether the WAL reaches a target."""
        self._began = self._began or now
        has_arrived = self.archiver.state is not None
        # Nothing has arrived yet: that is news only when it should have.
        if now < self._note_after or (not has_arrived and now - self._began < promised_within(self.settings.wal)):
            return
        self._note_after = now + _NOTE
        writer = writer_of(self.settings)
        if writer is not None:
            state = self.archiver.state
            complete_to = state.complete_to if state is not None else None
            try:
                asyncio.run(
                    note(writer, self.settings.wal.slot, self.clock(), complete_to, self.archiver.waiting_bytes())
                )
            except (WeftError, OSError, *AWAY, asyncpg.PostgresError) as error:
                if not self._said_note:
                    self.say(f"how far the archive goes cannot be noted in the database: {error}")
                self._said_note = True


def writer_of(settings: Settings) -> str | None:
    """Who may write what no tenant owns; None where this process was given no such address."""
    database = settings.database
    if database.url is None:
        running = find_running(Home(settings.home))
        return with_database(running.superuser_dsn, DATABASE) if running is not None else None
    return database.owner_url or database.admin_url


async def note(writer: str, slot: str, at: datetime, complete_to: datetime | None, spool_bytes: int) -> None:
    """One row for each slot, written over."""
    connection = await connect(writer, application="weft wal")
    try:
        async with connection.transaction():
            await connection.execute("set local app.maintenance = 'on'")
            await connection.execute(_NOTED, slot, at, complete_to, spool_bytes)
    finally:
        await connection.close()
