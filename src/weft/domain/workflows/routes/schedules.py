"""Schedules over HTTP: when one will be due, and what became of its due times."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from weft.domain.workflows.routes.shared import Reader, Writer
from weft.domain.workflows.schedule_models import ScheduleRun
from weft.domain.workflows.schedule_schemas import SchedulePreview, SchedulePreviewAsked, ScheduleRunRead
from weft.domain.workflows.schedules.due import RunStatus
from weft.domain.workflows.service import schedules
from weft.http.bodies import Moment
from weft.http.paging import Page, Paged, Paging

router = APIRouter(prefix="/workflows/{workflow_id}/triggers", tags=["triggers"])

From = Annotated[Moment | None, Query(alias="from", description="Due times after this one; now unless given.")]


@router.post("/preview", response_model=SchedulePreview)
async def preview_new_schedule(scope: Writer, workflow_id: UUID, asked: SchedulePreviewAsked) -> SchedulePreview:
    """When a schedule with this config would be due. Nothing is stored."""
    return await schedules.preview_new(scope, workflow_id, asked)


@router.get("/{trigger_id}/preview", response_model=SchedulePreview)
async def preview_schedule(
    scope: Reader,
    workflow_id: UUID,
    trigger_id: UUID,
    count: Annotated[int, Query(ge=1, le=100)] = 10,
    from_: From = None,
) -> SchedulePreview:
    """When this schedule will be due, whether or not it is enabled."""
    return await schedules.preview_of(scope, workflow_id, trigger_id, from_, count)


@router.get("/{trigger_id}/runs", response_model=Page[ScheduleRunRead])
async def list_schedule_runs(
    scope: Reader, workflow_id: UUID, trigger_id: UUID, query: Paging, status: RunStatus | None = None
) -> Paged[ScheduleRun]:
    """What became of the schedule's due times, the newest first. They are kept for 90 days."""
    return await schedules.runs(
        scope, workflow_id, trigger_id, query, status=status.value if status is not None else None
    )
