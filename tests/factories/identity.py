"""Tenants, people, sessions and keys, with defaults that make sense alone.

acme = await identity.tenant(database, "acme")                  # built-in roles and an OWNER
mia = await identity.member(database, acme, role="MEMBER")      # somebody with less rights
headers = await identity.bearer(database, mia)                  # {"Authorization": "Bearer weft_ss_..."}
actor = await identity.actor(database, mia)                     # for services, without HTTP
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from weft.core.actor import Actor, system_actor
from weft.core.ids import new_id
from weft.db.database import Database
from weft.db.scope import enter
from weft.domain.identity import access, queries, rules, tokens
from weft.domain.identity.addresses import email_key
from weft.domain.identity.errors import RoleNotFound
from weft.domain.identity.models import ApiKey, Member, MemberStatus, Role, RolePermission
from weft.domain.identity.service import accounts, sessions, tenants
from weft.domain.identity.tokens import TokenKind

PASSWORD = "correct horse battery"
ALL = tuple(rules.word(permission) for permission in rules.PERMISSIONS)
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Person:
    """A member: everything a test needs to sign in as them or to look at them."""

    tenant_id: UUID
    slug: str
    user_id: UUID
    member_id: UUID
    email: str
    name: str
    password: str = PASSWORD


async def tenant(
    database: Database, slug: str = "acme", *, email: str | None = None, name: str | None = None
) -> Person:
    """A tenant; what is returned is its OWNER."""
    email = email or f"owner@{slug}.example"
    made = await tenants.create(
        database,
        slug=slug,
        name=slug.title(),
        owner_email=email,
        owner_name=name or f"Owner of {slug}",
        owner_password=PASSWORD,
    )
    return Person(
        made.tenant_id, slug, made.owner_user_id, made.owner_member_id, email, name or f"Owner of {slug}", PASSWORD
    )


async def member(
    database: Database,
    of: Person,
    *,
    role: str = "MEMBER",
    email: str | None = None,
    name: str = "Mia",
    status: MemberStatus = MemberStatus.active,
) -> Person:
    """One more member of the tenant of `of`; an address that is known elsewhere joins with that account."""
    email = email or f"member{next(_numbers)}@{of.slug}.example"
    new = await accounts.prepare(email, name, PASSWORD)
    async with enter(database, system_actor(of.tenant_id)) as scope:
        account = await accounts.ensure(scope, new)
        found = await scope.one(queries.role_by_name(of.tenant_id, role), missing=RoleNotFound(role))
        made = await scope.add(
            Member(
                user_id=account.id,
                role_id=found.id,
                email=email,
                email_key=email_key(email),
                name=name,
                status=status.value,
            )
        )
    return replace(of, user_id=account.id, member_id=made.id, email=email, name=name)


async def role(database: Database, of: Person, *permissions: str, name: str | None = None) -> str:
    """A custom role with just these permissions; returns its name."""
    name = name or f"role {next(_numbers)}"
    async with enter(database, system_actor(of.tenant_id)) as scope:
        made = await scope.add(Role(name=name))
        for permission in permissions:
            resource, action = rules.pair(permission)
            await scope.add(RolePermission(role_id=made.id, resource=resource, action=action))
    return name


async def somebody(database: Database, of: Person, *permissions: str) -> Person:
    """A member who may do just this."""
    return await member(database, of, role=await role(database, of, *permissions))


async def session(database: Database, person: Person, *, lifetime: timedelta = rules.SESSION_LIFETIME) -> str:
    """A session's token, without the price of argon2."""
    async with enter(database, system_actor(person.tenant_id)) as scope:
        return (await sessions.start(scope, person.user_id, person.slug, lifetime)).token


async def api_key(
    database: Database,
    person: Person,
    scopes: Sequence[str] = ALL,
    *,
    expires_at: datetime | None = None,
) -> str:
    """An API key's token; all scopes unless told otherwise."""
    key_id = new_id()
    minted = tokens.mint(TokenKind.key, person.tenant_id, key_id)
    async with enter(database, system_actor(person.tenant_id)) as scope:
        await scope.add(
            ApiKey(
                id=key_id,
                user_id=person.user_id,
                name="a program",
                prefix=minted.prefix,
                secret_hash=minted.secret_hash,
                scopes=list(scopes),
                expires_at=expires_at,
            )
        )
    return minted.text


async def bearer(database: Database, person: Person) -> dict[str, str]:
    """Headers of a signed-in request."""
    return {"Authorization": f"Bearer {await session(database, person)}"}


async def actor(database: Database, person: Person) -> Actor:
    """The actor that this member is when signed in."""
    async with enter(database, system_actor(person.tenant_id), read_only=True) as scope:
        found = await access.member_actor(scope, person.user_id)
    assert found is not None, f"{person.email} is not an active member"
    return found
