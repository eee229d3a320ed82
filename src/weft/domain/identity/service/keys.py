"""API keys: made by a member for a program, never able to do more than the member, nor more than their scopes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from weft.core.ids import new_id
from weft.db.scope import Scope
from weft.domain.identity import queries, tokens
from weft.domain.identity.errors import ExpiryInPast, KeyNotFound, MemberNotFound
from weft.domain.identity.models import ApiKey
from weft.domain.identity.schemas import KeyCreate
from weft.domain.identity.service import guards
from weft.domain.identity.tokens import TokenKind
from weft.http.paging import Paged, PageQuery, page


@dataclass(frozen=True, slots=True)
class KeyView:
    """A key together with whose it is and when it was last used. `token` is set once, when it was just made."""

    id: UUID
    name: str
    prefix: str
    scopes: list[str]
    user_id: UUID
    user_name: str
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    created_at: datetime
    updated_at: datetime
    row_version: int
    token: str | None = field(default=None, repr=False)


async def listed(scope: Scope, query: PageQuery, *, include_revoked: bool = False) -> Paged[KeyView]:
    """Keys of the whole tenant, newest first unless asked otherwise."""
    found: Paged[Any] = await page(
        scope,
        queries.keys(scope.tenant_id, include_revoked=include_revoked),
        (ApiKey.id,),
        query,
        key_of=lambda row: (row[0].id,),
    )
    return Paged([_view(*row) for row in found.items], found.next_cursor)


async def get(scope: Scope, key_id: UUID) -> KeyView:
    statement = queries.keys(scope.tenant_id, include_revoked=True).where(ApiKey.id == key_id)
    row = (await scope.session.execute(statement)).one_or_none()
    if row is None:
        raise KeyNotFound(key_id)
    return _view(*row)


async def create(scope: Scope, new: KeyCreate) -> KeyView:
    """A key of the acting member. Raises `PermissionUnknown`, `GrantBeyondOwn`, `ExpiryInPast`."""
    guards.require_known(new.scopes, "scopes")
    guards.require_own(scope.actor, new.scopes)
    if new.expires_at is not None and new.expires_at <= scope.now():
        raise ExpiryInPast
    if scope.actor.user_id is None:
        raise MemberNotFound(scope.actor.name)
    member = await scope.one(
        queries.member_by_user(scope.tenant_id, scope.actor.user_id), missing=MemberNotFound(scope.actor.user_id)
    )
    key_id = new_id()
    minted = tokens.mint(TokenKind.key, scope.tenant_id, key_id)
    key = await scope.add(
        ApiKey(
            id=key_id,
            user_id=member.user_id,
            name=new.name,
            prefix=minted.prefix,
            secret_hash=minted.secret_hash,
            scopes=sorted(set(new.scopes)),
            expires_at=new.expires_at,
        )
    )
    return _view(key, None, member.name, token=minted.text)


async def revoke(scope: Scope, key_id: UUID) -> KeyView:
    """End a key for good; its next request is refused. Said again it changes nothing."""
    key = await scope.one(queries.key_by_id(scope.tenant_id, key_id).with_for_update(), missing=KeyNotFound(key_id))
    if key.revoked_at is None:
        key.revoked_at = scope.now()
        await scope.flush()
    return await get(scope, key_id)


def _view(key: ApiKey, last_used_at: datetime | None, user_name: str, *, token: str | None = None) -> KeyView:
    return KeyView(
        id=key.id,
        name=key.name,
        prefix=key.prefix,
        scopes=list(key.scopes),
        user_id=key.user_id,
        user_name=user_name,
        expires_at=key.expires_at,
        last_used_at=last_used_at,
        revoked_at=key.revoked_at,
        created_at=key.created_at,
        updated_at=key.updated_at,
        row_version=key.row_version,
        token=token,
    )
