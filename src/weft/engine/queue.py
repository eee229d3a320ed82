"""The queue as the worker sees it: claim across tenants, prolong, give back. See `db/sql/dispatch.sql`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from weft.core.actor import system_actor
from weft.db.database import Database
from weft.db.hot import transaction
from weft.engine.records import Fence

CLAIM = "/* weft:queue.claim */ select * from weft.claim_jobs($1, $2, $3, $4, $5, $6)"
SUSPECT = "/* weft:queue.suspect */ select * from weft.claim_suspect($1, $2)"
PROMOTE = "/* weft:queue.promote */ select * from weft.promote_jobs($1, $2, $3)"
EXTEND = "/* weft:queue.extend */ select * from weft.extend_leases($1, $2, $3, $4)"
RELEASE = "/* weft:queue.release */ select weft.release_jobs($1, $2, $3, $4)"
DEFER = """/* weft:queue.defer */
update weft.dispatch_jobs
   set state = 'scheduled', run_at = $4, last_error = $5, lease_owner = null, lease_until = null
 where tenant_id = $1 and id = $2 and epoch = $3 and state = 'leased'
"""
POSTPONE = """/* weft:queue.postpone */
update weft.dispatch_jobs j
   set state = 'scheduled', run_at = u.run_at, claims = j.claims - 1, lease_owner = null, lease_until = null,
       detail = coalesce(j.detail, '{}') || '{"turn": true}'
  from unnest($2::uuid[], $3::integer[], $4::timestamptz[]) as u (id, epoch, run_at)
 where j.tenant_id = $1 and j.id = u.id and j.epoch = u.epoch and j.state = 'leased'
"""

MOST_LAPSES = 5
"""A job whose lease lapsed so often is a suspect: it is tried once more by a worker that has nothing else in hand."""


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed job. `claims` counts deliveries, this one included; `lapses` those that ended with a dead worker.

    `limits` is the version of the tenant's rate limits, 0 for a tenant that never had any.
    """

    tenant_id: UUID
    id: UUID
    kind: str
    execution_id: UUID
    visit: int
    attempt: int
    detail: dict[str, Any] | None
    epoch: int
    claims: int
    lapses: int = 0
    limits: int = 0

    @property
    def fence(self) -> Fence:
        return Fence(self.id, self.epoch, self.execution_id)


@dataclass(frozen=True, slots=True)
class Promoted:
    promoted: int
    recovered: int
    next_due: datetime | None
    suspects: bool = False


class Queue:
    """`owner` names this worker process in leases."""

    def __init__(self, database: Database, owner: str, lease: timedelta) -> None:
        self._database = database
        self._owner = owner
        self._lease = lease
        self._after = UUID(int=0)

    async def claim(self, limit: int, *, but: Sequence[UUID] = ()) -> list[Job]:
        """Up to `limit` ready jobs, fairly from the tenants that have any, but not from those in `but`."""
        quantum = max(1, limit // 8)
        async with self._database.pool.acquire() as connection:
            rows = await connection.fetch(CLAIM, self._owner, limit, quantum, self._after, self._lease, but)
        if rows:
            self._after = rows[-1]["tenant_id"]
        return [_job(row) for row in rows]

    async def claim_suspect(self) -> Job | None:
        """A job that was in hand whenever a worker died. Have nothing else in hand."""
        async with self._database.pool.acquire() as connection:
            row = await connection.fetchrow(SUSPECT, self._owner, self._lease)
        return None if row is None else _job(row)

    async def promote(self, now: datetime, limit: int = 1000) -> Promoted:
        """Make due timers ready and take back lapsed leases."""
        async with self._database.pool.acquire() as connection:
            row = await connection.fetchrow(PROMOTE, now, limit, MOST_LAPSES)
        return Promoted(row["promoted"], row["recovered"], row["next_due"], row["suspects"])

    async def extend(self, held: Sequence[tuple[UUID, int]]) -> set[UUID]:
        """Prolong these leases; those not returned are lost."""
        async with self._database.pool.acquire() as connection:
            rows = await connection.fetch(
                EXTEND, self._owner, [job for job, _ in held], [epoch for _, epoch in held], self._lease
            )
        return {row[0] for row in rows}

    async def release(self, held: Sequence[tuple[UUID, int]]) -> None:
        """Give jobs back as if they had never been claimed."""
        async with self._database.pool.acquire() as connection:
            await connection.execute(
                RELEASE, self._owner, [job for job, _ in held], [epoch for _, epoch in held], MOST_LAPSES
            )

    async def defer(self, job: Job, until: datetime, error: str | None = None) -> None:
        """Put a job off after it failed in our own hands; the claim stays counted, and `error` is kept with it."""
        async with transaction(self._database, system_actor(job.tenant_id)) as connection:
            await connection.execute(DEFER, job.tenant_id, job.id, job.epoch, until, error)


def _job(row: Any) -> Job:
    return Job(
        tenant_id=row["tenant_id"], id=row["id"], kind=row["kind"], execution_id=row["execution_id"],
        visit=row["visit"], attempt=row["attempt"], detail=row["detail"], epoch=row["epoch"], claims=row["claims"],
        lapses=row["lapses"], limits=row["limits"],
    )  # fmt: skip
