"""Tables of workflows. A draft is a document on the workflow; a version never changes once it is written."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Index, Integer, LargeBinary, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship
from sqlalchemy.types import Text

from weft.db.base import (
    APPEND,
    SECRET,
    Base,
    Identified,
    SoftDelete,
    Tenanted,
    Timestamps,
    Versioned,
    marks,
    of_tenant,
    one_of,
    within_tenant,
)
from weft.domain.workflows.schedule_models import WorkflowSchedule


class WorkflowStatus(StrEnum):
    draft = "DRAFT"
    active = "ACTIVE"
    inactive = "INACTIVE"
    archived = "ARCHIVED"


class TriggerKind(StrEnum):
    manual = "MANUAL"
    webhook = "WEBHOOK"
    schedule = "SCHEDULE"
    event = "EVENT"


class Workflow(Identified, Tenanted, Timestamps, Versioned, SoftDelete, Base):
    """`version` is the number of the current version, 0 before the first; executions run a version, never the draft."""

    __tablename__ = "workflows"
    __table_args__ = (
        of_tenant(),
        within_tenant("client_id", "clients"),
        one_of("status", WorkflowStatus),
        Index(
            "workflows_name_key",
            "tenant_id",
            "name_key",
            unique=True,
            postgresql_where=text("deleted_at is null"),
        ),
        Index("workflows_client_id_idx", "tenant_id", "client_id"),
        Index("workflows_status_idx", "tenant_id", "status", "created_at", "id"),
        Index("workflows_created_at_idx", "tenant_id", "created_at", "id"),
        marks(grants="select, insert, update"),
    )

    name: Mapped[str]
    name_key: Mapped[str]
    description: Mapped[str | None] = mapped_column(default=None)
    client_id: Mapped[UUID | None] = mapped_column(default=None)
    status: Mapped[str] = mapped_column(default=WorkflowStatus.draft.value, server_default=WorkflowStatus.draft.value)
    version: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    current_version_id: Mapped[UUID | None] = mapped_column(default=None)
    draft: Mapped[dict[str, Any] | None] = mapped_column(JSONB, default=None)
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text), default_factory=list, server_default=text("'{}'::text[]"))
    created_by: Mapped[UUID | None] = mapped_column(default=None)


class WorkflowCounter(Tenanted, Base):
    """The last execution number of a workflow: apart from `workflows`, because every start changes it.

    `settings` counts the changes of what a start must know (limits, priority). A start is stored only while the number
    is the one that its process has seen.
    """

    __tablename__ = "workflow_counters"
    __table_args__ = (
        within_tenant("workflow_id", "workflows", on_delete="CASCADE"),
        marks(grants="select, insert, update", audit=False, touch=False, storage="fillfactor = 50"),
    )

    workflow_id: Mapped[UUID] = mapped_column(primary_key=True)
    last_number: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    settings: Mapped[int] = mapped_column(default=0, server_default=text("0"))


class WorkflowVersion(Identified, Tenanted, Base):
    """What executions run. Never updated: publishing again adds a row."""

    __tablename__ = "workflow_versions"
    __table_args__ = (
        within_tenant("workflow_id", "workflows"),
        UniqueConstraint("tenant_id", "workflow_id", "number"),
        marks(grants=APPEND, touch=False),
    )

    workflow_id: Mapped[UUID]
    number: Mapped[int]
    definition: Mapped[dict[str, Any]] = mapped_column(JSONB)
    content_hash: Mapped[str]
    note: Mapped[str] = mapped_column(default="", server_default="")
    created_by: Mapped[UUID | None] = mapped_column(default=None)
    created_at: Mapped[datetime] = mapped_column(init=False, server_default=text("now()"), sort_order=90)


class WorkflowPublication(Tenanted, Base):
    """That somebody let a version run: it was the current one of an active workflow.

    Versions are saved by people who may only draw. Whoever names a version (a start, a replay, a move) gets one that
    has such a row, so that nothing runs which nobody let run.
    """

    __tablename__ = "workflow_publications"
    __table_args__ = (
        within_tenant("version_id", "workflow_versions"),
        marks(grants=APPEND, audit=False, touch=False),
    )

    version_id: Mapped[UUID] = mapped_column(primary_key=True)
    published_by: Mapped[UUID | None] = mapped_column(default=None)
    published_at: Mapped[datetime] = mapped_column(init=False, server_default=text("now()"), sort_order=90)


class WorkflowStep(Identified, Tenanted, Base):
    """A step of one version, so that logs can refer to it and reports can ask about it.

    `key` is the step's path in the definition: a step in the body of for-each `lines` is `lines.price`.
    """

    __tablename__ = "workflow_steps"
    __table_args__ = (
        within_tenant("version_id", "workflow_versions"),
        UniqueConstraint("tenant_id", "version_id", "key"),
        Index("workflow_steps_order_idx", "tenant_id", "version_id", "order"),
        marks(grants=APPEND, audit=False, touch=False),
    )

    version_id: Mapped[UUID]
    key: Mapped[str]
    name: Mapped[str]
    step_type: Mapped[str]
    order: Mapped[int] = mapped_column(Integer)
    config: Mapped[dict[str, Any]] = mapped_column(JSONB)
    description: Mapped[str | None] = mapped_column(default=None)
    is_required: Mapped[bool] = mapped_column(default=True, server_default=text("true"))
    position: Mapped[dict[str, Any] | None] = mapped_column(JSONB, default=None)


class WorkflowTransition(Identified, Tenanted, Base):
    __tablename__ = "workflow_transitions"
    __table_args__ = (
        within_tenant("version_id", "workflow_versions"),
        within_tenant("from_step_id", "workflow_steps"),
        within_tenant("to_step_id", "workflow_steps"),
        Index("workflow_transitions_version_id_idx", "tenant_id", "version_id"),
        Index("workflow_transitions_from_step_id_idx", "tenant_id", "from_step_id"),
        Index("workflow_transitions_to_step_id_idx", "tenant_id", "to_step_id"),
        marks(grants=APPEND, audit=False, touch=False),
    )

    version_id: Mapped[UUID]
    from_step_id: Mapped[UUID]
    to_step_id: Mapped[UUID]
    condition: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True), default=None)
    is_default: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    order: Mapped[int] = mapped_column(Integer, default=0, server_default=text("0"))


class WorkflowTrigger(Identified, Tenanted, Timestamps, Versioned, Base):
    """What starts a workflow. A webhook's token is kept as a hash, its signing secret encrypted.

    While one of them is being replaced, the one before works until the end of its grace.
    """

    __tablename__ = "workflow_triggers"
    __table_args__ = (
        within_tenant("workflow_id", "workflows"),
        one_of("kind", TriggerKind),
        Index("workflow_triggers_workflow_id_idx", "tenant_id", "workflow_id"),
        # Commands name a trigger by its name; those without one only have their ids.
        Index(
            "workflow_triggers_name_key",
            "tenant_id",
            "workflow_id",
            "name",
            unique=True,
            postgresql_where=text("name <> ''"),
        ),
        # Every event asks for a tenant's event triggers when one of them has changed.
        Index("workflow_triggers_event_idx", "tenant_id", "id", postgresql_where=text("kind = 'EVENT' and enabled")),
        marks(),
    )

    workflow_id: Mapped[UUID]
    kind: Mapped[str]
    name: Mapped[str] = mapped_column(default="", server_default="")
    config: Mapped[dict[str, Any]] = mapped_column(JSONB, default_factory=dict, server_default=text("'{}'::jsonb"))
    token_hash: Mapped[bytes | None] = mapped_column(LargeBinary, default=None, info=SECRET)
    secret: Mapped[bytes | None] = mapped_column(LargeBinary, default=None, info=SECRET)
    enabled: Mapped[bool] = mapped_column(default=True, server_default=text("true"))
    created_by: Mapped[UUID | None] = mapped_column(default=None)
    previous_token_hash: Mapped[bytes | None] = mapped_column(LargeBinary, default=None, info=SECRET)
    token_grace_until: Mapped[datetime | None] = mapped_column(default=None)
    previous_secret: Mapped[bytes | None] = mapped_column(LargeBinary, default=None, info=SECRET)
    signing_grace_until: Mapped[datetime | None] = mapped_column(default=None)
    schedule: Mapped[WorkflowSchedule | None] = relationship(init=False, viewonly=True, lazy="raise", default=None)

    @property
    def next_run_at(self) -> datetime | None:
        """When a schedule is due next; only of triggers that were read with their schedule."""
        schedule = self.__dict__.get("schedule")
        return schedule.next_run_at if schedule is not None else None

    @property
    def last_run_at(self) -> datetime | None:
        schedule = self.__dict__.get("schedule")
        return schedule.last_run_at if schedule is not None else None
