"""How PostgreSQL counts: positions in the write-ahead log, and the files that hold it."""

from __future__ import annotations

import re
from dataclasses import dataclass

SEGMENT_BYTES = 16 * 1024 * 1024
"""What `initdb` chooses; a server may have been made with another size."""

_NAME = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})\Z")
_HISTORY = re.compile(r"([0-9A-F]{8})\.history\Z")


def lsn(text: str) -> int:
    """A position as the server writes it, `0/2000028`, as a number."""
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One file of the log: its timeline, and how many came before it since the beginning of time."""

    timeline: int
    number: int

    @staticmethod
    def at(timeline: int, position: int, size: int = SEGMENT_BYTES) -> Segment:
        """The segment that holds a position."""
        return Segment(timeline, position // size)

    @staticmethod
    def named(name: str, size: int = SEGMENT_BYTES) -> Segment | None:
        """The segment of a file's name; None for any other file."""
        found = _NAME.match(name)
        if found is None:
            return None
        timeline, high, low = (int(part, 16) for part in found.groups())
        return Segment(timeline, high * _per_high(size) + low)

    def name(self, size: int = SEGMENT_BYTES) -> str:
        high, low = divmod(self.number, _per_high(size))
        return f"{self.timeline:08X}{high:08X}{low:08X}"

    def next(self) -> Segment:
        return Segment(self.timeline, self.number + 1)


def is_history(name: str) -> bool:
    """Whether a file says where a timeline branched off."""
    return _HISTORY.match(name) is not None


def _per_high(size: int) -> int:
    return 0x1_0000_0000 // size
