"""The end of an execution as an event, for triggers and steps that ask for it. Stored only when somebody does."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from weft.core.actor import system_actor
from weft.db.hot import transaction
from weft.domain.events import rules
from weft.domain.events.models import EventSource
from weft.domain.events.storing import NewEvent, store
from weft.domain.executions.payloads import Reference, unpacked
from weft.engine.drive import Driver
from weft.engine.events.hearing import loops_refused
from weft.engine.news import News, Noted
from weft.engine.queue import Job

ENDED = """/* weft:events.ended_execution */
select e.id, e.number, e.status, e.output, e.error, e.depth, e.completed_at, e.correlation_id, w.name,
       exists (select 1 from weft.event_waits p where p.tenant_id = $1 and p.type = $4 and p.taken is null) as awaited,
       exists (select 1 from weft.workflow_triggers t
                where t.tenant_id = $1 and t.kind = 'EVENT' and t.enabled
                  and (t.config -> 'event') ? $4) as followed,
       (select i.version from weft.event_interests i where i.tenant_id = $1) as version,
       exists (select 1 from weft.event_waits p
                where p.tenant_id = $1 and p.type = any($3::text[]) and p.taken is null)
       or exists (select 1 from weft.workflow_triggers t
                   where t.tenant_id = $1 and t.kind = 'EVENT' and t.enabled
                     and (t.config -> 'event') ?| $3::text[]) as interest
  from weft.workflow_executions e
  join weft.workflows w on w.tenant_id = $1 and w.id = e.workflow_id
 where e.tenant_id = $1 and e.id = $2
"""

STATUS = """/* weft:events.ended_status */
select e.status from weft.workflow_executions e where e.tenant_id = $1 and e.id = $2
"""

NOBODY = """/* weft:events.nobody */
update weft.event_interests i set ends = false where i.tenant_id = $1 and i.version = $2
"""

DROP = """/* weft:events.drop_ended */
delete from weft.dispatch_jobs j where j.tenant_id = $1 and j.id = $2 and j.epoch = $3 and j.state = 'leased'
"""


class Ends:
    """One per worker."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    async def tell(self, job: Job) -> None:
        """Store the event if anybody asks for it. When nobody asks for any end, ends are not told any more."""
        deep = False
        async with transaction(self._driver.database, system_actor(job.tenant_id)) as connection:
            status = await connection.fetchval(STATUS, job.tenant_id, job.execution_id)
            kind = rules.ENDS.get(status)
            if kind is not None:
                row = await connection.fetchrow(ENDED, job.tenant_id, job.execution_id, list(rules.ENDS.values()), kind)
                deep = row["depth"] + 1 > rules.DEEPEST and row["followed"]
                if row["awaited"] or (row["followed"] and not deep):
                    await store(connection, job.tenant_id, [_event(row, kind, self._driver)])
                if not row["interest"]:
                    await connection.execute(NOBODY, job.tenant_id, row["version"])
            await connection.execute(DROP, job.tenant_id, job.id, job.epoch)
        if deep:
            loops_refused.count += 1
            await self._note(job.tenant_id, job.execution_id)

    async def _note(self, tenant_id: UUID, execution_id: UUID) -> None:
        sentence = (
            f"{rules.DEEPEST} executions have led to one another by events: does a workflow trigger itself? No trigger "
            "follows the end of this one."
        )
        await self._driver.deliver(tenant_id, [News(execution_id, Noted(sentence))])


def _event(row: Any, kind: str, driver: Driver) -> NewEvent:
    """One end, one event, whatever is delivered twice. A retried execution may end again.

    An output above 256 KB is not part of it: whoever hears of the end has the execution's id.
    """
    output = unpacked(row["output"])
    return NewEvent(
        type=kind,
        received_at=driver.clock(),
        source=EventSource.workflow.value,
        correlation=str(row["id"]),
        payload={
            "workflow": row["name"],
            "execution": str(row["id"]),
            "number": row["number"],
            "status": row["status"],
            "output": None if isinstance(output, Reference) else output,
            "error": row["error"],
            "correlation_id": row["correlation_id"],
        },
        key=f"ended:{row['id']}:{row['completed_at'].isoformat()}",
        execution_id=row["id"],
        depth=row["depth"] + 1,
    )
