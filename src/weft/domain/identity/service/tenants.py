"""Tenants: made by an operator, read and changed by their members."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from weft.core.actor import system_actor
from weft.core.ids import new_id
from weft.db.database import Database
from weft.db.scope import Scope, enter
from weft.domain.identity import queries, rules
from weft.domain.identity.addresses import email_key, normal_email
from weft.domain.identity.errors import RoleNotFound, SlugInvalid, SlugTaken, TenantNotFound
from weft.domain.identity.models import Member, Tenant, Tier
from weft.domain.identity.schemas import TenantUpdate
from weft.domain.identity.service import accounts
from weft.http.preconditions import check

_INSERT_ROLES = """
insert into weft.roles (tenant_id, id, name, description, is_builtin)
select $1, r.id, r.name, r.description, true
  from unnest($2::uuid[], $3::text[], $4::text[]) as r (id, name, description)
on conflict (tenant_id, name) do nothing"""

_INSERT_ROLE_PERMISSIONS = """
insert into weft.role_permissions (tenant_id, id, role_id, resource, action)
select r.tenant_id, p.id, r.id, p.resource, p.action
  from unnest($2::uuid[], $3::text[], $4::text[], $5::text[]) as p (id, role, resource, action)
  join weft.roles r on r.tenant_id = $1 and r.name = p.role and r.is_builtin
on conflict (tenant_id, role_id, resource, action) do nothing"""


@dataclass(frozen=True, slots=True)
class NewTenant:
    """What came of `create`. `password` is set if weft made it up: show it once, it is stored nowhere."""

    tenant_id: UUID
    slug: str
    owner_user_id: UUID
    owner_member_id: UUID
    owner_is_new: bool
    password: str | None = field(repr=False)


async def create(
    database: Database,
    *,
    slug: str,
    name: str,
    owner_email: str,
    owner_name: str,
    owner_password: str | None = None,
    tier: Tier = Tier.free,
    check_password: bool = True,
) -> NewTenant:
    """A tenant with the built-in roles and its first OWNER. For operators: it works on the database directly.

    If the address has an account already, that account becomes the owner and keeps its password. Without
    `owner_password` a new account gets one made up. Raises `SlugInvalid`, `SlugTaken`, `EmailInvalid`, `PasswordUnfit`.
    """
    if not rules.is_slug(slug):
        raise SlugInvalid(slug, rules.slug_of(slug) or rules.slug_of(name))
    new = await accounts.prepare(normal_email(owner_email), owner_name, owner_password, check=check_password)
    tenant_id = new_id()
    async with enter(database, system_actor(tenant_id, "operator")) as scope:
        try:
            await scope.raw.execute("select weft.create_tenant($1, $2, $3, $4)", tenant_id, slug, name, tier.value)
        except asyncpg.UniqueViolationError as error:
            raise SlugTaken(slug) from error
        await ensure_builtin_roles(scope)
        account = await accounts.ensure(scope, new)
        role = await scope.one(queries.role_by_name(tenant_id, rules.OWNER), missing=RoleNotFound(rules.OWNER))
        member = await scope.add(
            Member(
                user_id=account.id,
                role_id=role.id,
                email=new.email,
                email_key=email_key(new.email),
                name=new.name,
            )
        )
    password = new.password if account.is_new else None
    return NewTenant(tenant_id, slug, account.id, member.id, account.is_new, password)


async def ensure_builtin_roles(scope: Scope) -> None:
    """Every built-in role with every permission of the catalogue that belongs to it; two statements for all.

    Safe to repeat: after an upgrade it adds what this release brought.
    """
    await scope.raw.execute(
        _INSERT_ROLES,
        scope.tenant_id,
        [new_id() for _ in rules.ROLES],
        list(rules.ROLES),
        [description for description, _ in rules.ROLES.values()],
    )
    rows = [(role, *pair) for role, (_, pairs) in rules.ROLES.items() for pair in sorted(pairs)]
    await scope.raw.execute(
        _INSERT_ROLE_PERMISSIONS,
        scope.tenant_id,
        [new_id() for _ in rows],
        [role for role, _, _ in rows],
        [resource for _, resource, _ in rows],
        [action for _, _, action in rows],
    )


async def find(database: Database, slug: str) -> UUID | None:
    """The id of the tenant with that slug. For operators and the seed; members name tenants that they belong to."""
    async with enter(database, system_actor(UUID(int=0), "operator"), read_only=True) as scope:
        found = await scope.raw.fetchval("select weft.find_tenant($1)", slug)
    return None if found is None else UUID(int=found.int)


async def current(scope: Scope) -> Tenant:
    """The tenant that the scope is in."""
    return await scope.one(queries.tenant(scope.tenant_id), missing=TenantNotFound())


async def locked(scope: Scope) -> Tenant:
    """The same, held until the transaction ends: for whoever changes it."""
    return await scope.one(queries.tenant(scope.tenant_id).with_for_update(), missing=TenantNotFound())


async def update(scope: Scope, change: TenantUpdate, *, expected: int | None = None) -> Tenant:
    """Change name or settings of the scope's tenant. Its slug stays: addresses and scripts name it."""
    tenant = await locked(scope)
    check(expected, tenant.row_version)
    for column, value in change.model_dump(exclude_unset=True).items():
        setattr(tenant, column, value)
    await scope.flush()
    return tenant
