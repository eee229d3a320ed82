"""What is wrong with a schedule, and in which field."""

from __future__ import annotations


class ScheduleUnclear(ValueError):
    """The schedule cannot be understood, or is never due. `field` is where; the message says how to mend it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


class SearchStopped(Exception):
    """One search has looked at as much as it may. What it found is right, and there may be more."""
