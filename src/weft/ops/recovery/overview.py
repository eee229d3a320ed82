"""How the archive does, as far as it can be seen from here: the archiver, the slot, the target, the reachable time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from weft.core.clock import Clock, utc_now
from weft.core.errors import WeftError
from weft.ops.recovery import finding, plan, status
from weft.ops.recovery.errors import NoBases, shown
from weft.ops.recovery.source import Slot, source_of
from weft.ops.recovery.status import Status
from weft.settings import Settings


@dataclass(frozen=True, slots=True)
class Overview:
    """What `weft db wal status` shows. What could not be asked is None, and `troubles` says why."""

    archiver: Status | None
    runs: bool
    slot: Slot | None
    windows: list[tuple[datetime, datetime]]
    bases: int | None
    behind_seconds: float | None
    troubles: list[str]

    def as_json(self) -> dict[str, Any]:
        return {
            "runs": self.runs,
            "archiver": self.archiver.as_json() if self.archiver is not None else None,
            "slot": {
                "active": self.slot.active, "lost": self.slot.lost, "lag_bytes": self.slot.lag_bytes
            } if self.slot is not None else None,
            "windows": [{"from": first.isoformat(), "to": last.isoformat()} for first, last in self.windows],
            "bases": self.bases,
            "behind_seconds": self.behind_seconds,
            "troubles": self.troubles,
        }  # fmt: skip

    def as_text(self) -> str:
        last = self.archiver
        if last is None and self.slot is None:
            lines = ["The WAL is not kept here. `weft db wal start` begins it."]
        elif last is None:
            lines = [f"{'archiver':<10} has not run here"]
        else:
            lines = [f"{'archiver':<10} {last.state if self.runs else 'does not run'}, process {last.pid}"]
            lines.append(f"{'waiting':<10} {last.spool_bytes >> 20} MB here, {last.lag_bytes >> 20} MB in the server")
        if self.slot is not None:
            held = "lost: WAL is missing" if self.slot.lost else "in use" if self.slot.active else "not in use"
            lines.append(f"{'slot':<10} {held}; the server keeps {self.slot.lag_bytes >> 20} MB for it")
        if self.behind_seconds is not None:
            lines.append(f"{'behind':<10} {self.behind_seconds:.0f} s would be lost with this machine now")
        for first, until in self.windows:
            lines.append(f"{'reachable':<10} {shown(first)} to {shown(until)}")
        if self.bases is None:
            lines.append(f"{'reachable':<10} not known: the place of backups could not be read")
        elif not self.bases:
            lines.append(f"{'reachable':<10} nothing: there is no base backup. Make one: weft db wal base")
        return "\n".join([*lines, *(f"{'trouble':<10} {text}" for text in self.troubles)])


def look(settings: Settings, *, clock: Clock = utc_now) -> Overview:
    """Ask whoever answers; nothing is started, nothing raised."""
    last = status.read(status.directory(settings.home))
    runs = last is not None and last.runs and last.state != "ended"
    troubles = [last.error] if last is not None and last.error and runs else []
    if last is not None and last.needs_base:
        troubles.append("WAL is missing since the last base backup: a new one is needed (weft db wal base)")
    slot: Slot | None = None
    try:
        slot = source_of(settings).slot(settings.wal.slot)
    except WeftError as error:
        troubles.append(error.message)
    if slot is not None and not slot.active and not runs:
        troubles.append(
            "Nobody takes the WAL in, and the server keeps it: WEFT_WAL_ARCHIVE=true lets `weft up` do it, "
            "or let a service run `weft db wal run`"
        )
    windows: list[tuple[datetime, datetime]] = []
    count: int | None = None
    behind: float | None = None
    try:
        vault = finding.to_look(settings, say=troubles.append)
        unread: list[str] = []
        bases = vault.bases(unread)
        troubles += unread
        count = len(bases) if bases or not unread else None
        if bases:
            windows = plan.windows(bases, vault.archived(bases[-1].segment_bytes, troubles))
        if (state := vault.state([])) is not None:
            behind = max(0.0, (clock() - state.complete_to).total_seconds())
    except NoBases as error:
        count = 0
        troubles.append(error.message)
    except WeftError as error:
        troubles.append(error.message)
    return Overview(last, runs, slot, windows, count, behind, troubles)
