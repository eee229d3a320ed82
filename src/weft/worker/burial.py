"""The last way to end a job that nothing can be done with: not even its execution can be told.

An execution whose state cannot be read, whose definition no longer compiles or whose end cannot be written would keep
its job for ever. Here the execution's row is failed as it stands, without being understood, and the job is kept among
the dead. A retry of the dead job tries the execution again.
"""

from __future__ import annotations

from weft.core.actor import system_actor
from weft.db.database import Database
from weft.db.hot import transaction
from weft.engine import places
from weft.engine.queue import Job

FAIL = """/* weft:burial.fail */
update weft.workflow_executions e
   set status = 'FAILED', completed_at = clock_timestamp(), updated_at = clock_timestamp(),
       row_version = e.row_version + 1,
       error = jsonb_build_object('kind', 'abandoned', 'message', $3::text)
 where e.tenant_id = $1 and e.id = $2 and e.status not in ('COMPLETED', 'FAILED', 'CANCELLED')
returning e.workflow_id, e.place_key
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
        if failed is not None and failed["place_key"] is not None:
            await connection.execute(places.FREE, job.tenant_id, [job.execution_id], [failed["workflow_id"]])
