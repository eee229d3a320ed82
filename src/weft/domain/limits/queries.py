"""Statements of this room as values."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from sqlalchemy import Select, select

from weft.domain.limits.models import RateLimit, WorkflowLimit

LOCK: Final = "/* weft:limits.lock */ select weft.lock_limits($1, $2)"

WORKFLOWS: Final = "/* weft:limits.workflows */ select w.id from weft.workflows w where w.tenant_id = $1"

BUMP: Final = """/* weft:limits.bump */
update weft.workflow_counters c set settings = c.settings + 1 where c.tenant_id = $1 and c.workflow_id = any($2::uuid[])
"""
"""Processes that start executions meet the new number, and read the limits again."""

# The row version makes turns that are being computed load the execution again: they must know that it has a place.
ADOPT: Final = """/* weft:limits.adopt */
with adopted as (
  update weft.workflow_executions e set place_key = '', row_version = e.row_version + 1
   where e.tenant_id = $1 and e.status in ('PENDING', 'RUNNING', 'WAITING', 'PAUSED')
     and e.place_key is null and not e.simulation
     and ($2::uuid is null and e.parent_id is null or e.workflow_id = $2)
  returning e.id, e.workflow_id, e.priority, e.parent_id
)
insert into weft.execution_places (tenant_id, execution_id, workflow_id, key, state, tenant_wide, priority)
select $1, a.id, a.workflow_id, '', 'held', a.parent_id is null, a.priority from adopted a
on conflict do nothing
"""
"""Whatever runs already when a limit is set has a place, even if there are more than places."""

ADMIT: Final = """/* weft:limits.admit */
select weft.admit($1, coalesce(array_agg(s.workflow_id), '{}'), coalesce(array_agg(s.key), '{}'))
  from (select distinct p.workflow_id, p.key from weft.execution_places p
         where p.tenant_id = $1 and p.state = 'waiting' and ($2::uuid is null or p.workflow_id = $2)) s
"""

USED: Final = """/* weft:limits.used */
select w.id as workflow_id,
       (select count(*) from weft.execution_places p
         where p.tenant_id = $1 and p.workflow_id = w.id and p.state in ('placed', 'held')) as in_use,
       (select count(*) from (select from weft.execution_places p
                               where p.tenant_id = $1 and p.workflow_id = w.id and p.state = 'waiting'
                               limit 10000) t) as waiting
  from unnest($2::uuid[]) as w (id)
"""

NAMES: Final = """/* weft:limits.names */
select w.id, w.name from weft.workflows w where w.tenant_id = $1 and w.id = any($2::uuid[])
"""

TENANT: Final = """/* weft:limits.tenant */
select (select t.concurrent_executions from weft.tenant_limits t where t.tenant_id = $1) as concurrent_executions,
       (select count(*) from weft.execution_places p
         where p.tenant_id = $1 and p.state = 'held' and p.tenant_wide) as in_use,
       (select count(*) from (select from weft.execution_places p
                               where p.tenant_id = $1 and p.state = 'placed' and p.tenant_wide limit 10000) t)
         as waiting,
       d.concurrent_jobs, coalesce(d.weight, 1) as weight,
       (select (t.limits ->> 'payload_bytes')::bigint from weft.tenants t where t.id = $1) as payload_bytes
  from (select) x left join weft.dispatch_limits d on d.tenant_id = $1
"""

NEW_RATES: Final = """/* weft:limits.new_rates */
insert into weft.dispatch_limits as d (tenant_id, version) values ($1, 1)
on conflict (tenant_id) do update set version = d.version + 1
"""
"""Workers read a tenant's rate limits again when its number has changed."""

RESTAND: Final = """/* weft:limits.restand */
delete from weft.rate_limit_states s where s.tenant_id = $1 and s.rate_limit_id = $2
"""

ASK_AGAIN: Final = """/* weft:limits.ask_again */
update weft.dispatch_jobs j set state = 'ready', run_at = least(j.run_at, clock_timestamp()),
       detail = nullif(j.detail - 'turn', '{}')
 where j.tenant_id = $1 and j.state = 'scheduled' and j.kind = 'step' and j.detail ->> 'turn' = 'true'
"""
"""Whoever waits for a turn under the old limit is measured by the new one."""

SET_TENANT: Final = """/* weft:limits.set_tenant */
insert into weft.tenant_limits (tenant_id, concurrent_executions) values ($1, $2)
on conflict (tenant_id) do update set concurrent_executions = excluded.concurrent_executions
"""
UNSET_TENANT: Final = "/* weft:limits.unset_tenant */ delete from weft.tenant_limits t where t.tenant_id = $1"
SET_DISPATCH: Final = """/* weft:limits.set_dispatch */
insert into weft.dispatch_limits (tenant_id, concurrent_jobs, weight) values ($1, $2, $3)
on conflict (tenant_id) do update set concurrent_jobs = excluded.concurrent_jobs, weight = excluded.weight
"""


def of_workflow(tenant_id: UUID, workflow_id: UUID) -> Select[WorkflowLimit]:
    return select(WorkflowLimit).where(WorkflowLimit.tenant_id == tenant_id, WorkflowLimit.workflow_id == workflow_id)


def of_workflows(tenant_id: UUID) -> Select[WorkflowLimit]:
    return select(WorkflowLimit).where(WorkflowLimit.tenant_id == tenant_id)


def rate_by_id(tenant_id: UUID, limit_id: UUID) -> Select[RateLimit]:
    return select(RateLimit).where(RateLimit.tenant_id == tenant_id, RateLimit.id == limit_id)


def rate_by_target(tenant_id: UUID, target: str) -> Select[RateLimit]:
    return select(RateLimit).where(RateLimit.tenant_id == tenant_id, RateLimit.target == target)


def rates(tenant_id: UUID) -> Select[RateLimit]:
    return select(RateLimit).where(RateLimit.tenant_id == tenant_id)
