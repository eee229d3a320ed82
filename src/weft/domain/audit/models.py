"""The audit log. Rows come from `weft.audit_row()` and `weft.audit_event()` only; nobody may change them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from weft.db.base import READ, Base, Identified, Tenanted, marks


class AuditLog(Identified, Tenanted, Base):
    """`before` and `after` hold the changed fields only; secret columns show `***`."""

    __tablename__ = "audit_logs"
    __table_args__ = (
        Index("audit_logs_resource_idx", "tenant_id", "resource_type", "resource_id", "at"),
        Index("audit_logs_actor_idx", "tenant_id", "actor_id", "at"),
        Index("audit_logs_correlation_idx", "tenant_id", "correlation_id"),
        marks(grants=READ, audit=False, touch=False, partition="at"),
    )

    at: Mapped[datetime] = mapped_column(
        primary_key=True, init=False, server_default=text("clock_timestamp()"), sort_order=-95
    )
    action: Mapped[str]
    resource_type: Mapped[str]
    resource_id: Mapped[str | None] = mapped_column(default=None)
    before: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True), default=None)
    after: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True), default=None)
    actor_id: Mapped[str | None] = mapped_column(default=None)
    actor_kind: Mapped[str | None] = mapped_column(default=None)
    actor_name: Mapped[str | None] = mapped_column(default=None)
    ip: Mapped[str | None] = mapped_column(default=None)
    user_agent: Mapped[str | None] = mapped_column(default=None)
    correlation_id: Mapped[str | None] = mapped_column(default=None)
