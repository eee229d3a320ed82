"""Webhook triggers: an address that starts a workflow, and the secret that proves who called it.

Address and signing secret are shown when they are made and never again. The address is stored as a hash, because
it is only compared; the signing secret is encrypted, because signatures are computed with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from weft.core.ids import new_id
from weft.db import secrets
from weft.db.scope import Scope
from weft.domain.workflows import queries, tokens
from weft.domain.workflows.errors import (
    TriggerConfigMismatched,
    TriggerNotFound,
    WebhookOnly,
    WebhookUnknown,
)
from weft.domain.workflows.models import TriggerKind, Workflow, WorkflowStatus, WorkflowTrigger
from weft.domain.workflows.schedule_schemas import ScheduleConfig
from weft.domain.workflows.schemas import TriggerConfig, TriggerCreate, TriggerUpdate, WebhookConfig
from weft.domain.workflows.service import event_triggers, rows, schedules
from weft.domain.workflows.service.mapping import check_mapping
from weft.http.paging import Paged, PageQuery, page
from weft.http.preconditions import check

TABLE: Final = "workflow_triggers"
COLUMN: Final = "secret"
NO_GRACE: Final = timedelta()
ROOTS: Final = ("body", "headers", "query", "now", "trigger")
"""What the input mapping of a webhook may read."""


@dataclass(frozen=True, slots=True)
class NewTrigger:
    """A trigger with what can be seen only now."""

    trigger: WorkflowTrigger
    token: str | None = field(default=None, repr=False)
    signing_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Previous:
    """What was rotated and works for a while longer; each until its time."""

    token_hash: bytes | None = field(repr=False)
    token_until: datetime | None
    signing_secret: bytes | None = field(repr=False)
    secret_until: datetime | None


@dataclass(frozen=True, slots=True)
class Webhook:
    """What the receiver of a call needs to judge it and to start the workflow."""

    trigger_id: UUID
    workflow_id: UUID
    version_id: UUID | None
    token_hash: bytes = field(repr=False)
    signing_secret: bytes = field(repr=False)
    config: WebhookConfig
    enabled: bool
    startable: bool
    """Enabled, and the workflow is active and has a version."""
    previous: Previous


async def create(scope: Scope, workflow_id: UUID, new: TriggerCreate) -> NewTrigger:
    """Add a trigger. A workflow may have several, each with an address of its own. Raises `TriggerNameTaken`."""
    workflow = await rows.lock(scope, workflow_id)
    async with rows.unique_trigger(new.name):
        return await _create(scope, workflow, new)


async def _create(scope: Scope, workflow: Workflow, new: TriggerCreate) -> NewTrigger:
    trigger_id = new_id()
    if new.kind is TriggerKind.schedule:
        return NewTrigger(await _add_schedule(scope, workflow, trigger_id, new))
    if new.kind is TriggerKind.event:
        return NewTrigger(await event_triggers.create(scope, workflow, trigger_id, new))
    if new.kind is not TriggerKind.webhook:
        trigger = await _add(scope, workflow, trigger_id, new, {})
        return NewTrigger(trigger)
    config = _webhook_config(new.config)
    minted, secret = tokens.mint(scope.tenant_id, trigger_id), tokens.new_signing_secret()
    sealed = await secrets.seal(scope, TABLE, COLUMN, trigger_id, secret)
    trigger = await _add(scope, workflow, trigger_id, new, config, token_hash=minted.token_hash, secret=sealed)
    return NewTrigger(trigger, minted.text, tokens.written(secret))


def checked(new: TriggerCreate, now: datetime) -> dict[str, Any]:
    """The config as `create` would store it, without a database. Raises `TriggerConfigInvalid` and its like."""
    match new.kind:
        case TriggerKind.webhook:
            return _webhook_config(new.config)
        case TriggerKind.schedule if isinstance(new.config, ScheduleConfig):
            return schedules.checked(new.config, now)
        case TriggerKind.event:
            return event_triggers.checked(new.config)
        case TriggerKind.manual:
            return {}
        case _:
            raise TriggerConfigMismatched(new.kind.value)


async def _add(
    scope: Scope,
    workflow: Workflow,
    trigger_id: UUID,
    new: TriggerCreate,
    config: dict[str, Any],
    *,
    token_hash: bytes | None = None,
    secret: bytes | None = None,
) -> WorkflowTrigger:
    return await scope.add(
        WorkflowTrigger(
            id=trigger_id,
            workflow_id=workflow.id,
            kind=new.kind.value,
            name=new.name,
            config=config,
            token_hash=token_hash,
            secret=secret,
            enabled=new.enabled,
            created_by=rows.author(scope),
        )
    )


async def _add_schedule(scope: Scope, workflow: Workflow, trigger_id: UUID, new: TriggerCreate) -> WorkflowTrigger:
    if not isinstance(new.config, ScheduleConfig):
        raise TriggerConfigMismatched(new.kind.value)
    trigger = await _add(scope, workflow, trigger_id, new, schedules.checked(new.config, scope.now()))
    await schedules.arm(scope, workflow, [trigger])
    return trigger


async def listed(scope: Scope, workflow_id: UUID, query: PageQuery) -> Paged[WorkflowTrigger]:
    await rows.find(scope, workflow_id)
    matching = queries.triggers(scope.tenant_id, workflow_id)
    return await page(scope, matching, (WorkflowTrigger.id,), query)


async def get(scope: Scope, workflow_id: UUID, trigger_id: UUID) -> WorkflowTrigger:
    await rows.find(scope, workflow_id)
    return await scope.one(
        queries.trigger(scope.tenant_id, workflow_id, trigger_id), missing=TriggerNotFound(trigger_id)
    )


async def update(
    scope: Scope, workflow_id: UUID, trigger_id: UUID, change: TriggerUpdate, *, expected: int | None = None
) -> WorkflowTrigger:
    """Rename, enable or disable, or replace the config; only what is sent is changed."""
    workflow, trigger = await _lock(scope, workflow_id, trigger_id, expected=expected)
    if change.name is not None:
        trigger.name = change.name
    if change.enabled is not None:
        trigger.enabled = change.enabled
        await event_triggers.changed(scope, trigger)
    if change.config is not None and trigger.kind == TriggerKind.event.value:
        await event_triggers.replace(scope, trigger, change.config)
    elif change.config is not None:
        trigger.config = _changed_config(trigger, change.config, scope.now())
    async with rows.unique_trigger(trigger.name):
        await scope.flush()
    if change.enabled is not None or change.config is not None:
        await schedules.arm(scope, workflow, [trigger])
    return trigger


def _changed_config(trigger: WorkflowTrigger, config: TriggerConfig, now: datetime) -> dict[str, Any]:
    if trigger.kind == TriggerKind.schedule.value:
        if not isinstance(config, ScheduleConfig):
            raise TriggerConfigMismatched(trigger.kind)
        return schedules.checked(config, now)
    _require_webhook(trigger)
    return _webhook_config(config)


def _webhook_config(config: TriggerConfig) -> dict[str, Any]:
    if not isinstance(config, WebhookConfig):
        raise TriggerConfigMismatched(TriggerKind.webhook.value)
    check_mapping(config.input, ROOTS, "A webhook")
    return config.model_dump(mode="json", exclude_none=True)


async def rotate_token(scope: Scope, workflow_id: UUID, trigger_id: UUID, *, grace: timedelta = NO_GRACE) -> NewTrigger:
    """A new address; the old one stops working at once, or when the grace is over."""
    _, trigger = await _lock(scope, workflow_id, trigger_id)
    _require_webhook(trigger)
    minted = tokens.mint(scope.tenant_id, trigger.id)
    trigger.previous_token_hash = trigger.token_hash if grace else None
    trigger.token_grace_until = scope.now() + grace if grace else None
    trigger.token_hash = minted.token_hash
    await scope.flush()
    return NewTrigger(trigger, token=minted.text)


async def rotate_secret(
    scope: Scope, workflow_id: UUID, trigger_id: UUID, *, grace: timedelta = NO_GRACE
) -> NewTrigger:
    """A new signing secret; what is signed with the old one is refused at once, or when the grace is over."""
    _, trigger = await _lock(scope, workflow_id, trigger_id)
    _require_webhook(trigger)
    secret = tokens.new_signing_secret()
    # The seal is bound to the row and to the column that it was made for, which the previous one keeps.
    trigger.previous_secret = trigger.secret if grace else None
    trigger.signing_grace_until = scope.now() + grace if grace else None
    trigger.secret = await secrets.seal(scope, TABLE, COLUMN, trigger.id, secret)
    await scope.flush()
    return NewTrigger(trigger, signing_secret=tokens.written(secret))


async def delete(scope: Scope, workflow_id: UUID, trigger_id: UUID) -> None:
    """Take the trigger away. Executions that it started stay as they are."""
    _, trigger = await _lock(scope, workflow_id, trigger_id)
    await event_triggers.changed(scope, trigger)
    await scope.session.delete(trigger)
    await scope.flush()


async def webhook(scope: Scope, trigger_id: UUID) -> Webhook:
    """What is needed to receive a call for this trigger. Raises `WebhookUnknown` for all that is none."""
    row = (await scope.session.execute(queries.webhook(scope.tenant_id, trigger_id))).one_or_none()
    if row is None:
        raise WebhookUnknown
    trigger, workflow = row
    if trigger.kind != TriggerKind.webhook.value or trigger.token_hash is None or trigger.secret is None:
        raise WebhookUnknown
    secret = await secrets.unseal(scope, TABLE, COLUMN, trigger.id, trigger.secret)
    old_secret = None
    if trigger.previous_secret is not None and _lasts(trigger.signing_grace_until, scope.now()):
        old_secret = await secrets.unseal(scope, TABLE, COLUMN, trigger.id, trigger.previous_secret)
    is_active = workflow.status == WorkflowStatus.active.value and workflow.current_version_id is not None
    return Webhook(
        trigger_id=trigger.id,
        workflow_id=workflow.id,
        version_id=workflow.current_version_id,
        token_hash=trigger.token_hash,
        signing_secret=secret,
        config=WebhookConfig.model_validate(trigger.config),
        enabled=trigger.enabled,
        startable=trigger.enabled and is_active,
        previous=Previous(
            trigger.previous_token_hash if _lasts(trigger.token_grace_until, scope.now()) else None,
            trigger.token_grace_until,
            old_secret,
            trigger.signing_grace_until,
        ),
    )


def _lasts(until: datetime | None, now: datetime) -> bool:
    return until is not None and now < until


async def _lock(
    scope: Scope, workflow_id: UUID, trigger_id: UUID, *, expected: int | None = None
) -> tuple[Workflow, WorkflowTrigger]:
    """Both: whether a schedule runs depends on its workflow too, and changes of the two take turns."""
    workflow = await rows.lock(scope, workflow_id)
    query = queries.trigger(scope.tenant_id, workflow_id, trigger_id).with_for_update()
    trigger = await scope.one(query, missing=TriggerNotFound(trigger_id))
    check(expected, trigger.row_version)
    return workflow, trigger


def _require_webhook(trigger: WorkflowTrigger) -> None:
    if trigger.kind != TriggerKind.webhook.value:
        raise WebhookOnly
