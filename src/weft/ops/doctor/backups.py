"""Backups: when one was made, and whether a restore ever proved it. The database is asked, which the places told."""

from __future__ import annotations

from datetime import datetime, timedelta

import asyncpg

from weft.core.clock import Clock
from weft.ops.backup import health
from weft.ops.connections import ServerUnreachable, connect
from weft.ops.doctor.answers import Answer, fail, ok, refused, warning
from weft.ops.installation import Addresses
from weft.settings import Settings

TOPIC = "backups"
_PROVE = "Prove it: weft db verify"


async def look(addresses: Addresses, settings: Settings, clock: Clock) -> Answer:
    try:
        connection = await connect(addresses.app, application="weft doctor")
    except ServerUnreachable as error:
        return refused(TOPIC, error)
    try:
        made_at, verified_from = await health.newest(connection, clock())
    except asyncpg.PostgresError as error:
        return fail(TOPIC, f"The database did not answer this: {error}.", "`weft db check` says what differs.")
    finally:
        await connection.close()
    scheduled, alarm = settings.backup.schedule is not None, timedelta(hours=settings.backup.alarm_hours)
    return answer(made_at, verified_from, clock(), alarm, scheduled=scheduled)


def answer(
    made_at: datetime | None, verified_from: datetime | None, now: datetime, alarm: timedelta, *, scheduled: bool
) -> Answer:
    """A schedule is a promise: broken, it fails. Without one an old backup is a warning."""
    bad = fail if scheduled else warning
    if made_at is None:
        return bad(TOPIC, "None was ever made.", "Make one: weft db backup. By itself: set WEFT_BACKUP_SCHEDULE.")
    is_ahead = made_at > now + health.AHEAD
    made = f"The newest is {_age(now - made_at)} old"
    if is_ahead:
        made = f"One says that it was made on {made_at:%Y-%m-%d at %H:%M} UTC, so a clock was wrong"
    if verified_from is None:
        return bad(TOPIC, f"{made}; no restore ever proved one.", _PROVE)
    proved = f"{made}; the newest that a restore proved is {_age(now - verified_from)} old."
    if now - verified_from > alarm:
        return bad(TOPIC, proved, _PROVE if made_at > verified_from else "Make another: weft db backup --verify")
    if is_ahead:
        return warning(TOPIC, proved, "Set the clock; then remove that backup from its place (weft db backups).")
    return ok(TOPIC, proved)


def _age(span: timedelta) -> str:
    hours = int(max(0.0, span.total_seconds()) // 3600)
    if hours < 1:
        return "less than an hour"
    return f"{hours} h" if hours < 48 else f"{hours // 24} days"
