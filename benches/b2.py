"""B2: five-step executions are queued, then drained: by one worker for 1 and for 200 tenants, and by two workers.

Ceiling: a client that writes the same rows in batches of the same size with `unnest`.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from benches import lab as labs
from benches.ceiling import Writer, open_pool
from benches.lab import Lab, Tenant
from benches.workload import INPUT
from weft.engine.process import EngineProcess
from weft.engine.start_requests import StartRequest

BATCH = 100


def run(*, quick: bool) -> dict[str, Any]:
    count = 4_000 if quick else 20_000
    result: dict[str, Any] = {"executions": count}
    with labs.lab() as lab:
        one = asyncio.run(_tenants(lab, "one", 1))
        many = asyncio.run(_tenants(lab, "many", 200))
        twin = asyncio.run(_tenants(lab, "ceiling", 1))[0]
        asyncio.run(_ceiling(lab, twin, count))  # warm-up: the tables have their first pages
        drained: dict[str, tuple[float, float]] = {}
        ceilings: list[float] = []
        for name, tenants, workers in (("tenants_1", one, 1), ("tenants_200", many, 1), ("workers_2", one, 2)):
            asyncio.run(queue(lab, tenants, count))
            asyncio.run(lab.settle())
            ceilings.append(asyncio.run(_ceiling(lab, twin, count)))
            drained[name] = drain(lab, count, workers)
        ceiling = labs.middle(ceilings)
        result["ceiling_per_second"] = round(ceiling)
        for name, (rate, cpu) in drained.items():
            result[name] = {
                "per_second": round(rate),
                "ratio": round(rate / ceiling, 2),
                "worker_cpu_seconds_per_1000": round(cpu / count * 1000, 2),
            }
    return result


async def _tenants(lab: Lab, name: str, count: int) -> list[Tenant]:
    database = await lab.database()
    try:
        return [await lab.tenant(database, f"{name}-{n}") for n in range(count)]
    finally:
        await database.close()


async def _ceiling(lab: Lab, tenant: Tenant, count: int) -> float:
    """Rows per second of a plain client, in batches, over two connections."""
    pool = await open_pool(lab.app_dsn, 2)
    try:
        writers = [Writer(pool, tenant.actor, tenant.workflow_id, tenant.version_id, tenant.step_ids) for _ in range(2)]
        batch = [INPUT] * BATCH
        for writer in writers:
            await writer.write(batch)
        begun = time.perf_counter()

        async def write(writer: Writer) -> None:
            for _ in range(count // BATCH // 2):
                await writer.write(batch)

        await asyncio.gather(*(write(writer) for writer in writers))
        return count / (time.perf_counter() - begun)
    finally:
        await pool.close()


async def queue(lab: Lab, tenants: list[Tenant], count: int) -> None:
    database = await lab.database()
    async with EngineProcess(database, answers=False) as engine:
        for begin in range(0, count, 2000):
            await asyncio.gather(
                *(
                    engine.starter.submit(tenant.actor, StartRequest(tenant.workflow_id, INPUT))
                    for tenant in (tenants[n % len(tenants)] for n in range(begin, min(count, begin + 2000)))
                )
            )
    await database.close()


def drain(lab: Lab, count: int, workers: int, *, module: str = "weft") -> tuple[float, float]:
    """Executions per second from the first that was taken up to the last that ended; CPU seconds of the workers."""
    processes = [
        lab.start(module, "worker", WEFT_WORKER_CONCURRENCY="400", WEFT_WORKER_BATCH="200") for _ in range(workers)
    ]
    try:
        deadline = time.monotonic() + 300
        while asyncio.run(lab.admin("select count(*) from weft.dispatch_jobs")):
            if time.monotonic() > deadline:
                raise RuntimeError("the queue was not drained within five minutes")
            time.sleep(0.2)
        cpu = sum(labs.use_of(process).cpu for process in processes)
    finally:
        for process in processes:
            lab.stop(process)
    seconds = asyncio.run(
        lab.admin(
            "select extract(epoch from max(completed_at) - min(started_at))::float"
            " from (select started_at, completed_at from weft.workflow_executions where trigger = 'MANUAL'"
            "        order by completed_at desc limit $1) newest",
            count,
        )
    )
    return count / seconds, cpu
