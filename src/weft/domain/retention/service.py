"""A tenant's own say in how long executions are kept: `from weft.domain.retention import service as retention`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from weft.db.scope import Scope
from weft.domain.identity.models import Tenant
from weft.domain.identity.service import tenants
from weft.domain.retention import queries, rules
from weft.domain.retention.errors import ArchiveNotFound
from weft.domain.retention.models import Archive
from weft.domain.retention.rules import Bounds
from weft.domain.retention.schemas import (
    RetentionBounds,
    RetentionDue,
    RetentionEffective,
    RetentionRead,
    RetentionUpdate,
)
from weft.http.paging import Paged, PageQuery, page
from weft.http.preconditions import check

MOST_COUNTED: Final = 10_000


async def get(scope: Scope, bounds: Bounds) -> tuple[RetentionRead, int]:
    """What holds for the tenant, and the tenant's row version."""
    tenant = await tenants.current(scope)
    return _read(tenant, bounds), tenant.row_version


async def replace(
    scope: Scope, wanted: RetentionUpdate, bounds: Bounds, *, expected: int | None = None
) -> tuple[RetentionRead, int]:
    """Set the whole policy. Raises `RetentionOutOfBounds`; the audit log has the one before."""
    rules.require_within(wanted.executions_days, bounds)
    rules.require_long_enough(wanted.journal_days, bounds)
    tenant = await tenants.locked(scope)
    check(expected, tenant.row_version)
    tenant.retention = {name: value for name, value in wanted.model_dump().items() if value is not None}
    await scope.flush()
    return _read(tenant, bounds), tenant.row_version


def _read(tenant: Tenant, bounds: Bounds) -> RetentionRead:
    stored: dict[str, Any] = tenant.retention
    holds = rules.effective(stored, bounds)
    return RetentionRead(
        executions_days=stored.get("executions_days"),
        journal_days=stored.get("journal_days"),
        archive=stored.get("archive"),
        effective=RetentionEffective.model_validate(holds, from_attributes=True),
        installation=RetentionBounds.model_validate(bounds, from_attributes=True),
    )


async def due(scope: Scope, bounds: Bounds) -> RetentionDue:
    """What a round would take now. Families that still have a sub-workflow at work are counted, but stay."""
    tenant = await tenants.current(scope)
    policy = rules.effective(tenant.retention, bounds)
    cutoff, journal = policy.cutoff(scope.now()), policy.journal_cutoff(scope.now())
    executions = journals = None
    if cutoff is not None:
        executions = await _count(scope, queries.COUNT_DUE, cutoff)
    if journal is not None:
        journals = await _count(scope, queries.COUNT_JOURNALS, journal)
    return RetentionDue(
        cutoff=cutoff,
        executions=min(executions["executions"], MOST_COUNTED) if executions else 0,
        is_more=executions is not None and executions["executions"] > MOST_COUNTED,
        oldest=executions["oldest"] if executions else None,
        journal_cutoff=journal,
        journals=journals["executions"] if journals else 0,
        journals_is_more=journals is not None and journals["rows"] > MOST_COUNTED,
    )


async def _count(scope: Scope, statement: str, cutoff: datetime) -> Any:
    return await scope.raw.fetchrow(statement, scope.tenant_id, cutoff, list(queries.FINAL), MOST_COUNTED + 1)


async def archives(scope: Scope, query: PageQuery) -> Paged[Archive]:
    """One page of archives, by the time they were written."""
    return await page(scope, queries.archives(scope.tenant_id), (Archive.created_at, Archive.id), query)


async def archive(scope: Scope, archive_id: UUID) -> Archive:
    return await scope.one(queries.archive(scope.tenant_id, archive_id), missing=ArchiveNotFound(archive_id))
