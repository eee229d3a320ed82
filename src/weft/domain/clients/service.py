"""Clients: made, changed, put away and brought back. Two clients may have one name; people do."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from weft.db.scope import Scope
from weft.domain.clients import queries
from weft.domain.clients.errors import ClientNotDeleted, ClientNotFound
from weft.domain.clients.models import Client
from weft.domain.clients.schemas import ClientCreate, ClientUpdate
from weft.domain.identity.addresses import normal_email
from weft.http.paging import Paged, PageQuery, page
from weft.http.preconditions import check


async def listed(
    scope: Scope,
    query: PageQuery,
    *,
    name_begins: str | None = None,
    is_active: bool | None = None,
    deleted: bool = False,
) -> Paged[Client]:
    """Clients by the time they were made; with `deleted`, those that can be restored."""
    matching = queries.matching(scope.tenant_id, name_begins=name_begins, is_active=is_active, deleted=deleted)
    return await page(scope, matching, (Client.created_at, Client.id), query)


async def get(scope: Scope, client_id: UUID) -> Client:
    return await scope.one(queries.by_id(scope.tenant_id, client_id), missing=ClientNotFound(client_id))


async def create(scope: Scope, new: ClientCreate) -> Client:
    return await scope.add(Client(**_columns(new.model_dump())))


async def update(scope: Scope, client_id: UUID, change: ClientUpdate, *, expected: int | None = None) -> Client:
    """Change what was sent, nothing else."""
    client = await _locked(scope, client_id, expected)
    for column, value in _columns(change.model_dump(exclude_unset=True)).items():
        setattr(client, column, value)
    await scope.flush()
    return client


async def delete(scope: Scope, client_id: UUID, *, expected: int | None = None) -> None:
    """Put a client away: hidden from lists, still named by the workflows and executions that refer to it."""
    client = await _locked(scope, client_id, expected)
    client.deleted_at = scope.now()
    await scope.flush()


async def restore(scope: Scope, client_id: UUID) -> Client:
    """Bring a deleted client back as it was."""
    client = await scope.one(
        queries.by_id_deleted_too(scope.tenant_id, client_id).with_for_update(), missing=ClientNotFound(client_id)
    )
    if client.deleted_at is None:
        raise ClientNotDeleted(client.name)
    client.deleted_at = None
    await scope.flush()
    return client


async def _locked(scope: Scope, client_id: UUID, expected: int | None) -> Client:
    client = await scope.one(
        queries.by_id(scope.tenant_id, client_id).with_for_update(), missing=ClientNotFound(client_id)
    )
    check(expected, client.row_version)
    return client


def _columns(values: dict[str, Any]) -> dict[str, Any]:
    """The same, with the address checked and written one way."""
    if values.get("email") is not None:
        values["email"] = normal_email(values["email"])
    return values
