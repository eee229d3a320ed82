"""The audit log over HTTP: search it, look at one entry."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from weft.db.scope import Scope
from weft.domain.audit import service as audit
from weft.domain.audit.queries import Filter
from weft.domain.audit.schemas import EntryRead
from weft.http.bodies import Moment
from weft.http.paging import Page, Paged, Paging
from weft.http.scope import allowed

router = APIRouter(prefix="/audit", tags=["audit"])

Reader = Annotated[Scope, allowed("audit:read")]
Lister = Annotated[Scope, allowed("audit:read", may_lag=True)]
Word = Annotated[str | None, Query(max_length=200)]
Since = Annotated[Moment | None, Query(alias="from", description="With a time zone; included.")]
Until = Annotated[Moment | None, Query(alias="to", description="With a time zone; not included.")]
Name = Annotated[str, Path(max_length=200, description="As the list shows it.")]


@router.get("", response_model=Page[EntryRead])
async def list_audit_entries(
    scope: Lister,
    query: Paging,
    resource_type: Word = None,
    resource_id: Word = None,
    actor_id: Word = None,
    action: Word = None,
    correlation_id: Word = None,
    since: Since = None,
    until: Until = None,
) -> Paged[EntryRead]:
    """What was changed, by whom, from where. Sign-ins and other events are here too."""
    wanted = Filter(
        resource_type=resource_type,
        resource_id=resource_id,
        actor_id=actor_id,
        action=action,
        correlation_id=correlation_id,
        since=since,
        until=until,
    )
    return await audit.listed(scope, query, wanted)


@router.get("/{entry_id}", response_model=EntryRead)
async def show_audit_entry(scope: Reader, entry_id: Name) -> EntryRead:
    return await audit.get(scope, entry_id)
