"""Schedules of a tenant that comes back: held until somebody lets them go on, or going on from where the tenant was.

Held is what weft would do by itself out of what is in the backup: jobs, and schedules. Webhooks and event triggers only
answer to what happens from now on, and stay as they were.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from weft.domain.workflows.schedules import ScheduleUnclear, read

if TYPE_CHECKING:
    from weft.db.database import Connection

_HOLD: Final = """/* weft:restore.hold_schedules */
update weft.workflow_triggers t set enabled = false
  from weft.workflows w
 where t.tenant_id = $1 and t.kind = 'SCHEDULE' and t.enabled and w.tenant_id = $1 and w.id = t.workflow_id
returning t.id, t.name, w.name as workflow
"""
_STOP: Final = """/* weft:restore.stop_schedules */
update weft.workflow_schedules set wake_at = null, next_run_at = null where tenant_id = $1
"""
_CLOSE: Final = """/* weft:restore.close_runs */
update weft.schedule_runs r set status = 'SKIPPED', open = false, reason = $2
 where r.tenant_id = $1 and r.status in ('PENDING', 'QUEUED')
   and not exists (select from weft.workflow_executions e where e.tenant_id = $1 and e.id = r.execution_id)
"""
_CLOSED: Final = "It had not been started when the backup was made, and a restore does not start it."

_EPOCHS: Final = """/* weft:restore.schedule_epochs */
update pg_temp.stage_workflow_schedules s set epoch = greatest(s.epoch, l.epoch) + 1
  from weft.workflow_schedules l where l.tenant_id = $1 and l.trigger_id = s.trigger_id
"""
_KNOWN: Final = """/* weft:restore.known_runs */
update pg_temp.stage_schedule_runs s
   set status = case when l.status in ('PENDING', 'QUEUED') then 'STARTED' else l.status end,
       open = false, reason = l.reason, execution_id = l.execution_id, started_at = l.started_at
  from weft.schedule_runs l
 where l.tenant_id = $1 and l.trigger_id = s.trigger_id and l.due_at = s.due_at and s.status in ('PENDING', 'QUEUED')
   and (l.status not in ('PENDING', 'QUEUED')
        or exists (select from weft.workflow_executions e where e.tenant_id = $1 and e.id = l.execution_id))
"""
_DECIDED: Final = """/* weft:restore.decided */
with ran as (
  select trigger_id, max((metadata ->> 'scheduled_at')::timestamptz) as due_at
    from weft.workflow_executions
   where tenant_id = $1 and trigger = 'SCHEDULE'
     and metadata ->> 'scheduled_at' ~ '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ$'
   group by trigger_id
)
select s.trigger_id, t.config, d.until
  from pg_temp.stage_workflow_schedules s
  join pg_temp.stage_workflow_triggers t on t.id = s.trigger_id
  left join weft.workflow_schedules l on l.tenant_id = $1 and l.trigger_id = s.trigger_id
  left join ran on ran.trigger_id = s.trigger_id
  left join lateral (select coalesce(r.until, r.due_at) as until from weft.schedule_runs r
                      where r.tenant_id = $1 and r.trigger_id = s.trigger_id order by r.due_at desc limit 1) r on true
 cross join lateral (select greatest(l.last_run_at, ran.due_at, r.until) as until) d
 where s.next_run_at <= d.until
"""
_ADVANCE: Final = """/* weft:restore.advance */
update pg_temp.stage_workflow_schedules s set next_run_at = u.next_run_at
  from unnest($1::uuid[], $2::timestamptz[]) as u (trigger_id, next_run_at) where s.trigger_id = u.trigger_id
"""


@dataclass(frozen=True, slots=True)
class Held:
    """A schedule that was turned off: `weft workflow trigger enable` lets it go on."""

    workflow: str
    trigger: str
    id: UUID


async def hold(source: Connection, tenant_id: UUID) -> list[Held]:
    """Turn every schedule off, in the throw-away server. Those that ran are told; nothing waits to be started."""
    rows = await source.fetch(_HOLD, tenant_id)
    await source.execute(_STOP, tenant_id)
    await source.execute(_CLOSE, tenant_id, _CLOSED)
    held = [Held(row["workflow"], row["name"] or str(row["id"]), UUID(int=row["id"].int)) for row in rows]
    return sorted(held, key=lambda one: (one.workflow, one.trigger))


async def go_on(live: Connection, tenant_id: UUID, *, has_runs: bool) -> None:
    """Before the exchange: let staged schedules go on after what the tenant that is there has had already.

    Its executions go with the exchange; what they did to others stays done. So no due time comes twice, and no
    scheduler that holds one of them may still write.
    """
    await live.execute(_EPOCHS, tenant_id)
    if has_runs:
        await live.execute(_KNOWN, tenant_id)
    ids, following = [], []
    for row in await live.fetch(_DECIDED, tenant_id):
        try:
            calendar = read(json.loads(row["config"]), row["until"])
        except ScheduleUnclear:
            continue  # the scheduler cannot read it either, and stops it
        ids.append(row["trigger_id"])
        following.append(calendar.next_after(row["until"]))
    await live.execute(_ADVANCE, ids, following)
