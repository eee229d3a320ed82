"""Signing in and out. The password is checked between two transactions, never inside one: it takes some 25 ms.

Refusals cost the same whatever their reason (argon2 runs for unknown accounts too, and every refusal is written
down), and they all read the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from weft.core.actor import Actor, ActorKind
from weft.core.ids import new_id
from weft.db.database import Database
from weft.db.scope import Scope, enter
from weft.domain.identity import access, passwords, queries, rules, tokens
from weft.domain.identity.access import Facts
from weft.domain.identity.addresses import email_key
from weft.domain.identity.errors import (
    CredentialInvalid,
    PasswordWrong,
    SessionNeeded,
    SignInRefused,
    TenantNotYours,
)
from weft.domain.identity.models import MemberStatus, Session
from weft.domain.identity.tokens import Token, TokenKind

NOWHERE = UUID(int=0)
"""The tenant of what happens before one is known: it has no rows but the audit events of refused sign-ins."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session. `token` is shown once."""

    token: str = field(repr=False)
    session_id: UUID
    expires_at: datetime
    tenant_id: UUID
    tenant_slug: str


@dataclass(frozen=True, slots=True)
class _Candidate:
    """Whom an address belongs to, if anybody, and the tenant that would be signed in to."""

    user_id: UUID | None
    password_hash: str | None
    tenant_id: UUID
    slug: str
    is_active: bool


async def sign_in(
    database: Database,
    *,
    email: str,
    password: str,
    tenant: str | None,
    facts: Facts,
    lifetime: timedelta = rules.SESSION_LIFETIME,
) -> SignedIn:
    """A session for whoever knows the password; in `tenant` (slug or id), else in their oldest active membership.

    Raises `SignInRefused`, and `SignInsBusy` when too many sign in at once.
    """
    stranger = _stranger(facts)
    async with enter(database, stranger, read_only=True) as scope:
        candidate = await _candidate(scope, email_key(email), tenant)
    right = await passwords.verify(candidate.password_hash, password)
    if not right or not candidate.is_active or candidate.user_id is None:
        async with enter(database, replace(stranger, tenant_id=candidate.tenant_id)) as scope:
            await _record_refusal(scope, candidate, email, right)
        raise SignInRefused
    renewed = None
    if candidate.password_hash is not None and passwords.needs_rehash(candidate.password_hash):
        renewed = await passwords.hashed(password)
    async with enter(database, replace(stranger, tenant_id=candidate.tenant_id)) as scope:
        actor = await access.member_actor(scope, candidate.user_id)
        if actor is None:  # deactivated while we were checking
            raise SignInRefused
        await scope.become(actor)
        if renewed is not None:
            await scope.raw.execute("select weft.set_password($1, $2)", candidate.user_id, renewed)
        await scope.raw.execute("select weft.mark_sign_in($1)", candidate.user_id)
        return await _start(scope, candidate.user_id, candidate.slug, lifetime)


async def sign_out(database: Database, token_text: str, facts: Facts) -> None:
    """End the session of this token. A session that is over already stays over; that is no error."""
    token = tokens.parse(token_text)
    if token.kind is not TokenKind.session:
        raise SessionNeeded("Signing out")
    async with enter(database, replace(_stranger(facts), tenant_id=token.tenant_id)) as scope:
        session = await scope.maybe(queries.session_by_id(token.tenant_id, token.id).with_for_update())
        if session is None or not token.matches(session.secret_hash):
            raise CredentialInvalid
        if session.revoked_at is not None:
            return
        actor = await access.member_actor(scope, session.user_id)
        if actor is not None:
            await scope.become(actor)
        await _end(scope, session)


async def switch(scope: Scope, token_text: str, tenant: str, lifetime: timedelta = rules.SESSION_LIFETIME) -> SignedIn:
    """Exchange the session for one in another tenant of the same person; the old one ends in the same transaction."""
    token, user_id = _session_of(scope, token_text, "Switching the tenant")
    for row in await scope.raw.fetch(queries.MEMBERSHIPS, user_id):
        if row["status"] == MemberStatus.active and access.matches_tenant(tenant, row["tenant_id"], row["slug"]):
            target = UUID(int=row["tenant_id"].int)
            await _end_at_home(scope, token)
            await scope.become(replace(scope.actor, tenant_id=target))
            actor = await access.member_actor(scope, user_id)
            if actor is None:
                break
            await scope.become(actor)
            return await _start(scope, user_id, row["slug"], lifetime)
    raise TenantNotYours(tenant[:80])


async def memberships(scope: Scope, user_id: UUID) -> Sequence[Any]:
    """Tenant id, slug, name, role and status of every membership of this person."""
    return list(await scope.raw.fetch(queries.MEMBERSHIPS, user_id))


async def change_password(scope: Scope, token_text: str, current: str, new: str) -> None:
    """Change one's own password; every other session of the person ends, in every tenant.

    Runs argon2 inside the transaction: somebody changes a password twice a year, not twice a second.
    """
    token, user_id = _session_of(scope, token_text, "Changing the password")
    row = await scope.raw.fetchrow("select email, password_hash from weft.users where id = $1", user_id)
    if row is None or not await passwords.verify(row["password_hash"], current):
        raise PasswordWrong
    passwords.check(new, row["email"], ("new_password",))
    await scope.raw.execute("select weft.set_password($1, $2)", user_id, await passwords.hashed(new))
    here = scope.actor
    for membership in await memberships(scope, user_id):
        await scope.become(replace(here, tenant_id=UUID(int=membership["tenant_id"].int)))
        await end_all(scope, user_id, but=token.id)
    await scope.become(here)


async def end_all(scope: Scope, user_id: UUID, *, but: UUID | None = None) -> None:
    """End the sessions of a member in the scope's tenant."""
    await scope.raw.execute(
        "update weft.sessions set revoked_at = $3"
        " where tenant_id = $1 and user_id = $2 and revoked_at is null and id is distinct from $4",
        scope.tenant_id,
        user_id,
        scope.now(),
        but,
    )


async def start(scope: Scope, user_id: UUID, slug: str, lifetime: timedelta = rules.SESSION_LIFETIME) -> SignedIn:
    """A session without a password: for tests and operators, who are trusted with the database anyway."""
    return await _start(scope, user_id, slug, lifetime)


async def _start(scope: Scope, user_id: UUID, slug: str, lifetime: timedelta) -> SignedIn:
    session_id = new_id()
    minted = tokens.mint(TokenKind.session, scope.tenant_id, session_id)
    session = await scope.add(
        Session(
            id=session_id,
            user_id=user_id,
            secret_hash=minted.secret_hash,
            expires_at=scope.now() + lifetime,
            ip=scope.actor.ip,
            user_agent=(scope.actor.user_agent or "")[:300] or None,
        )
    )
    await scope.record("session.created", "sessions", session_id, {"expires_at": session.expires_at.isoformat()})
    return SignedIn(minted.text, session_id, session.expires_at, scope.tenant_id, slug)


async def _end(scope: Scope, session: Session) -> None:
    session.revoked_at = scope.now()
    await scope.flush()
    await scope.record("session.ended", "sessions", session.id)


async def _end_at_home(scope: Scope, token: Token) -> None:
    """End the session that was presented, in the tenant that it belongs to (the header may have named another)."""
    await scope.become(replace(scope.actor, tenant_id=token.tenant_id))
    session = await scope.one(queries.session_by_id(token.tenant_id, token.id), missing=CredentialInvalid())
    await _end(scope, session)


def _session_of(scope: Scope, token_text: str, what: str) -> tuple[Token, UUID]:
    token = tokens.parse(token_text)
    if token.kind is not TokenKind.session or scope.actor.user_id is None:
        raise SessionNeeded(what)
    return token, scope.actor.user_id


async def _candidate(scope: Scope, key: str, tenant: str | None) -> _Candidate:
    user = await scope.raw.fetchrow("select id, password_hash from weft.find_user($1)", key)
    # Asked for unknown addresses too, so that both take the same steps.
    rows = await scope.raw.fetch(queries.MEMBERSHIPS, user["id"] if user else NOWHERE)
    if user is None:
        return _Candidate(None, None, NOWHERE, "", False)
    wanted = [r for r in rows if tenant is None or access.matches_tenant(tenant, r["tenant_id"], r["slug"])]
    wanted.sort(key=lambda r: r["status"] != MemberStatus.active)
    user_id = UUID(int=user["id"].int)
    if not wanted:
        home = UUID(int=rows[0]["tenant_id"].int) if rows else NOWHERE
        return _Candidate(user_id, user["password_hash"], home, "", False)
    best = wanted[0]
    is_active = best["status"] == MemberStatus.active
    return _Candidate(user_id, user["password_hash"], UUID(int=best["tenant_id"].int), best["slug"], is_active)


async def _record_refusal(scope: Scope, candidate: _Candidate, email: str, right: bool) -> None:
    """Into the log of the tenant that was meant. An unknown address is kept as a hash: it may be a password."""
    if candidate.user_id is None:
        details = {"reason": "unknown", "email_sha256": hashlib.sha256(email_key(email).encode()).hexdigest()}
    else:
        details = {"reason": "inactive" if right else "password", "user_id": str(candidate.user_id)}
    await scope.record("session.refused", "sessions", "", details)


def _stranger(facts: Facts) -> Actor:
    return Actor(
        tenant_id=NOWHERE,
        id=NOWHERE,
        kind=ActorKind.user,
        name="",
        ip=facts.ip,
        user_agent=facts.user_agent,
        correlation_id=facts.correlation_id,
    )
