"""What an operator does to a whole tenant: its tier, deleting it, bringing it back. Works on the database itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from weft.core.actor import Actor, system_actor
from weft.core.errors import Conflict
from weft.db.database import Database
from weft.db.scope import enter
from weft.domain.identity.errors import SlugTaken, TenantNotFound
from weft.domain.identity.models import Tenant, Tier
from weft.domain.identity.service import tenants
from weft.domain.workflows.service import lifecycle
from weft.ops.connections import connect

_ALL: Final = """
select t.id::text as id, t.slug, t.name, t.tier, t.created_at, t.deleted_at,
       (select count(*) from weft.tenant_users m where m.tenant_id = t.id) as members
  from weft.tenants t where (t.deleted_at is not null) = $1 order by t.slug, t.deleted_at"""
_DELETED: Final = """
select t.id, t.slug, t.deleted_at from weft.tenants t
 where t.deleted_at is not null and (t.slug = $1 or t.id::text = $1) order by t.deleted_at"""
_DELETE: Final = "update weft.tenants set deleted_at = $2 where id = $1 and deleted_at is null"
_RESTORE: Final = "update weft.tenants set deleted_at = null where id = $1"


class TenantAmbiguous(Conflict):
    code = "tenant_ambiguous"

    def __init__(self, slug: str, found: Sequence[Restored]) -> None:
        listed = ", ".join(f"{one.tenant_id} (deleted {one.deleted_at:%Y-%m-%d %H:%M})" for one in found)
        super().__init__(f"Several tenants with the slug '{slug}' were deleted. Name the one by its id: {listed}.")


@dataclass(frozen=True, slots=True)
class Deleted:
    """What was stopped with the tenant."""

    tenant_id: UUID
    workflows: int


@dataclass(frozen=True, slots=True)
class Restored:
    tenant_id: UUID
    slug: str
    deleted_at: datetime
    """When it had been deleted."""


async def listed(owner_dsn: str, *, deleted: bool = False) -> list[dict[str, Any]]:
    """Every tenant of the installation, or those that were deleted. Only the owner sees all of them."""
    return await _asked(owner_dsn, _ALL, deleted)


async def set_tier(database: Database, slug: str, tier: Tier) -> Tenant:
    """Raises `TenantNotFound`."""
    async with enter(database, _operator(await _find(database, slug))) as scope:
        tenant = await tenants.locked(scope)
        tenant.tier = tier.value
        await scope.flush()
        return tenant


async def delete(database: Database, slug: str) -> Deleted:
    """Hide a tenant and free its slug: nobody comes in, and nothing starts. Its rows stay. Raises `TenantNotFound`."""
    tenant_id = await _find(database, slug)
    async with enter(database, _operator(tenant_id)) as scope:
        await scope.raw.execute(_DELETE, tenant_id, scope.now())
        return Deleted(tenant_id, await lifecycle.deactivate_all(scope))


async def restore(database: Database, owner_dsn: str, reference: str) -> Restored:
    """Bring a deleted tenant back, by slug or id. Its workflows stay inactive, so that nothing starts by surprise.

    Raises `TenantNotFound`, `TenantAmbiguous`, and `SlugTaken` when another tenant has the slug now.
    """
    rows = await _asked(owner_dsn, _DELETED, reference)
    found = [Restored(UUID(int=row["id"].int), row["slug"], row["deleted_at"]) for row in rows]
    if not found:
        raise TenantNotFound(reference[:80])
    if len(found) > 1:
        raise TenantAmbiguous(reference, found)
    tenant_id, slug = found[0].tenant_id, found[0].slug
    try:
        async with enter(database, _operator(tenant_id)) as scope:
            await scope.raw.execute(_RESTORE, tenant_id)
    except asyncpg.UniqueViolationError as error:
        raise SlugTaken(slug) from error
    return found[0]


def _operator(tenant_id: UUID) -> Actor:
    return system_actor(tenant_id, "operator")


async def _find(database: Database, slug: str) -> UUID:
    tenant_id = await tenants.find(database, slug)
    if tenant_id is None:
        raise TenantNotFound(slug[:80])
    return tenant_id


async def _asked(owner_dsn: str, query: str, *values: Any) -> list[dict[str, Any]]:
    connection = await connect(owner_dsn, application="weft tenant")
    try:
        async with connection.transaction(readonly=True):
            await connection.execute("set local app.maintenance = 'on'")
            return [dict(row) for row in await connection.fetch(query, *values)]
    finally:
        await connection.close()
