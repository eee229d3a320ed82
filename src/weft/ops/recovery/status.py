"""What the archiver says of itself, in a file of the home: for `weft db wal status`, `weft doctor` and the metrics."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from weft.ops.home import write_private
from weft.ops.processes import is_alive, started_at

FILE = "status.json"


@dataclass(frozen=True, slots=True)
class Status:
    """One look. `state`: receiving, paused (the spool is full), failing, or ended."""

    pid: int
    started: str
    at: datetime
    system: str
    timeline: int
    state: str
    error: str | None
    spool_bytes: int
    lag_bytes: int
    position: int
    complete_to: datetime | None
    base_at: datetime | None
    needs_base: bool

    @property
    def runs(self) -> bool:
        """Whether the process that wrote it still lives."""
        return is_alive(self.pid) and started_at(self.pid) == self.started

    @property
    def waiting_bytes(self) -> int:
        """WAL that is not on a target: in the server, and in the spool."""
        return self.lag_bytes + self.spool_bytes

    def as_json(self) -> dict[str, Any]:
        facts = asdict(self)
        for name in ("at", "complete_to", "base_at"):
            facts[name] = facts[name].isoformat() if facts[name] is not None else None
        return facts


def directory(home: Path) -> Path:
    """Where the archiver keeps its spool, its status and the manifests that increments build on."""
    return home / "wal"


def write(place: Path, status: Status) -> None:
    write_private(place / FILE, json.dumps(status.as_json(), indent=2) + "\n")


def read(place: Path) -> Status | None:
    """The last status; None when there never was one, or it is not ours."""
    try:
        facts = json.loads((place / FILE).read_text())
        for name in ("at", "complete_to", "base_at"):
            facts[name] = datetime.fromisoformat(facts[name]) if facts[name] is not None else None
        return Status(**facts)
    except (OSError, ValueError, KeyError, TypeError):
        return None
