"""The queue's tables. No reference leads out of them: on a distributed PostgreSQL they stay local."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, SmallInteger, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from weft.db.base import Base, Identified, Tenanted, marks, of_tenant, one_of


class JobState(StrEnum):
    ready = "ready"
    scheduled = "scheduled"  # not before run_at: a timer
    leased = "leased"
    parked = "parked"  # its execution has no place yet, see `weft.admit`
    suspect = "suspect"  # it was in hand whenever a worker died: tried once more, alone


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
        # Empty but for tenants that may have only so many jobs in hand, and for suspects.
        Index("dispatch_jobs_capped_idx", "tenant_id", postgresql_where=text("state = 'leased' and capped")),
        Index("dispatch_jobs_suspect_idx", "run_at", postgresql_where=text("state = 'suspect'")),
        marks(
            audit=False,
            touch=False,
            local=True,
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
    # Claims that ended because the lease lapsed: its worker died, or stood still.
    lapses: Mapped[int] = mapped_column(SmallInteger, default=0, server_default=text("0"))
    capped: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    last_error: Mapped[str | None] = mapped_column(default=None)
    created_at: Mapped[datetime] = mapped_column(init=False, server_default=text("now()"))


class DispatchLimit(Tenanted, Base):
    """What the claim must know of a tenant; tenants without limits have no row.

    `version` counts the changes of the tenant's rate limits: workers read them again when it is a new one.
    """

    __tablename__ = "dispatch_limits"
    __table_args__ = (
        of_tenant(),
        CheckConstraint("concurrent_jobs between 1 and 100000", name="concurrent_jobs"),
        CheckConstraint("weight between 1 and 100", name="weight"),
        marks(audit=False, touch=False, local=True),
    )

    concurrent_jobs: Mapped[int | None] = mapped_column(default=None)
    weight: Mapped[int] = mapped_column(SmallInteger, default=1, server_default=text("1"))
    version: Mapped[int] = mapped_column(default=0, server_default=text("0"))


class DeadJob(Identified, Tenanted, Base):
    """A job that was given up, with the reason. Its execution was told."""

    __tablename__ = "dispatch_dead"
    __table_args__ = (
        Index("dispatch_dead_died_at_idx", "tenant_id", "died_at", "id"),
        Index("dispatch_dead_execution_idx", "tenant_id", "execution_id"),
        marks(audit=False, touch=False, local=True),
    )

    kind: Mapped[str]
    reason: Mapped[str]
    created_at: Mapped[datetime]
    execution_id: Mapped[UUID | None] = mapped_column(default=None)
    visit: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    attempt: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    detail: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True), default=None)
    claims: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    lapses: Mapped[int] = mapped_column(SmallInteger, default=0, server_default=text("0"))
    last_error: Mapped[str | None] = mapped_column(default=None)
    died_at: Mapped[datetime] = mapped_column(init=False, server_default=text("now()"))
