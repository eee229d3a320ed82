"""Statements of this room as values. Row security guards the tenant; naming it too is what finds shards and indexes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVarTuple
from uuid import UUID

from sqlalchemy import Select, and_, func, select

from weft.db.dispatch_tables import DispatchJob, JobState
from weft.domain.clients.models import Client
from weft.domain.executions.models import Execution, ExecutionLog
from weft.domain.workflows.models import Workflow, WorkflowVersion

Columns = TypeVarTuple("Columns")
_ERROR_SHOWN: Final = 300


@dataclass(frozen=True, slots=True)
class Filters:
    """Which executions; None is any. `created_from` is included, `created_to` is not."""

    status: str | None = None
    workflow_id: UUID | None = None
    client_id: UUID | None = None
    parent_id: UUID | None = None
    correlation_id: str | None = None
    trigger: str | None = None
    simulation: bool | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


_SUMMARY: Final = (
    Execution.id,
    Execution.number,
    Execution.workflow_id,
    Workflow.name.label("workflow_name"),
    Execution.version_id,
    WorkflowVersion.number.label("version"),
    Execution.client_id,
    Execution.status,
    Execution.trigger,
    Execution.correlation_id,
    Execution.parent_id,
    Execution.simulation,
    func.left(Execution.error["message"].astext, _ERROR_SHOWN).label("error_message"),
    Execution.created_at,
    Execution.started_at,
    Execution.completed_at,
)


def _named(query: Select[*Columns], tenant_id: UUID) -> Select[*Columns]:
    """With the names of workflow and version. A deleted workflow's executions stay visible."""
    return (
        query.join(Workflow, and_(Workflow.tenant_id == Execution.tenant_id, Workflow.id == Execution.workflow_id))
        .join(
            WorkflowVersion,
            and_(WorkflowVersion.tenant_id == Execution.tenant_id, WorkflowVersion.id == Execution.version_id),
        )
        .where(Execution.tenant_id == tenant_id)
        .execution_options(include_deleted=True)
    )


def listed(tenant_id: UUID, filters: Filters) -> Select[Any]:
    """Summaries, without the documents, in no order yet: paging adds it."""
    query = _named(select(*_SUMMARY).select_from(Execution), tenant_id)
    for column, wanted in (
        (Execution.status, filters.status),
        (Execution.workflow_id, filters.workflow_id),
        (Execution.client_id, filters.client_id),
        (Execution.parent_id, filters.parent_id),
        (Execution.correlation_id, filters.correlation_id),
        (Execution.trigger, filters.trigger),
        (Execution.simulation, filters.simulation),
    ):
        if wanted is not None:
            query = query.where(column == wanted)
    if filters.created_from is not None:
        query = query.where(Execution.created_at >= filters.created_from)
    if filters.created_to is not None:
        query = query.where(Execution.created_at < filters.created_to)
    return query


def detail(tenant_id: UUID, execution_id: UUID) -> Select[Execution, str, int]:
    """The whole row, with the names beside it."""
    query = select(Execution, Workflow.name.label("workflow_name"), WorkflowVersion.number.label("version"))
    return _named(query.select_from(Execution), tenant_id).where(Execution.id == execution_id)


def watched(tenant_id: UUID, execution_id: UUID) -> Select[Any]:
    """What a stream of events tells of the execution itself; its input stays where it is."""
    query = select(
        Execution.id,
        Execution.number,
        Execution.workflow_id,
        Workflow.name.label("workflow_name"),
        Execution.status,
        Execution.state,
        Execution.output,
        Execution.error,
        Execution.row_version,
        Execution.created_at,
        Execution.started_at,
        Execution.completed_at,
    )
    return _named(query.select_from(Execution), tenant_id).where(Execution.id == execution_id)


def timers(tenant_id: UUID, execution_id: UUID) -> Select[str, int, int, dict[str, Any] | None, datetime]:
    """Jobs of an execution that wait for their time."""
    return select(
        DispatchJob.kind, DispatchJob.visit, DispatchJob.attempt, DispatchJob.detail, DispatchJob.run_at
    ).where(
        DispatchJob.tenant_id == tenant_id,
        DispatchJob.execution_id == execution_id,
        DispatchJob.state == JobState.scheduled.value,
    )


def bounds(tenant_id: UUID, execution_id: UUID) -> Select[datetime, datetime | None, str, int, bool, bool]:
    """What must be known of an execution to find its journal, and to say what may be done with it."""
    compensated = Execution.state[("i", "k")].is_not(None).label("compensated")
    return select(
        Execution.created_at,
        Execution.completed_at,
        Execution.status,
        Execution.row_version,
        Execution.journal_gone,
        compensated,
    ).where(Execution.tenant_id == tenant_id, Execution.id == execution_id)


def journal(
    tenant_id: UUID,
    execution_id: UUID,
    period: tuple[datetime, datetime],
    *,
    step: str | None = None,
    status: str | None = None,
) -> Select[ExecutionLog]:
    """Journal rows of one execution, in no order yet. The period spares the partitions that cannot hold any."""
    query = select(ExecutionLog).where(
        ExecutionLog.tenant_id == tenant_id,
        ExecutionLog.execution_id == execution_id,
        ExecutionLog.started_at >= period[0],
        ExecutionLog.started_at <= period[1],
    )
    if step is not None:
        query = query.where(ExecutionLog.step_key == step)
    if status is not None:
        query = query.where(ExecutionLog.status == status)
    return query


def client_exists(tenant_id: UUID, client_id: UUID) -> Select[UUID]:
    return select(Client.id).where(Client.tenant_id == tenant_id, Client.id == client_id)


PLACE: Final = """/* weft:executions.place */
select p.state, coalesce(w.concurrent, 0) as workflow_places, coalesce(t.concurrent_executions, 0) as tenant_places,
       (select count(*) from weft.execution_places o
         where o.tenant_id = $1 and o.workflow_id = p.workflow_id and o.key = p.key
           and o.state in ('placed', 'held')) as workflow_used,
       (select count(*) from weft.execution_places o
         where o.tenant_id = $1 and o.state = 'held' and o.tenant_wide) as tenant_used
  from weft.execution_places p
  left join weft.workflow_limits w on w.tenant_id = $1 and w.workflow_id = p.workflow_id
  left join weft.tenant_limits t on t.tenant_id = $1
 where p.tenant_id = $1 and p.execution_id = $2
"""

COUNT_ALL: Final = """/* weft:executions.counts */
select s.status,
       (select count(*) from weft.workflow_executions e
         where e.tenant_id = $1 and e.status = s.status and e.created_at >= $2 and e.created_at < $3)
       - (select count(*) from weft.workflow_executions e
           where e.tenant_id = $1 and e.status = s.status and e.created_at >= $2 and e.created_at < $3
             and e.simulation) as executions
  from unnest($4::text[]) as s (status)
"""
"""One range of the status index for each status, less the simulated ones; the table itself is not read."""

COUNT_WORKFLOW: Final = """/* weft:executions.workflow_counts */
select e.status, count(*) as executions
  from weft.workflow_executions e
 where e.tenant_id = $1 and e.workflow_id = $4 and e.created_at >= $2 and e.created_at < $3
   and not e.simulation
 group by e.status
"""
