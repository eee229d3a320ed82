"""Where an attempt stands in an execution, in words that two executions have in common.

Visits are numbered as they happen to begin, so the same step of the same item may have another number in another
version. A `Position` says it by the definition: which step, in which items of which for-eaches, for the how-manieth
time. Pure.
"""

from __future__ import annotations

from typing import NamedTuple

Around = tuple[tuple[str, int, int], ...]
"""The for-eaches around it, outermost first: path, how-manieth visit, index of the item."""


class Position(NamedTuple):
    path: str
    around: Around
    nth: int


class Positions:
    """Learns visits in the order in which they begin."""

    def __init__(self) -> None:
        self._of: dict[int, Position] = {}
        self._counts: dict[tuple[str, str], int] = {}

    def add(self, visit: int, path: str, frame: str) -> None:
        """A visit has begun; saying it again (another attempt) changes nothing."""
        if visit in self._of:
            return
        nth = self._counts.get((path, frame), 0)
        self._counts[path, frame] = nth + 1
        self._of[visit] = Position(path, self._around(frame), nth)

    def _around(self, frame: str) -> Around:
        if not frame:
            return ()
        owner, _, index = frame.partition(".")
        position = self._of.get(int(owner))
        if position is None:  # a for-each that nobody has told of: still the same for the same frame
            return (("", int(owner), int(index)),)
        return (*position.around, (position.path, position.nth, int(index)))

    def of(self, visit: int) -> Position:
        return self._of[visit]
