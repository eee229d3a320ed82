"""How old what we could restore is: one statement, for whoever only looks. Imports nothing that makes backups."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from weft.db.database import Connection

NEWEST: Final = """/* weft:backup.newest */
select max(started_at) as made_at, max(started_at) filter (where verified_at is not null) as verified_from
  from weft.backups where kind = 'logical'
"""


async def newest(connection: Connection) -> tuple[datetime | None, datetime | None]:
    """When the newest backup was made, and the newest one that a restore proved. Any login may ask.

    The second is the time of the backup, not of its verification: a year-old backup verified today is a year old.
    """
    row = await connection.fetchrow(NEWEST)
    return row["made_at"], row["verified_from"]


def verdict(verified_from: datetime | None, now: datetime, alarm: timedelta) -> str:
    """One word for a health check: `ok`, `late`, or `none` where no backup was ever proved."""
    if verified_from is None:
        return "none"
    return "ok" if now - verified_from <= alarm else "late"
