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
from weft.settings_recovery import WalSettings

if TYPE_CHECKING:
    from weft.db.database import Connection

LATE: Final = 5
"""So many times `WEFT_WAL_SHIP_SECONDS` without news is more than a slow minute."""

STATEMENT: Final = """/* weft:recovery.health */
select (select max(started_at) from weft.backups where verified_at is not null) as proved_at,
       d.at as drill_at, d.ok as drill_ok, d.rpo_seconds, d.rto_seconds,
       (select max(at - make_interval(secs => rpo_seconds)) from weft.recovery_drills where ok) as passed_at,
       s.active as slot_active, s.wal_status = 'lost' as slot_lost,
       (pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end,
                        s.restart_lsn))::bigint as slot_lag,
       a.at as archive_at, a.complete_to as archived_to, a.spool_bytes
  from (select 1) one
  left join lateral (select at, ok, rpo_seconds, rto_seconds from weft.recovery_drills
                      order by at desc, id desc limit 1) d on true
  left join lateral (select active, wal_status, restart_lsn from pg_replication_slots where slot_name = $1) s on true
  left join weft.recovery_archives a on a.slot = $1
"""


@dataclass(frozen=True, slots=True)
class Promise:
    """What an installation promised itself; nothing of it is promised without settings for it."""

    alarm: timedelta | None
    """How old what was proved last may be; None where no backups are configured."""
    slot: str | None
    """The slot that must be in use; None where no WAL is kept."""
    lag_bytes: int
    late: timedelta = timedelta(hours=1)
    """How old the end of what lies on the target may be, where the archiver says so."""

    @staticmethod
    def of(settings: Settings) -> Promise:
        kept, scheduled = settings.wal.archive, settings.backup.schedule is not None
        return Promise(
            timedelta(hours=settings.backup.alarm_hours) if kept or scheduled else None,
            settings.wal.slot if kept else None,
            settings.wal.lag_megabytes * 2**20,
            timedelta(seconds=promised_within(settings.wal)),
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
    archive_at: datetime | None
    archived_to: datetime | None
    spool_bytes: int | None

    @property
    def waiting_bytes(self) -> int | None:
        """WAL that is on no target: in the server, and with whoever took it in."""
        return None if self.slot_lag is None else self.slot_lag + (self.spool_bytes or 0)

    @property
    def newest_proof(self) -> datetime | None:
        return max((at for at in (self.proved_at, self.passed_at) if at is not None), default=None)


def promised_within(options: WalSettings) -> float:
    """Seconds within which WAL is on the target."""
    return LATE * options.ship_seconds + 60


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
        words["wal"] = _wal_word(seen, promise, now)
    return words


def _wal_word(seen: Seen, promise: Promise, now: datetime) -> str:
    if seen.slot_active is None:
        return "missing"
    if seen.slot_lost:
        return "lost"
    if seen.waiting_bytes is not None and seen.waiting_bytes > promise.lag_bytes:
        return "behind"
    if not seen.slot_active:
        return "idle"
    # A slot is content when the WAL was taken in; whether it went on to a target only the archiver knows.
    if seen.archive_at is not None and (seen.archived_to is None or now - seen.archived_to > promise.late):
        return "late"
    return "ok"


def is_well(words: dict[str, Any]) -> bool:
    return all(word == "ok" for word in words.values())
