"""Limits of the tenant: its members see them, the operator sets them, on the database."""

from __future__ import annotations

from weft.db.scope import Scope
from weft.domain.identity.service import tenants
from weft.domain.limits import queries
from weft.domain.limits.schemas import TenantLimitsRead, TenantLimitsWrite
from weft.domain.limits.service.workflows import AT_ONCE


async def get(scope: Scope) -> TenantLimitsRead:
    row = await scope.raw.fetchrow(queries.TENANT, scope.tenant_id)
    return TenantLimitsRead.model_validate(dict(row or {}))


async def set_limits(scope: Scope, change: TenantLimitsWrite) -> TenantLimitsRead:
    """Change what is sent. For operators: no route leads here, for a tenant must not raise its own limits.

    `tenants.limits` is what people read and the audit log keeps; the tables beside it are what the engine reads.
    """
    sent = change.model_dump(exclude_unset=True)
    workflows = [row["id"] for row in await scope.raw.fetch(queries.WORKFLOWS, scope.tenant_id)]
    await scope.raw.execute(queries.LOCK, scope.tenant_id, workflows)
    tenant = await tenants.current(scope)
    tenant.limits = {k: v for k, v in (tenant.limits | sent).items() if v is not None}
    await scope.flush()
    if "concurrent_executions" in sent:
        await _executions(scope, change.concurrent_executions)
        await scope.raw.execute(queries.BUMP, scope.tenant_id, workflows)
    if "concurrent_jobs" in sent or "weight" in sent:
        jobs, weight = tenant.limits.get("concurrent_jobs"), tenant.limits.get("weight", 1)
        await scope.raw.execute(queries.SET_DISPATCH, scope.tenant_id, jobs, weight)
    return await get(scope)


async def _executions(scope: Scope, most: int | None) -> None:
    if most is None:
        await scope.raw.execute(queries.UNSET_TENANT, scope.tenant_id)
    else:
        await scope.raw.execute(queries.SET_TENANT, scope.tenant_id, most)
        await scope.raw.execute(queries.ADOPT, scope.tenant_id, None)
    while await scope.raw.fetchval(queries.ADMIT, scope.tenant_id, None) >= AT_ONCE:
        pass
