"""Retention over HTTP: a tenant's policy, what it would take now, and the archives there are."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends

from weft.db.scope import Scope
from weft.domain.retention import service as retention
from weft.domain.retention.models import Archive
from weft.domain.retention.rules import Bounds
from weft.domain.retention.schemas import ArchiveRead, RetentionDue, RetentionRead, RetentionUpdate
from weft.http.paging import Page, Paged, Paging
from weft.http.preconditions import IfMatch, Tag
from weft.http.scope import allowed
from weft.http.state import Slot

BOUNDS = Slot[Bounds]("bounds of retention")

router = APIRouter(tags=["retention"])

Reader = Annotated[Scope, allowed("tenants:read")]
Writer = Annotated[Scope, allowed("tenants:write")]
Installation = Annotated[Bounds, Depends(BOUNDS.wanted)]


@router.get("/retention", response_model=RetentionRead)
async def show_retention(scope: Reader, bounds: Installation, tag: Tag) -> RetentionRead:
    """How long executions are kept: what the tenant said, and what holds."""
    found, version = await retention.get(scope, bounds)
    tag(version)
    return found


@router.put("/retention", response_model=RetentionRead)
async def replace_retention(
    scope: Writer, wanted: RetentionUpdate, bounds: Installation, expected: IfMatch, tag: Tag
) -> RetentionRead:
    """Say how long executions are kept. The worker's next round goes by it."""
    found, version = await retention.replace(scope, wanted, bounds, expected=expected)
    tag(version)
    return found


@router.get("/retention/due", response_model=RetentionDue)
async def show_retention_due(scope: Reader, bounds: Installation) -> RetentionDue:
    """What the next round would take, without taking it."""
    return await retention.due(scope, bounds)


@router.get("/archives", response_model=Page[ArchiveRead])
async def list_archives(scope: Reader, query: Paging) -> Paged[Archive]:
    """The archives of executions that are gone, newest first."""
    return await retention.archives(scope, query)


@router.get("/archives/{archive_id}", response_model=ArchiveRead)
async def show_archive(scope: Reader, archive_id: UUID) -> Archive:
    return await retention.archive(scope, archive_id)
