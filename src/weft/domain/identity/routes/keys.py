"""API keys of the tenant."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Response

from weft.db.scope import Scope
from weft.domain.identity.schemas import KeyCreate, KeyCreated, KeyRead
from weft.domain.identity.service import keys
from weft.domain.identity.service.keys import KeyView
from weft.http.paging import Page, Paged, Paging
from weft.http.preconditions import Tag
from weft.http.scope import allowed

router = APIRouter(prefix="/keys", tags=["keys"])

Reader = Annotated[Scope, allowed("keys:read")]
Writer = Annotated[Scope, allowed("keys:write")]


@router.get("", response_model=Page[KeyRead])
async def list_keys(scope: Reader, query: Paging, include_revoked: bool = False) -> Paged[KeyView]:
    return await keys.listed(scope, query, include_revoked=include_revoked)


@router.post("", status_code=201, response_model=KeyCreated)
async def create_key(scope: Writer, new: KeyCreate, tag: Tag, response: Response) -> KeyView:
    """Make a key for a program. It acts for you, within `scopes`; the key itself is shown this once."""
    key = await keys.create(scope, new)
    tag(key.row_version)
    response.headers["Cache-Control"] = "no-store"
    return key


@router.get("/{key_id}", response_model=KeyRead)
async def show_key(scope: Reader, key_id: UUID, tag: Tag) -> KeyView:
    key = await keys.get(scope, key_id)
    tag(key.row_version)
    return key


@router.delete("/{key_id}", response_model=KeyRead)
async def revoke_key(scope: Writer, key_id: UUID) -> KeyView:
    """Revoke a key for good. It stays listed with `include_revoked`, so that the audit log can be read later."""
    return await keys.revoke(scope, key_id)
