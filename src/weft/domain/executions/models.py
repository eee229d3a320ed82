"""Tables of executions: the run itself and its journal. Neither is audited: the journal is their record."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Index, Numeric, SmallInteger, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from weft.db.base import Base, Identified, Tenanted, marks, one_of, within_tenant
from weft.interpreter.state import Status


class LogStatus(StrEnum):
    """A journal row's status. CANCELLED: the visit was dropped because the execution ended around it."""

    pending = "PENDING"
    running = "RUNNING"
    completed = "COMPLETED"
    failed = "FAILED"
    skipped = "SKIPPED"
    cancelled = "CANCELLED"


class Execution(Identified, Tenanted, Base):
    """One run of one version. Written by the engine's set-based statements; read by this room."""

    __tablename__ = "workflow_executions"
    __table_args__ = (
        within_tenant("workflow_id", "workflows"),
        within_tenant("version_id", "workflow_versions"),
        within_tenant("client_id", "clients"),
        within_tenant("parent_id", "workflow_executions"),
        one_of("status", Status),
        Index(
            "workflow_executions_idempotency_key",
            "tenant_id",
            "workflow_id",
            "idempotency_key",
            unique=True,
            postgresql_where=text("idempotency_key is not null"),
        ),
        Index("workflow_executions_created_at_idx", "tenant_id", "created_at", "id"),
        Index("workflow_executions_status_idx", "tenant_id", "status", "created_at", "id"),
        Index("workflow_executions_workflow_id_idx", "tenant_id", "workflow_id", "created_at", "id"),
        Index(
            "workflow_executions_client_id_idx",
            "tenant_id",
            "client_id",
            "created_at",
            "id",
            postgresql_where=text("client_id is not null"),
        ),
        Index(
            "workflow_executions_parent_id_idx",
            "tenant_id",
            "parent_id",
            postgresql_where=text("parent_id is not null"),
        ),
        Index("workflow_executions_version_id_idx", "tenant_id", "version_id"),
        # What is simulated is rare, and is found (and taken off the counts) without looking at what is not.
        Index(
            "workflow_executions_simulation_idx",
            "tenant_id",
            "created_at",
            "id",
            "status",
            postgresql_where=text("simulation"),
        ),
        marks(
            grants="select, insert, update",
            audit=False,
            touch=False,
            storage="fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02",
        ),
    )

    workflow_id: Mapped[UUID]
    version_id: Mapped[UUID]
    number: Mapped[int]
    client_id: Mapped[UUID | None] = mapped_column(default=None)
    status: Mapped[str] = mapped_column(default=Status.pending.value, server_default=Status.pending.value)
    state: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True), default=None)
    input: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True), default=None)
    output: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True), default=None)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True), default=None)
    # The attribute cannot be called `metadata`: the declarative base has one.
    meta: Mapped[dict[str, Any]] = mapped_column(
        "metadata", JSONB, default_factory=dict, server_default=text("'{}'::jsonb")
    )
    trigger: Mapped[str] = mapped_column(default="MANUAL", server_default="MANUAL")
    trigger_id: Mapped[UUID | None] = mapped_column(default=None)
    started_by: Mapped[UUID | None] = mapped_column(default=None)
    idempotency_key: Mapped[str | None] = mapped_column(default=None)
    correlation_id: Mapped[str | None] = mapped_column(default=None)
    parent_id: Mapped[UUID | None] = mapped_column(default=None)
    parent_visit: Mapped[int | None] = mapped_column(default=None)
    depth: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    awaited: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    simulation: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    cost: Mapped[Decimal] = mapped_column(Numeric(20, 10), default=Decimal(0), server_default=text("0"))
    priority: Mapped[int] = mapped_column(SmallInteger, default=0, server_default=text("0"))
    # Set when it needs a place in `execution_places` to run: the value of its workflow's `key`, or nothing.
    place_key: Mapped[str | None] = mapped_column(default=None)
    # Retention has taken its journal (`retention.journal_days`): it can be looked at, but not retried or replayed.
    journal_gone: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    row_version: Mapped[int] = mapped_column(default=1, server_default=text("1"))
    created_at: Mapped[datetime] = mapped_column(init=False, server_default=text("now()"))
    updated_at: Mapped[datetime] = mapped_column(init=False, server_default=text("now()"))
    started_at: Mapped[datetime | None] = mapped_column(default=None)
    completed_at: Mapped[datetime | None] = mapped_column(default=None)


class ExecutionLog(Identified, Tenanted, Base):
    """One attempt of one step visit, or (without a step) an event of the execution itself.

    Partitioned by the month of `started_at`. `frame` tells the item of a for-each (`12.0`: item 0 of visit 12).
    """

    __tablename__ = "execution_logs"
    __table_args__ = (
        within_tenant("execution_id", "workflow_executions"),
        within_tenant("step_id", "workflow_steps"),
        one_of("status", LogStatus),
        Index("execution_logs_execution_id_idx", "tenant_id", "execution_id", "visit", "attempt"),
        Index("execution_logs_step_id_idx", "tenant_id", "step_id", "started_at"),
        marks(grants="select, insert, update", audit=False, touch=False, partition="started_at"),
    )

    started_at: Mapped[datetime] = mapped_column(primary_key=True, sort_order=-95)
    execution_id: Mapped[UUID]
    step_id: Mapped[UUID | None] = mapped_column(default=None)
    step_key: Mapped[str | None] = mapped_column(default=None)
    frame: Mapped[str] = mapped_column(default="", server_default="")
    visit: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    attempt: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    status: Mapped[str] = mapped_column(default=LogStatus.pending.value, server_default=LogStatus.pending.value)
    message: Mapped[str | None] = mapped_column(default=None)
    data: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True), default=None)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True), default=None)
    completed_at: Mapped[datetime | None] = mapped_column(default=None)
    # The execution's `row_version` after the save that last wrote this row: what changed since is found by it.
    saved_in: Mapped[int] = mapped_column(default=0, server_default=text("0"))
