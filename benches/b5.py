"""B5: tenant A queues tens of thousands of executions while tenant B starts one every 100 ms: how long does B wait?

Reference: B alone, in the same run. What is measured is the time from a start's row to the moment it is taken up.
"""

from __future__ import annotations

import asyncio
from typing import Any

from benches import lab as labs
from benches.b2 import queue
from benches.lab import Lab, Tenant, percentile
from benches.workload import INPUT
from weft.engine.process import EngineProcess
from weft.engine.start_requests import StartRequest

PACE = 0.1
"""Seconds between two starts of tenant B."""

DELAYS = """
select extract(epoch from started_at - created_at)::float from weft.workflow_executions
 where tenant_id = $1 and started_at is not null order by created_at desc limit $2
"""


def run(*, quick: bool) -> dict[str, Any]:
    flood, starts = (5_000, 30) if quick else (50_000, 150)
    with labs.lab() as lab:
        noisy, quiet = asyncio.run(_tenants(lab))
        worker = lab.start("weft", "worker")
        asyncio.run(_start_slowly(lab, quiet, 20))  # warm-up
        asyncio.run(_start_slowly(lab, quiet, starts))
        alone = asyncio.run(_delays(lab, quiet, starts))
        lab.stop(worker)
        asyncio.run(queue(lab, [noisy], flood))
        worker = lab.start("weft", "worker")
        asyncio.run(lab.until_none(f"(select 1 from weft.dispatch_jobs having count(*) >= {flood}) untouched"))
        asyncio.run(_start_slowly(lab, quiet, starts))
        beside = asyncio.run(_delays(lab, quiet, starts))
        left = asyncio.run(lab.admin("select count(*) from weft.dispatch_jobs"))
        lab.stop(worker)
    return {
        "flood": flood,
        "left_of_the_flood": left,
        "alone_p50_ms": round(percentile(alone, 0.5) * 1000, 1),
        "alone_p99_ms": round(percentile(alone, 0.99) * 1000, 1),
        "beside_p50_ms": round(percentile(beside, 0.5) * 1000, 1),
        "beside_p99_ms": round(percentile(beside, 0.99) * 1000, 1),
        "ratio_p99": round(percentile(beside, 0.99) / percentile(alone, 0.99), 2),
    }


async def _tenants(lab: Lab) -> tuple[Tenant, Tenant]:
    database = await lab.database()
    try:
        return await lab.tenant(database, "noisy"), await lab.tenant(database, "quiet")
    finally:
        await database.close()


async def _start_slowly(lab: Lab, tenant: Tenant, count: int) -> None:
    database = await lab.database()
    async with EngineProcess(database, answers=False) as engine:
        for _ in range(count):
            await engine.starter.submit(tenant.actor, StartRequest(tenant.workflow_id, INPUT))
            await asyncio.sleep(PACE)
        await lab.until_none(
            f"weft.workflow_executions where tenant_id = '{tenant.actor.tenant_id}' and started_at is null"
        )
    await database.close()


async def _delays(lab: Lab, tenant: Tenant, count: int) -> list[float]:
    import asyncpg

    connection = await asyncpg.connect(lab.admin_dsn)
    try:
        return [row[0] for row in await connection.fetch(DELAYS, tenant.actor.tenant_id, count)]
    finally:
        await connection.close()
