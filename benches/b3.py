"""B3: what do waiting executions cost, and how fast do they go on? Each waits for an event that names it.

Reference: the same processes with nothing waiting. Latency is from an event's row to the end of the execution that it
wakes, by the database's clock.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import time
from dataclasses import dataclass
from typing import Any

from benches import lab as labs
from benches.lab import Lab, percentile
from weft.core.actor import Actor, system_actor
from weft.core.ids import new_id
from weft.db.scope import enter
from weft.domain.events import service as events
from weft.domain.events.schemas import EventSend
from weft.domain.workflows import service as workflows
from weft.domain.workflows.schemas import WorkflowCreate
from weft.engine import registry
from weft.engine.process import EngineProcess
from weft.engine.start_requests import StartRequest

WAITING: dict[str, Any] = {
    "name": "waiting",
    "steps": [
        {
            "key": "wait",
            "type": "wait_for_event",
            "config": {"event": "order.paid", "correlation": "{{ input.order }}"},
        },
        {"key": "done", "type": "end", "config": {"output": "{{ steps.wait.output.payload }}"}},
    ],
    "transitions": [{"from": "wait", "to": "done"}],
}

LATENCIES = """
select extract(epoch from x.completed_at - e.received_at)::float
  from weft.events e
  join weft.workflow_executions x on x.tenant_id = e.tenant_id and x.input ->> 'order' = e.correlation
 where x.tenant_id = $1 and x.status = 'COMPLETED'
 order by e.received_at desc limit $2
"""


@dataclass(frozen=True)
class Rest:
    """Two processes that have nothing to do: how long they took to answer, what they hold, what they use."""

    start_seconds: float
    memory_mb: float
    cpu_percent: float


def run(*, quick: bool) -> dict[str, Any]:
    count, decisions, look = (5_000, 50, 5.0) if quick else (100_000, 300, 15.0)
    with labs.lab() as lab:
        actor, workflow = asyncio.run(_prepare(lab))
        before = _at_rest(lab, look)
        asyncio.run(_start(lab, actor, workflow, count))
        worker = lab.start("weft", "worker")
        asyncio.run(lab.until_none("weft.dispatch_jobs"))
        lab.stop(worker)
        asyncio.run(lab.settle())
        waiting = _at_rest(lab, look)
        worker = lab.start("weft", "worker")
        asyncio.run(_decide(lab, actor, count, 20))  # warm-up
        asyncio.run(_decide(lab, actor, count, decisions))
        lab.stop(worker)
        took = asyncio.run(_latencies(lab, actor, decisions))
    return {
        "waiting": count,
        "memory_mb": {"none": before.memory_mb, "waiting": waiting.memory_mb},
        "idle_cpu_percent": {"none": before.cpu_percent, "waiting": waiting.cpu_percent},
        "start_seconds": {"none": before.start_seconds, "waiting": waiting.start_seconds},
        "decisions": len(took),
        "decision_p50_ms": round(percentile(took, 0.5) * 1000, 1),
        "decision_p99_ms": round(percentile(took, 0.99) * 1000, 1),
    }


async def _prepare(lab: Lab) -> tuple[Actor, Any]:
    registry.kinds()
    actor = system_actor(new_id(), "waiting")
    database = await lab.database()
    try:
        async with enter(database, actor) as scope:
            await scope.raw.execute("select weft.create_tenant($1, 'waiting', 'Waiting', 'PRO')", actor.tenant_id)
        async with enter(database, actor) as scope:
            workflow = await workflows.create(scope, WorkflowCreate(definition=WAITING))
            await workflows.save_version(scope, workflow.id)
            await workflows.change_status(scope, workflow.id, "activate")
        return actor, workflow.id
    finally:
        await database.close()


def _at_rest(lab: Lab, seconds: float) -> Rest:
    port = labs.free_port()
    begun = time.perf_counter()
    processes: list[subprocess.Popen[bytes]] = [
        lab.start("weft", "serve", WEFT_PORT=str(port)),
        lab.start("weft", "worker"),
    ]
    labs.wait_for(f"http://127.0.0.1:{port}/readyz", processes[0])
    started = time.perf_counter() - begun
    time.sleep(5)  # until they have come to rest
    uses = [labs.use_of(process) for process in processes]
    time.sleep(seconds)
    later = [labs.use_of(process) for process in processes]
    for process in processes:
        lab.stop(process)
    cpu = sum(after.cpu - before.cpu for before, after in zip(uses, later, strict=True))
    memory = sum(after.memory for after in later)
    return Rest(round(started, 2), round(memory / 1e6, 1), round(cpu / seconds * 100, 2))


async def _start(lab: Lab, actor: Actor, workflow: Any, count: int) -> None:
    database = await lab.database()
    async with EngineProcess(database, answers=False) as engine:
        for begin in range(0, count, 2000):
            await asyncio.gather(
                *(
                    engine.starter.submit(actor, StartRequest(workflow, {"order": f"o-{n}"}, inline=True))
                    for n in range(begin, min(count, begin + 2000))
                )
            )
    await database.close()


async def _decide(lab: Lab, actor: Actor, count: int, decisions: int) -> None:
    """One event every 20 ms for an execution of its own, then wait until all have ended."""
    database = await lab.database()
    try:
        for number in random.sample(range(count), decisions):
            async with enter(database, actor) as scope:
                await events.send(
                    scope, [EventSend(type="order.paid", correlation=f"o-{number}", payload={"ok": True})]
                )
            await asyncio.sleep(0.02)
    finally:
        await database.close()
    await lab.until_none("weft.events where delivered_at is null")
    await lab.until_none("weft.dispatch_jobs")


async def _latencies(lab: Lab, actor: Actor, newest: int) -> list[float]:
    import asyncpg

    connection = await asyncpg.connect(lab.admin_dsn)
    try:
        return [row[0] for row in await connection.fetch(LATENCIES, actor.tenant_id, newest)]
    finally:
        await connection.close()
