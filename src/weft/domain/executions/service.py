"""Looking at executions: `from weft.domain.executions import service as executions`. The engine changes them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from weft.db.scope import Scope
from weft.domain.executions import large, queries, rules
from weft.domain.executions.errors import ExecutionNotFound, PeriodInvalid
from weft.domain.executions.models import Execution, ExecutionLog
from weft.domain.executions.queries import Filters
from weft.domain.executions.schemas import ExecutionCounts, ExecutionRead, LiveStepRead, LogRead
from weft.domain.limits.models import PlaceState
from weft.domain.limits.rules import in_use
from weft.domain.workflows.errors import ClientUnknown
from weft.http.paging import Paged, PageQuery, page
from weft.interpreter.state import Phase, Status

COUNTED: Final = timedelta(days=30)
"""The period that is counted unless another one is asked for."""


async def listed(scope: Scope, filters: Filters, query: PageQuery) -> Paged[Any]:
    """One page of summaries, by the time they were created."""
    _require_period(filters.created_from, filters.created_to)
    return await page(scope, queries.listed(scope.tenant_id, filters), (Execution.created_at, Execution.id), query)


async def get(scope: Scope, execution_id: UUID) -> ExecutionRead:
    """Everything about one execution but its journal."""
    found = (await scope.session.execute(queries.detail(scope.tenant_id, execution_id))).one_or_none()
    if found is None:
        raise ExecutionNotFound(execution_id)
    row: Execution = found[0]
    now = rules.standing(row.state)
    waits = await timers(scope, execution_id) if now.live else {}
    message = (row.error or {}).get("message")
    documents = await large.shown(scope, execution_id, {"input": row.input, "output": row.output})
    return ExecutionRead.model_validate(
        {column: getattr(row, column) for column in _COLUMNS}
        | {
            "input": documents.values["input"],
            "output": documents.values["output"],
            "payloads": documents.hidden,
            "workflow_name": found.workflow_name,
            "version": found.version,
            "metadata": row.meta,
            "error_message": message[:300] if isinstance(message, str) else None,
            "steps": [live_step(step, waits) for step in now.live],
            "live_steps": now.count,
            "retry_resumes": [] if row.journal_gone else list(now.resumes),
            "waits_for": await _waits_for(scope, row),
        }
    )


_COLUMNS: Final = (
    "id", "number", "workflow_id", "version_id", "client_id", "status", "trigger", "correlation_id", "parent_id",
    "created_at", "started_at", "completed_at", "error", "trigger_id", "started_by",
    "idempotency_key", "parent_visit", "priority", "depth", "cost", "updated_at", "simulation", "journal_gone",
)  # fmt: skip


async def _waits_for(scope: Scope, row: Execution) -> str | None:
    """Which place it has not got yet. Only an execution that needs one and is not under way is looked up."""
    if row.place_key is None or row.status not in (Status.pending.value, Status.failed.value):
        return None
    place = await scope.raw.fetchrow(queries.PLACE, scope.tenant_id, row.id)
    if place is None or place["state"] == PlaceState.held.value:
        return None
    if place["state"] == PlaceState.placed.value:
        return in_use(place["tenant_used"], place["tenant_places"], "among those of the tenant")
    where = f"of its workflow for '{row.place_key}'" if row.place_key else "of its workflow"
    return in_use(place["workflow_used"], place["workflow_places"], where)


Timers = dict[tuple[str, int, int], datetime]


async def timers(scope: Scope, execution_id: UUID) -> Timers:
    """When a visit's attempt goes on, and when it runs out of time. A retry's timer is for the attempt to come."""
    found: Timers = {}
    for row in await scope.session.execute(queries.timers(scope.tenant_id, execution_id)):
        purpose = (row.detail or {}).get("purpose")
        if row.kind in ("delay", "step"):  # a step that was put off: it waits for its turn, or for better times
            found["resumes", row.visit, row.attempt] = row.run_at
        elif purpose == "retry":
            found["resumes", row.visit, row.attempt - 1] = row.run_at
        elif purpose == "timeout":
            found["times out", row.visit, row.attempt] = row.run_at
    return found


def live_step(step: rules.LiveStep, waits: Timers) -> LiveStepRead:
    return LiveStepRead(
        step=step.step,
        visit=step.visit,
        attempt=step.attempt,
        phase=Phase(step.phase),
        since=step.since,
        resumes_at=waits.get(("resumes", step.visit, step.attempt)),
        times_out_at=waits.get(("times out", step.visit, step.attempt)),
        item=step.item,
        items=step.items,
        items_done=step.items_done,
    )


async def journal(
    scope: Scope, execution_id: UUID, query: PageQuery, *, step: str | None = None, status: str | None = None
) -> Paged[LogRead]:
    """One page of an execution's journal. Only the months in which it can have rows are read."""
    row = await _bounds(scope, execution_id)
    period = rules.journal_period(row.created_at, row.completed_at, row.status, scope.now())
    select = queries.journal(scope.tenant_id, execution_id, period, step=step, status=status)
    rows = await page(scope, select, (ExecutionLog.started_at, ExecutionLog.id), query)
    documents = await large.shown(scope, execution_id, {str(one.id): one.data for one in rows.items})
    return Paged([_log(one, documents) for one in rows.items], rows.next_cursor)


_LOG_COLUMNS: Final = tuple(name for name in LogRead.model_fields if name not in ("step", "data", "payload"))


def _log(row: ExecutionLog, documents: large.Shown) -> LogRead:
    key = str(row.id)
    return LogRead.model_validate(
        {name: getattr(row, name) for name in _LOG_COLUMNS}
        | {"step_key": row.step_key, "data": documents.values[key], "payload": documents.hidden.get(key)}
    )


async def status_of(scope: Scope, execution_id: UUID) -> str:
    status: str = (await _bounds(scope, execution_id)).status
    return status


async def require_retriable(scope: Scope, execution_id: UUID) -> None:
    """Raise unless the execution has failed and can go on from there."""
    row = await _bounds(scope, execution_id)
    rules.require_retriable(row.status, compensated=row.compensated, journal_gone=row.journal_gone)


async def _bounds(scope: Scope, execution_id: UUID) -> Any:
    row = (await scope.session.execute(queries.bounds(scope.tenant_id, execution_id))).one_or_none()
    if row is None:
        raise ExecutionNotFound(execution_id)
    return row


async def counts(
    scope: Scope,
    *,
    workflow_id: UUID | None = None,
    created_from: datetime | None = None,
    created_to: datetime | None = None,
) -> ExecutionCounts:
    """Executions by status, of one workflow or of all, created in a period: the last 30 days unless it is given."""
    until = created_to or scope.now()
    since = created_from or until - COUNTED
    _require_period(since, until)
    statuses = [status.value for status in Status]
    if workflow_id is None:
        rows = await scope.raw.fetch(queries.COUNT_ALL, scope.tenant_id, since, until, statuses)
    else:
        rows = await scope.raw.fetch(queries.COUNT_WORKFLOW, scope.tenant_id, since, until, workflow_id)
    counted = {row["status"]: row["executions"] for row in rows}
    return ExecutionCounts(
        created_from=since,
        created_to=until,
        total=sum(counted.values()),
        by_status={status: counted.get(status.value, 0) for status in Status},
    )


async def require_client(scope: Scope, client_id: UUID) -> None:
    """Raise `ClientUnknown` unless there is such a client; a deleted one is none."""
    if await scope.maybe(queries.client_exists(scope.tenant_id, client_id)) is None:
        raise ClientUnknown(client_id)


def _require_period(created_from: datetime | None, created_to: datetime | None) -> None:
    if created_from is not None and created_to is not None and created_from >= created_to:
        raise PeriodInvalid
