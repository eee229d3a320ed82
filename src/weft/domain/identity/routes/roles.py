"""Roles, and the catalogue of what they can allow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from weft.db.scope import Scope
from weft.domain.identity import rules
from weft.domain.identity.schemas import PermissionRead, RoleCreate, RoleRead, RoleUpdate
from weft.domain.identity.service import roles
from weft.domain.identity.service.roles import RoleView
from weft.http.paging import Page, Paged, Paging
from weft.http.preconditions import IfMatch, Tag
from weft.http.scope import allowed

router = APIRouter(tags=["roles"])

Reader = Annotated[Scope, allowed("roles:read")]
Writer = Annotated[Scope, allowed("roles:write")]
Name = Annotated[str | None, Query(max_length=200, description="The whole name; built-in ones in any letter case.")]


@router.get("/permissions", response_model=list[PermissionRead])
async def list_permissions(_: Reader) -> Sequence[PermissionRead]:
    """Everything that can be allowed."""
    return [
        PermissionRead(permission=rules.word(pair), resource=pair[0], action=pair[1], description=description)
        for pair, description in rules.PERMISSIONS.items()
    ]


@router.get("/roles", response_model=Page[RoleRead])
async def list_roles(scope: Reader, query: Paging, name: Name = None) -> Paged[RoleView]:
    """Roles by name: `order=asc` begins with A."""
    return await roles.listed(scope, query, name=name)


@router.post("/roles", status_code=201, response_model=RoleRead)
async def create_role(scope: Writer, new: RoleCreate, tag: Tag) -> RoleView:
    """Make a role of the tenant's own, with at most what you may do yourself."""
    role = await roles.create(scope, new)
    tag(role.row_version)
    return role


@router.get("/roles/{role_id}", response_model=RoleRead)
async def show_role(scope: Reader, role_id: UUID, tag: Tag) -> RoleView:
    role = await roles.get(scope, role_id)
    tag(role.row_version)
    return role


@router.patch("/roles/{role_id}", response_model=RoleRead)
async def update_role(scope: Writer, role_id: UUID, change: RoleUpdate, expected: IfMatch, tag: Tag) -> RoleView:
    """Change a role of the tenant's own. Its members have the new permissions with their next request."""
    role = await roles.update(scope, role_id, change, expected=expected)
    tag(role.row_version)
    return role


@router.delete("/roles/{role_id}", status_code=204)
async def delete_role(scope: Writer, role_id: UUID, expected: IfMatch) -> None:
    """Delete a role of the tenant's own that no member has any more."""
    await roles.delete(scope, role_id, expected=expected)
