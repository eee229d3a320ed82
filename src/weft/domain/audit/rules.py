"""How an entry of the audit log is named outside: by its time and its id, so that one partition is looked at. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def name_of(at: datetime, entry_id: UUID) -> str:
    """`<microseconds since 1970>-<id>`."""
    return f"{(at - _EPOCH) // _MICROSECOND}-{entry_id}"


def place_of(name: str) -> tuple[datetime, UUID] | None:
    """The time and id behind a name; None for anything that is none."""
    microseconds, _, entry_id = name.partition("-")
    if not (microseconds.isascii() and microseconds.isdigit() and len(microseconds) <= 16):
        return None
    try:
        return _EPOCH + timedelta(microseconds=int(microseconds)), UUID(entry_id)
    except ValueError:
        return None
