"""Is this process alive, and may it be sent requests? Unauthenticated, and saying nothing that an attacker lacks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import asyncpg
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from weft.api.plain import PlainRoute
from weft.core.clock import utc_now
from weft.db.database import Database
from weft.http.state import services_of
from weft.ops.backup import health as backups
from weft.ops.preflight import Finding, schema_finding
from weft.ops.recovery.health import Promise

Heartbeat = Callable[[Database], Awaitable[float | None]]
"""Seconds since any worker was last heard of; None if none ever was."""

_PATIENCE: Final = 2.0
"""Seconds that the database has for its answer."""
WORKERS: Final = """/* weft:health.workers */
select extract(epoch from clock_timestamp() - greatest(
         max(state_change) filter (where application_name = 'weft worker'),
         case when bool_or(listens) then (select max(seen_at) from weft.app_instances where kind = 'worker') end
       ))::float
  from (select state_change, application_name, application_name = 'weft worker listen' as listens
          from pg_stat_activity where datname = current_database()) a
"""
"""Behind a pooler a connection bears the name of whoever used it last. The one for notifications is the worker's own
there, and is silent: what the worker wrote of itself says when it lived."""
LATE: Final = 60.0
"""Seconds without a heartbeat after which `/readyz` says that no worker runs. Requests are answered all the same."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """What `/readyz` compares with."""

    schema: str | None = None
    """The revision this code needs; None skips the check."""
    heartbeat: Heartbeat | None = None
    backup_alarm: timedelta | None = None
    """How old the newest proved backup may be; None skips the check. An old one does not stop requests."""
    promise: Promise | None = None
    """What `/healthz/recovery` compares with; it is no part of being ready."""


def routes(readiness: Readiness) -> list[PlainRoute]:
    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(request: Request) -> Response:
        checks, detail = await _checks(services_of(request).database, readiness)
        ready = checks["database"] == "ok" and checks.get("schema", "ok") in ("ok", "ahead")
        said = {"status": "ready" if ready else "unready", "checks": checks} | ({"detail": detail} if detail else {})
        return JSONResponse(said, 200 if ready else 503)

    return [PlainRoute("/healthz", healthz, name="healthz"), PlainRoute("/readyz", readyz, name="readyz")]


async def _checks(database: Database, readiness: Readiness) -> tuple[dict[str, Any], str | None]:
    """What was looked at, and a sentence when the schema is not what this process needs."""
    checks: dict[str, Any] = {}
    finding: Finding | None = None
    try:
        async with asyncio.timeout(_PATIENCE), database.pool.acquire() as connection:
            revision = await connection.fetchval("select version_num from weft.alembic_version")
            if readiness.schema is not None and revision != readiness.schema:
                finding = await schema_finding(connection, needed=readiness.schema)
        checks["database"] = "ok"
    except asyncpg.UndefinedTableError:
        return {"database": "ok", "schema": "missing"}, None
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return {"database": "silent"}, None
    if readiness.schema is not None:
        checks["schema"] = "ok" if finding is None else "ahead" if finding.warning else "differs"
    if readiness.heartbeat is not None:
        checks["worker"] = await _worker(database, readiness.heartbeat)
    if readiness.backup_alarm is not None:
        checks["backup"] = await _backup(database, readiness.backup_alarm)
    return checks, None if finding is None else finding.sentence


async def worker_heartbeat(database: Database) -> float | None:
    """Seconds since a connected worker last spoke to the database; None when none is connected.

    Workers poll, so one that lives is never silent for long. The server shows a login its own sessions.
    """
    async with database.pool.acquire() as connection:
        age: float | None = await connection.fetchval(WORKERS)
        return age


async def _backup(database: Database, alarm: timedelta) -> str:
    """`ok`, `late`, `none`, or `unknown`."""
    now = utc_now()
    try:
        async with asyncio.timeout(_PATIENCE), database.pool.acquire() as connection:
            _, verified_from = await backups.newest(connection, now)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return "unknown"
    return backups.verdict(verified_from, now, alarm)


async def _worker(database: Database, heartbeat: Heartbeat) -> str:
    try:
        async with asyncio.timeout(_PATIENCE):
            age = await heartbeat(database)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return "unknown"
    if age is None:
        return "absent"
    return "ok" if age <= LATE else "late"
