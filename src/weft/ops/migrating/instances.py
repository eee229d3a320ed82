"""Which processes of weft live. Each says so every now and then; migrations ask before they remove something.

`alive` is for the processes themselves. A heartbeat also looks whether the schema still allows this version: a process
that stood still while a contract revision was applied hears of it here.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import structlog

import weft
from weft.core.errors import Conflict
from weft.core.ids import new_id
from weft.db.database import Database
from weft.db.history import LIVE_SECONDS
from weft.db.hot import AWAY
from weft.ops import preflight, profiles

log = structlog.get_logger("weft.instances")

EVERY: Final = 15.0
"""Seconds between two heartbeats."""

_PATIENCE: Final = 5.0
_BEAT: Final = "/* weft:instances.beat */ select weft.beat($1, $2, $3, $4, $5)"
_LEAVE: Final = "/* weft:instances.leave */ select weft.leave($1)"
_LIST: Final = f"""/* weft:instances.list */
select id, kind, host, version, revision, started_at, seen_at,
       seen_at > clock_timestamp() - interval '{LIVE_SECONDS} seconds' as is_live
  from weft.app_instances order by started_at, id"""

Heard = Callable[[preflight.Finding], None]


@dataclass(frozen=True, slots=True)
class Instance:
    """A process, as its last heartbeat said. One that is not `is_live` was killed, or cannot reach the database."""

    id: UUID
    kind: str
    host: str
    version: str
    revision: str
    started_at: datetime
    seen_at: datetime
    is_live: bool


class InstallationRuns(Conflict):
    code = "installation_runs"

    def __init__(self, live: list[Instance]) -> None:
        listed_ = ", ".join(f"{one.kind} on {one.host}" for one in live[:5])
        super().__init__(
            f"Processes of weft work on this database ({listed_}). Stop them first (`weft up`: Ctrl-C); one that was "
            "killed is forgotten after a minute. Nothing was changed."
        )


async def listed(connection: Any) -> list[Instance]:
    """Every process that was heard of in the last ten minutes. As the application or, under maintenance, the owner."""
    async with connection.transaction():
        await connection.execute("set local app.maintenance = 'on'")
        return [Instance(*row) for row in await connection.fetch(_LIST)]


async def require_stopped(connection: Any) -> None:
    """Raises `InstallationRuns` while a process lives. On a connection of the owner; without a schema nothing does."""
    if await connection.fetchval("select to_regclass('weft.app_instances') is not null"):
        live = [one for one in await listed(connection) if one.is_live]
        if live:
            raise InstallationRuns(live)


@contextlib.asynccontextmanager
async def alive(
    database: Database, kind: str, *, profile: str, forbidden: Heard, every: float = EVERY
) -> AsyncIterator[UUID]:
    """While the block runs this process is known to live. `forbidden` hears when the schema no longer allows it.

    From then on the database is kept as `profile`, if it was not kept as a stricter one.
    """
    identity = (new_id(), kind, socket.gethostname(), weft.__version__, preflight.newest_revision())
    await _beat(database, identity, forbidden)
    async with database.pool.acquire() as connection:
        in_force = await profiles.serve_as(connection, profile)
    if in_force != profile:
        log.warning("profile", configured=profile, in_force=in_force, advice="weft db environments")
    task = asyncio.create_task(_keep(database, identity, forbidden, every))
    try:
        yield identity[0]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        with contextlib.suppress(*AWAY, asyncpg.PostgresError):
            async with asyncio.timeout(_PATIENCE), database.pool.acquire() as connection:
                await connection.execute(_LEAVE, identity[0])


async def _keep(database: Database, identity: tuple[Any, ...], forbidden: Heard, every: float) -> None:
    while True:
        await asyncio.sleep(every * random.uniform(0.9, 1.1))  # noqa: S311  so that processes do not beat in step
        try:
            await _beat(database, identity, forbidden)
        except (*AWAY, asyncpg.PostgresError) as error:
            log.debug("no heartbeat", error=type(error).__name__)


async def _beat(database: Database, identity: tuple[Any, ...], forbidden: Heard) -> None:
    async with database.pool.acquire() as connection:
        await connection.execute(_BEAT, *identity)
        finding = await preflight.schema_finding(connection)
    if finding is not None and not finding.warning:
        forbidden(finding)
