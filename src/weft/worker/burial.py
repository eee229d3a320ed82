"""The last way to end a job that nothing can be done with: not even its execution can be told.

An execution whose state cannot be read, whose definition no longer compiles or whose end cannot be written would keep
its job for ever. Here the execution's row is failed as it stands, without being understood, and the job is kept among
the dead. A retry of the dead job tries the execution again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weft.core.actor import system_actor
from weft.core.ids import new_id
from weft.db.database import Connection, Database
from weft.db.hot import transaction
from weft.engine import places
from weft.engine.events import hearing
from weft.engine.queue import Job

FAIL = """/* weft:burial.fail */
update weft.workflow_executions e
   set status = 'FAILED', completed_at = t.now, updated_at = t.now, row_version = e.row_version + 1,
       error = jsonb_build_object('kind', 'abandoned', 'message', $3::text)
  from (select clock_timestamp() as now) t
 where e.tenant_id = $1 and e.id = $2 and e.status not in ('COMPLETED', 'FAILED', 'CANCELLED')
returning e.workflow_id, e.place_key, e.parent_id, e.parent_visit, e.metadata, e.priority, e.completed_at,
          not e.simulation
          and exists (select 1 from weft.event_interests i where i.tenant_id = $1 and i.ends) as followed
"""
TELL_PARENT = """/* weft:burial.tell_parent */
insert into weft.dispatch_jobs (tenant_id, id, kind, execution_id, visit, attempt, state, priority, run_at)
values ($1, $2, 'child_done', $3, $4, $5, 'ready', $6, clock_timestamp())
returning pg_notify('weft_jobs', 'job')
"""
MOVE = """/* weft:burial.move */
with gone as (
  delete from weft.dispatch_jobs j where j.tenant_id = $1 and j.id = $2 and j.epoch = $3 and j.state = 'leased'
  returning *
)
insert into weft.dispatch_dead
  (tenant_id, id, kind, reason, execution_id, visit, attempt, detail, claims, lapses, last_error, created_at)
select g.tenant_id, g.id, g.kind, $4, g.execution_id, g.visit, g.attempt, g.detail, g.claims, g.lapses, $5,
       g.created_at
  from gone g
"""


async def bury(database: Database, job: Job, reason: str, last_error: str | None) -> None:
    """Fail the execution's row and keep the job among the dead, unless somebody else has it by now."""
    async with transaction(database, system_actor(job.tenant_id)) as connection:
        moved = await connection.execute(MOVE, job.tenant_id, job.id, job.epoch, reason, last_error)
        if moved == "INSERT 0 0":
            return
        failed = await connection.fetchrow(FAIL, job.tenant_id, job.execution_id, reason)
        if failed is not None:
            await _tell(connection, job, failed)


async def _tell(connection: Connection, job: Job, failed: Mapping[str, Any]) -> None:
    """Whoever would hear of any other end hears of this one: they would wait for ever."""
    if failed["place_key"] is not None:
        await connection.execute(places.FREE, job.tenant_id, [job.execution_id], [failed["workflow_id"]])
    if failed["parent_id"] is not None:
        await connection.execute(
            TELL_PARENT, job.tenant_id, new_id(), failed["parent_id"], failed["parent_visit"] or 0,
            int(failed["metadata"].get("parent_attempt", 1)), failed["priority"],
        )  # fmt: skip
    if failed["followed"]:
        await hearing.tell_ends(connection, job.tenant_id, [job.execution_id], failed["completed_at"])
