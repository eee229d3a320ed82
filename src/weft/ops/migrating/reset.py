"""Beginning again, in development: everything goes, then migrations and seed."""

from __future__ import annotations

from dataclasses import dataclass

from weft.core.errors import Conflict
from weft.db import migrate
from weft.ops import keys, seed
from weft.ops.connections import connect
from weft.ops.installation import Addresses
from weft.ops.migrating.instances import Instance, listed
from weft.ops.migrating.run import directories_of, options_of
from weft.ops.seed import SeedReport
from weft.settings import Settings


class InstallationRuns(Conflict):
    code = "installation_runs"

    def __init__(self, live: list[Instance]) -> None:
        listed_ = ", ".join(f"{one.kind} on {one.host}" for one in live[:5])
        super().__init__(
            f"Processes of weft work on this database ({listed_}). Stop them first (`weft up`: Ctrl-C); one that was "
            "killed is forgotten after a minute. Nothing was changed."
        )


@dataclass(frozen=True, slots=True)
class ResetReport:
    revision: str | None
    seeded: SeedReport


async def reset(settings: Settings, addresses: Addresses) -> ResetReport:
    """Drop the schema with everything in it, migrate and seed. The caller has asked the environment, and the user."""
    owner = addresses.require_owner()
    connection = await connect(owner, application="weft db reset")
    try:
        if await connection.fetchval("select to_regclass('weft.app_instances') is not null"):
            live = [one for one in await listed(connection) if one.is_live]
            if live:
                raise InstallationRuns(live)
        await connection.execute("set lock_timeout = '5s'")
        await connection.execute("drop schema if exists weft cascade")
    finally:
        await connection.close()
    await migrate.upgrade(owner, directories=directories_of(settings), options=options_of(settings))
    seeded = await seed.run(addresses.app, settings.profile, master_key=keys.master_key(settings))
    return ResetReport(await migrate.current(owner), seeded)
