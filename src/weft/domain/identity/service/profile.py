"""Who somebody is in the tenant where they act."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from weft.core.actor import ActorKind
from weft.db.scope import Scope
from weft.domain.identity import queries
from weft.domain.identity.errors import MemberNotFound
from weft.domain.identity.service import sessions


@dataclass(frozen=True, slots=True)
class TenantOf:
    id: UUID
    slug: str
    name: str


@dataclass(frozen=True, slots=True)
class Person:
    id: UUID
    email: str
    name: str


@dataclass(frozen=True, slots=True)
class Membership:
    tenant: TenantOf
    role: str
    status: str


@dataclass(frozen=True, slots=True)
class Profile:
    user: Person
    tenant: TenantOf
    role: str
    permissions: Sequence[str]
    credential: Literal["session", "api_key"]
    memberships: Sequence[Membership]


async def read(scope: Scope) -> Profile:
    """The acting member, the permissions of the credential in hand, and the tenants it opens."""
    actor = scope.actor
    row = None
    if actor.user_id is not None:
        row = await scope.raw.fetchrow(queries.MEMBER, scope.tenant_id, actor.user_id)
    if row is None:
        raise MemberNotFound(actor.name)
    here = TenantOf(row["tenant_id"], row["slug"], row["tenant_name"])
    memberships = [Membership(here, row["role"], row["status"])]
    is_key = actor.kind is ActorKind.api_key
    if not is_key:
        memberships = [
            Membership(TenantOf(m["tenant_id"], m["slug"], m["tenant_name"]), m["role"], m["status"])
            for m in await sessions.memberships(scope, row["user_id"])
        ]
    return Profile(
        user=Person(row["user_id"], row["email"], row["name"]),
        tenant=here,
        role=row["role"],
        permissions=sorted(actor.permissions),
        credential="api_key" if is_key else "session",
        memberships=memberships,
    )
