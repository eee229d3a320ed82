"""Could we recover, as the database knows it: what was proved last, and whether the WAL is taken in. One statement.

Imports nothing that makes backups, because the API asks it. An answer is never a reason to send requests elsewhere:
whoever serves today serves as well with an old backup. So it has an address of its own, `/healthz/recovery`, and is
no part of readiness.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from weft.settings import Settings

if TYPE_CHECKING:
    from weft.db.database import Connection

STATEMENT: Final = """/* weft:recovery.health */
select (select max(started_at) from weft.backups where verified_at is not null) as proved_at,
       d.at as drill_at, d.ok as drill_ok, d.rpo_seconds, d.rto_seconds,
       (select max(at) from weft.recovery_drills where ok) as passed_at,
       s.active as slot_active, s.wal_status = 'lost' as slot_lost,
       (pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end,
                        s.restart_lsn))::bigint as slot_lag
  from (select 1) one
  left join lateral (select at, ok, rpo_seconds, rto_seconds from weft.recovery_drills
                      order by at desc, id desc limit 1) d on true
  left join lateral (select active, wal_status, restart_lsn from pg_replication_slots where slot_name = $1) s on true
"""


@dataclass(frozen=True, slots=True)
class Promise:
    """What an installation promised itself; nothing of it is promised without settings for it."""

    alarm: timedelta | None
    """How old what was proved last may be; None where no backups are configured."""
    slot: str | None
    """The slot that must be in use; None where no WAL is kept."""
    lag_bytes: int

    @staticmethod
    def of(settings: Settings) -> Promise:
        kept, scheduled = settings.wal.archive, settings.backup.schedule is not None
        return Promise(
            timedelta(hours=settings.backup.alarm_hours) if kept or scheduled else None,
            settings.wal.slot if kept else None,
            settings.wal.lag_megabytes * 2**20,
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """What the database says. Moments are those of the data that could be restored, not of the proof."""

    proved_at: datetime | None
    drill_at: datetime | None
    drill_ok: bool | None
    rpo_seconds: float | None
    rto_seconds: float | None
    passed_at: datetime | None
    slot_active: bool | None
    slot_lost: bool | None
    slot_lag: int | None

    @property
    def newest_proof(self) -> datetime | None:
        return max((at for at in (self.proved_at, self.passed_at) if at is not None), default=None)


async def look(connection: Connection, slot: str) -> Seen:
    """Ask; any login may."""
    row = await connection.fetchrow(STATEMENT, slot)
    return Seen(**dict(row))


def verdicts(seen: Seen, promise: Promise, now: datetime) -> dict[str, str]:
    """A word for each thing that was promised; `ok`, or what is wrong."""
    words: dict[str, str] = {}
    if promise.alarm is not None:
        newest = seen.newest_proof
        words["proof"] = "never" if newest is None else "ok" if now - newest <= promise.alarm else "late"
        if seen.drill_ok is False:
            words["drill"] = "failed"
    if promise.slot is not None:
        words["wal"] = _slot_word(seen, promise.lag_bytes)
    return words


def _slot_word(seen: Seen, most: int) -> str:
    if seen.slot_active is None:
        return "missing"
    if seen.slot_lost:
        return "lost"
    if seen.slot_lag is not None and seen.slot_lag > most:
        return "behind"
    return "ok" if seen.slot_active else "idle"


def is_well(words: dict[str, Any]) -> bool:
    return all(word == "ok" for word in words.values())
