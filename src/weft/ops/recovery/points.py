"""Moments with a name, and single files of the log for recoveries that somebody else runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from datetime import datetime
from pathlib import Path

from weft.core.errors import Forbidden
from weft.ops.backup.errors import ArtefactMissing
from weft.ops.connections import connect
from weft.ops.installation import reach
from weft.ops.recovery.errors import MomentInvalid
from weft.ops.recovery.restoring import Moment
from weft.ops.recovery.segments import Segment, is_history
from weft.ops.recovery.vault import Piece, Vault
from weft.settings import Settings


class PointRefused(Forbidden):
    code = "restore_point_refused"

    def __init__(self, role: str) -> None:
        super().__init__(
            f"'{role}' may not make restore points. Let a superuser run: "
            f'`grant execute on function pg_create_restore_point(text) to "{role}"`.'
        )


def mark(settings: Settings, name: str) -> tuple[str, datetime]:
    """Make a restore point now; its position and its time. Raises `MomentInvalid` or `PointRefused`."""
    if Moment.of(name).point is None:
        raise MomentInvalid(name)
    with reach(settings) as addresses:
        dsn = settings.database.replication_url or addresses.admin or addresses.require_owner()
        return asyncio.run(_mark(dsn, name))


async def _mark(dsn: str, name: str) -> tuple[str, datetime]:
    import asyncpg

    connection = await connect(dsn, application="weft wal")
    try:
        row = await connection.fetchrow("select pg_create_restore_point($1)::text, clock_timestamp()", name)
    except asyncpg.InsufficientPrivilegeError:
        raise PointRefused(await connection.fetchval("select current_user")) from None
    finally:
        await connection.close()
    return row[0], row[1]


def fetch(vault: Vault, name: str, path: Path) -> bool:
    """Write a WAL or history file to `path` in one step; False when the archive does not have it.

    Of the newest segment, which is not finished, it hands out the beginning.
    """
    piece = _piece(vault, name)
    if piece is None:
        return False
    descriptor, hidden = tempfile.mkstemp(dir=path.parent, prefix=".weft-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            vault.open_to(piece, file)
        Path(hidden).replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(hidden).unlink()
    return True


def _piece(vault: Vault, name: str) -> Piece | None:
    if not is_history(name) and Segment.named(name) is None:
        return None  # what a standby asks for besides, such as a backup's history
    try:
        return vault.piece(f"wal/{name}")
    except ArtefactMissing:
        state = vault.state()
    if state is None or state.partial_segment is None or state.partial_segment.name(state.segment_bytes) != name:
        return None
    return state.partial
