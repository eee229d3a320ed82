"""SQL of due schedules: read a tenant's claim, record what was decided, record what came of it. Sets, whatever the
number of triggers and due times.

A due time is recorded once. Only one that could not be decided (FAILED, with no execution chosen) is decided again.

The order is: decide, record, then do. A recorded run is PENDING under an execution id and an idempotency key of its
own, so that whoever finds it after a crash does the same again, and the same execution answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from weft.db.database import Connection

CLAIMED = """/* weft:schedules.claimed */
select t.id, t.name, t.config, t.enabled, t.row_version, t.workflow_id, s.next_run_at, s.epoch,
       w.status = 'ACTIVE' and w.deleted_at is null as active
  from unnest($2::uuid[], $3::integer[]) as c (id, epoch)
  join weft.workflow_schedules s on s.tenant_id = $1 and s.trigger_id = c.id and s.epoch = c.epoch
  join weft.workflow_triggers t on t.tenant_id = $1 and t.id = c.id
  join weft.workflows w on w.tenant_id = $1 and w.id = t.workflow_id
"""

OPEN = """/* weft:schedules.open */
select r.id, r.trigger_id, r.due_at, r.status, r.execution_id, coalesce(r.started_at, r.decided_at) as since,
       e.status as execution_status
  from weft.schedule_runs r
  left join weft.workflow_executions e on e.tenant_id = $1 and e.id = r.execution_id
 where r.tenant_id = $1 and r.trigger_id = any($2::uuid[]) and r.open
 order by r.due_at
"""

RECORD = """/* weft:schedules.record */
with held as (
  update weft.workflow_schedules s
     set next_run_at = u.next_run_at, last_run_at = coalesce(u.last_run_at, s.last_run_at), wake_at = u.wake_at
    from unnest($2::uuid[], $3::integer[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[])
           as u (trigger_id, epoch, next_run_at, last_run_at, wake_at)
   where s.tenant_id = $1 and s.trigger_id = u.trigger_id and s.epoch = u.epoch
  returning s.trigger_id
),
changed as (
  update weft.schedule_runs r
     set status = u.status, open = u.open, reason = u.reason, execution_id = coalesce(u.execution_id, r.execution_id),
         started_at = case when u.status = 'STARTED' then coalesce(r.started_at, $21::timestamptz) end
    from unnest($7::uuid[], $8::uuid[], $9::text[], $10::boolean[], $11::text[], $12::uuid[])
           as u (id, trigger_id, status, open, reason, execution_id)
    join held on held.trigger_id = u.trigger_id
   where r.tenant_id = $1 and r.id = u.id
),
added as (
  insert into weft.schedule_runs as r
    (tenant_id, id, trigger_id, due_at, status, open, reason, execution_id, until, times, decided_at)
  select $1, u.*, $21::timestamptz
    from unnest($13::uuid[], $14::uuid[], $15::timestamptz[], $16::text[], $17::boolean[], $18::text[], $19::uuid[],
                $20::timestamptz[], $22::integer[])
           as u (id, trigger_id, due_at, status, open, reason, execution_id, until, times)
    join held on held.trigger_id = u.trigger_id
  on conflict (tenant_id, trigger_id, due_at) do update
     set id = excluded.id, status = excluded.status, open = excluded.open, reason = excluded.reason,
         execution_id = excluded.execution_id, until = excluded.until, times = excluded.times,
         decided_at = excluded.decided_at
   where r.status = 'FAILED' and r.execution_id is null and excluded.status <> 'FAILED'
)
select trigger_id from held
"""

FINISH = """/* weft:schedules.finish */
with ran as (
  update weft.schedule_runs r
     set status = case when u.status = 'STARTED' or e.id is not null then 'STARTED' else u.status end,
         open = u.open, reason = case when e.id is null then u.reason end, execution_id = u.execution_id,
         started_at = case when u.status = 'STARTED' or e.id is not null then $8::timestamptz end
    from unnest($2::uuid[], $3::text[], $4::boolean[], $5::text[], $6::uuid[])
           as u (id, status, open, reason, execution_id)
    left join weft.workflow_executions e on e.tenant_id = $1 and e.id = u.execution_id
   where r.tenant_id = $1 and r.id = u.id and r.status = 'PENDING'
)
update weft.workflow_schedules s set wake_at = w.wake_at
  from unnest($7::uuid[], $9::integer[], $10::timestamptz[]) as w (trigger_id, epoch, wake_at)
 where s.tenant_id = $1 and s.trigger_id = w.trigger_id and s.epoch = w.epoch
"""


@dataclass(slots=True)
class Change:
    """A run that was there before, and what it is now."""

    id: UUID
    trigger_id: UUID
    status: str
    open: bool
    reason: str | None = None
    execution_id: UUID | None = None


@dataclass(slots=True)
class NewRun:
    id: UUID
    trigger_id: UUID
    due_at: datetime
    status: str
    open: bool
    reason: str | None
    execution_id: UUID | None
    until: datetime | None
    times: int


@dataclass(slots=True)
class Moved:
    """A schedule, as it stands after what was decided."""

    trigger_id: UUID
    epoch: int
    next_run_at: datetime | None
    last_run_at: datetime | None
    wake_at: datetime | None


@dataclass(slots=True)
class Result:
    """What came of a PENDING run: STARTED, FAILED or SKIPPED."""

    id: UUID
    status: str
    open: bool
    reason: str | None
    execution_id: UUID


@dataclass(slots=True)
class Record:
    """What one claim of one tenant wants written."""

    moved: list[Moved] = field(default_factory=list)
    changed: list[Change] = field(default_factory=list)
    added: list[NewRun] = field(default_factory=list)


def _columns(rows: Sequence[Any], *names: str) -> list[list[Any]]:
    return [[getattr(row, name) for row in rows] for name in names]


async def claimed(connection: Connection, tenant_id: UUID, ids: Sequence[UUID], epochs: Sequence[int]) -> list[Any]:
    """The triggers that are still ours, with their workflow's standing."""
    rows: list[Any] = await connection.fetch(CLAIMED, tenant_id, ids, epochs)
    return rows


async def open_runs(connection: Connection, tenant_id: UUID, ids: Sequence[UUID]) -> list[Any]:
    """Runs that wait or whose execution was not yet seen to have ended, oldest first."""
    rows: list[Any] = await connection.fetch(OPEN, tenant_id, ids)
    return rows


async def record(connection: Connection, tenant_id: UUID, what: Record, now: datetime) -> set[UUID]:
    """Write what was decided. Returns the triggers that were still ours; of the others nothing was written."""
    added = _columns(
        what.added, "id", "trigger_id", "due_at", "status", "open", "reason", "execution_id", "until", "times"
    )
    rows = await connection.fetch(
        RECORD,
        tenant_id,
        *_columns(what.moved, "trigger_id", "epoch", "next_run_at", "last_run_at", "wake_at"),
        *_columns(what.changed, "id", "trigger_id", "status", "open", "reason", "execution_id"),
        *added[:-1],
        now,
        added[-1],
    )
    return {row["trigger_id"] for row in rows}


async def finish(
    connection: Connection, tenant_id: UUID, results: Sequence[Result], moved: Sequence[Moved], now: datetime
) -> None:
    """Write what came of pending runs, and when to look at their schedules again."""
    triggers, epochs, wakes = _columns(moved, "trigger_id", "epoch", "wake_at")
    await connection.execute(
        FINISH,
        tenant_id,
        *_columns(results, "id", "status", "open", "reason", "execution_id"),
        triggers,
        now,
        epochs,
        wakes,
    )
