"""The claim with many tenants: caps on jobs in hand, weights, priorities, and what it costs."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
from tests.conftest import TestDatabase, make_tenant
from tests.engine.conftest import Engine
from tests.engine.documents import FIVE, INPUT, call, chain, step

from weft.core.actor import Actor
from weft.core.ids import new_id
from weft.db.scope import enter
from weft.domain.limits.schemas import TenantLimitsWrite
from weft.domain.limits.service import tenants
from weft.engine.queue import Job, Queue

PUT = """
insert into weft.dispatch_jobs (tenant_id, id, kind, execution_id, priority, run_at)
select $1, gen_random_uuid(), 'start', gen_random_uuid(), 0, now() - n * interval '1 ms'
  from generate_series(1, $2::integer) n
"""


async def put(engine: Engine, actor: Actor, number: int) -> None:
    async with enter(engine.database, actor) as scope:
        await scope.raw.execute(PUT, actor.tenant_id, number)


async def allow(engine: Engine, actor: Actor, **limits: Any) -> None:
    async with enter(engine.database, actor) as scope:
        await tenants.set_limits(scope, TenantLimitsWrite(**limits))


def queue(engine: Engine, owner: str = "me") -> Queue:
    return Queue(engine.database, owner, timedelta(seconds=30))


def by_tenant(jobs: list[Job]) -> Counter[UUID]:
    return Counter(job.tenant_id for job in jobs)


async def test_a_tenant_has_no_more_jobs_in_hand_than_it_may(engine: Engine) -> None:
    """Eight workers claim at once; the cap holds for all of them together."""
    other = await make_tenant(engine.database, "other")
    await allow(engine, engine.actor, concurrent_jobs=5)
    await put(engine, engine.actor, 100)
    await put(engine, other, 40)
    workers = [queue(engine, f"w{n}") for n in range(8)]
    claimed = [job for jobs in await asyncio.gather(*(worker.claim(10) for worker in workers)) for job in jobs]
    counts = by_tenant(claimed)
    assert counts[engine.actor.tenant_id] <= 5
    assert counts[other.tenant_id] == 40, "what one may not have, another gets"
    claimed += await workers[0].claim(10)
    assert by_tenant(claimed)[engine.actor.tenant_id] == 5
    assert await workers[0].claim(10) == []
    mine = [job for job in claimed if job.tenant_id == engine.actor.tenant_id]
    async with enter(engine.database, engine.actor) as scope:
        await scope.raw.execute("delete from weft.dispatch_jobs where id = any($1)", [mine[0].id, mine[1].id])
    assert len(await workers[3].claim(10)) == 2, "what is done makes room"
    await allow(engine, engine.actor, concurrent_jobs=None)
    assert len(await workers[3].claim(10)) == 10


async def test_places_are_kept_for_a_tenant_that_has_none(engine: Engine) -> None:
    """One tenant's calls hold all four places of a worker and more wait: another's first job does not wait for them."""
    other = await make_tenant(engine.database, "other")
    mine, theirs = await engine.workflow(chain(call())), await engine.workflow(chain(step("a", "set")), other)
    engine.http.gate = asyncio.Event()
    for number in range(6):
        await engine.start(mine, None, inline=True, priority=number)
    worker = engine.worker(concurrency=4, poll=60)
    running = asyncio.create_task(worker.run())
    try:
        async with asyncio.timeout(60):
            while len(engine.http.requests) < 4:
                await engine.http.asked.wait()
                engine.http.asked.clear()
        result = await engine.start(theirs, None, actor=other)
        async with asyncio.timeout(60):
            while (await engine.execution(result.id, other))["completed_at"] is None:
                await engine.fetch("select pg_sleep(0.01)", actor=other)
            while worker.holding > 4:  # the row says so a moment before the worker has heard of it
                await engine.fetch("select pg_sleep(0.01)", actor=other)
        assert (worker.holding, len(engine.http.requests)) == (4, 4), "the flood has its four places, and not one more"
    finally:
        engine.http.gate.set()
        worker.stop()
        await running


async def test_a_claim_passes_over_tenants(engine: Engine) -> None:
    other = await make_tenant(engine.database, "other")
    for actor in (engine.actor, other):
        await put(engine, actor, 10)
    claimed = await queue(engine).claim(100, but=[engine.actor.tenant_id])
    assert by_tenant(claimed) == {other.tenant_id: 10}


async def test_weights_share_the_first_round(engine: Engine) -> None:
    light = await make_tenant(engine.database, "light")
    await allow(engine, engine.actor, weight=3)
    for actor in (engine.actor, light):
        await put(engine, actor, 100)
    counts = by_tenant(await queue(engine).claim(16))
    assert counts[engine.actor.tenant_id] >= 2 * counts[light.tenant_id] > 0


async def test_urgent_jobs_go_first_within_a_tenant_and_gain_nothing_against_others(engine: Engine) -> None:
    other = await make_tenant(engine.database, "other")
    mine = await engine.workflow(FIVE)
    theirs = await engine.workflow({**FIVE, "name": "theirs"}, other)
    for priority in (0, -100, 100, 0, 100):
        await engine.start(mine, INPUT, priority=priority)
    for _ in range(5):
        await engine.start(theirs, INPUT, actor=other, priority=100)
    jobs = await queue(engine).claim(2)
    assert by_tenant(jobs) == {engine.actor.tenant_id: 1, other.tenant_id: 1}
    order = []
    while claimed := await queue(engine).claim(1):
        order += [job.execution_id for job in claimed if job.tenant_id == engine.actor.tenant_id]
    rows = await engine.fetch("select id, priority from weft.workflow_executions")
    priorities = {row["id"]: row["priority"] for row in rows}
    assert [priorities[one] for one in order] == [100, 0, 0, -100]


async def test_priority_is_carried_to_the_next_jobs(engine: Engine) -> None:
    await engine.start(await engine.workflow(chain(call())), None, priority=42, inline=True)
    assert [(job["kind"], job["priority"]) for job in await engine.jobs()] == [("step", 42)]


async def test_a_claim_does_not_cost_what_the_backlog_costs(engine: Engine, test_database: TestDatabase) -> None:
    """50 tenants, 10,000 jobs of one of them, half of the tenants capped: rows read are about those that are taken."""
    admin = await asyncpg.connect(test_database.admin)
    ids = [new_id() for _ in range(50)]
    try:
        for number, tenant in enumerate(ids):
            await admin.execute("insert into weft.tenants (id, slug, name) values ($1, $2, 'T')", tenant, f"t{number}")
            await admin.execute(PUT, tenant, 10_000 if number == 0 else 20)
            if number % 2:
                await admin.execute(
                    "insert into weft.dispatch_limits (tenant_id, concurrent_jobs) values ($1, 1)", tenant
                )
        await admin.execute("analyze weft.dispatch_jobs")
        read = "select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables where relname = 'dispatch_jobs'"
        async with admin.transaction():
            before = await admin.fetchval(read)
            rows = await admin.fetch(
                "select * from weft.claim_jobs('me', 100, 12, $1, interval '30 seconds', '{}')", UUID(int=0)
            )
            cost = await admin.fetchval(read) - before
    finally:
        await admin.close()
    assert len(rows) == 100
    assert cost < 1_000, f"{cost} rows were read for 100 jobs"
