"""Dead jobs over HTTP: looking at them and dropping them. `weft.engine.dead` has the routes that retry them."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from weft.db.scope import Scope
from weft.domain.dead_jobs import service as dead_jobs
from weft.domain.dead_jobs.queries import Filters
from weft.domain.dead_jobs.schemas import DeadJobDrop, DeadJobRead, DeadJobsDone, DeadJobsDrop, DeadJobSummary
from weft.http.bodies import Moment
from weft.http.paging import Page, Paged, Paging
from weft.http.scope import allowed

router = APIRouter(prefix="/dead-jobs", tags=["dead jobs"])

Reader = Annotated[Scope, allowed("executions:read")]
Manager = Annotated[Scope, allowed("executions:manage")]


async def _filters(
    kind: Annotated[str | None, Query(min_length=1, max_length=50, description="start, step, timer, ...")] = None,
    execution_id: UUID | None = None,
    workflow_id: UUID | None = None,
    died_from: Annotated[Moment | None, Query(description="Died at this time or later, with its time zone.")] = None,
    died_to: Annotated[Moment | None, Query(description="Died before this time.")] = None,
) -> Filters:
    return Filters(kind, execution_id, workflow_id, died_from, died_to)


@router.get("", response_model=Page[DeadJobSummary])
async def list_dead_jobs(scope: Reader, query: Paging, filters: Annotated[Filters, Depends(_filters)]) -> Paged[Any]:
    """Jobs that were given up, the newest first."""
    return await dead_jobs.listed(scope, filters, query)


@router.get("/{job_id}", response_model=DeadJobRead)
async def get_dead_job(scope: Reader, job_id: UUID) -> DeadJobRead:
    """One dead job: what it was to do, what happened, and what a retry would do."""
    return await dead_jobs.get(scope, job_id)


@router.post("/{job_id}/drop", status_code=204)
async def drop_dead_job(scope: Manager, job_id: UUID, drop: DeadJobDrop) -> None:
    """Forget it. Its execution stays as it is."""
    await dead_jobs.drop(scope, job_id, drop.reason)


@router.post("/drop", response_model=DeadJobsDone)
async def drop_dead_jobs(scope: Manager, wanted: DeadJobsDrop) -> DeadJobsDone:
    """Forget all that are meant; `dry_run` only counts them."""
    return await dead_jobs.drop_all(scope, wanted)
