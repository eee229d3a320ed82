"""Select statements as values. The tenant stands in each, so that its index and its shard are found; row security
says the same again. Soft-deleted workflows are hidden unless asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.orm import aliased, defer, selectinload

from weft.domain.clients.models import Client
from weft.domain.workflows.models import (
    TriggerKind,
    Workflow,
    WorkflowStep,
    WorkflowTransition,
    WorkflowTrigger,
    WorkflowVersion,
)


def by_id(tenant_id: UUID, workflow_id: UUID) -> Select[Workflow]:
    return select(Workflow).where(Workflow.tenant_id == tenant_id, Workflow.id == workflow_id)


def by_id_deleted_too(tenant_id: UUID, workflow_id: UUID) -> Select[Workflow]:
    return by_id(tenant_id, workflow_id).execution_options(include_deleted=True)


def by_name_key(tenant_id: UUID, key: str) -> Select[Workflow]:
    return select(Workflow).where(Workflow.tenant_id == tenant_id, Workflow.name_key == key)


def matching(
    tenant_id: UUID,
    *,
    statuses: Sequence[str] = (),
    client_id: UUID | None = None,
    tag: str | None = None,
    name_begins: str | None = None,
    deleted: bool = False,
) -> Select[Workflow]:
    """Workflows without their drafts, in no order yet: paging adds it. `name_begins` is compared with name keys."""
    query = select(Workflow).where(Workflow.tenant_id == tenant_id).options(defer(Workflow.draft, raiseload=True))
    if statuses:
        query = query.where(Workflow.status.in_(statuses))
    if client_id is not None:
        query = query.where(Workflow.client_id == client_id)
    if tag is not None:
        query = query.where(Workflow.tags.any_() == tag)
    if name_begins is not None:
        query = query.where(Workflow.name_key.startswith(name_begins, autoescape=True))
    if deleted:
        query = query.where(Workflow.deleted_at.is_not(None)).execution_options(include_deleted=True)
    return query


def version_numbered(tenant_id: UUID, workflow_id: UUID, number: int) -> Select[WorkflowVersion]:
    return select(WorkflowVersion).where(
        WorkflowVersion.tenant_id == tenant_id,
        WorkflowVersion.workflow_id == workflow_id,
        WorkflowVersion.number == number,
    )


def content_hash_of(tenant_id: UUID, version_id: UUID) -> Select[str]:
    return select(WorkflowVersion.content_hash).where(
        WorkflowVersion.tenant_id == tenant_id, WorkflowVersion.id == version_id
    )


def definition_of(tenant_id: UUID, version_id: UUID) -> Select[dict[str, Any]]:
    return select(WorkflowVersion.definition).where(
        WorkflowVersion.tenant_id == tenant_id, WorkflowVersion.id == version_id
    )


def versions(tenant_id: UUID, workflow_id: UUID) -> Select[WorkflowVersion]:
    """The history, without the definitions themselves, in no order yet."""
    return (
        select(WorkflowVersion)
        .where(WorkflowVersion.tenant_id == tenant_id, WorkflowVersion.workflow_id == workflow_id)
        .options(defer(WorkflowVersion.definition, raiseload=True))
    )


def steps(tenant_id: UUID, version_id: UUID) -> Select[WorkflowStep]:
    """A version's steps, in no order yet: `order` numbers them."""
    return select(WorkflowStep).where(WorkflowStep.tenant_id == tenant_id, WorkflowStep.version_id == version_id)


def transitions(tenant_id: UUID, version_id: UUID) -> Select[WorkflowTransition, str, str]:
    """A version's transitions with the keys of both ends, in no order yet."""
    source, target = aliased(WorkflowStep), aliased(WorkflowStep)
    return (
        select(WorkflowTransition, source.key.label("from_key"), target.key.label("to_key"))
        .join(
            source, (source.tenant_id == WorkflowTransition.tenant_id) & (source.id == WorkflowTransition.from_step_id)
        )
        .join(target, (target.tenant_id == WorkflowTransition.tenant_id) & (target.id == WorkflowTransition.to_step_id))
        .where(WorkflowTransition.tenant_id == tenant_id, WorkflowTransition.version_id == version_id)
    )


def triggers(tenant_id: UUID, workflow_id: UUID) -> Select[WorkflowTrigger]:
    """A workflow's triggers with what is known of their schedules, in no order yet."""
    return (
        select(WorkflowTrigger)
        .where(WorkflowTrigger.tenant_id == tenant_id, WorkflowTrigger.workflow_id == workflow_id)
        .options(selectinload(WorkflowTrigger.schedule))
    )


def trigger(tenant_id: UUID, workflow_id: UUID, trigger_id: UUID) -> Select[WorkflowTrigger]:
    return triggers(tenant_id, workflow_id).where(WorkflowTrigger.id == trigger_id)


def schedules(tenant_id: UUID, workflow_id: UUID) -> Select[WorkflowTrigger]:
    """A workflow's schedules, each with when it is due."""
    return triggers(tenant_id, workflow_id).where(WorkflowTrigger.kind == TriggerKind.schedule.value)


def webhook(tenant_id: UUID, trigger_id: UUID) -> Select[WorkflowTrigger, Workflow]:
    """A trigger with its workflow, which must not be deleted. The draft is left where it is."""
    return (
        select(WorkflowTrigger, Workflow)
        .join(
            Workflow,
            (Workflow.tenant_id == WorkflowTrigger.tenant_id) & (Workflow.id == WorkflowTrigger.workflow_id),
        )
        .where(WorkflowTrigger.tenant_id == tenant_id, WorkflowTrigger.id == trigger_id)
        .options(defer(Workflow.draft, raiseload=True))
    )


def client(tenant_id: UUID, client_id: UUID) -> Select[UUID]:
    return select(Client.id).where(Client.tenant_id == tenant_id, Client.id == client_id, Client.deleted_at.is_(None))
