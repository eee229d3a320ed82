"""The rows of `weft.backups`: what health and metrics may know of backups without asking the places."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from weft.ops.backup.catalogue import Listed
from weft.ops.backup.counting import Access
from weft.ops.connections import connect

_SAVE: Final = """/* weft:backup.save */
with now_there as (
  select * from jsonb_to_recordset($1::text::jsonb) as x (
    id text, kind text, reason text, started_at timestamptz, finished_at timestamptz, bytes bigint, places text[],
    verified_at timestamptz, failure text)
), gone as (
  delete from weft.backups b where not exists (select from now_there n where n.id = b.id)
)
insert into weft.backups (id, kind, reason, started_at, finished_at, bytes, places, verified_at, failure)
select id, kind, reason, started_at, finished_at, bytes, places, verified_at, failure from now_there
    on conflict (id) do update
   set places = excluded.places, verified_at = excluded.verified_at, failure = excluded.failure
"""


async def save(access: Access, backups: Sequence[Listed]) -> None:
    """Tell the database what the places have now."""
    rows = [_row(one) for one in backups if one.manifest is not None]
    connection = await connect(access.dsn, application="weft db backup")
    try:
        async with connection.transaction():
            await connection.execute("set local app.maintenance = 'on'")
            await connection.execute(_SAVE, json.dumps(rows))
    finally:
        await connection.close()


def _row(one: Listed) -> dict[str, Any]:
    known = one.manifest
    assert known is not None, "asked before"  # noqa: S101 - for the type checker
    # Whoever asks the database wants to know what can be restored: what was found wrong since cannot.
    verified_at = one.verified_at if one.failure is None else None
    return {
        "id": one.id,
        "kind": known.kind,
        "reason": known.reason,
        "started_at": known.started_at.isoformat(),
        "finished_at": known.finished_at.isoformat(),
        "bytes": known.bytes,
        "places": one.places,
        "verified_at": verified_at.isoformat() if verified_at else None,
        "failure": one.failure,
    }
