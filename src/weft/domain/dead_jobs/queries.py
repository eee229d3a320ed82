"""Statements of this room as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, and_, select

from weft.db.dispatch_tables import DeadJob
from weft.domain.executions.models import Execution
from weft.domain.workflows.models import Workflow


@dataclass(frozen=True, slots=True)
class Filters:
    """Which dead jobs; None is any. `died_from` is included, `died_to` is not."""

    kind: str | None = None
    execution_id: UUID | None = None
    workflow_id: UUID | None = None
    died_from: datetime | None = None
    died_to: datetime | None = None


_COLUMNS: Final = (
    DeadJob.id,
    DeadJob.kind,
    DeadJob.reason,
    DeadJob.last_error,
    DeadJob.execution_id,
    DeadJob.visit,
    DeadJob.attempt,
    DeadJob.claims,
    DeadJob.lapses,
    DeadJob.created_at,
    DeadJob.died_at,
    Execution.status.label("execution_status"),
    Execution.workflow_id,
    Workflow.name.label("workflow_name"),
)


def listed(tenant_id: UUID, filters: Filters) -> Select[Any]:
    """With what became of their executions, in no order yet."""
    columns: Sequence[Any] = _COLUMNS
    query: Select[Any] = (
        select(*columns)
        .select_from(DeadJob)
        .outerjoin(Execution, and_(Execution.tenant_id == DeadJob.tenant_id, Execution.id == DeadJob.execution_id))
        .outerjoin(Workflow, and_(Workflow.tenant_id == DeadJob.tenant_id, Workflow.id == Execution.workflow_id))
        .where(DeadJob.tenant_id == tenant_id)
        .execution_options(include_deleted=True)
    )
    for column, wanted in (
        (DeadJob.kind, filters.kind),
        (DeadJob.execution_id, filters.execution_id),
        (Execution.workflow_id, filters.workflow_id),
    ):
        if wanted is not None:
            query = query.where(column == wanted)
    if filters.died_from is not None:
        query = query.where(DeadJob.died_at >= filters.died_from)
    if filters.died_to is not None:
        query = query.where(DeadJob.died_at < filters.died_to)
    return query


def one(tenant_id: UUID, job_id: UUID) -> Select[Any]:
    return listed(tenant_id, Filters()).where(DeadJob.id == job_id)


DROP: Final = """/* weft:dead.drop */
delete from weft.dispatch_dead d where d.tenant_id = $1 and d.id = any($2::uuid[])
returning d.id, d.kind, d.execution_id, d.reason
"""

TAKE_OUT: Final = """/* weft:dead.take_out */
delete from weft.dispatch_dead d where d.tenant_id = $1 and d.execution_id = $2 returning d.id
"""
"""The execution was retried: it orders anew whatever it needs."""

# A job whose execution is over or gone is not queued again: nobody would hear it.
REQUEUE: Final = """/* weft:dead.requeue */
with gone as (
  delete from weft.dispatch_dead d where d.tenant_id = $1 and d.id = any($2::uuid[])
  returning d.*
),
queued as (
  insert into weft.dispatch_jobs
    (tenant_id, id, kind, execution_id, visit, attempt, detail, priority, last_error, run_at)
  select g.tenant_id, g.id, g.kind, g.execution_id, g.visit, g.attempt, g.detail, e.priority, g.last_error, $3
    from gone g
    join weft.workflow_executions e on e.tenant_id = g.tenant_id and e.id = g.execution_id
     and e.status not in ('COMPLETED', 'CANCELLED')
  on conflict do nothing
)
select count(*), pg_notify('weft_jobs', 'job') from gone
"""
