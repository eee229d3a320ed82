"""How old what we could restore is: one statement, for whoever only looks. Imports nothing that makes backups."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from weft.db.database import Connection

NEWEST: Final = """/* weft:backup.newest */
select max(started_at) as made_at,
       max(started_at) filter (where verified_at is not null and started_at <= $1) as verified_from
  from weft.backups where kind = 'logical'
"""
AHEAD: Final = timedelta(minutes=5)
"""How far clocks may be apart. What says that it was made later was made under a clock that was wrong: it must not look
like the newest for years."""


async def newest(connection: Connection, now: datetime) -> tuple[datetime | None, datetime | None]:
    """When the newest backup was made, as it says itself, and the newest one that a restore proved. Any login may ask.

    The second is the time of the backup, not of its verification: a year-old backup verified today is a year old. One
    of the future proves nothing.
    """
    row = await connection.fetchrow(NEWEST, now + AHEAD)
    return row["made_at"], row["verified_from"]


def verdict(verified_from: datetime | None, now: datetime, alarm: timedelta) -> str:
    """One word for a health check: `ok`, `late`, or `none` where no backup was ever proved."""
    if verified_from is None:
        return "none"
    return "ok" if -AHEAD <= now - verified_from <= alarm else "late"
