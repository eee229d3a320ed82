"""Limits over HTTP. Those of the tenant itself can only be read: the operator sets them (`weft tenant limits`)."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Response

from weft.db.scope import Scope
from weft.domain.limits.models import RateLimit
from weft.domain.limits.schemas import (
    RateLimitRead,
    RateLimitWrite,
    TenantLimitsRead,
    WorkflowLimitsRead,
    WorkflowLimitsWrite,
)
from weft.domain.limits.service import rates, tenants, workflows
from weft.http.paging import Page, Paged, Paging
from weft.http.preconditions import IfMatch, Tag
from weft.http.scope import allowed

Reader = Annotated[Scope, allowed("limits:read")]
Writer = Annotated[Scope, allowed("limits:write")]

limits = APIRouter(tags=["limits"])


@limits.get("/limits", response_model=TenantLimitsRead)
async def show_limits(scope: Reader) -> TenantLimitsRead:
    """What the operator allows the tenant, and how much of it is used."""
    return await tenants.get(scope)


@limits.get("/limits/workflows", response_model=Page[WorkflowLimitsRead])
async def list_workflow_limits(scope: Reader, query: Paging) -> Paged[WorkflowLimitsRead]:
    """The workflows that have limits, and how much of them is used."""
    return await workflows.listed(scope, query)


@limits.get("/workflows/{workflow_id}/limits", response_model=WorkflowLimitsRead)
async def show_workflow_limits(scope: Reader, workflow_id: UUID, tag: Tag) -> WorkflowLimitsRead:
    found = await workflows.get(scope, workflow_id)
    tag(found.row_version)
    return found


@limits.put("/workflows/{workflow_id}/limits", response_model=WorkflowLimitsRead)
async def set_workflow_limits(
    scope: Writer, workflow_id: UUID, wanted: WorkflowLimitsWrite, expected: IfMatch, tag: Tag
) -> WorkflowLimitsRead:
    """Say how many executions may be under way at once, and how urgent they are. It replaces what was said before."""
    found = await workflows.set_limits(scope, workflow_id, wanted, expected=expected)
    tag(found.row_version)
    return found


@limits.delete("/workflows/{workflow_id}/limits", status_code=204)
async def clear_workflow_limits(scope: Writer, workflow_id: UUID, expected: IfMatch) -> None:
    """Take all limits of the workflow away; what waits for a place goes on."""
    await workflows.clear(scope, workflow_id, expected=expected)


rate_limits = APIRouter(prefix="/rate-limits", tags=["limits"])


@rate_limits.get("", response_model=Page[RateLimitRead])
async def list_rate_limits(scope: Reader, query: Paging) -> Paged[RateLimit]:
    return await rates.listed(scope, query)


@rate_limits.put("", response_model=RateLimitRead, responses={201: {"model": RateLimitRead}})
async def set_rate_limit(scope: Writer, wanted: RateLimitWrite, response: Response) -> RateLimit:
    """Say how often steps may call a target; it replaces what was said of the same target before."""
    limit, is_new = await rates.put(scope, wanted)
    response.status_code = 201 if is_new else 200
    return limit


@rate_limits.get("/{rate_limit_id}", response_model=RateLimitRead)
async def show_rate_limit(scope: Reader, rate_limit_id: UUID) -> RateLimit:
    return await rates.get(scope, rate_limit_id)


@rate_limits.delete("/{rate_limit_id}", status_code=204)
async def delete_rate_limit(scope: Writer, rate_limit_id: UUID) -> None:
    """Take a rate limit away; what waits for its turn goes at once."""
    await rates.delete(scope, rate_limit_id)


routers: Final = (limits, rate_limits)
