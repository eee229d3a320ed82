"""Is the live schema the one that the migrations make? Compared with a throw-away server migrated just now."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import asyncpg

from weft.db import fingerprint, migrate
from weft.db.fingerprint import Difference, Fingerprint
from weft.ops.postgres import ephemeral_cluster
from weft.ops.roles import OWNER, bootstrap

DATABASE = "weft_expected"


def differences(dsn: str) -> list[Difference]:
    """What is not as this version's migrations would have made it, up to the revision that the database is at.

    Blocking; starts and stops a server of its own in a temporary directory (about two seconds).
    """
    found, revision = asyncio.run(_live(dsn))
    with tempfile.TemporaryDirectory(prefix="weft-check-") as directory, ephemeral_cluster(Path(directory)) as facts:
        expected = asyncio.run(_expected(facts.superuser_dsn, facts.dsn(OWNER, None, DATABASE), revision or "head"))
    return fingerprint.compare(expected, found)


async def _live(dsn: str) -> tuple[Fingerprint, str | None]:
    connection = await asyncpg.connect(dsn)
    try:
        found = await fingerprint.take(connection)
    finally:
        await connection.close()
    return found, await migrate.current(dsn)


async def _expected(admin_dsn: str, owner_dsn: str, revision: str) -> Fingerprint:
    await bootstrap(admin_dsn, DATABASE)
    await migrate.upgrade(owner_dsn, revision)
    connection = await asyncpg.connect(owner_dsn)
    try:
        return await fingerprint.take(connection)
    finally:
        await connection.close()
