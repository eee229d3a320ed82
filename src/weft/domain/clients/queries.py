"""Statements about clients as values."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Select, select

from weft.domain.clients.models import Client, name_key

_LAST = "\U0010ffff"


def by_id(tenant_id: UUID, client_id: UUID) -> Select[Client]:
    return select(Client).where(Client.tenant_id == tenant_id, Client.id == client_id)


def by_id_deleted_too(tenant_id: UUID, client_id: UUID) -> Select[Client]:
    return by_id(tenant_id, client_id).execution_options(include_deleted=True)


def matching(
    tenant_id: UUID, *, name_begins: str | None = None, is_active: bool | None = None, deleted: bool = False
) -> Select[Client]:
    """Clients of a tenant. A prefix is a range of keys, so that an index serves it under row security."""
    query = select(Client).where(Client.tenant_id == tenant_id)
    if name_begins:
        key = name_key(name_begins)
        query = query.where(Client.name_key >= key, Client.name_key < key + _LAST)
    if is_active is not None:
        query = query.where(Client.is_active.is_(is_active))
    if deleted:
        query = query.where(Client.deleted_at.is_not(None)).execution_options(include_deleted=True)
    return query
