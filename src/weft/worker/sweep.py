"""The chore that counts places again. Saves keep them right; this mends what a fault of ours might leave behind."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import asyncpg
import structlog

from weft.core.actor import system_actor
from weft.db.database import Database
from weft.db.hot import AWAY, transaction

log = structlog.get_logger("weft.worker")

INTERVAL = timedelta(minutes=10)

TENANTS = "/* weft:sweep.tenants */ select t from weft.tenants_with_places() t"
SWEEP = "/* weft:sweep.places */ select weft.sweep_places($1)"


async def sweep(database: Database) -> int:
    """Free places that nobody has any more and give them to whoever waits, tenant by tenant; how many were wrong."""
    async with database.pool.acquire() as connection:
        tenants = [row[0] for row in await connection.fetch(TENANTS)]
    wrong = 0
    for tenant_id in tenants:
        async with transaction(database, system_actor(tenant_id)) as connection:
            wrong += await connection.fetchval(SWEEP, tenant_id)
    if wrong:
        log.warning("freed places of executions that are over", places=wrong)
    return wrong


async def keep_places(database: Database) -> None:
    while True:
        await asyncio.sleep(INTERVAL.total_seconds())
        try:
            await sweep(database)
        except (asyncpg.PostgresError, *AWAY) as error:
            log.warning("places not counted", error=type(error).__name__)
