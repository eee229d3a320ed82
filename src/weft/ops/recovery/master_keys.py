"""Whether the master key that is here opens what was restored. It is in no backup, and no secret is read without it."""

from __future__ import annotations

from typing import Final

from weft.ops.backup.proving import keys_open
from weft.ops.connections import connect
from weft.ops.home import Home
from weft.ops.keys import present_master_key
from weft.ops.postgres import ConnectionFacts
from weft.ops.recovery.proof import superuser_of
from weft.settings import Settings

OPENS: Final = "opens"
NOT_HERE: Final = "not here"
NOT_NEEDED: Final = "not needed"
"""No tenant had stored a secret."""


async def tried(facts: ConnectionFacts, database: str, settings: Settings, restored: str) -> str:
    """One of the words above; the server believes everybody. Raises `MasterKeyDiffers`."""
    connection = await connect(facts.dsn(await superuser_of(facts), None, database), application="weft proof")
    try:
        if not await connection.fetchval("select exists (select from weft.tenant_keys)"):
            return NOT_NEEDED
        if (master_key := present_master_key(settings)) is None:
            return NOT_HERE
        await keys_open(connection, restored, master_key)
        return OPENS
    finally:
        await connection.close()


def advice(settings: Settings) -> str:
    """What to do before the restored installation starts where its master key is not."""
    return (
        "The master key of that installation is not here, and tenants stored secrets. Before you start it, put the key "
        f"at {Home(settings.home).master_key_file}, or set WEFT_MASTER_KEY_FILE: `weft up` would make another, which "
        "opens none of them."
    )
