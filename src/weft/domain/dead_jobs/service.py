"""Looking at dead jobs and dropping them. Retrying moves executions: `weft.engine.dead` does that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from weft.db.dispatch_tables import DeadJob
from weft.db.scope import Scope
from weft.domain.dead_jobs import queries, rules
from weft.domain.dead_jobs.errors import DeadJobNotFound
from weft.domain.dead_jobs.queries import Filters
from weft.domain.dead_jobs.schemas import (
    DeadJobRead,
    DeadJobsDone,
    DeadJobsDrop,
    DeadJobsSelected,
    DeadJobSummary,
)
from weft.http.paging import Paged, PageQuery, page


async def listed(scope: Scope, filters: Filters, query: PageQuery) -> Paged[Any]:
    """One page of dead jobs, by the time they died."""
    return await page(scope, queries.listed(scope.tenant_id, filters), (DeadJob.died_at, DeadJob.id), query)


async def get(scope: Scope, job_id: UUID) -> DeadJobRead:
    """One dead job, with its story."""
    row = (await scope.session.execute(queries.one(scope.tenant_id, job_id))).one_or_none()
    if row is None:
        raise DeadJobNotFound(job_id)
    facts = {name: getattr(row, name) for name in DeadJobSummary.model_fields}
    told = rules.explanation(facts, workflow=row.workflow_name, status=row.execution_status)
    return DeadJobRead.model_validate(facts | {"explanation": told})


async def selected(scope: Scope, wanted: DeadJobsSelected) -> tuple[Sequence[Any], bool]:
    """The oldest of those that are meant, and whether there are more."""
    filters = Filters(
        kind=wanted.kind,
        execution_id=wanted.execution_id,
        workflow_id=wanted.workflow_id,
        died_from=wanted.died_from,
        died_to=wanted.died_to,
    )
    query = queries.listed(scope.tenant_id, filters).order_by(DeadJob.died_at, DeadJob.id).limit(wanted.limit + 1)
    rows = (await scope.session.execute(query)).all()
    return rows[: wanted.limit], len(rows) > wanted.limit


async def drop(scope: Scope, job_id: UUID, reason: str) -> None:
    """Forget a dead job. Its execution stays as it is."""
    if not await _drop(scope, [job_id], reason):
        raise DeadJobNotFound(job_id)


async def drop_all(scope: Scope, wanted: DeadJobsDrop) -> DeadJobsDone:
    rows, more = await selected(scope, wanted)
    done = 0 if wanted.dry_run else await _drop(scope, [row.id for row in rows], wanted.reason)
    return DeadJobsDone(matched=len(rows), done=done, more=more)


async def _drop(scope: Scope, ids: list[UUID], reason: str) -> int:
    rows = await scope.raw.fetch(queries.DROP, scope.tenant_id, ids)
    for row in rows:
        details = {"reason": reason, "kind": row["kind"], "execution_id": str(row["execution_id"])}
        await scope.record("dead_job.drop", "dispatch_dead", row["id"], details)
    return len(rows)
