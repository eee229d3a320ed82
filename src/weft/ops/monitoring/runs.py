"""The last run of each kind of operators' work, kept in the database: doctor, health and metrics tell of it.

    await runs.record(owner, "backup", started, is_ok=True, details={"bytes": 123})

Other rooms call `record` at the end of their run; the gauges `weft_last_run_*` follow by themselves.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from weft.db.database import Connection

MAINTENANCE: Final = "maintenance"
"""The kind of `weft db maintain`."""

_RECORD: Final = """/* weft:runs.record */
insert into weft.last_runs as r (kind, started_at, ended_at, is_ok, succeeded_at, details)
select $1, $2, t.now, $3, case when $3 then t.now end, $4::text::jsonb
  from (select clock_timestamp() as now) t
on conflict (kind) do update
   set started_at = excluded.started_at, ended_at = excluded.ended_at, is_ok = excluded.is_ok,
       succeeded_at = coalesce(excluded.succeeded_at, r.succeeded_at), details = excluded.details
"""
_ALL: Final = """/* weft:runs.all */
select kind, started_at, ended_at, is_ok, succeeded_at, details::text as details from weft.last_runs order by kind
"""


@dataclass(frozen=True, slots=True)
class Run:
    """The last run of a kind. `succeeded_at` is when one last went well, whatever became of this one."""

    kind: str
    started_at: datetime
    ended_at: datetime
    is_ok: bool
    succeeded_at: datetime | None
    details: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "started_at": self.started_at.isoformat(),
            "ended_at": self.ended_at.isoformat(),
            "is_ok": self.is_ok,
            "succeeded_at": self.succeeded_at.isoformat() if self.succeeded_at else None,
            "details": self.details,
        }


async def record(
    owner: Connection, kind: str, started_at: datetime, *, is_ok: bool, details: dict[str, Any] | None = None
) -> None:
    """Remember a run that has just ended, on a connection of the owner. `kind` is a word; there are few of them."""
    async with owner.transaction():
        await owner.execute("set local app.maintenance = 'on'")
        await owner.execute(_RECORD, kind, started_at, is_ok, json.dumps(details or {}, default=str))


async def read(connection: Connection) -> dict[str, Run]:
    """The last run of each kind, as anybody may read it. The owner sees them in a transaction of maintenance."""
    async with connection.transaction(readonly=True):
        await connection.execute("set local app.maintenance = 'on'")
        rows = await connection.fetch(_ALL)
    return {
        row["kind"]: Run(
            row["kind"], row["started_at"], row["ended_at"], row["is_ok"], row["succeeded_at"],
            json.loads(row["details"]),
        )
        for row in rows
    }  # fmt: skip
