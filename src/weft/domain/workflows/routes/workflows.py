"""Workflows over HTTP: the list, one of them, its draft, its status, and its definition as a file."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Response

from weft.domain.workflows import service as workflows
from weft.domain.workflows.models import Workflow, WorkflowStatus
from weft.domain.workflows.parsing import Format
from weft.domain.workflows.routes.shared import Publisher, Reader, Writer, shown
from weft.domain.workflows.schemas import (
    Document,
    DraftRead,
    WorkflowCreate,
    WorkflowRead,
    WorkflowSummary,
    WorkflowUpdate,
)
from weft.http.paging import Page, Paged, Paging
from weft.http.preconditions import IfMatch, Tag

router = APIRouter(prefix="/workflows", tags=["workflows"])

Statuses = Annotated[list[WorkflowStatus] | None, Query(description="Only these; may be given several times.")]
TagFilter = Annotated[str | None, Query(max_length=60)]
Prefix = Annotated[str | None, Query(max_length=200, description="The beginning of the name, in any letter case.")]
Deleted = Annotated[bool, Query(description="List deleted workflows instead, for example to restore one.")]
Number = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Which version; by itself the current one.")]
FormatChoice = Annotated[Format, Query(alias="format")]

_MEDIA: Final = {"yaml": "application/yaml", "json": "application/json"}
_EXPORTED: Final = {"application/yaml": {}, "application/json": {"type": "object"}}


@router.get("", response_model=Page[WorkflowSummary])
async def list_workflows(
    scope: Reader,
    query: Paging,
    status: Statuses = None,
    client_id: UUID | None = None,
    tag: TagFilter = None,
    name: Prefix = None,
    deleted: Deleted = False,
) -> Paged[Workflow]:
    return await workflows.listed(
        scope, query, statuses=status or (), client_id=client_id, tag=tag, name_begins=name, deleted=deleted
    )


@router.post("", status_code=201, response_model=WorkflowRead)
async def create_workflow(scope: Writer, new: WorkflowCreate, tag: Tag) -> WorkflowRead:
    """A workflow in status DRAFT. Its definition becomes the draft and need not be sound yet."""
    workflow = await workflows.create(scope, new)
    tag(workflow.row_version)
    return await shown(scope, workflow)


@router.get("/{workflow_id}", response_model=WorkflowRead)
async def show_workflow(scope: Reader, workflow_id: UUID, tag: Tag) -> WorkflowRead:
    workflow = await workflows.get(scope, workflow_id)
    tag(workflow.row_version)
    return await shown(scope, workflow)


@router.patch("/{workflow_id}", response_model=WorkflowRead)
async def update_workflow(
    scope: Writer, workflow_id: UUID, change: WorkflowUpdate, expected: IfMatch, tag: Tag
) -> WorkflowRead:
    workflow = await workflows.update(scope, workflow_id, change, expected=expected)
    tag(workflow.row_version)
    return await shown(scope, workflow)


@router.delete("/{workflow_id}", status_code=204)
async def delete_workflow(scope: Publisher, workflow_id: UUID, expected: IfMatch) -> None:
    """Put a workflow away. Nothing starts it any more; executions that run go on. It can be restored."""
    await workflows.delete(scope, workflow_id, expected=expected)


@router.post("/{workflow_id}/restore", response_model=WorkflowRead)
async def restore_workflow(scope: Publisher, workflow_id: UUID, tag: Tag) -> WorkflowRead:
    workflow = await workflows.restore(scope, workflow_id)
    tag(workflow.row_version)
    return await shown(scope, workflow)


@router.get("/{workflow_id}/draft", response_model=DraftRead)
async def show_draft(scope: Reader, workflow_id: UUID, tag: Tag) -> workflows.Draft:
    draft = await workflows.draft_of(scope, workflow_id)
    tag(draft.row_version)
    return draft


@router.put("/{workflow_id}/draft", response_model=DraftRead)
async def store_draft(
    scope: Writer, workflow_id: UUID, document: Document, expected: IfMatch, tag: Tag
) -> workflows.Draft:
    """Keep what has been drawn so far, sound or not. The workflow's name, description and tags follow it."""
    workflow = await workflows.store_draft(scope, workflow_id, document, expected=expected)
    tag(workflow.row_version)
    return await workflows.draft_of(scope, workflow_id)


@router.post("/{workflow_id}/activate", response_model=WorkflowRead)
async def activate_workflow(scope: Publisher, workflow_id: UUID, expected: IfMatch, tag: Tag) -> WorkflowRead:
    """Let it be started. It needs a version."""
    workflow = await workflows.change_status(scope, workflow_id, "activate", expected=expected)
    tag(workflow.row_version)
    return await shown(scope, workflow)


@router.post("/{workflow_id}/deactivate", response_model=WorkflowRead)
async def deactivate_workflow(scope: Publisher, workflow_id: UUID, expected: IfMatch, tag: Tag) -> WorkflowRead:
    """Start no more of it. Executions that run go on to their end."""
    workflow = await workflows.change_status(scope, workflow_id, "deactivate", expected=expected)
    tag(workflow.row_version)
    return await shown(scope, workflow)


@router.post("/{workflow_id}/archive", response_model=WorkflowRead)
async def archive_workflow(scope: Publisher, workflow_id: UUID, expected: IfMatch, tag: Tag) -> WorkflowRead:
    """Make it read-only: no starts, no changes."""
    workflow = await workflows.change_status(scope, workflow_id, "archive", expected=expected)
    tag(workflow.row_version)
    return await shown(scope, workflow)


@router.post("/{workflow_id}/unarchive", response_model=WorkflowRead)
async def unarchive_workflow(scope: Publisher, workflow_id: UUID, expected: IfMatch, tag: Tag) -> WorkflowRead:
    """Bring it back, inactive."""
    workflow = await workflows.change_status(scope, workflow_id, "unarchive", expected=expected)
    tag(workflow.row_version)
    return await shown(scope, workflow)


@router.get(
    "/{workflow_id}/export",
    response_class=Response,
    responses={200: {"content": {media: {"schema": schema} for media, schema in _EXPORTED.items()}}},
)
async def export_workflow(
    scope: Reader, workflow_id: UUID, chosen: FormatChoice = "yaml", number: Number = None
) -> Response:
    """The definition as a file, always in the same order; importing it gives the same definition."""
    text = await workflows.export(scope, workflow_id, number=number, format=chosen)
    return Response(
        text,
        media_type=_MEDIA[chosen],
        headers={"Content-Disposition": f'attachment; filename="workflow-{workflow_id}.{chosen}"'},
    )
