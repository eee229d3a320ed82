"""From a credential to a scope: who asks, in which tenant, with which permissions; in one transaction.

The token names its tenant, so the transaction opens there and row security already holds while the credential is
looked up. One statement answers everything: the credential, its member, the role, direct grants and denials. What was
revoked, deactivated or removed a moment ago therefore stops working with the next request; nothing is cached.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol
from uuid import UUID
from weakref import WeakKeyDictionary

from weft.core.actor import Actor, ActorKind, system_actor
from weft.db.database import Database
from weft.db.hot import transaction
from weft.db.scope import Scope, enter
from weft.domain.identity import queries, rules, tokens
from weft.domain.identity.errors import CredentialExpired, CredentialInvalid, KeyBoundToTenant, TenantNotYours
from weft.domain.identity.models import MemberStatus
from weft.domain.identity.tokens import Token, TokenKind

USE_NOTED_EVERY: Final = timedelta(minutes=1)

_log = logging.getLogger(__name__)
_STATEMENT: Final = {TokenKind.session: queries.SESSION, TokenKind.key: queries.API_KEY}
_KIND: Final = {TokenKind.session: ActorKind.user, TokenKind.key: ActorKind.api_key}


class Credential(Protocol):
    """What was presented: the token, and the tenant that the `Weft-Tenant` header names (slug or id)."""

    @property
    def token(self) -> str: ...
    @property
    def tenant(self) -> str | None: ...


class Facts(Protocol):
    """Where a request comes from; it goes into the audit log with every change."""

    @property
    def ip(self) -> str | None: ...
    @property
    def user_agent(self) -> str | None: ...
    @property
    def correlation_id(self) -> str: ...


@asynccontextmanager
async def open_scope(
    database: Database, credential: Credential, facts: Facts, *, read_only: bool
) -> AsyncIterator[Scope]:
    """A scope of whoever holds the credential.

    Raises `CredentialInvalid` (or its kind `CredentialExpired`), `TenantNotYours` and `KeyBoundToTenant`.
    """
    token = tokens.parse(credential.token)
    nobody = Actor(
        tenant_id=token.tenant_id,
        id=token.id,
        kind=_KIND[token.kind],
        ip=facts.ip,
        user_agent=facts.user_agent,
        correlation_id=facts.correlation_id,
    )
    async with enter(database, nobody, read_only=read_only) as scope:
        row = await scope.raw.fetchrow(_STATEMENT[token.kind], token.tenant_id, token.id)
        _check(token, row, scope.now())
        actor = _actor(nobody, row)
        if token.kind is TokenKind.key:
            _uses_of(database).note(database, token, row["last_used_at"], scope.now())
        if credential.tenant and not _names(credential.tenant, row["tenant_id"], row["slug"]):
            actor = await _elsewhere(scope, actor, credential.tenant)
        await scope.become(actor)
        yield scope


async def member_actor(scope: Scope, user_id: UUID) -> Actor | None:
    """The actor that an active member of the scope's tenant is when signed in; None for anybody else."""
    row = await scope.raw.fetchrow(queries.MEMBER, scope.tenant_id, user_id)
    if row is None or row["status"] != MemberStatus.active:
        return None
    return _actor(replace(scope.actor, kind=ActorKind.user), dict(row) | {"scopes": None, "key_name": None})


async def role_actor(scope: Scope, name: str) -> Actor | None:
    """Somebody with this role of the scope's tenant, and with nothing beside it: nobody in particular. None when there
    is no such role."""
    role = await scope.maybe(queries.role_by_name(scope.tenant_id, rules.builtin(name) or name))
    if role is None:
        return None
    held = await scope.all(queries.permissions_of_roles(scope.tenant_id, [role.id]))
    permissions = frozenset(f"{one.resource}:{one.action}" for one in held)
    return replace(scope.actor, name=role.name, user_id=None, permissions=permissions, everything=False)


def matches_tenant(wanted: str, tenant_id: UUID, slug: str) -> bool:
    """Whether somebody who wrote `wanted` (a slug or an id) means this tenant."""
    return _names(wanted, tenant_id, slug)


def _names(wanted: str, tenant_id: UUID, slug: str) -> bool:
    return wanted.strip().lower() in (slug, str(tenant_id))


def _check(token: Token, row: Any, now: datetime) -> None:
    """Only a genuine secret is told more than no."""
    genuine = token.matches(row["secret_hash"] if row is not None else bytes(32))
    if row is None or not genuine or row["revoked_at"] is not None:
        raise CredentialInvalid
    if row["expires_at"] is not None and row["expires_at"] <= now:
        raise CredentialExpired("session" if token.kind is TokenKind.session else "API key", row["expires_at"])
    if row["status"] != MemberStatus.active:
        raise CredentialInvalid


def _actor(nobody: Actor, row: Any) -> Actor:
    is_key = nobody.kind is ActorKind.api_key
    return replace(
        nobody,
        tenant_id=UUID(int=row["tenant_id"].int),
        id=nobody.id if is_key else UUID(int=row["user_id"].int),
        name=f"{row['name']} ({row['key_name']})" if is_key else row["name"],
        user_id=UUID(int=row["user_id"].int),
        permissions=rules.effective(row["role_permissions"], row["allowed"], row["denied"], row["scopes"]),
        everything=False,
    )


async def _elsewhere(scope: Scope, actor: Actor, wanted: str) -> Actor:
    """The same person in another of their tenants."""
    if actor.kind is not ActorKind.user or actor.user_id is None:
        raise KeyBoundToTenant(wanted[:80])
    for row in await scope.raw.fetch(queries.MEMBERSHIPS, actor.user_id):
        if _names(wanted, row["tenant_id"], row["slug"]):
            await scope.become(replace(actor, tenant_id=UUID(int=row["tenant_id"].int)))
            found = await member_actor(scope, actor.user_id)
            if found is not None:
                return found
    raise TenantNotYours(wanted[:80])


class _KeyUses:
    """Writes down when keys are used: at most once a minute each, beside the request and not in its transaction."""

    def __init__(self) -> None:
        self._noted: dict[UUID, datetime] = {}
        self._running: set[asyncio.Task[None]] = set()

    def note(self, database: Database, token: Token, last: datetime | None, now: datetime) -> None:
        known = max(filter(None, (last, self._noted.get(token.id))), default=None)
        if known is not None and now - known < USE_NOTED_EVERY:
            return
        if len(self._noted) >= 10_000:
            self._noted = {key: at for key, at in self._noted.items() if now - at < USE_NOTED_EVERY}
        self._noted[token.id] = now
        task = asyncio.get_running_loop().create_task(self._write(database, token, now))
        self._running.add(task)  # the loop itself holds tasks weakly
        task.add_done_callback(self._running.discard)

    async def settle(self) -> None:
        while self._running:
            await asyncio.gather(*self._running)

    @staticmethod
    async def _write(database: Database, token: Token, now: datetime) -> None:
        try:
            async with transaction(database, system_actor(token.tenant_id, "key uses")) as connection:
                await connection.execute(queries.NOTE_USE, token.tenant_id, token.id, now)
        except Exception:
            # The request itself is served; a missing note of the use is no reason to fail anything.
            _log.warning("the use of API key %s could not be noted", token.id, exc_info=True)


_uses: WeakKeyDictionary[Database, _KeyUses] = WeakKeyDictionary()


def _uses_of(database: Database) -> _KeyUses:
    return _uses.setdefault(database, _KeyUses())


async def settle(database: Database) -> None:
    """Wait until every noted use of a key is written: before the database closes, and in tests."""
    await _uses_of(database).settle()
