"""What every use case of this room begins with: finding the row, and knowing that it is the one that was seen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from weft.core.actor import ActorKind
from weft.db.scope import Scope
from weft.domain.workflows import queries, rules
from weft.domain.workflows.errors import (
    ClientUnknown,
    RestoredNameTaken,
    TriggerNameTaken,
    WorkflowNameTaken,
    WorkflowNotFound,
)
from weft.domain.workflows.models import Workflow
from weft.http.preconditions import check

_NAME_INDEX: Final = "workflows_name_key"
_TRIGGER_INDEX: Final = "workflow_triggers_name_key"


async def find(scope: Scope, workflow_id: UUID) -> Workflow:
    return await scope.one(queries.by_id(scope.tenant_id, workflow_id), missing=WorkflowNotFound(workflow_id))


async def lock(scope: Scope, workflow_id: UUID, *, expected: int | None = None, editable: bool = True) -> Workflow:
    """The workflow, held until the transaction ends: two people's changes take turns.

    `expected` is the `row_version` that the caller has seen; any other raises `VersionStale`.
    """
    workflow = await scope.one(
        queries.by_id(scope.tenant_id, workflow_id).with_for_update(), missing=WorkflowNotFound(workflow_id)
    )
    check(expected, workflow.row_version)
    if editable:
        rules.require_editable(workflow.status)
    return workflow


async def require_client(scope: Scope, client_id: UUID | None) -> None:
    """A deleted client is no client; one of another tenant is not seen at all."""
    if client_id is not None and not await scope.maybe(queries.client(scope.tenant_id, client_id)):
        raise ClientUnknown(client_id)


@asynccontextmanager
async def unique_name(
    name: str, taken: type[WorkflowNameTaken | RestoredNameTaken] = WorkflowNameTaken
) -> AsyncIterator[None]:
    """Turns the database's refusal of a second workflow of that name into words."""
    try:
        yield
    except IntegrityError as error:
        if _NAME_INDEX in str(error.orig):
            raise taken(name) from error
        raise


@asynccontextmanager
async def unique_trigger(name: str) -> AsyncIterator[None]:
    """Likewise for a second trigger of that name in a workflow."""
    try:
        yield
    except IntegrityError as error:
        if _TRIGGER_INDEX in str(error.orig):
            raise TriggerNameTaken(name) from error
        raise


def author(scope: Scope) -> UUID | None:
    """Who is recorded as creator: the person, also behind an API key; nobody for weft itself."""
    actor = scope.actor
    return None if actor.kind is ActorKind.system else actor.user_id or actor.id
