"""B4: does history make anything slower? The same questions with 10 thousand and with 3 million finished executions.

The reference is the small database, in the same run. The queue is drained on both, too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from benches import lab as labs
from benches.b2 import drain, queue
from benches.lab import Lab, Tenant, middle, percentile
from weft.db.database import Database
from weft.db.scope import enter
from weft.domain.executions import service as executions
from weft.domain.executions.queries import Filters
from weft.http.paging import PageQuery

HISTORY = """
insert into weft.workflow_executions
  (tenant_id, id, workflow_id, version_id, number, status, input, output, metadata, trigger, correlation_id,
   created_at, updated_at, started_at, completed_at)
select $1, gen_random_uuid(), $2, $3, n, case when n % 20 = 0 then 'FAILED' else 'COMPLETED' end,
       '{"amount": 1234, "customer": {"id": "c-1", "tier": "gold"}}', '{"total": 1045}', '{}', 'WEBHOOK', null,
       at, at, at, at + interval '2 seconds'
  from generate_series($4::bigint, $5::bigint) n,
       lateral (select now() - interval '25 days' * (1 - n / $6::float)) t (at)
"""

JOURNAL = """
insert into weft.execution_logs
  (tenant_id, execution_id, id, step_id, step_key, frame, visit, attempt, status, started_at, completed_at, data)
select e.tenant_id, e.id, gen_random_uuid(), $2, 'rename', '', 1, 1, 'COMPLETED', e.started_at, e.completed_at,
       '{"x": 1}'
  from weft.workflow_executions e where e.tenant_id = $1
"""

PIECE = 250_000
KEY = bytes(32)  # signs cursors; nobody reads them here


def run(*, quick: bool) -> dict[str, Any]:
    large = 200_000 if quick else 3_000_000
    jobs = 2_000 if quick else 10_000
    with labs.lab() as lab:
        small_one = _grown(lab, "small", 10_000)
        result: dict[str, Any] = {"small": 10_000, "large": large}
        small = asyncio.run(_questions(lab, small_one))
        drained_small = _drained(lab, small_one, jobs)
        large_one = _grown(lab, "large", large)
        big = asyncio.run(_questions(lab, large_one))
        drained_large = _drained(lab, large_one, jobs)
        for name, before in small.items():
            result[name] = {
                "small_ms": round(before * 1000, 2),
                "large_ms": round(big[name] * 1000, 2),
                "ratio": round(big[name] / before, 2),
            }
        result["drain"] = {
            "small_per_second": round(drained_small),
            "large_per_second": round(drained_large),
            "ratio": round(drained_large / drained_small, 2),
        }
    return result


def _grown(lab: Lab, name: str, count: int) -> Tenant:
    tenant = asyncio.run(_tenant(lab, name))
    asyncio.run(_fill(lab, tenant, count))
    asyncio.run(lab.settle())
    return tenant


async def _tenant(lab: Lab, name: str) -> Tenant:
    database = await lab.database()
    try:
        return await lab.tenant(database, name)
    finally:
        await database.close()


async def _fill(lab: Lab, tenant: Tenant, count: int) -> None:
    import asyncpg

    connection = await asyncpg.connect(lab.admin_dsn)
    try:
        step = next(iter(tenant.step_ids.values()))
        facts = (tenant.actor.tenant_id, tenant.workflow_id, tenant.version_id)
        for begin in range(1, count + 1, PIECE):
            await connection.execute(HISTORY, *facts, begin, min(count, begin + PIECE - 1), float(count), timeout=600)
        await connection.execute(JOURNAL, tenant.actor.tenant_id, step, timeout=1800)
        await connection.execute(
            "update weft.workflow_counters set last_number = $2 where workflow_id = $1", tenant.workflow_id, count
        )
    finally:
        await connection.close()


async def _questions(lab: Lab, tenant: Tenant) -> dict[str, float]:
    """Median seconds of each question, asked through the room that answers it over the API."""
    database = await lab.database()
    try:
        newest = await _newest(database, tenant)
        asked: dict[str, Callable[[], Awaitable[Any]]] = {
            "newest_50_of_a_workflow": lambda: _newest(database, tenant),
            "counts_of_a_day": lambda: _counts(database, tenant),
            "journal_of_one": lambda: _journal(database, tenant, newest.items[0].id),
        }
        return {name: await _median(question) for name, question in asked.items()}
    finally:
        await database.close()


async def _median(question: Callable[[], Awaitable[Any]]) -> float:
    took = []
    for number in range(220):
        begun = time.perf_counter()
        await question()
        if number >= 20:
            took.append(time.perf_counter() - begun)
    return middle(took)


async def _newest(database: Database, tenant: Tenant) -> Any:
    async with enter(database, tenant.actor, read_only=True) as scope:
        return await executions.listed(scope, Filters(workflow_id=tenant.workflow_id), PageQuery(key=KEY, limit=50))


async def _counts(database: Database, tenant: Tenant) -> Any:
    """Of the last thousand or so executions: both databases count as many."""
    async with enter(database, tenant.actor, read_only=True) as scope:
        newest = await executions.listed(scope, Filters(workflow_id=tenant.workflow_id), PageQuery(key=KEY, limit=200))
        since = newest.items[-1].created_at
        return await executions.counts(scope, workflow_id=tenant.workflow_id, created_from=since)


async def _journal(database: Database, tenant: Tenant, execution_id: Any) -> Any:
    async with enter(database, tenant.actor, read_only=True) as scope:
        return await executions.journal(scope, execution_id, PageQuery(key=KEY, limit=50))


def _drained(lab: Lab, tenant: Tenant, count: int) -> float:
    rates = []
    for _ in range(3):
        asyncio.run(queue(lab, [tenant], count))
        rates.append(drain(lab, count, 1)[0])
    return percentile(rates, 0.5)
