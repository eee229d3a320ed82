"""Statements about message templates as values."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Delete, Select, delete, select

from weft.domain.templates.models import MessageTemplate


def newest(tenant_id: UUID) -> Select[MessageTemplate]:
    return select(MessageTemplate).where(MessageTemplate.tenant_id == tenant_id, MessageTemplate.is_newest)


def newest_of(tenant_id: UUID, name: str) -> Select[MessageTemplate]:
    return newest(tenant_id).where(MessageTemplate.name == name)


def versions(tenant_id: UUID, name: str) -> Select[MessageTemplate]:
    return select(MessageTemplate).where(MessageTemplate.tenant_id == tenant_id, MessageTemplate.name == name)


def version_of(tenant_id: UUID, name: str, version: int) -> Select[MessageTemplate]:
    return versions(tenant_id, name).where(MessageTemplate.version == version)


def delete_all(tenant_id: UUID, name: str) -> Delete:
    return delete(MessageTemplate).where(MessageTemplate.tenant_id == tenant_id, MessageTemplate.name == name)
