"""The queue's two tables. No reference leads out of them: on a distributed PostgreSQL they stay local."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Index, SmallInteger, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from weft.db.base import Base, Identified, Tenanted, marks, one_of


class JobState(StrEnum):
    ready = "ready"
    scheduled = "scheduled"  # not before run_at: a timer
    leased = "leased"


class DispatchJob(Identified, Tenanted, Base):
    """One errand. Carries ids, never data: NOTIFY and cross-tenant claims see nothing of a tenant."""

    __tablename__ = "dispatch_jobs"
    __table_args__ = (
        one_of("state", JobState),
        # The claim walks tenants by skip scan over this index, so its cost does not grow with the backlog.
        Index(
            "dispatch_jobs_ready_idx",
            "tenant_id",
            text("priority desc"),
            "run_at",
            "id",
            postgresql_where=text("state = 'ready'"),
        ),
        Index("dispatch_jobs_due_idx", "run_at", postgresql_where=text("state = 'scheduled'")),
        Index("dispatch_jobs_lease_idx", "lease_until", postgresql_where=text("state = 'leased'")),
        Index("dispatch_jobs_execution_idx", "tenant_id", "execution_id"),
        marks(
            audit=False,
            touch=False,
            storage="fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0",
        ),
    )

    kind: Mapped[str]
    run_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    execution_id: Mapped[UUID | None] = mapped_column(default=None)
    visit: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    attempt: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    detail: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True), default=None)
    state: Mapped[str] = mapped_column(default=JobState.ready.value, server_default=JobState.ready.value)
    priority: Mapped[int] = mapped_column(SmallInteger, default=0, server_default=text("0"))
    lease_until: Mapped[datetime | None] = mapped_column(default=None)
    lease_owner: Mapped[str | None] = mapped_column(default=None)
    epoch: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    claims: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(init=False, server_default=text("now()"))


class DeadJob(Identified, Tenanted, Base):
    """A job that was given up, with the reason. Its execution was told."""

    __tablename__ = "dispatch_dead"
    __table_args__ = (
        Index("dispatch_dead_died_at_idx", "tenant_id", "died_at", "id"),
        marks(audit=False, touch=False),
    )

    kind: Mapped[str]
    reason: Mapped[str]
    created_at: Mapped[datetime]
    execution_id: Mapped[UUID | None] = mapped_column(default=None)
    visit: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    attempt: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    detail: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True), default=None)
    claims: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    died_at: Mapped[datetime] = mapped_column(init=False, server_default=text("now()"))
