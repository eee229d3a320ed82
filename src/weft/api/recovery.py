"""Whether we could recover, for monitors: an address of its own that turns red, and numbers for Prometheus.

No load balancer asks it. Old backups are no reason to send requests elsewhere, but every reason to wake somebody.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Final

import asyncpg
from prometheus_client import CollectorRegistry, Gauge
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from weft.api.plain import PlainRoute
from weft.core.clock import utc_now
from weft.db.database import Database
from weft.http.state import services_of
from weft.ops.recovery import health
from weft.ops.recovery.health import Promise, Seen

PATH: Final = "/healthz/recovery"
_PATIENCE: Final = 2.0
NOTHING: Final = Promise(None, None, 0)


def routes(promise: Promise) -> list[PlainRoute]:
    async def recovery(request: Request) -> Response:
        """Words only: nothing that an attacker lacks."""
        if promise.alarm is None and promise.slot is None:
            return JSONResponse({"status": "unconfigured", "checks": {}})
        seen = await _look(services_of(request).database, promise)
        if seen is None:
            return JSONResponse({"status": "unknown", "checks": {"database": "silent"}}, 503)
        words = health.verdicts(seen, promise, utc_now())
        well = health.is_well(words)
        return JSONResponse({"status": "ok" if well else "alarm", "checks": words}, 200 if well else 503)

    return [PlainRoute(PATH, recovery, name="healthz_recovery")]


class RecoveryMetrics:
    """Read at each scrape, and only where something was promised."""

    def __init__(self, registry: CollectorRegistry, promise: Promise) -> None:
        self._promise = promise
        self._gauges = {
            name: Gauge(name, sentence, registry=registry)
            for name, sentence in _GAUGES.items()
            if promise.slot is not None or not name.startswith("weft_wal_")
        }

    async def read(self, database: Database, now: datetime) -> None:
        seen = await _look(database, self._promise)
        well = seen is not None and health.is_well(health.verdicts(seen, self._promise, now))
        self._set("weft_recovery_well", 1.0 if well else 0.0)
        if seen is None:
            return
        if self._promise.alarm is not None:
            self._set("weft_recovery_proof_limit_seconds", self._promise.alarm.total_seconds())
        if seen.newest_proof is not None:
            self._set("weft_recovery_proof_age_seconds", (now - seen.newest_proof).total_seconds())
        if seen.drill_at is not None:
            self._set("weft_recovery_drill_age_seconds", (now - seen.drill_at).total_seconds())
            self._set("weft_recovery_drill_passed", 1.0 if seen.drill_ok else 0.0)
            if seen.rpo_seconds is not None:
                self._set("weft_recovery_rpo_seconds", seen.rpo_seconds)
            self._set("weft_recovery_rto_seconds", seen.rto_seconds or 0.0)
        self._set("weft_wal_slot_active", 1.0 if seen.slot_active else 0.0)
        if seen.slot_lag is not None:
            self._set("weft_wal_slot_lag_bytes", seen.slot_lag)
            self._set("weft_wal_waiting_bytes", seen.waiting_bytes or 0)
        if seen.archived_to is not None:
            self._set("weft_wal_archive_age_seconds", (now - seen.archived_to).total_seconds())

    def _set(self, name: str, value: float) -> None:
        if (gauge := self._gauges.get(name)) is not None:
            gauge.set(value)


_GAUGES: Final = {
    "weft_recovery_well": "1 if everything that was promised about recovery holds, else 0.",
    "weft_recovery_proof_age_seconds": "Age of the newest data that a restore or a drill proved.",
    "weft_recovery_proof_limit_seconds": "How old it may be.",
    "weft_recovery_drill_age_seconds": "How long ago the last drill was.",
    "weft_recovery_drill_passed": "1 if the last drill passed, else 0.",
    "weft_recovery_rpo_seconds": "What the last drill would have lost.",
    "weft_recovery_rto_seconds": "How long the last drill took to be back.",
    "weft_wal_slot_active": "1 if somebody takes in the WAL, else 0.",
    "weft_wal_slot_lag_bytes": "WAL that the server keeps because it is not taken in yet.",
    "weft_wal_waiting_bytes": "WAL that is on no target yet: in the server, and with the archiver.",
    "weft_wal_archive_age_seconds": "How old the end of what lies on the target is, as the archiver last said.",
}


async def _look(database: Database, promise: Promise) -> Seen | None:
    try:
        async with asyncio.timeout(_PATIENCE), database.pool.acquire() as connection:
            return await health.look(connection, promise.slot or "")
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return None
