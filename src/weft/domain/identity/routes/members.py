"""Members of the tenant, and their direct permissions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response

from weft.db.scope import Scope
from weft.domain.identity.models import MemberStatus
from weft.domain.identity.schemas import (
    PERMISSION_WORDS,
    GrantRead,
    GrantWrite,
    MemberCreate,
    MemberCreated,
    MemberRead,
    MemberUpdate,
)
from weft.domain.identity.service import grants, members
from weft.domain.identity.service.grants import GrantView
from weft.domain.identity.service.members import MemberView
from weft.http.paging import Page, Paged, Paging
from weft.http.preconditions import IfMatch, Tag
from weft.http.scope import allowed

router = APIRouter(prefix="/members", tags=["members"])

Reader = Annotated[Scope, allowed("members:read")]
Writer = Annotated[Scope, allowed("members:write")]
Granter = Annotated[Scope, allowed("roles:write")]
RoleName = Annotated[str | None, Query(max_length=200)]
Email = Annotated[str | None, Query(max_length=320, description="The whole address, in any letter case.")]
Permission = Annotated[
    str,
    Path(
        max_length=100,
        description="As `resource:action`.",
        examples=["workflows:read"],
        json_schema_extra=PERMISSION_WORDS,
    ),
]


@router.get("", response_model=Page[MemberRead])
async def list_members(
    scope: Reader,
    query: Paging,
    status: MemberStatus | None = None,
    role: RoleName = None,
    email: Email = None,
) -> Paged[MemberView]:
    return await members.listed(scope, query, status=status, role=role, email=email)


@router.post("", status_code=201, response_model=MemberCreated)
async def create_member(scope: Writer, new: MemberCreate, tag: Tag, response: Response) -> MemberView:
    """Make somebody a member. An address without an account gets one; a password that weft makes up is shown once."""
    member = await members.create(scope, new)
    tag(member.row_version)
    response.headers["Cache-Control"] = "no-store"
    return member


@router.get("/{member_id}", response_model=MemberRead)
async def show_member(scope: Reader, member_id: UUID, tag: Tag) -> MemberView:
    member = await members.get(scope, member_id)
    tag(member.row_version)
    return member


@router.patch("/{member_id}", response_model=MemberRead)
async def update_member(
    scope: Writer, member_id: UUID, change: MemberUpdate, expected: IfMatch, tag: Tag
) -> MemberView:
    member = await members.update(scope, member_id, change, expected=expected)
    tag(member.row_version)
    return member


@router.delete("/{member_id}", status_code=204)
async def remove_member(scope: Writer, member_id: UUID, expected: IfMatch) -> None:
    """End a membership, with its sessions, API keys and direct permissions. The account itself stays."""
    await members.remove(scope, member_id, expected=expected)


@router.get("/{member_id}/permissions", response_model=list[GrantRead])
async def list_grants(scope: Reader, member_id: UUID) -> Sequence[GrantView]:
    """What this member may or may not do beside the role."""
    return await grants.listed(scope, member_id)


@router.put("/{member_id}/permissions/{permission}", response_model=GrantRead)
async def put_grant(scope: Granter, member_id: UUID, permission: Permission, grant: GrantWrite) -> GrantView:
    """Grant (`ALLOW`) or deny (`DENY`) one permission directly. A denial wins over role and grants."""
    return await grants.put(scope, member_id, permission, grant.effect)


@router.delete("/{member_id}/permissions/{permission}", status_code=204)
async def delete_grant(scope: Granter, member_id: UUID, permission: Permission) -> None:
    """Take a direct grant or denial back: from then on the role alone decides."""
    await grants.delete(scope, member_id, permission)
