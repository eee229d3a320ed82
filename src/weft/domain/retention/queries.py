"""Statements of this room as values."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from sqlalchemy import Select, select

from weft.domain.retention.models import Archive

FINAL: Final = ("COMPLETED", "FAILED", "CANCELLED")


def archives(tenant_id: UUID) -> Select[Archive]:
    return select(Archive).where(Archive.tenant_id == tenant_id)


def archive(tenant_id: UUID, archive_id: UUID) -> Select[Archive]:
    return archives(tenant_id).where(Archive.id == archive_id)


COUNT_DUE: Final = """/* weft:retention.count */
select count(*) as executions, min(d.created_at) as oldest
  from (select e.created_at
          from unnest($3::text[]) as s (status)
         cross join lateral (
           select e.created_at from weft.workflow_executions e
            where e.tenant_id = $1 and e.status = s.status and e.created_at < $2 and e.completed_at < $2
              and e.parent_id is null
            order by e.created_at, e.id
            limit $4) e
         limit $4) d
"""
"""At most so many. What is too old stands at the old end of the status index, so what is kept is not read."""

COUNT_JOURNALS: Final = """/* weft:retention.count_journals */
with old as materialized (
  select l.execution_id from weft.execution_logs l
   where l.tenant_id = $1 and l.started_at < $2
   order by l.started_at, l.id
   limit $4
)
select count(*) filter (where e.status = any($3::text[]) and e.completed_at < $2) as executions,
       (select count(*) from old) as rows
  from (select distinct o.execution_id from old o) ids
  join weft.workflow_executions e on e.tenant_id = $1 and e.id = ids.execution_id
"""
"""The executions behind the oldest rows of the journal, at most so many rows: by its primary key, as `JOURNALS_DUE`."""

DUE: Final = """/* weft:retention.due */
with recursive roots as (
  select r.*
    from unnest($3::text[]) as s (status)
   cross join lateral (
     select e.id, e.row_version, e.status, e.created_at, e.completed_at from weft.workflow_executions e
      where e.tenant_id = $1 and e.status = s.status and e.created_at < $2 and e.completed_at < $2
        and e.parent_id is null and (e.created_at, e.id) > ($4, $5)
      order by e.created_at, e.id
      limit $6) r
   order by r.created_at, r.id
   limit $6
),
family as (
  select r.id as root, r.id, r.row_version, r.status, r.created_at, r.completed_at from roots r
   union all
  select f.root, c.id, c.row_version, c.status, c.created_at, c.completed_at
    from family f
   cross join lateral (
     select c.id, c.row_version, c.status, c.created_at, c.completed_at from weft.workflow_executions c
      where c.tenant_id = $1 and c.parent_id = f.id
     offset 0) c
),
whole as (
  select f.root from family f group by f.root
  having bool_and(f.status = any($3::text[]) and f.completed_at < $2)
)
select f.id, f.row_version, f.created_at, f.id = f.root as is_root, f.root in (select root from whole) as goes
  from family f
 order by f.id
"""
"""`offset 0` keeps the look for sub-workflows a look by index: their number is unknown to the planner.

The oldest executions that have ended before $2, after a place in their order, each with its sub-workflows. A family
goes whole or stays whole."""

INSERT_ARCHIVE: Final = """/* weft:retention.archived */
insert into weft.archives (tenant_id, id, kind, period_from, period_to, executions, rows, file, bytes, sha256)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""

DELETE: Final = "/* weft:retention.delete */ select * from weft.delete_executions($1, $2)"

JOURNALS_DUE: Final = """/* weft:retention.journals_due */
with old as materialized (
  select l.execution_id, l.started_at, l.id from weft.execution_logs l
   where l.tenant_id = $1 and l.started_at < $2 and (l.started_at, l.id) > ($4, $5)
   order by l.started_at, l.id
   limit $6
),
place as (select o.started_at, o.id from old o order by o.started_at desc, o.id desc limit 1)
select e.id, e.row_version, e.created_at, place.started_at as place_at, place.id as place_id,
       e.status = any($3::text[]) and e.completed_at < $2
         and not exists (select from weft.dispatch_jobs j where j.tenant_id = $1 and j.execution_id = e.id
                          and j.state <> 'scheduled') as goes
  from (select distinct o.execution_id from old o) ids
  join weft.workflow_executions e on e.tenant_id = $1 and e.id = ids.execution_id
 cross join place
 order by e.id
"""
"""The executions of the oldest $6 journal rows after a place in their order; those that have ended before $2 go. What
somebody wants retried stays. By the journal's primary key: no row that is kept is read twice."""

DELETE_JOURNALS: Final = "/* weft:retention.delete_journals */ select * from weft.delete_journals($1, $2)"

DELETE_TIMERS: Final = """/* weft:retention.timers */
delete from weft.dispatch_jobs where tenant_id = $1 and execution_id = any($2::uuid[]) and state = 'scheduled'
"""
"""Timers that came too late for their execution."""
