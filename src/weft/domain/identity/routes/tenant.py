"""The tenant that one acts in. Tenants are made by an operator: `weft tenant create`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter

from weft.db.scope import Scope
from weft.domain.identity.models import Tenant
from weft.domain.identity.schemas import TenantRead, TenantUpdate
from weft.domain.identity.service import tenants
from weft.http.preconditions import IfMatch, Tag
from weft.http.scope import allowed

router = APIRouter(prefix="/tenant", tags=["tenants"])

Reader = Annotated[Scope, allowed("tenants:read")]
Writer = Annotated[Scope, allowed("tenants:write")]


@router.get("", response_model=TenantRead)
async def show_tenant(scope: Reader, tag: Tag) -> Tenant:
    tenant = await tenants.current(scope)
    tag(tenant.row_version)
    return tenant


@router.patch("", response_model=TenantRead)
async def update_tenant(scope: Writer, change: TenantUpdate, expected: IfMatch, tag: Tag) -> Tenant:
    tenant = await tenants.update(scope, change, expected=expected)
    tag(tenant.row_version)
    return tenant
