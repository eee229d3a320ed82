"""Create, rename, delete and restore workflows, and move them between statuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from weft.db.scope import Scope
from weft.domain.workflows import document as documents
from weft.domain.workflows import queries, rules
from weft.domain.workflows.errors import RestoredNameTaken, WorkflowNotFound
from weft.domain.workflows.models import Workflow, WorkflowStatus
from weft.domain.workflows.schemas import WorkflowCreate, WorkflowUpdate
from weft.domain.workflows.service import publishing, rows, schedules
from weft.http.paging import Paged, PageQuery, page

DEACTIVATE_ALL: Final = """/* weft:workflows.deactivate_all */
update weft.workflows set status = 'INACTIVE'
 where tenant_id = $1 and status = 'ACTIVE' and deleted_at is null returning id
"""


async def get(scope: Scope, workflow_id: UUID) -> Workflow:
    return await rows.find(scope, workflow_id)


async def listed(
    scope: Scope,
    query: PageQuery,
    *,
    statuses: Sequence[WorkflowStatus] = (),
    client_id: UUID | None = None,
    tag: str | None = None,
    name_begins: str | None = None,
    deleted: bool = False,
) -> Paged[Workflow]:
    """Workflows by the time they were made, without their drafts; with `deleted`, those that can be restored."""
    matching = queries.matching(
        scope.tenant_id,
        statuses=[status.value for status in statuses],
        client_id=client_id,
        tag=tag,
        name_begins=rules.name_key(name_begins) if name_begins else None,
        deleted=deleted,
    )
    return await page(scope, matching, (Workflow.created_at, Workflow.id), query)


async def create(scope: Scope, new: WorkflowCreate) -> Workflow:
    """A workflow in status DRAFT. The definition becomes its draft, sound or not; a name alone makes an empty one."""
    await rows.require_client(scope, new.client_id)
    draft = _first_draft(new)
    name = draft["name"]
    workflow = Workflow(
        name=name,
        name_key=rules.name_key(name),
        client_id=new.client_id,
        draft=draft,
        created_by=rows.author(scope),
    )
    publishing.take_over(scope, workflow, draft)
    async with rows.unique_name(workflow.name):
        return await scope.add(workflow)


def _first_draft(new: WorkflowCreate) -> dict[str, Any]:
    """The definition with what was said beside it; the request's own words win over the document's."""
    said = new.model_dump(include={"name", "description", "tags"}, exclude_none=True)
    draft: dict[str, Any] = documents.accept({**(new.definition or {"steps": [], "transitions": []}), **said})
    rules.require_name(draft.get("name"))
    return draft


async def update(scope: Scope, workflow_id: UUID, change: WorkflowUpdate, *, expected: int | None = None) -> Workflow:
    """Change what is sent. Name, description and tags are changed in the draft too, for they are part of it."""
    workflow = await rows.lock(scope, workflow_id, expected=expected)
    sent = change.model_dump(exclude_unset=True)
    if "client_id" in sent:
        await rows.require_client(scope, change.client_id)
        workflow.client_id = change.client_id
    said: dict[str, Any] = {name: value for name, value in sent.items() if name != "client_id"}
    if said:
        _describe(scope, workflow, said)
    async with rows.unique_name(workflow.name):
        await scope.flush()
    return workflow


def _describe(scope: Scope, workflow: Workflow, said: dict[str, Any]) -> None:
    """Change what the workflow says of itself, in its row and in its draft. None takes a word away."""
    if "name" in said:
        rules.require_name(said["name"])
    present: dict[str, Any] = {
        "name": workflow.name,
        "description": workflow.description,
        "tags": workflow.tags,
    }
    if workflow.draft is not None:
        draft = {**workflow.draft, **said}
        workflow.draft = documents.accept({name: value for name, value in draft.items() if value is not None})
    publishing.take_over(scope, workflow, {**present, **said})


async def change_status(scope: Scope, workflow_id: UUID, verb: str, *, expected: int | None = None) -> Workflow:
    """`activate`, `deactivate`, `archive` or `unarchive`. Executions that run go on to their end."""
    workflow = await rows.lock(scope, workflow_id, expected=expected, editable=False)
    workflow.status = rules.move(workflow.status, verb, version=workflow.version)
    await scope.flush()
    await publishing.follow(scope, workflow)
    await schedules.follow(scope, workflow)
    return workflow


async def deactivate_all(scope: Scope) -> int:
    """Deactivate every active workflow of the tenant, and its schedules with it; says how many there were. Executions
    that run go on. Whatever the number, three statements."""
    stopped = await scope.raw.fetch(DEACTIVATE_ALL, scope.tenant_id)
    await schedules.disarm(scope, [row["id"] for row in stopped])
    return len(stopped)


async def delete(scope: Scope, workflow_id: UUID, *, expected: int | None = None) -> None:
    """Hide the workflow and free its name. Nothing starts it any more; executions that run go on to their end."""
    workflow = await rows.lock(scope, workflow_id, expected=expected, editable=False)
    workflow.deleted_at = scope.now()
    if workflow.status == WorkflowStatus.active.value:
        workflow.status = WorkflowStatus.inactive.value  # restoring must not start anything by surprise
    await scope.flush()
    await schedules.follow(scope, workflow)


async def restore(scope: Scope, workflow_id: UUID) -> Workflow:
    """Bring a deleted workflow back, inactive. Refused when its name was taken meanwhile."""
    query = queries.by_id_deleted_too(scope.tenant_id, workflow_id).with_for_update()
    workflow = await scope.one(query, missing=WorkflowNotFound(workflow_id))
    workflow.deleted_at = None
    async with rows.unique_name(workflow.name, RestoredNameTaken):
        await scope.flush()
    return workflow
