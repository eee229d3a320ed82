"""Reading the audit log. Writing it is the database's own business."""

from __future__ import annotations

from weft.db.scope import Scope
from weft.domain.audit import queries, rules
from weft.domain.audit.errors import EntryNotFound
from weft.domain.audit.models import AuditLog
from weft.domain.audit.queries import Filter
from weft.domain.audit.schemas import EntryRead
from weft.http.paging import Paged, PageQuery, page


async def listed(scope: Scope, query: PageQuery, wanted: Filter) -> Paged[EntryRead]:
    """Entries by time, newest first unless asked otherwise."""
    found = await page(scope, queries.matching(scope.tenant_id, wanted), (AuditLog.at, AuditLog.id), query)
    return Paged([_view(entry) for entry in found.items], found.next_cursor)


async def get(scope: Scope, name: str) -> EntryRead:
    place = rules.place_of(name)
    if place is None:
        raise EntryNotFound
    return _view(await scope.one(queries.by_place(scope.tenant_id, *place), missing=EntryNotFound()))


def _view(entry: AuditLog) -> EntryRead:
    return EntryRead(
        id=rules.name_of(entry.at, entry.id),
        at=entry.at,
        action=entry.action,
        resource_type=entry.resource_type,
        resource_id=entry.resource_id,
        before=entry.before,
        after=entry.after,
        actor_id=entry.actor_id,
        actor_kind=entry.actor_kind,
        actor_name=entry.actor_name,
        ip=entry.ip,
        user_agent=entry.user_agent,
        correlation_id=entry.correlation_id,
    )
