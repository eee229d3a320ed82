"""Moments with a name, and single files of the log for recoveries that somebody else runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from weft.core.errors import Forbidden, WeftError
from weft.ops.backup.errors import ArtefactMissing
from weft.ops.connections import connect
from weft.ops.installation import reach
from weft.ops.recovery.errors import MomentInvalid, RestorePointNameInvalid, RestorePointTaken
from weft.ops.recovery.plan import Point
from weft.ops.recovery.restoring import Moment
from weft.ops.recovery.segments import Segment, is_history, lsn
from weft.ops.recovery.source import source_of
from weft.ops.recovery.vault import Piece, Vault, writing
from weft.settings import Settings

if TYPE_CHECKING:
    import asyncpg


class PointRefused(Forbidden):
    code = "restore_point_refused"

    def __init__(self, role: str) -> None:
        super().__init__(
            f"'{role}' may not make restore points. Let a superuser run: "
            f'`grant execute on function pg_create_restore_point(text) to "{role}"`.'
        )


@dataclass(frozen=True, slots=True)
class Marked:
    """A restore point. `noted`: the archive knows it, so a restore knows where it is before it begins."""

    name: str
    position: str
    at: datetime
    noted: bool


def mark(settings: Settings, name: str, say: Callable[[str], None]) -> Marked:
    """Make a restore point now. Raises `RestorePointNameInvalid`, `RestorePointTaken` or `PointRefused`."""
    try:
        is_name = Moment.of(name).point is not None
    except MomentInvalid:
        is_name = False
    if not is_name:
        raise RestorePointNameInvalid(name)
    with reach(settings) as addresses:
        dsn = settings.database.replication_url or addresses.admin or addresses.require_owner()
        archive = _archive(settings)
        if archive is not None and (before := archive[0].point(name)) is not None:
            raise RestorePointTaken(name, before.at)
        position, at = asyncio.run(_mark(dsn, name))
        noted = False
        if archive is not None:
            vault, timeline = archive
            try:
                vault.note_point(Point(name, at, timeline, lsn(position)))
                noted = True
            except WeftError as error:
                say(f"The point is made; the archive could not be told: {error.message}")
        return Marked(name, position, at, noted)


def _archive(settings: Settings) -> tuple[Vault, int] | None:
    """Where the WAL is kept, and the timeline of now; None where it is not kept, or not by us."""
    try:
        source = source_of(settings)
        if source.slot(settings.wal.slot) is None:
            return None
        facts = source.facts()
    except WeftError:
        return None
    return writing(settings, facts.system)[0], facts.timeline


async def _mark(dsn: str, name: str) -> tuple[str, datetime]:
    connection = await connect(dsn, application="weft wal")
    try:
        return await mark_now(connection, name)
    finally:
        await connection.close()


async def mark_now(connection: asyncpg.Connection, name: str) -> tuple[str, datetime]:
    """A restore point of this moment: its place in the log, and the server's time. Raises `PointRefused`."""
    import asyncpg

    role = await connection.fetchval("select current_user")
    try:
        row = await connection.fetchrow("select pg_create_restore_point($1)::text, clock_timestamp()", name)
    except asyncpg.InsufficientPrivilegeError:
        raise PointRefused(role) from None
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
