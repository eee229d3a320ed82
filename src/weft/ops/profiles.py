"""What a database is kept as: the strictest profile that ever served or migrated it.

`WEFT_PROFILE` belongs to a shell, and its default is the mildest one. The database remembers, so that a shell without
the variable cannot do to a production database what only development allows. Whatever asks the environment asks for
the profile in force, the stricter of the two. Only
`weft.ops.migrating.lowering` makes it milder again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from weft.ops import environments
from weft.ops.connections import connect

if TYPE_CHECKING:
    import asyncpg

_KEPT = "/* weft:profiles.kept */ select profile, since from weft.installation"
_SERVE_AS = "/* weft:profiles.serve_as */ select weft.serve_as($1)"


@dataclass(frozen=True, slots=True)
class Kept:
    """What the database remembers, and since when."""

    profile: str
    since: datetime


async def kept(dsn: str) -> Kept | None:
    """What the database at this address is kept as, for any login; None before anything served or migrated it.

    Raises `ServerUnreachable`.
    """
    connection = await connect(dsn, application="weft profile")
    try:
        if not await connection.fetchval("select to_regclass('weft.installation') is not null"):
            return None
        async with connection.transaction(readonly=True):
            await connection.execute("set local app.maintenance = 'on'")  # for the owner, who sees no row without
            row = await connection.fetchrow(_KEPT)
        return None if row is None else Kept(*row)
    finally:
        await connection.close()


async def in_force(dsn: str, configured: str) -> str:
    """The stricter of what this process is configured as and what the database is kept as."""
    remembered = await kept(dsn)
    return environments.stricter(configured, None if remembered is None else remembered.profile)


async def keep(dsn: str, configured: str) -> str:
    """Have the database remember this profile unless it remembers a stricter one; hands back the one in force."""
    connection = await connect(dsn, application="weft profile")
    try:
        return await serve_as(connection, configured)
    finally:
        await connection.close()


async def serve_as(connection: asyncpg.Connection, configured: str) -> str:
    """The same on a connection of the application's, or of the owner's."""
    profile: str = await connection.fetchval(_SERVE_AS, configured)
    return profile
