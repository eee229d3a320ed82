"""What a save writes besides rows: large values, long lists and their results. Nothing is done where there are none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from weft.db.database import Connection
from weft.engine import items, payloads

if TYPE_CHECKING:
    from weft.engine.run import Run


def is_bulky(run: Run) -> bool:
    """Whether there is anything of the kind."""
    return bool(run.payloads or run.chunks or run.gathered or run.gone_chunks or run.gone_results)


async def save(connection: Connection, tenant_id: UUID, runs: Sequence[Run], payload_quota: int) -> None:
    """Write it all inside the save's transaction, in as many statements for a hundred runs as for one.

    Raises `RoomLost`, and then nothing of the save may be kept.
    """
    gone_chunks = [(run.id, *gone) for run in runs for gone in run.gone_chunks]
    gone_results = [(run.id, *gone) for run in runs for gone in run.gone_results]
    if gone_chunks or gone_results:
        await items.forget(connection, tenant_id, gone_chunks, gone_results)
    chunks = [row for run in runs for row in run.chunks]
    ended = [row for run in runs for row in items.result_rows(run.id, run.state, run.gathered)]
    if chunks or ended:
        await items.keep(connection, tenant_id, chunks, ended)
    # Last: the tenant's counter is locked from here to the commit.
    rows = [row for run in runs for row in run.payloads]
    if rows:
        await payloads.keep(connection, tenant_id, rows, payload_quota)
