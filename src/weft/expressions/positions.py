"""Where something stands in the text a person wrote.

The engine counts UTF-8 bytes in the text it was given, which is not always the text that was written: an
expression loses its braces, and checks are inserted before and after `*`. `Origin` counts back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Origin:
    """`run` is what the engine sees; it came from `written[offset:]` with `insertions` (position, length) added.

    Positions are characters of the text before any insertion, relative to `offset`, ascending.
    """

    written: str
    offset: int = 0
    insertions: tuple[tuple[int, int], ...] = ()

    def place(self, start: int | None, end: int | None) -> dict[str, Any]:
        """Engine positions (characters of `run`) as lines and columns of the written text."""
        if start is None or end is None:
            return {}
        return where(self.written, self.offset + self._back(start), self.offset + self._back(end))

    def _back(self, position: int) -> int:
        added = 0
        for at, length in self.insertions:
            if at + added >= position:
                break
            added += min(length, position - at - added)
        return position - added


def where(text: str, start: int, end: int) -> dict[str, Any]:
    """Line and column from 1, and character offsets from 0, of `text[start:end]`."""
    start = max(0, min(start, len(text)))
    end = max(start, min(end, len(text)))
    return {
        "line": text.count("\n", 0, start) + 1,
        "column": start - (text.rfind("\n", 0, start) + 1) + 1,
        "end_line": text.count("\n", 0, end) + 1,
        "end_column": end - (text.rfind("\n", 0, end) + 1) + 1,
        "start": start,
        "end": end,
    }


def insert(text: str, positions: tuple[int, ...], addition: str) -> str:
    """`text` with `addition` put in at each of the ascending positions."""
    pieces: list[str] = []
    last = 0
    for position in positions:
        pieces += (text[last:position], addition)
        last = position
    return "".join((*pieces, text[last:]))
