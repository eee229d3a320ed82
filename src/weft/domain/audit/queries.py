"""Statements about the audit log as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, select

from weft.domain.audit.models import AuditLog


@dataclass(frozen=True, slots=True)
class Filter:
    """What to look for; None leaves a field open. `since` is included, `until` is not."""

    resource_type: str | None = None
    resource_id: str | None = None
    actor_id: str | None = None
    action: str | None = None
    correlation_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def matching(tenant_id: UUID, wanted: Filter) -> Select[AuditLog]:
    query = select(AuditLog).where(AuditLog.tenant_id == tenant_id)
    for name in ("resource_type", "resource_id", "actor_id", "action", "correlation_id"):
        value = getattr(wanted, name)
        if value is not None:
            query = query.where(getattr(AuditLog, name) == value)
    if wanted.since is not None:
        query = query.where(AuditLog.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(AuditLog.at < wanted.until)
    return query


def by_place(tenant_id: UUID, at: datetime, entry_id: UUID) -> Select[AuditLog]:
    """One entry by its whole key: the time says which month to look in."""
    return select(AuditLog).where(AuditLog.tenant_id == tenant_id, AuditLog.at == at, AuditLog.id == entry_id)
