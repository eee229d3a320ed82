"""Beginning again, in development: everything goes, then migrations and seed."""

from __future__ import annotations

from dataclasses import dataclass

from weft.db import migrate
from weft.ops import keys, seed
from weft.ops.connections import connect
from weft.ops.installation import Addresses
from weft.ops.migrating.instances import refuse_while_running
from weft.ops.migrating.run import directories_of, options_of
from weft.ops.seed import SeedReport
from weft.settings import Settings


@dataclass(frozen=True, slots=True)
class ResetReport:
    revision: str | None
    seeded: SeedReport


async def reset(settings: Settings, addresses: Addresses) -> ResetReport:
    """Drop the schema with everything in it, migrate and seed. The caller has asked the environment, and the user."""
    owner = addresses.require_owner()
    connection = await connect(owner, application="weft db reset")
    try:
        await refuse_while_running(connection)
        await connection.execute("set lock_timeout = '5s'")
        await connection.execute("drop schema if exists weft cascade")
    finally:
        await connection.close()
    await migrate.upgrade(owner, directories=directories_of(settings), options=options_of(settings))
    seeded = await seed.run(addresses.app, settings.profile, master_key=keys.master_key(settings))
    return ResetReport(await migrate.current(owner), seeded)
