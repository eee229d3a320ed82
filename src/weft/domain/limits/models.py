"""Tables of limits. Tenants and workflows without limits have no row in any of them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, SmallInteger, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from weft.db.base import (
    Base,
    Identified,
    Tenanted,
    Timestamps,
    Versioned,
    marks,
    of_tenant,
    one_of,
    within_tenant,
)


class WhenFull(StrEnum):
    queue = "queue"
    refuse = "refuse"


class PlaceState(StrEnum):
    waiting = "waiting"  # for a place among the executions of its workflow
    placed = "placed"  # it has that, or needs none; waits for one among those of the tenant
    held = "held"  # it may run


class TenantLimit(Tenanted, Base):
    """How many executions a tenant may have under way. Its lock comes before those of `workflow_limits`."""

    __tablename__ = "tenant_limits"
    __table_args__ = (
        of_tenant(),
        CheckConstraint("concurrent_executions between 1 and 10000", name="concurrent_executions"),
        marks(audit=False, touch=False),  # `tenants.limits` is what people set, and audited
    )

    concurrent_executions: Mapped[int]


class WorkflowLimit(Identified, Tenanted, Timestamps, Versioned, Base):
    """How many executions of a workflow may be under way, and how urgent they are.

    `key` is an expression over the input: each value of it has `concurrent` places of its own.
    """

    __tablename__ = "workflow_limits"
    __table_args__ = (
        within_tenant("workflow_id", "workflows", on_delete="CASCADE"),
        UniqueConstraint("tenant_id", "workflow_id"),
        Index("workflow_limits_created_at_idx", "tenant_id", "created_at", "id"),
        CheckConstraint("concurrent between 1 and 10000", name="concurrent"),
        CheckConstraint("priority between -100 and 100", name="priority"),
        one_of("when_full", WhenFull),
        marks(),
    )

    workflow_id: Mapped[UUID]
    concurrent: Mapped[int | None] = mapped_column(default=None)
    key: Mapped[str | None] = mapped_column(default=None)
    when_full: Mapped[str] = mapped_column(default=WhenFull.queue.value, server_default=WhenFull.queue.value)
    priority: Mapped[int] = mapped_column(SmallInteger, default=0, server_default=text("0"))


class ExecutionPlace(Tenanted, Base):
    """The place of a limited execution, or its wait for one. It goes with the save that ends the execution."""

    __tablename__ = "execution_places"
    __table_args__ = (
        within_tenant("execution_id", "workflow_executions", on_delete="CASCADE"),
        within_tenant("workflow_id", "workflows"),
        one_of("state", PlaceState),
        Index(
            "execution_places_workflow_idx",
            "tenant_id",
            "workflow_id",
            "key",
            "state",
            text("priority desc"),
            "since",
            "execution_id",
        ),
        Index(
            "execution_places_state_idx",
            "tenant_id",
            "state",
            "tenant_wide",
            text("priority desc"),
            "since",
            "execution_id",
        ),
        marks(audit=False, touch=False, storage="fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02"),
    )

    execution_id: Mapped[UUID] = mapped_column(primary_key=True)
    workflow_id: Mapped[UUID]
    key: Mapped[str] = mapped_column(default="", server_default="")
    state: Mapped[str] = mapped_column(default=PlaceState.waiting.value, server_default=PlaceState.waiting.value)
    # False for a sub-workflow: the tenant's place is its parent's, or a parent could wait for ever for itself.
    tenant_wide: Mapped[bool] = mapped_column(default=True, server_default=text("true"))
    priority: Mapped[int] = mapped_column(SmallInteger, default=0, server_default=text("0"))
    since: Mapped[datetime] = mapped_column(init=False, server_default=text("clock_timestamp()"))


class RateLimit(Identified, Tenanted, Timestamps, Versioned, Base):
    """How often errands may call a target: a host, `*.` and a domain, or `*` for all that have none of their own."""

    __tablename__ = "rate_limits"
    __table_args__ = (
        of_tenant(),
        UniqueConstraint("tenant_id", "target"),
        Index("rate_limits_created_at_idx", "tenant_id", "created_at", "id"),
        CheckConstraint("calls between 1 and 1000000", name="calls"),
        CheckConstraint("seconds between 1 and 86400", name="seconds"),
        CheckConstraint("burst between 1 and 1000000", name="burst"),
        marks(),
    )

    target: Mapped[str]
    calls: Mapped[int]
    seconds: Mapped[int] = mapped_column(default=1, server_default=text("1"))
    burst: Mapped[int] = mapped_column(default=1, server_default=text("1"))


class RateLimitState(Tenanted, Base):
    """Where a rate limit stands, in nanoseconds since 1970. Not logged: a crash of the server forgets the spacing.

    `next_call` is when the next call would be on time (the theoretical arrival time of GCRA), `next_turn` the time
    that the last one in the queue was told.
    """

    __tablename__ = "rate_limit_states"
    __table_args__ = (
        within_tenant("rate_limit_id", "rate_limits", on_delete="CASCADE"),
        marks(grants="select, insert, update, delete", audit=False, touch=False, storage="fillfactor = 50")
        | {"prefixes": ["UNLOGGED"]},
    )

    rate_limit_id: Mapped[UUID] = mapped_column(primary_key=True)
    next_call: Mapped[int] = mapped_column(BigInteger)
    next_turn: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
