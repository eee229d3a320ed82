"""Roles: the built-in ones, which stay as they are, and a tenant's own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from weft.core.ids import new_id
from weft.db.scope import Scope
from weft.domain.identity import queries, rules
from weft.domain.identity.errors import RoleBuiltin, RoleInUse, RoleNameTaken, RoleNotFound
from weft.domain.identity.models import Role
from weft.domain.identity.schemas import RoleCreate, RoleUpdate
from weft.domain.identity.service import guards
from weft.http.paging import Paged, PageQuery, page
from weft.http.preconditions import check

_ADD = """
insert into weft.role_permissions (tenant_id, id, role_id, resource, action)
select $1, p.id, $2, p.resource, p.action from unnest($3::uuid[], $4::text[], $5::text[]) as p (id, resource, action)"""
_TAKE = """
delete from weft.role_permissions p using unnest($3::text[], $4::text[]) as gone (resource, action)
 where p.tenant_id = $1 and p.role_id = $2 and p.resource = gone.resource and p.action = gone.action"""


@dataclass(frozen=True, slots=True)
class RoleView:
    """A role together with its permissions."""

    id: UUID
    name: str
    description: str
    is_builtin: bool
    permissions: Sequence[str]
    created_at: datetime
    updated_at: datetime
    row_version: int


async def listed(scope: Scope, query: PageQuery, *, name: str | None = None) -> Paged[RoleView]:
    """Roles by name; two statements whatever their number."""
    wanted = None if name is None else rules.builtin(name) or name
    found = await page(scope, queries.roles(scope.tenant_id, name=wanted), (Role.name, Role.id), query)
    permissions = await _permissions(scope, [role.id for role in found.items])
    return Paged([_view(role, permissions[role.id]) for role in found.items], found.next_cursor)


async def get(scope: Scope, role_id: UUID) -> RoleView:
    role = await scope.one(queries.role_by_id(scope.tenant_id, role_id), missing=RoleNotFound(role_id))
    return _view(role, (await _permissions(scope, [role.id]))[role.id])


async def create(scope: Scope, new: RoleCreate) -> RoleView:
    """A role of the tenant's own. Raises `PermissionUnknown`, `GrantBeyondOwn`, `RoleNameTaken`."""
    wanted = frozenset(new.permissions)
    guards.require_known(wanted, "permissions")
    guards.require_own(scope.actor, wanted)
    await _require_free(scope, new.name)
    role = await scope.add(Role(name=new.name, description=new.description))
    await _add(scope, role.id, wanted)
    return _view(role, wanted)


async def update(scope: Scope, role_id: UUID, change: RoleUpdate, *, expected: int | None = None) -> RoleView:
    """Change a role of the tenant's own; its members have the new permissions with their next request.

    What is added or taken away must be the actor's own: else the one would be a way up, the other a way to
    disarm whoever stands higher.
    """
    role = await _own_role(scope, role_id, expected)
    wanted = change.model_dump(exclude_unset=True)
    if "name" in wanted and wanted["name"].casefold() != role.name.casefold():
        await _require_free(scope, wanted["name"])
    role.name = wanted.get("name", role.name)
    role.description = wanted.get("description", role.description)
    await scope.flush()
    before = frozenset((await _permissions(scope, [role.id]))[role.id])
    after = frozenset(wanted["permissions"]) if "permissions" in wanted else before
    if after != before:
        guards.require_known(after, "permissions")
        guards.require_own(scope.actor, after ^ before)
        await _take(scope, role.id, before - after)
        await _add(scope, role.id, after - before)
        # The permissions are rows of their own; whoever holds the role's old version must notice all the same.
        await scope.raw.execute(
            "update weft.roles set name = name where tenant_id = $1 and id = $2", scope.tenant_id, role.id
        )
        await scope.session.refresh(role)
    return _view(role, after)


async def delete(scope: Scope, role_id: UUID, *, expected: int | None = None) -> None:
    """Delete a role that nobody has any more. Raises `RoleInUse`, `RoleBuiltin`."""
    role = await _own_role(scope, role_id, expected)
    members = await scope.raw.fetchval(
        "select count(*) from weft.tenant_users where tenant_id = $1 and role_id = $2", scope.tenant_id, role.id
    )
    if members:
        raise RoleInUse(role.name, members)
    guards.require_own(scope.actor, (await _permissions(scope, [role.id]))[role.id])
    await scope.session.delete(role)
    await scope.flush()


async def _own_role(scope: Scope, role_id: UUID, expected: int | None) -> Role:
    role = await scope.one(
        queries.role_by_id(scope.tenant_id, role_id).with_for_update(), missing=RoleNotFound(role_id)
    )
    if role.is_builtin:
        raise RoleBuiltin(role.name)
    check(expected, role.row_version)
    return role


async def _require_free(scope: Scope, name: str) -> None:
    """Names differ in more than letter case: `Owner` beside `OWNER` would be a trap."""
    taken = await scope.all(queries.role_names(scope.tenant_id))
    if rules.builtin(name) or name.casefold() in {other.casefold() for other in taken}:
        raise RoleNameTaken(name)


async def _permissions(scope: Scope, role_ids: list[UUID]) -> defaultdict[UUID, list[str]]:
    found: defaultdict[UUID, list[str]] = defaultdict(list)
    for row in await scope.all(queries.permissions_of_roles(scope.tenant_id, role_ids)):
        found[row.role_id].append(rules.word((row.resource, row.action)))
    return found


async def _add(scope: Scope, role_id: UUID, permissions: Iterable[str]) -> None:
    pairs = [rules.pair(word) for word in sorted(permissions)]
    await scope.raw.execute(
        _ADD, scope.tenant_id, role_id, [new_id() for _ in pairs], [p[0] for p in pairs], [p[1] for p in pairs]
    )


async def _take(scope: Scope, role_id: UUID, permissions: Iterable[str]) -> None:
    pairs = [rules.pair(word) for word in permissions]
    await scope.raw.execute(_TAKE, scope.tenant_id, role_id, [p[0] for p in pairs], [p[1] for p in pairs])


def _view(role: Role, permissions: Iterable[str]) -> RoleView:
    return RoleView(
        id=role.id,
        name=role.name,
        description=role.description,
        is_builtin=role.is_builtin,
        permissions=sorted(permissions),
        created_at=role.created_at,
        updated_at=role.updated_at,
        row_version=role.row_version,
    )
