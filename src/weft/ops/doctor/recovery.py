"""Recovery: is the WAL brought away, and did the last drill pass? Said only where something of it is configured."""

from __future__ import annotations

from datetime import datetime, timedelta

import asyncpg

from weft.core.clock import Clock
from weft.ops.connections import ServerUnreachable, connect
from weft.ops.doctor.answers import Answer, fail, ok, warning
from weft.ops.installation import Addresses
from weft.ops.recovery import health, status
from weft.ops.recovery.health import Promise, Seen
from weft.ops.recovery.status import Status
from weft.settings import Settings

WAL, DRILL = "WAL", "drill"


async def look(addresses: Addresses, settings: Settings, clock: Clock, *, running: bool) -> list[Answer]:
    promise = Promise.of(settings)
    try:
        connection = await connect(addresses.app, application="weft doctor")
        try:
            seen = await health.look(connection, settings.wal.slot)
        finally:
            await connection.close()
    except (ServerUnreachable, asyncpg.PostgresError):
        return []  # said already, by those who ask more of it
    now = clock()
    answers = []
    if promise.slot is not None:
        last = status.read(status.directory(settings.home))
        answers.append(wal(seen, last, promise, now, settings.wal.ship_seconds, running=running))
    elif seen.slot_active is False:
        sentence = f"The slot '{settings.wal.slot}' makes the server keep WAL that nobody takes in: its disk fills."
        answers.append(warning(WAL, sentence, "WEFT_WAL_ARCHIVE=true, or `weft db wal run`; or drop the slot."))
    if promise.slot is not None or seen.drill_at is not None:
        answers.append(drill(seen, now, promise.alarm))
    return answers


def wal(
    seen: Seen, last: Status | None, promise: Promise, now: datetime, ship_seconds: float, *, running: bool
) -> Answer:
    """The archiver's own word where it is here, else what the slot shows."""
    if seen.slot_lost:
        sentence = (
            "The server has thrown away WAL that nobody took in: what came since the last base cannot be reached."
        )
        return fail(WAL, sentence, "Start `weft db wal run`; it makes a new base backup.")
    spooled = last.spool_bytes if last is not None and last.runs else seen.spool_bytes or 0
    waiting = (seen.slot_lag or 0) + spooled
    if waiting > promise.lag_bytes:
        sentence = f"{waiting >> 20} MB of WAL wait to be brought away."
        return fail(WAL, sentence, "See what holds it up: weft db wal status")
    if not seen.slot_active:
        if not running:
            return warning(
                WAL, "Nobody takes in the WAL; nothing runs here.", "`weft up` does it with WEFT_WAL_ARCHIVE."
            )
        return fail(WAL, "Nobody takes in the WAL, and the server keeps it.", "Start it: weft db wal run")
    if last is None or not last.runs:
        return _elsewhere(seen, promise, now, waiting)
    if last.needs_base:
        return fail(WAL, "WAL is missing since the last base backup.", "Make a new one: weft db wal base")
    if last.complete_to is None or now - last.complete_to > timedelta(seconds=health.LATE * ship_seconds + 30):
        return fail(WAL, last.error or "Nothing was brought away for too long.", "See: weft db wal status")
    return ok(WAL, f"Brought away up to {(now - last.complete_to).total_seconds():.0f} s ago; {waiting >> 20} MB wait.")


def _elsewhere(seen: Seen, promise: Promise, now: datetime, waiting: int) -> Answer:
    """The archiver is on another machine: what it wrote into the database, if it may write there."""
    if seen.archive_at is None:
        return ok(WAL, f"It is taken in, by another machine; {waiting >> 20} MB wait.")
    if seen.archived_to is None or now - seen.archived_to > promise.late:
        return fail(WAL, "The archiver on another machine has brought nothing away for too long.", "See its log there.")
    age = (now - seen.archived_to).total_seconds()
    return ok(WAL, f"Brought away up to {age:.0f} s ago, by another machine; {waiting >> 20} MB wait.")


def drill(seen: Seen, now: datetime, alarm: timedelta | None) -> Answer:
    if seen.drill_at is None:
        return warning(DRILL, "No recovery was ever practised.", "Practise one: weft db drill")
    age = now - seen.drill_at
    measured = f"{age.days} days ago" if age.days else f"{int(age.total_seconds() // 3600)} h ago"
    if not seen.drill_ok:
        return fail(DRILL, f"The last drill, {measured}, failed.", "Its reasons: weft db drill, once more")
    said = f"The last, {measured}, would have lost {seen.rpo_seconds or 0:.0f} s and took {seen.rto_seconds:.0f} s."
    if alarm is not None and seen.newest_proof is not None and now - seen.newest_proof > alarm:
        return fail(DRILL, f"{said} That is too long ago.", "Practise again: weft db drill, by a timer")
    return ok(DRILL, said)
