"""Jobs that were in hand whenever a worker died. One of them did it; the others only stood beside it.

A suspect is tried once more by a worker that has nothing else in hand. If that worker dies too, the job did it and is
given up; an innocent one just ends. A busy worker empties its hands for it, but not for ever.
"""

from __future__ import annotations

from datetime import datetime, timedelta

PATIENCE = timedelta(seconds=2)
"""So long a worker goes on as before; another one may have empty hands."""

EMPTYING = timedelta(seconds=30)
"""So long at most it claims nothing to get empty hands, and then goes on for as long again."""

ALONE = timedelta(seconds=10)
"""Whatever has run so long beside nothing did not take its worker down: others may join it."""


class Suspects:
    """What a worker knows of them, and what it does about it. Times are handed in."""

    def __init__(self) -> None:
        self._since: datetime | None = None
        self._tried: datetime | None = None

    def seen(self, exist: bool, now: datetime) -> None:
        """The queue was looked at."""
        if not exist:
            self._since = None
        elif self._since is None:
            self._since = now

    def may_try(self, holding: int) -> bool:
        """Whether to claim one now."""
        return self._since is not None and holding == 0

    def tries(self, now: datetime) -> None:
        self._tried = now

    def over(self) -> None:
        """What was tried alone has ended, and the worker still lives."""
        self._tried = None

    def holds_back(self, now: datetime) -> bool:
        """Whether to claim nothing else now: one is being tried, or the hands must get empty for it."""
        if self._tried is not None:
            return now - self._tried < ALONE
        if self._since is None:
            return False
        waited = now - self._since - PATIENCE
        return waited >= timedelta() and (waited // EMPTYING) % 2 == 0
