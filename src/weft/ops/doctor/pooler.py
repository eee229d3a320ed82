"""Pools and a pooler: do all processes together fit into the server, and does weft know what stands between?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import asyncpg

from weft.ops.connections import ServerUnreachable, connect, driver_dsn, with_database
from weft.ops.doctor.answers import Answer, ok, refused, warning
from weft.ops.scale import pools
from weft.settings_scale import ScaledDatabaseSettings

if TYPE_CHECKING:
    from weft.db.database import Connection

CONSOLE: Final = "pgbouncer"
"""The database that PgBouncer answers for by itself. To a role that may not look at it, it says so."""

REFUSED_BY_POOLER: Final = "08P01"
_SECONDS: Final = 5.0


async def look(database: ScaledDatabaseSettings, direct: str) -> list[Answer]:
    """`direct` is an address of the server itself."""
    answers = []
    told = database.pooler == "transaction"
    if database.url is not None and (found := await pooler(database.url, told=told)) is not None:
        answers.append(found)
    try:
        connection = await connect(direct, application="weft doctor")
    except ServerUnreachable as error:
        return [*answers, refused("pools", error)]
    try:
        answers.append(await fit(connection, database))
    finally:
        await connection.close()
    return answers


async def pooler(dsn: str, *, told: bool) -> Answer | None:
    """What stands before the server; None: nothing that we know, and nothing that we were told of."""
    found = await _is_bouncer(dsn)
    if found and not told:
        return warning(
            "pooler",
            "WEFT_DATABASE_URL leads to a PgBouncer, and weft was not told of it.",
            "If it pools transactions, set WEFT_DATABASE_POOLER=transaction and WEFT_DATABASE_LISTEN_URL.",
        )
    if told:
        kind = "A PgBouncer" if found else "A pooler that is no PgBouncer"
        return ok("pooler", f"{kind} stands before the server, and weft keeps nothing in its sessions.")
    return None


async def fit(connection: Connection, database: ScaledDatabaseSettings) -> Answer:
    """Whether every process could fill its pools at the same time."""
    running = await connection.fetchrow(pools.PROCESSES)
    allowed = await connection.fetchval(pools.SERVER)
    demand = pools.demand(database, api=running["api"], workers=running["workers"], allowed=allowed)
    if demand.fits:
        return ok("pools", demand.sentence())
    return warning(
        "pools",
        demand.sentence(),
        "Lower WEFT_DATABASE_POOL_SIZE or WEFT_DATABASE_HOT_POOL_SIZE, raise max_connections, or put a pooler between.",
    )


async def _is_bouncer(dsn: str) -> bool:
    try:
        connection = await asyncpg.connect(
            driver_dsn(with_database(dsn, CONSOLE)), timeout=_SECONDS, statement_cache_size=0
        )
    except asyncpg.PostgresError as error:
        return bool(error.sqlstate == REFUSED_BY_POOLER)
    except (OSError, TimeoutError, ValueError, asyncpg.InterfaceError):
        return False
    connection.terminate()
    return True
