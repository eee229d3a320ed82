"""Webhook triggers: an address that starts a workflow, and the secret that proves who called it.

Address and signing secret are shown when they are made and never again. The address is stored as a hash, because
it is only compared; the signing secret is encrypted, because signatures are computed with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from weft.core.errors import Issue
from weft.core.ids import new_id
from weft.db import secrets
from weft.db.scope import Scope
from weft.domain.workflows import queries, rules, tokens
from weft.domain.workflows.errors import TriggerConfigInvalid, TriggerNotFound, WebhookOnly, WebhookUnknown
from weft.domain.workflows.models import TriggerKind, Workflow, WorkflowStatus, WorkflowTrigger
from weft.domain.workflows.schemas import TriggerCreate, TriggerUpdate, WebhookConfig
from weft.domain.workflows.sentences import nearest_word
from weft.domain.workflows.service import rows
from weft.expressions.compile import compile_value
from weft.http.paging import Paged, PageQuery, page
from weft.http.preconditions import check

TABLE: Final = "workflow_triggers"
COLUMN: Final = "secret"
ROOTS: Final = ("body", "headers", "query", "now")
"""What the input mapping of a webhook may read."""


@dataclass(frozen=True, slots=True)
class NewTrigger:
    """A trigger with what can be seen only now."""

    trigger: WorkflowTrigger
    token: str | None = field(default=None, repr=False)
    signing_secret: str | None = field(default=None, repr=False)


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


async def create(scope: Scope, workflow_id: UUID, new: TriggerCreate) -> NewTrigger:
    """Add a trigger. A workflow may have several, each with an address of its own."""
    workflow = await rows.lock(scope, workflow_id)
    trigger_id = new_id()
    if new.kind is not TriggerKind.webhook:
        trigger = await _add(scope, workflow, trigger_id, new)
        return NewTrigger(trigger)
    _check_mapping(new.config)
    minted, secret = tokens.mint(scope.tenant_id, trigger_id), tokens.new_signing_secret()
    sealed = await secrets.seal(scope, TABLE, COLUMN, trigger_id, secret)
    trigger = await _add(scope, workflow, trigger_id, new, token_hash=minted.token_hash, secret=sealed)
    return NewTrigger(trigger, minted.text, tokens.written(secret))


async def _add(
    scope: Scope,
    workflow: Workflow,
    trigger_id: UUID,
    new: TriggerCreate,
    *,
    token_hash: bytes | None = None,
    secret: bytes | None = None,
) -> WorkflowTrigger:
    is_webhook = new.kind is TriggerKind.webhook
    return await scope.add(
        WorkflowTrigger(
            id=trigger_id,
            workflow_id=workflow.id,
            kind=new.kind.value,
            name=new.name,
            config=new.config.model_dump(mode="json", exclude_none=True) if is_webhook else {},
            token_hash=token_hash,
            secret=secret,
            enabled=new.enabled,
            created_by=rows.author(scope),
        )
    )


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
    trigger = await _lock(scope, workflow_id, trigger_id, expected=expected)
    if change.name is not None:
        trigger.name = change.name
    if change.enabled is not None:
        trigger.enabled = change.enabled
    if change.config is not None:
        _require_webhook(trigger)
        _check_mapping(change.config)
        trigger.config = change.config.model_dump(mode="json", exclude_none=True)
    await scope.flush()
    return trigger


async def rotate_token(scope: Scope, workflow_id: UUID, trigger_id: UUID) -> NewTrigger:
    """A new address; the old one stops working at once."""
    trigger = await _lock(scope, workflow_id, trigger_id)
    _require_webhook(trigger)
    minted = tokens.mint(scope.tenant_id, trigger.id)
    trigger.token_hash = minted.token_hash
    await scope.flush()
    return NewTrigger(trigger, token=minted.text)


async def rotate_secret(scope: Scope, workflow_id: UUID, trigger_id: UUID) -> NewTrigger:
    """A new signing secret; calls that are signed with the old one are refused at once."""
    trigger = await _lock(scope, workflow_id, trigger_id)
    _require_webhook(trigger)
    secret = tokens.new_signing_secret()
    trigger.secret = await secrets.seal(scope, TABLE, COLUMN, trigger.id, secret)
    await scope.flush()
    return NewTrigger(trigger, signing_secret=tokens.written(secret))


async def delete(scope: Scope, workflow_id: UUID, trigger_id: UUID) -> None:
    """Take the trigger away. Executions that it started stay as they are."""
    trigger = await _lock(scope, workflow_id, trigger_id)
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
    )


async def _lock(scope: Scope, workflow_id: UUID, trigger_id: UUID, *, expected: int | None = None) -> WorkflowTrigger:
    workflow = await rows.find(scope, workflow_id)
    rules.require_editable(workflow.status)
    query = queries.trigger(scope.tenant_id, workflow_id, trigger_id).with_for_update()
    trigger = await scope.one(query, missing=TriggerNotFound(trigger_id))
    check(expected, trigger.row_version)
    return trigger


def _require_webhook(trigger: WorkflowTrigger) -> None:
    if trigger.kind != TriggerKind.webhook.value:
        raise WebhookOnly


def _check_mapping(config: WebhookConfig) -> None:
    """Refuse an input mapping that cannot be evaluated or that reads what a webhook does not have."""
    compiled = compile_value(config.input, ("config", "input"), refuse=False)
    issues = list(compiled.issues) or list(_unknown_roots(compiled.paths))
    if issues:
        raise TriggerConfigInvalid(f"The input mapping cannot be used: {issues[0].message}", issues=issues)


def _unknown_roots(paths: frozenset[str]) -> list[Issue]:
    issues = []
    for path in sorted(paths):
        root = path.partition(".")[0]
        if root not in ROOTS:
            near = nearest_word(root, ROOTS)
            mend = f"Did you mean `{near}`?" if near else f"There are {', '.join(f'`{one}`' for one in ROOTS)}."
            issues.append(
                Issue(
                    f"A webhook has no `{root}`. {mend}", ("config", "input"), "reference_unknown", {"reference": path}
                )
            )
    return issues
