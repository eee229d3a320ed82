"""B8: forty steps in a row that each touch the outside world (a loopback HTTP call): what does a step cost?

Reference: the same forty calls made by a plain client, in the same run.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from benches import lab as labs
from benches.lab import Lab, middle
from weft.core.actor import Actor, system_actor
from weft.core.ids import new_id
from weft.db.scope import enter
from weft.domain.workflows import service as workflows
from weft.domain.workflows.schemas import WorkflowCreate
from weft.engine import registry
from weft.engine.process import EngineProcess
from weft.engine.start_requests import StartRequest

STEPS = 40

TOOK = """
select extract(epoch from completed_at - started_at)::float from weft.workflow_executions
 where tenant_id = $1 and status = 'COMPLETED' order by completed_at desc limit $2
"""


def run(*, quick: bool) -> dict[str, Any]:
    rounds = 3 if quick else 10
    with labs.lab() as lab:
        port = labs.free_port()
        echo = lab.start("benches.echo", str(port))
        actor, workflow = asyncio.run(_prepare(lab, port))
        worker = lab.start("weft", "worker", WEFT_HTTP_ALLOW=f"127.0.0.1:{port}")
        asyncio.run(_run(lab, actor, workflow, 1, 2))
        plain = asyncio.run(_plain(port, rounds))
        one = asyncio.run(_run(lab, actor, workflow, 1, rounds))
        before = labs.use_of(worker).cpu
        many = asyncio.run(_run(lab, actor, workflow, 16, rounds))
        cpu = labs.use_of(worker).cpu - before
        lab.stop(worker)
        lab.stop(echo)
    return {
        "steps": STEPS,
        "plain_call_ms": round(plain * 1000, 2),
        "c1_step_ms": round(middle(one) / STEPS * 1000, 2),
        "c1_overhead_ms": round((middle(one) / STEPS - plain) * 1000, 2),
        "c16_step_ms": round(middle(many) / STEPS * 1000, 2),
        "c16_cpu_ms_per_step": round(cpu / (16 * rounds * STEPS) * 1000, 2),
    }


def document(port: int) -> dict[str, Any]:
    steps = [
        {"key": f"call{n}", "type": "http", "config": {"method": "POST", "url": f"http://127.0.0.1:{port}/{n}",
         "body": {"n": n}}}
        for n in range(STEPS)
    ]  # fmt: skip
    transitions = [{"from": f"call{n}", "to": f"call{n + 1}"} for n in range(STEPS - 1)]
    return {"name": "forty calls", "steps": steps, "transitions": transitions}


async def _prepare(lab: Lab, port: int) -> tuple[Actor, Any]:
    registry.kinds()
    actor = system_actor(new_id(), "calls")
    database = await lab.database()
    try:
        async with enter(database, actor) as scope:
            await scope.raw.execute("select weft.create_tenant($1, 'calls', 'Calls', 'PRO')", actor.tenant_id)
        async with enter(database, actor) as scope:
            workflow = await workflows.create(scope, WorkflowCreate(definition=document(port)))
            await workflows.save_version(scope, workflow.id)
            await workflows.change_status(scope, workflow.id, "activate")
        return actor, workflow.id
    finally:
        await database.close()


async def _run(lab: Lab, actor: Actor, workflow: Any, side_by_side: int, rounds: int) -> list[float]:
    """Seconds from taking up to the end, of each execution."""
    database = await lab.database()
    async with EngineProcess(database, answers=False) as engine:
        for _ in range(rounds):
            await asyncio.gather(
                *(engine.starter.submit(actor, StartRequest(workflow, {})) for _ in range(side_by_side))
            )
            await lab.until_none("weft.workflow_executions where completed_at is null")
    await database.close()
    import asyncpg

    connection = await asyncpg.connect(lab.admin_dsn)
    try:
        return [row[0] for row in await connection.fetch(TOOK, actor.tenant_id, side_by_side * rounds)]
    finally:
        await connection.close()


async def _plain(port: int, rounds: int) -> float:
    """Seconds of one call by a client that keeps its connection."""
    import httpx2

    took = []
    async with httpx2.AsyncClient(trust_env=False) as client:
        for number in range(rounds + 1):
            begun = time.perf_counter()
            for n in range(STEPS):
                (await client.post(f"http://127.0.0.1:{port}/{n}", json={"n": n})).raise_for_status()
            if number:
                took.append((time.perf_counter() - begun) / STEPS)
    return middle(took)
