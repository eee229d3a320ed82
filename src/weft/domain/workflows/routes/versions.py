"""Versions over HTTP: saving the draft as one, the history, and what changed."""

from __future__ import annotations

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response

from weft.domain.workflows import diff
from weft.domain.workflows import service as workflows
from weft.domain.workflows.models import WorkflowStep, WorkflowVersion
from weft.domain.workflows.routes.shared import Publisher, Reader, Writer, shown_saved
from weft.domain.workflows.schemas import (
    ChangeRead,
    DiffRead,
    RollbackTo,
    StepRead,
    TransitionRead,
    VersionCreate,
    VersionRead,
    VersionSaved,
    VersionSummary,
)
from weft.http.paging import Page, Paged, Paging
from weft.http.preconditions import IfMatch, Tag

router = APIRouter(prefix="/workflows/{workflow_id}", tags=["workflows"])

MAX_NUMBER = 2**31 - 1
Number = Annotated[int, Path(ge=1, le=MAX_NUMBER)]
From = Annotated[int | None, Query(alias="from", ge=1, le=MAX_NUMBER, description="By itself the current version.")]
To = Annotated[int | None, Query(ge=1, le=MAX_NUMBER, description="By itself the draft.")]


_NOTHING_NEW: Final[dict[int | str, dict[str, Any]]] = {
    200: {"model": VersionSaved, "description": "The content is that of the current version: no version was made."}
}


@router.post("/versions", status_code=201, response_model=VersionSaved, responses=_NOTHING_NEW)
async def save_version(
    scope: Writer, workflow_id: UUID, new: VersionCreate, expected: IfMatch, tag: Tag, response: Response
) -> VersionSaved:
    """Make the draft the next version. Refused with every fault when it is unsound.

    Of an active workflow the version runs at once, which needs `workflows:publish` besides. A draft that equals the
    current version makes no new one (200, `created` is false).
    """
    saved = await workflows.save_version(scope, workflow_id, note=new.note, expected=expected)
    tag(saved.workflow.row_version)
    response.status_code = 201 if saved.created else 200
    return shown_saved(saved)


@router.get("/versions", response_model=Page[VersionSummary])
async def list_versions(scope: Reader, workflow_id: UUID, query: Paging) -> Paged[WorkflowVersion]:
    return await workflows.history(scope, workflow_id, query)


@router.get("/versions/{number}", response_model=VersionRead)
async def show_version(scope: Reader, workflow_id: UUID, number: Number) -> WorkflowVersion:
    return await workflows.version(scope, workflow_id, number)


@router.get("/versions/{number}/steps", response_model=Page[StepRead])
async def list_steps(scope: Reader, workflow_id: UUID, number: Number, query: Paging) -> Paged[WorkflowStep]:
    return await workflows.steps(scope, workflow_id, number, query)


@router.get("/versions/{number}/transitions", response_model=Page[TransitionRead])
async def list_transitions(
    scope: Reader, workflow_id: UUID, number: Number, query: Paging
) -> Paged[workflows.PlacedTransition]:
    return await workflows.transitions(scope, workflow_id, number, query)


@router.get("/diff", response_model=DiffRead)
async def compare_versions(scope: Reader, workflow_id: UUID, old: From = None, to: To = None) -> DiffRead:
    """What changed from one version to another, or to the draft: for programs and as lines for people."""
    if old is None:
        old = (await workflows.get(scope, workflow_id)).version or None
    compared = await workflows.compare(scope, workflow_id, old, to)
    return DiffRead(
        old=compared.old,
        new=compared.new,
        same=not compared.changes,
        changes=[ChangeRead.model_validate(change) for change in compared.changes],
        lines=diff.lines(compared.changes),
    )


@router.post("/rollback", status_code=201, response_model=VersionSaved, responses=_NOTHING_NEW)
async def roll_back(
    scope: Publisher, workflow_id: UUID, target: RollbackTo, expected: IfMatch, tag: Tag, response: Response
) -> VersionSaved:
    """Make the content of an old version the next version. History only grows; a changed draft is kept."""
    saved = await workflows.rollback(scope, workflow_id, target.number, note=target.note, expected=expected)
    tag(saved.workflow.row_version)
    response.status_code = 201 if saved.created else 200
    return shown_saved(saved)
