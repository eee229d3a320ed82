"""Triggers over HTTP. An address and a signing secret are shown when they are made, and never again."""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID

from fastapi import APIRouter, Response

from weft.domain.workflows.models import WorkflowTrigger
from weft.domain.workflows.routes.shared import Publisher, Reader
from weft.domain.workflows.schemas import Rotate, TriggerCreate, TriggerRead, TriggerSecrets, TriggerUpdate
from weft.domain.workflows.service import triggers
from weft.domain.workflows.service.triggers import NO_GRACE, NewTrigger
from weft.http.paging import Page, Paged, Paging
from weft.http.preconditions import IfMatch, Tag
from weft.interpreter.durations import parse_duration

router = APIRouter(prefix="/workflows/{workflow_id}/triggers", tags=["triggers"])

HOOKS: Final = "/hooks/"


def _secrets(new: NewTrigger, response: Response) -> TriggerSecrets:
    response.headers["Cache-Control"] = "no-store"
    seen = TriggerRead.model_validate(new.trigger)
    path = HOOKS + new.token if new.token is not None else None
    return TriggerSecrets(**seen.model_dump(), token=new.token, path=path, signing_secret=new.signing_secret)


def grace_of(rotate: Rotate | None) -> timedelta:
    """How long what is replaced goes on working; not at all unless it is said."""
    if rotate is None or rotate.grace is None:
        return NO_GRACE
    return timedelta(seconds=parse_duration(rotate.grace))


@router.get("", response_model=Page[TriggerRead])
async def list_triggers(scope: Reader, workflow_id: UUID, query: Paging) -> Paged[WorkflowTrigger]:
    return await triggers.listed(scope, workflow_id, query)


@router.post("", status_code=201, response_model=TriggerSecrets)
async def create_trigger(
    scope: Publisher, workflow_id: UUID, new: TriggerCreate, response: Response, tag: Tag
) -> TriggerSecrets:
    """Add a trigger. The answer holds its address and signing secret, which are not shown again."""
    made = await triggers.create(scope, workflow_id, new)
    tag(made.trigger.row_version)
    return _secrets(made, response)


@router.get("/{trigger_id}", response_model=TriggerRead)
async def show_trigger(scope: Reader, workflow_id: UUID, trigger_id: UUID, tag: Tag) -> WorkflowTrigger:
    trigger = await triggers.get(scope, workflow_id, trigger_id)
    tag(trigger.row_version)
    return trigger


@router.patch("/{trigger_id}", response_model=TriggerRead)
async def update_trigger(
    scope: Publisher, workflow_id: UUID, trigger_id: UUID, change: TriggerUpdate, expected: IfMatch, tag: Tag
) -> WorkflowTrigger:
    trigger = await triggers.update(scope, workflow_id, trigger_id, change, expected=expected)
    tag(trigger.row_version)
    return trigger


@router.post("/{trigger_id}/rotate-token", response_model=TriggerSecrets)
async def rotate_trigger_token(
    scope: Publisher, workflow_id: UUID, trigger_id: UUID, response: Response, tag: Tag, rotate: Rotate | None = None
) -> TriggerSecrets:
    """A new address. The old one stops working at once, or after a time of `grace`."""
    made = await triggers.rotate_token(scope, workflow_id, trigger_id, grace=grace_of(rotate))
    tag(made.trigger.row_version)
    return _secrets(made, response)


@router.post("/{trigger_id}/rotate-secret", response_model=TriggerSecrets)
async def rotate_trigger_secret(
    scope: Publisher, workflow_id: UUID, trigger_id: UUID, response: Response, tag: Tag, rotate: Rotate | None = None
) -> TriggerSecrets:
    """A new signing secret. Calls signed with the old one are refused at once, or after a time of `grace`."""
    made = await triggers.rotate_secret(scope, workflow_id, trigger_id, grace=grace_of(rotate))
    tag(made.trigger.row_version)
    return _secrets(made, response)


@router.delete("/{trigger_id}", status_code=204)
async def delete_trigger(scope: Publisher, workflow_id: UUID, trigger_id: UUID) -> None:
    await triggers.delete(scope, workflow_id, trigger_id)
