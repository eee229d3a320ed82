"""The hot path's SQL: load executions, save a batch. One statement each, whatever the number of executions.

A save is one statement of data-modifying CTEs, so that it is one round trip and all or nothing *per execution*:
an execution is written only if its row version is the one that was read and every job it answers is still leased
to us under the same epoch. Journal rows, new jobs and the deletion of answered jobs hang on that row; what lost a
race is not written at all and its jobs stay for whoever holds them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from weft.db.database import Connection, Encoded, Packed
from weft.domain.executions.payloads import packed
from weft.engine import bulk
from weft.engine.events import hearing
from weft.engine.records import Batch, Fence, JobRow, LogRow, NewExecution

LOAD = """/* weft:engine.load */
select e.id, e.workflow_id, e.version_id, e.number, e.client_id, e.status, e.state, e.input, e.output, e.error,
       e.metadata, e.trigger, e.correlation_id, e.parent_id, e.parent_visit, e.depth, e.awaited,
       e.priority, e.place_key, e.row_version, e.created_at, e.started_at, e.completed_at, e.simulation, e.journal_gone
  from weft.workflow_executions e
 where e.tenant_id = $1 and e.id = any($2::uuid[])
"""

OUTPUTS = """/* weft:engine.outputs */
select l.execution_id, l.visit, l.status, l.data, l.error
  from weft.execution_logs l
  join unnest($2::uuid[], $3::integer[]) as wanted (execution_id, visit)
    on l.execution_id = wanted.execution_id and l.visit = wanted.visit
 where l.tenant_id = $1 and l.started_at >= $4 and l.started_at <= $5
 order by l.attempt
"""

_FENCE = """
held as (
  select j.id, j.execution_id
    from unnest($2::uuid[], $3::integer[]) as f (id, epoch)
    join weft.dispatch_jobs j on j.tenant_id = $1 and j.id = f.id and j.epoch = f.epoch
   where j.state = 'leased'
     for update of j
),
lost as (
  select f.execution_id from unnest($2::uuid[], $4::uuid[]) as f (id, execution_id)
   where f.id not in (select id from held)
),"""

_UPDATE = """
w as (
  update weft.workflow_executions e
     set status = u.status, state = u.state, output = u.output, error = u.error, started_at = u.started_at,
         completed_at = u.completed_at, row_version = e.row_version + 1, updated_at = clock_timestamp(){moving}
    from unnest({execution}) as u (id, base, status, state, output, error, started_at, completed_at{moved})
   where e.tenant_id = $1 and e.id = u.id and e.row_version = u.base{fenced}
  returning e.id, e.awaited, e.status, 0 as number, e.row_version
)"""

_FINISH_JOBS = """,
answered as (
  delete from weft.dispatch_jobs j using held h
   where j.tenant_id = $1 and j.id = h.id
     and (h.execution_id in (select id from w) or not (h.execution_id = any({ids})))
)"""

# The counter's row is locked from here to the commit; it is taken by the statement that needs it, not before.
_START = """
fresh as (
  select u.*, s.workflow_id, s.version_id, s.client_id, s.input, s.metadata, s.trigger, s.trigger_id,
         s.trigger_version, s.started_by, s.idempotency_key, s.correlation_id, s.parent_id, s.parent_visit, s.depth,
         s.awaited, s.created_at, s.at_version, s.simulation, s.priority, s.place_key, s.settings
    from unnest({execution}) with ordinality
           as u (id, base, status, state, output, error, started_at, completed_at, place)
    join unnest({start}) with ordinality
           as s (workflow_id, version_id, client_id, input, metadata, trigger, trigger_id, trigger_version,
                 started_by, idempotency_key, correlation_id, parent_id, parent_visit, depth, awaited, created_at,
                 at_version, simulation, priority, place_key, settings, place)
      on s.place = u.place
   where s.idempotency_key is null or not exists (
           select 1 from weft.workflow_executions e
            where e.tenant_id = $1 and e.workflow_id = s.workflow_id and e.idempotency_key = s.idempotency_key)
),
counted as (
  update weft.workflow_counters c
     set last_number = c.last_number + n.starts
    from (select f.workflow_id, count(*) as starts, max(f.settings) as settings
            from fresh f group by f.workflow_id) n
    join weft.workflows f on f.tenant_id = $1 and f.id = n.workflow_id
   where c.tenant_id = $1 and c.workflow_id = n.workflow_id and c.settings = n.settings
     and f.status = 'ACTIVE' and f.deleted_at is null
  returning c.workflow_id, c.last_number - n.starts as base, f.current_version_id
),
w as (
  insert into weft.workflow_executions
    (tenant_id, id, workflow_id, version_id, number, client_id, status, state, input, output, error, metadata,
     trigger, trigger_id, started_by, idempotency_key, correlation_id, parent_id, parent_visit, depth, awaited,
     priority, place_key, created_at, updated_at, started_at, completed_at, simulation)
  select $1, s.id, s.workflow_id, s.version_id,
         counted.base + row_number() over (partition by s.workflow_id order by s.place),
         s.client_id, s.status, s.state, s.input, s.output, s.error, s.metadata, s.trigger, s.trigger_id,
         s.started_by, s.idempotency_key, s.correlation_id, s.parent_id, s.parent_visit, s.depth, s.awaited,
         s.priority, s.place_key, s.created_at, s.created_at, s.started_at, s.completed_at, s.simulation
    from fresh s
    join counted on counted.workflow_id = s.workflow_id
   where (s.at_version or s.version_id = counted.current_version_id)
     and (s.trigger_version is null or exists (
            select 1 from weft.workflow_triggers t
             where t.tenant_id = $1 and t.id = s.trigger_id and t.enabled and t.row_version = s.trigger_version))
  on conflict (tenant_id, workflow_id, idempotency_key) where idempotency_key is not null do nothing
  returning id, awaited, status, number, row_version
)"""

_LOGS = """,
logged as (
  insert into weft.execution_logs
    (tenant_id, execution_id, id, step_id, step_key, frame, visit, attempt, status, started_at, completed_at,
     message, data, error, saved_in)
  select $1, l.*, w.row_version from unnest({logs})
           as l (execution_id, id, step_id, step_key, frame, visit, attempt, status, started_at, completed_at,
                 message, data, error)
    join w on w.id = l.execution_id
)"""

# A statement of its own: inside the save, PostgreSQL 18.6 was seen to skip this update for a whole batch when another
# part of the same statement had met a concurrent update (`docs/decisions/0013-journal-settled-apart.md`).
SETTLE = """/* weft:engine.settle */
update weft.execution_logs l
   set status = u.status, completed_at = u.completed_at, message = u.message, data = u.data, error = u.error,
       saved_in = u.saved_in
  from unnest($2::uuid[], $3::integer[], $4::integer[], $5::timestamptz[], $6::text[], $7::timestamptz[], $8::text[],
              $9::jsonb[], $10::jsonb[], $11::integer[])
         as u (execution_id, visit, attempt, started_at, status, completed_at, message, data, error, saved_in)
 where l.tenant_id = $1 and l.execution_id = u.execution_id and l.visit = u.visit and l.attempt = u.attempt
   and l.started_at = u.started_at and l.started_at >= $12 and l.started_at <= $13
"""

_JOBS = """,
put as (
  insert into weft.dispatch_jobs
    (tenant_id, id, kind, execution_id, visit, attempt, detail, state, priority, run_at)
  select $1, n.id, n.kind, n.execution_id, n.visit, n.attempt, n.detail, n.state, n.priority, n.run_at
    from unnest({jobs})
           as n (owner, id, kind, execution_id, visit, attempt, detail, state, priority, run_at)
    join w on w.id = n.owner
)"""

_TELL = """
select w.id, w.number,
       case when w.awaited and w.status in ('COMPLETED', 'FAILED', 'CANCELLED')
            then pg_notify('weft_done', w.id::text) end{ends}{wake}
  from w"""

# Asked only of a batch in which executions end: one row, whatever their number.
_ENDS = ",\n       (select i.ends from weft.event_interests i where i.tenant_id = $1) as ends"

_EXECUTION_TYPES = ("uuid", "integer", "text", "jsonb", "jsonb", "jsonb", "timestamptz", "timestamptz")
_START_TYPES = (
    "uuid", "uuid", "uuid", "jsonb", "jsonb", "text", "uuid", "integer", "uuid", "text", "text", "uuid", "integer",
    "integer", "boolean", "timestamptz", "boolean", "boolean", "integer", "text", "integer",
)  # fmt: skip
_LOG_TYPES = (
    "uuid", "uuid", "uuid", "text", "text", "integer", "integer", "text", "timestamptz", "timestamptz", "text",
    "jsonb", "jsonb",
)  # fmt: skip
_JOB_TYPES = (
    "uuid", "uuid", "text", "uuid", "integer", "integer", "jsonb", "text", "integer", "timestamptz",
)  # fmt: skip


class _Places:
    """Hands out `$n` in order."""

    def __init__(self, used: int) -> None:
        self.used = used

    def arrays(self, types: Sequence[str]) -> str:
        return ", ".join(self.one(f"{kind}[]") for kind in types)

    def one(self, kind: str) -> str:
        self.used += 1
        return f"${self.used}::{kind}"


@cache
def _statement(
    *, fenced: bool, starting: bool, logs: bool, jobs: bool, ends: bool, wake: str, moving: bool = False
) -> str:
    """The save's text. A handful of shapes exist, so each connection prepares each of them once.

    `moving`: executions go to another version. That is a shape of its own, so that all others do not pay for it.
    """
    places = _Places(4 if fenced else 1)
    text = "/* weft:engine.save */ with"
    execution = places.arrays((*_EXECUTION_TYPES, "uuid") if moving else _EXECUTION_TYPES)
    ids = execution.split(",", 1)[0]
    if fenced:
        text += _FENCE
    if starting:
        start = places.arrays(_START_TYPES)
        text += _START.format(execution=execution, start=start)
    else:
        guard = "\n     and u.id not in (select execution_id from lost)" if fenced else ""
        text += _UPDATE.format(
            execution=execution,
            fenced=guard,
            moving=",\n         version_id = coalesce(u.version_id, e.version_id)" if moving else "",
            moved=", version_id" if moving else "",
        )
    if fenced:
        text += _FINISH_JOBS.format(ids=ids)
    if logs:
        text += _LOGS.format(logs=places.arrays(_LOG_TYPES))
    if jobs:
        text += _JOBS.format(jobs=places.arrays(_JOB_TYPES))
    called = f",\n       pg_notify('weft_jobs', '{wake}')" if wake else ""
    return text + _TELL.format(ends=_ENDS if ends else "", wake=called)


_JSON = frozenset({"state", "error", "metadata", "detail"})
_DOCUMENTS = frozenset({"input", "output", "data"})
"""What a tenant writes: a value, or a reference to one that is large."""


def _columns(rows: Sequence[Any], names: Sequence[str]) -> list[list[Any]]:
    return [_column([getattr(row, name) for row in rows], name) for name in names]


def _column(values: list[Any], name: str) -> list[Any]:
    if name in _JSON:
        return [None if value is None else Packed(value) for value in values]
    if name in _DOCUMENTS:
        return [None if value is None else _document(value) for value in values]
    return values


def _document(value: Any) -> Encoded | Packed:
    """What was measured is text already; everything else is written now."""
    return value if type(value) is Encoded else Packed(packed(value))


_EXECUTION_NAMES = ("id", "base", "status", "state", "output", "error", "started_at", "completed_at")
_START_NAMES = tuple(NewExecution.__slots__)
_LOG_NAMES = (
    "execution_id", "id", "step_id", "step_key", "frame", "visit", "attempt", "status", "started_at", "completed_at",
    "message", "data", "error",
)  # fmt: skip
_SETTLED_NAMES = (
    "execution_id", "visit", "attempt", "started_at", "status", "completed_at", "message", "data", "error",
)  # fmt: skip


def _job_columns(jobs: Sequence[JobRow], now: datetime) -> list[list[Any]]:
    scheduled = [job.run_at is not None and job.run_at > now for job in jobs]
    return [
        *_columns(jobs, ("owner", "id", "kind", "execution_id", "visit", "attempt", "detail")),
        [
            "parked" if job.parked else "scheduled" if later else "ready"
            for job, later in zip(jobs, scheduled, strict=True)
        ],
        [job.priority for job in jobs],
        [job.run_at or now for job in jobs],
    ]


async def save(connection: Connection, tenant_id: UUID, batch: Batch, now: datetime, *, wake: bool) -> dict[UUID, int]:
    """Write a batch inside an open transaction of the tenant.

    Returns the executions that were written, with their number when they are new. Raises `RoomLost` when large values
    of the batch do not fit the tenant's quota any more. `wake` also tells workers
    that there are new jobs; a worker that will look by itself leaves it out.
    """
    fenced = bool(batch.fences)
    starting = bool(batch.starts)
    values: list[Any] = [tenant_id]
    if fenced:
        values += [
            [f.job_id for f in batch.fences],
            [f.epoch for f in batch.fences],
            [f.execution_id for f in batch.fences],
        ]
    moving = any(row.version_id is not None for row in batch.executions)
    values += _columns(batch.executions, (*_EXECUTION_NAMES, "version_id") if moving else _EXECUTION_NAMES)
    if starting:
        values += _columns(batch.starts, _START_NAMES)
    if batch.logs:
        values += _columns(batch.logs, _LOG_NAMES)
    if batch.jobs:
        values += _job_columns(batch.jobs, now)
    statement = _statement(
        fenced=fenced,
        starting=starting,
        logs=bool(batch.logs),
        jobs=bool(batch.jobs),
        ends=bool(batch.ended),
        wake=_call(batch, now) if wake else "",
        moving=moving,
    )
    rows = await connection.fetch(statement, *values)
    saved = {row[0]: row[1] for row in rows}
    if batch.settled:
        versions = {row.id: (row.base or 0) + 1 for row in batch.executions}
        await _settle(connection, tenant_id, [row for row in batch.settled if row.execution_id in saved], versions)
    if batch.hearing is not None:
        await hearing.write(connection, tenant_id, batch.hearing, saved)
    if batch.ended and rows and rows[0]["ends"]:
        await hearing.tell_ends(connection, tenant_id, [i for i in batch.ended if i in saved], now)
    if batch.bulk:
        await bulk.save(connection, tenant_id, [run for run in batch.bulk if run.id in saved], batch.payload_quota)
    return saved


class JournalIncomplete(RuntimeError):
    """A journal row that must be there is not: nothing of the batch is saved."""

    def __init__(self, expected: int, found: str) -> None:
        super().__init__(f"{expected} journal rows were to be settled, but PostgreSQL says: {found}")


async def _settle(
    connection: Connection, tenant_id: UUID, rows: Sequence[LogRow], versions: Mapping[UUID, int]
) -> None:
    """Close the journal rows of attempts that an earlier turn began. `versions`: the row versions of this save."""
    if not rows:
        return
    times = [row.started_at for row in rows]
    saved_in = [versions[row.execution_id] for row in rows]
    done = await connection.execute(
        SETTLE, tenant_id, *_columns(rows, _SETTLED_NAMES), saved_in, min(times), max(times)
    )
    if done != f"UPDATE {len(rows)}":
        raise JournalIncomplete(len(rows), done)


def _call(batch: Batch, now: datetime) -> str:
    """What workers are told: that there is a job, or a timer that may be the next; empty for neither."""
    if not batch.jobs:
        return ""
    return "timer" if any(job.run_at is not None and job.run_at > now for job in batch.jobs) else "job"


async def load(connection: Connection, tenant_id: UUID, ids: Sequence[UUID]) -> list[Any]:
    """The executions as they stand, without locking them."""
    rows: list[Any] = await connection.fetch(LOAD, tenant_id, ids)
    return rows


async def outputs(
    connection: Connection, tenant_id: UUID, wanted: Sequence[tuple[UUID, int]], since: datetime, until: datetime
) -> list[Any]:
    """Journal rows of visits, newest attempt last, of the partitions between two times."""
    rows: list[Any] = await connection.fetch(
        OUTPUTS,
        tenant_id,
        [execution_id for execution_id, _ in wanted],
        [visit for _, visit in wanted],
        since,
        until,
    )
    return rows


BURY = """/* weft:engine.bury */
insert into weft.dispatch_dead
  (tenant_id, id, kind, reason, execution_id, visit, attempt, detail, claims, lapses, last_error, created_at)
select j.tenant_id, j.id, j.kind, f.reason, j.execution_id, j.visit, j.attempt, j.detail, j.claims, j.lapses,
       j.last_error, j.created_at
  from unnest($2::uuid[], $3::integer[], $4::text[]) as f (id, epoch, reason)
  join weft.dispatch_jobs j on j.tenant_id = $1 and j.id = f.id and j.epoch = f.epoch
 where j.state = 'leased'
on conflict do nothing
"""


async def bury(connection: Connection, tenant_id: UUID, dead: Sequence[tuple[Fence, str]]) -> None:
    """Keep jobs that are given up among the dead; the save that follows deletes them from the queue."""
    await connection.execute(
        BURY,
        tenant_id,
        [fence.job_id for fence, _ in dead],
        [fence.epoch for fence, _ in dead],
        [reason for _, reason in dead],
    )
