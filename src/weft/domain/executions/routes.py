"""Looking at executions over HTTP. `weft.engine.routes` has the routes that start, cancel and retry them."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from weft.db.scope import Scope
from weft.domain.executions import large
from weft.domain.executions import service as executions
from weft.domain.executions.models import LogStatus
from weft.domain.executions.payloads import inflated
from weft.domain.executions.queries import Filters
from weft.domain.executions.schemas import ExecutionCounts, ExecutionRead, ExecutionSummary, LogRead
from weft.http.bodies import Moment
from weft.http.paging import Page, Paged, Paging
from weft.http.scope import allowed
from weft.interpreter.state import Status

router = APIRouter(prefix="/executions", tags=["executions"])

Reader = Annotated[Scope, allowed("executions:read")]
Lister = Annotated[Scope, allowed("executions:read", may_lag=True)]
Text = Annotated[str | None, Query(min_length=1, max_length=200)]
From = Annotated[Moment | None, Query(description="Created at this time or later, with its time zone.")]
To = Annotated[Moment | None, Query(description="Created before this time.")]


async def _filters(
    status: Status | None = None,
    workflow_id: UUID | None = None,
    client_id: UUID | None = None,
    parent_id: Annotated[UUID | None, Query(description="Sub-workflows of this execution.")] = None,
    correlation_id: Annotated[
        str | None, Query(min_length=1, max_length=200, description="Quick only with `created_from`.")
    ] = None,
    trigger: Text = None,
    simulation: Annotated[bool | None, Query(description="Only simulated ones, or only others.")] = None,
    created_from: From = None,
    created_to: To = None,
) -> Filters:
    return Filters(
        status=status.value if status is not None else None,
        workflow_id=workflow_id,
        client_id=client_id,
        parent_id=parent_id,
        correlation_id=correlation_id,
        trigger=trigger.upper() if trigger is not None else None,
        simulation=simulation,
        created_from=created_from,
        created_to=created_to,
    )


@router.get("", response_model=Page[ExecutionSummary])
async def list_executions(scope: Lister, query: Paging, filters: Annotated[Filters, Depends(_filters)]) -> Paged[Any]:
    """Executions of all workflows, newest first."""
    return await executions.listed(scope, filters, query)


@router.get("/counts", response_model=ExecutionCounts)
async def count_executions(
    scope: Lister, workflow_id: UUID | None = None, created_from: From = None, created_to: To = None
) -> ExecutionCounts:
    """How many executions have which status: of the last 30 days, unless a period is given. Not the simulated ones."""
    return await executions.counts(scope, workflow_id=workflow_id, created_from=created_from, created_to=created_to)


@router.get("/{execution_id}", response_model=ExecutionRead)
async def get_execution(scope: Reader, execution_id: UUID) -> ExecutionRead:
    """One execution: its documents, where it stands, and how long it took."""
    return await executions.get(scope, execution_id)


@router.get("/{execution_id}/logs", response_model=Page[LogRead])
async def list_execution_logs(
    scope: Reader,
    execution_id: UUID,
    query: Paging,
    step: Annotated[str | None, Query(min_length=1, max_length=500, description="The step's path.")] = None,
    status: LogStatus | None = None,
) -> Paged[LogRead]:
    """The journal: one row for each attempt of each visit of a step. `order=asc` tells it as it happened."""
    return await executions.journal(
        scope, execution_id, query, step=step, status=status.value if status is not None else None
    )


@router.get(
    "/{execution_id}/payloads/{payload_id}",
    response_class=StreamingResponse,
    responses={200: {"description": "The value, whole.", "content": {"application/json": {"schema": {}}}}},
)
async def get_execution_payload(scope: Reader, execution_id: UUID, payload_id: UUID) -> StreamingResponse:
    """A large value of an execution: its input, its output or that of a step, as JSON."""
    data = await large.payload(scope, execution_id, payload_id)
    return StreamingResponse(inflated(data), media_type="application/json")
