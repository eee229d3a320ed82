"""`weft db wal run`: the archiver's life. It waits for a server that is away, follows one that moved, and makes bases.

Nothing that can happen to a target or a server ends it: what a failing archive must never do is to take the
installation down with it. Only settings that cannot work are refused, at the start.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

from weft.core.clock import Clock, utc_now
from weft.core.errors import Conflict, Unavailable, WeftError
from weft.ops.backup.targets import targets_of
from weft.ops.installation import DatabaseAddressMissing
from weft.ops.recovery import base, status, vault
from weft.ops.recovery.archiver import Archiver, SystemChanged
from weft.ops.recovery.plan import Archived, Base, reach
from weft.ops.recovery.source import ServerFacts, source_of
from weft.ops.recovery.vault import Vault
from weft.ops.supervisor import Signals
from weft.settings import Settings

_WAIT: Final = 1.0
_RETRY_BASE: Final = 300.0
_PRUNE: Final = 3600.0
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

    def run(self, signals: Signals) -> None:
        try:
            while not signals.stops:
                pause = self.archiver.turn()
                try:
                    self._tend_bases(time.monotonic())
                except (WeftError, OSError) as error:
                    self._base_after = time.monotonic() + _RETRY_BASE
                    self.say(f"base backups: {getattr(error, 'message', error)}")
                signals.wait(pause)
        finally:
            if self._making is not None and self._making.poll() is None:
                self._making.terminate()
                self._making.wait()

    def _tend_bases(self, now: float) -> None:
        if not self._looked:
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
        """What is there, once at the start."""
        facts = self.archiver.facts
        bases = [one for one in self.vaults[0].bases() if one.timeline == facts.timeline]
        self.archiver.base_at = max((one.ended_at for one in bases), default=None)
        if needs_base(bases, self.vaults[0].archived(facts.segment_bytes), facts):
            self.archiver.needs_base = True
        self._looked = True

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
        self.archiver.needs_base = False
        self._look()
        self.say("the base backup is made")
