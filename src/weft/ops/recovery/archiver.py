"""From the spool to the targets: finished segments as they finish, the unfinished one regularly, and how far it goes.

One round is `turn`; whoever runs it (`weft.ops.recovery.keeping`) decides when. Whatever fails, a target that is full
or away, a server that is gone, is said, kept in the status and tried again: WAL waits in the spool, and when that is
full in the server, whose slot keeps it. A segment leaves the spool when it and its note are on the first target.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from weft.core.clock import Clock, utc_now
from weft.core.errors import Conflict, WeftError
from weft.ops.backup.errors import ArtefactMissing
from weft.ops.processes import started_at
from weft.ops.recovery import status
from weft.ops.recovery.copying import Copying
from weft.ops.recovery.receiver import Receiver, Spool
from weft.ops.recovery.segments import Segment
from weft.ops.recovery.source import ServerFacts, Slot, Source, replication_refusal, require_archivable
from weft.ops.recovery.status import Status
from weft.ops.recovery.vault import Piece, State, Vault
from weft.settings_recovery import WalSettings

_CHUNK: Final = 1 << 18
_PAUSES: Final = (0.1, 0.5, 2.0, 5.0, 15.0)
_STATUS_SECONDS: Final = 5.0
_COPY_SECONDS: Final = 30.0
Say = Callable[[str], None]


class SegmentDiffers(Conflict):
    code = "wal_segment_differs"

    def __init__(self, name: str, address: str) -> None:
        super().__init__(
            f"{address} already holds another WAL segment {name} of this cluster: a copy of the database seems to be "
            "archived to the same place. Give one of them another WEFT_BACKUP_PLACE, and a new base backup there."
        )


@dataclass(slots=True)
class Archiver:
    """Keeps one cluster's WAL. Use it from the main thread."""

    source: Source
    facts: ServerFacts
    vaults: Sequence[Vault]
    place: Path
    options: WalSettings
    say: Say
    clock: Clock = utc_now
    needs_base: bool = False
    """WAL is missing, or may be, since the last base: only a new one makes the present reachable."""
    base_at: datetime | None = None
    error: str | None = None
    _receiver: Receiver = field(init=False)
    _spool: Spool = field(init=False)
    _slot: Slot | None = field(default=None, init=False)
    _state: State | None = field(default=None, init=False)
    _state_read: bool = field(default=False, init=False)
    _pending: tuple[int, datetime] | None = field(default=None, init=False)
    _marks: list[tuple[int, datetime]] = field(default_factory=list, init=False)
    _failures: int = field(default=0, init=False)
    _again_at: float = field(default=0.0, init=False)
    _ship_at: float = field(default=0.0, init=False)
    _try_at: float = field(default=0.0, init=False)
    _tries: int = field(default=0, init=False)
    _copy_at: float = field(default=0.0, init=False)
    _copy_error: str | None = field(default=None, init=False)
    _told_at: float = field(default=0.0, init=False)
    _paused: bool = field(default=False, init=False)
    _copying: list[Copying] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._spool = Spool(self.place / self.facts.system, self.facts.segment_bytes)
        self._receiver = Receiver(
            self.source, self.source.programs(self.facts.major), self._spool, self.options.slot,
            self.place / "receiver.log",
        )  # fmt: skip
        self._copying = [Copying(self.vaults[0], other, self.say) for other in self.vaults[1:]]

    @property
    def spool(self) -> Spool:
        return self._spool

    @property
    def receiver_pid(self) -> int | None:
        return self._receiver.pid

    @property
    def state(self) -> State | None:
        """How far the first target goes."""
        return self._state

    def begin(self) -> None:
        """Make sure of the slot. Raises what the server refuses; everything later is tried again instead."""
        require_archivable(self.facts)
        self._spool.ensure()
        if self.source.ensure_slot(self.options.slot):
            self.say(f"made the replication slot '{self.options.slot}'")
            self.needs_base = True

    def turn(self) -> float:
        """One round; in how many seconds it wants the next one at the latest."""
        now = time.monotonic()
        self._receive(now)
        if now >= self._try_at:
            try:
                self._ship(now)
                self._copy(now)
            except WeftError as error:
                self._fail(error, now)
            except OSError as error:
                self._fail(error, now)
            else:
                self._tries = 0
                if not self._failures:
                    self.error = None
        if now - self._told_at >= _STATUS_SECONDS:
            self.tell()
        return 0.2 if self._pending is not None else 1.0

    def stop(self) -> None:
        """End the receiver, bring the last bit away if that is possible, and say so."""
        self._receiver.stop()
        for copying in self._copying:
            copying.stop()
        try:
            self._ship_finished()
            self._ship_partial()
        except (WeftError, OSError) as error:
            self.say(f"what is still in the spool goes with the next start ({_said(error)})")
        self.tell(ended=True)

    def tell(self, *, ended: bool = False) -> None:
        """Write the status now."""
        self._told_at = time.monotonic()
        state = "paused" if self._paused else "failing" if self._failures or self._tries else "receiving"
        status.write(
            self.place,
            Status(
                pid=os.getpid(),
                started=started_at(os.getpid()),
                at=self.clock(),
                system=self.facts.system,
                timeline=self.facts.timeline,
                state="ended" if ended else state,
                error=self.error or self._copy_error,
                spool_bytes=self.waiting_bytes(),
                lag_bytes=self._slot.lag_bytes if self._slot is not None else 0,
                position=self._state.position if self._state is not None else 0,
                complete_to=self._state.complete_to if self._state is not None else None,
                base_at=self.base_at,
                needs_base=self.needs_base,
            ),
        )

    def waiting_bytes(self) -> int:
        """Bytes in the spool that no target has; the unfinished segment was there at the last look."""
        return sum(path.stat().st_size for path in self._spool.finished() if path.exists())

    # -- receiving ---------------------------------------------------------------------------------------------

    def _receive(self, now: float) -> None:
        limit = self.options.spool_megabytes * 2**20
        if self._paused:
            if self.waiting_bytes() > limit // 2:
                return
            self._paused = False
            self.say("the spool has room again; receiving goes on")
        elif self._receiver.pid is not None:
            if self.waiting_bytes() > limit:
                self._paused = True
                self._receiver.stop()
                self.say(f"the spool holds {limit >> 20} MB that no target takes; the server keeps what follows")
            elif self._failures and now > self._again_at + _PAUSES[-1]:
                self._failures = 0
            return
        if self._receiver.has_ended:
            self._receiver_ended(now)
        if now >= self._again_at:
            self._receiver.start()

    def _receiver_ended(self, now: float) -> None:
        said = self._receiver.said()
        self._receiver.stop()
        self._again_at = now + _PAUSES[min(self._failures, len(_PAUSES) - 1)]
        self._failures += 1
        last = next((line for line in said.splitlines() if "error:" in line), said) or "it was killed"
        if self._failures in (1, 4):
            self.say(f"pg_receivewal ended ({last}); starting it again")
        refusal = replication_refusal(said, self.facts.role)
        self.error = refusal.message if refusal is not None else f"pg_receivewal ended: {last}"
        try:
            self._mend()
        except SystemChanged:
            raise
        except WeftError as error:  # the server is away; its slot keeps what we miss
            self.error = error.message

    def _mend(self) -> None:
        """After a failure: is it still the same server, and does it still have what we need?"""
        facts = self.source.facts()
        if facts.system != self.facts.system:
            raise SystemChanged(self.facts.system, facts.system)
        slot = self.source.slot(self.options.slot)
        if slot is not None and slot.lost:
            self.say("the server has thrown away WAL that was not received: a new base backup is needed")
            self.source.drop_slot(self.options.slot)
            slot = None
        newest = self._spool.partial()
        branched = newest is not None and newest[0].timeline < facts.timeline and self._failures > 1
        if slot is None or branched:
            self._ship_finished()
            self._spool.set_aside(f"until-{self.clock():%Y%m%dT%H%M%S}")
            self.needs_base, self._pending = True, None
        self.facts = facts
        self.source.ensure_slot(self.options.slot)

    # -- shipping ----------------------------------------------------------------------------------------------

    def _ship(self, now: float) -> None:
        self._ship_finished()
        if self._pending is None and now >= self._ship_at:
            self._pending = self.source.position()
            self._marks = [*self._marks[-20:], self._pending]
        if self._pending is None:
            return
        self._slot = self.source.slot(self.options.slot)
        received = self._slot.restart_lsn if self._slot is not None else None
        if received is None or received < self._pending[0]:
            return
        self._ship_finished()
        self._ship_partial()
        self._ship_at = now + self.options.ship_seconds
        self._failures = 0

    def _ship_finished(self) -> None:
        for path in self._spool.finished():
            self._keep(path)
            path.unlink()

    def _keep(self, path: Path) -> None:
        """Bring a finished file away, unless it is there: a receiver that was killed may bring one twice."""
        first, name = self.vaults[0], f"wal/{path.name}"
        try:
            there: Piece | None = first.piece(name)
        except ArtefactMissing:
            there = None
        if there is None:
            first.keep(name, _chunks(path), complete_to=self._complete_to(path.name))
        elif there.plain_sha256 != _digest(path):
            raise SegmentDiffers(path.name, first.target.address)

    def _complete_to(self, name: str) -> str | None:
        """The last moment of which all commits are in the log up to a segment's end, as far as we asked."""
        segment = Segment.named(name, self.facts.segment_bytes)
        if segment is None:
            return None
        end = (segment.number + 1) * self.facts.segment_bytes
        return max((at.isoformat() for position, at in self._marks if position <= end), default=None)

    def _ship_partial(self) -> None:
        """Bring the beginning of the unfinished segment away, if it is new, and say how far that goes."""
        pending, first = self._pending, self.vaults[0]
        if pending is None:
            return
        position, at = pending
        before = self._read_state()
        if before is not None and before.position == position and before.timeline == self.facts.timeline:
            piece, segment = before.partial, before.partial_segment
        else:
            found = self._spool.partial()
            piece, segment = None, None
            if found is not None:
                segment = found[0]
                name = f"wal/{segment.name(self.facts.segment_bytes)}.partial.{position:016X}"
                try:
                    piece = first.seal(name, _chunks(found[1]))
                except FileNotFoundError:  # it was finished this moment: the next round ships it whole
                    return
        self._state = State(self.facts.timeline, self.facts.segment_bytes, position, at, self.clock(), piece, segment)
        first.note("state.json", self._state.as_json())
        if before is not None and before.partial is not None and before.partial != piece:
            first.delete([before.partial.name])
        self._pending = None

    def _read_state(self) -> State | None:
        if not self._state_read:
            first = self.vaults[0]
            self._state = first.state()
            # Beginnings that a crash left between writing them and naming them.
            current = self._state.partial.name if self._state is not None and self._state.partial is not None else None
            names = [one.name for one in first.listed("wal/") if ".partial." in one.name]
            first.delete([name for name in names if name != current])
            self._state_read = True
        return self._state

    def _copy(self, now: float) -> None:
        if now < self._copy_at:
            return
        self._copy_at = now + max(_COPY_SECONDS, self.options.ship_seconds)
        for copying in self._copying:
            error = copying.go_on()
            if error is not None and self._copy_error is None:
                self.say(f"not copied to {copying.address} yet: {_said(error)}")
            self._copy_error = _said(error) if error is not None else None

    def _fail(self, error: Exception, now: float) -> None:
        self.error = _said(error)
        self._try_at = now + _PAUSES[min(self._tries, len(_PAUSES) - 1)]
        if self._tries in (0, 10):
            self.say(f"WAL cannot be brought away, and waits: {self.error}")
        self._tries += 1


class SystemChanged(Conflict):
    """The address leads to another database cluster now; its WAL is kept apart."""

    code = "system_changed"

    def __init__(self, before: str, now: str) -> None:
        super().__init__(f"The server is another one now: cluster {now} instead of {before}.")


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _said(error: Exception) -> str:
    return error.message if isinstance(error, WeftError) else (getattr(error, "strerror", None) or str(error))
