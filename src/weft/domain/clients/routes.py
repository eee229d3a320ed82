"""Clients over HTTP."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from weft.db.scope import Scope
from weft.domain.clients import service as clients
from weft.domain.clients.models import Client
from weft.domain.clients.schemas import ClientCreate, ClientRead, ClientUpdate
from weft.http.paging import Page, Paged, Paging
from weft.http.preconditions import IfMatch, Tag
from weft.http.scope import allowed

router = APIRouter(prefix="/clients", tags=["clients"])

Reader = Annotated[Scope, allowed("clients:read")]
Writer = Annotated[Scope, allowed("clients:write")]
Prefix = Annotated[str | None, Query(max_length=200, description="The beginning of the name, in any letter case.")]
Deleted = Annotated[bool, Query(description="List deleted clients instead, for example to restore one.")]


@router.get("", response_model=Page[ClientRead])
async def list_clients(
    scope: Reader, query: Paging, name: Prefix = None, is_active: bool | None = None, deleted: Deleted = False
) -> Paged[Client]:
    return await clients.listed(scope, query, name_begins=name, is_active=is_active, deleted=deleted)


@router.post("", status_code=201, response_model=ClientRead)
async def create_client(scope: Writer, new: ClientCreate, tag: Tag) -> Client:
    client = await clients.create(scope, new)
    tag(client.row_version)
    return client


@router.get("/{client_id}", response_model=ClientRead)
async def show_client(scope: Reader, client_id: UUID, tag: Tag) -> Client:
    client = await clients.get(scope, client_id)
    tag(client.row_version)
    return client


@router.patch("/{client_id}", response_model=ClientRead)
async def update_client(scope: Writer, client_id: UUID, change: ClientUpdate, expected: IfMatch, tag: Tag) -> Client:
    client = await clients.update(scope, client_id, change, expected=expected)
    tag(client.row_version)
    return client


@router.delete("/{client_id}", status_code=204)
async def delete_client(scope: Writer, client_id: UUID, expected: IfMatch) -> None:
    """Put a client away. Workflows and executions that refer to it keep doing so; it can be restored."""
    await clients.delete(scope, client_id, expected=expected)


@router.post("/{client_id}/restore", response_model=ClientRead)
async def restore_client(scope: Writer, client_id: UUID, tag: Tag) -> Client:
    client = await clients.restore(scope, client_id)
    tag(client.row_version)
    return client
