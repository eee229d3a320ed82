"""B6: 1,000 simulated runs of the showcase, and a backtest of 1,000 past executions of it.

Reference: the pure interpreter alone on the same graph, 1,000 times, with every answer at hand. It evaluates no
expression and keeps no journal, so the ratio says what the rest of a turn costs.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from benches import lab as labs
from benches.lab import Lab
from weft.core.actor import Actor, system_actor
from weft.core.ids import new_id
from weft.core.ports import HttpRequest, HttpResponse
from weft.db.database import Database
from weft.db.hot import transaction
from weft.db.scope import enter
from weft.domain.workflows import service as workflows
from weft.domain.workflows.parsing import parse
from weft.domain.workflows.schemas import WorkflowCreate
from weft.engine import registry
from weft.engine.kinds import Ports
from weft.engine.process import EngineProcess
from weft.engine.simulation import history
from weft.engine.simulation.backtest import Backtest, summary
from weft.engine.simulation.runs import EPOCH, Simulation, Wanted, compiled
from weft.engine.simulation.script import read_script
from weft.engine.simulation.service import simulated
from weft.engine.start_requests import StartRequest
from weft.expressions.guard import Guard
from weft.interpreter.advance import advance
from weft.interpreter.commands import Choose, Collect, RunStep
from weft.interpreter.definition import FOR_EACH, Definition
from weft.interpreter.events import Event, ItemsFound, Started, StepSucceeded, TransitionsChosen
from weft.interpreter.state import NEW
from weft.worker.loop import Worker
from weft.worker.options import WorkerOptions

EXAMPLES = Path(__file__).parents[1] / "examples"
LINES = 3
"""Items of a for-each in the reference: about what the examples have."""


def run(*, quick: bool) -> dict[str, Any]:
    count = 200 if quick else 1_000
    registry.kinds()
    document = parse((EXAMPLES / "workflows/invoice.yaml").read_bytes()).document
    settle = parse((EXAMPLES / "workflows/settle-invoice.yaml").read_bytes()).document
    plan = compiled(document)
    _interpreted(plan.definition, count)  # warm-up
    alone = labs.middle([_interpreted(plan.definition, count) for _ in range(3)])
    simulated_in = labs.middle([asyncio.run(_simulated(plan, settle, count)) for _ in range(3)])
    with labs.lab() as lab:
        backtested_in, same = asyncio.run(_backtested(lab, document, count))
    return {
        "runs": count,
        "interpreter_seconds": round(alone, 3),
        "simulate_seconds": round(simulated_in, 3),
        "simulate_ratio": round(alone / simulated_in, 2),
        "backtest_seconds": round(backtested_in, 3),
        "backtest_ratio": round(alone / backtested_in, 2),
        "backtest_same": same,
    }


def _interpreted(definition: Definition, count: int) -> float:
    """Seconds for so many executions on the pure interpreter, each step answered at once."""
    begun = time.perf_counter()
    for number in range(count):
        state = NEW
        news: deque[Event] = deque([Started(EPOCH, seed=number)])
        while news:
            state, commands = advance(definition, state, news.popleft())
            for command in commands:
                match command:
                    case RunStep(visit=visit, attempt=attempt, step=path):
                        each = definition.step(path).kind == FOR_EACH
                        news.append(
                            ItemsFound(EPOCH, visit, attempt, LINES) if each else StepSucceeded(EPOCH, visit, attempt)
                        )
                    case Choose(visit=visit):
                        news.append(TransitionsChosen(EPOCH, visit, ()))
                    case Collect(visit=visit, attempt=attempt):
                        news.append(StepSucceeded(EPOCH, visit, attempt))
                    case _:
                        pass
    return time.perf_counter() - begun


async def _simulated(plan: Any, settle: Mapping[str, Any], count: int) -> float:
    script = read_script({"workflows": {"demo settle invoice": settle}})
    async with Guard() as guard:
        begun = time.perf_counter()
        await simulated(Simulation(plan, Wanted(runs=count, script=script), guard), guard)
        return time.perf_counter() - begun


async def _backtested(lab: Lab, document: dict[str, Any], count: int) -> tuple[float, int]:
    """The executions are run for real by an engine, with their errands answered by hand."""
    database = await lab.database()
    async with EngineProcess(database, answers=False) as engine:
        actor, workflow_id = await _history(database, engine, document, count)
        await lab.settle()
        seconds, same = [], 0
        for _ in range(3):
            begun = time.perf_counter()
            rows = await history.finished(engine.driver, actor, workflow_id, history.Which(count))
            async with transaction(database, actor, read_only=True) as connection:
                plan = await engine.driver.plans.get(connection, actor.tenant_id, rows[0]["version_id"])
            backtest = Backtest(plan, engine.guard, read_script(None))
            compared = await backtest.compared(history.pasts(engine.driver, actor, rows), wanted=len(rows))
            same = summary("demo invoice", "version 1", compared)["same"]
            seconds.append(time.perf_counter() - begun)
    await database.close()
    return labs.middle(seconds), same


async def _history(
    database: Database, engine: EngineProcess, document: dict[str, Any], count: int
) -> tuple[Actor, UUID]:
    """A tenant with the showcase, and so many executions of it that have ended."""
    actor = system_actor(new_id(), "bench")
    async with enter(database, actor) as scope:
        await scope.raw.execute("select weft.create_tenant($1, $2, $2, 'PRO')", actor.tenant_id, "bench")
    ids: list[UUID] = []
    async with enter(database, actor) as scope:
        for written in (document, parse((EXAMPLES / "workflows/settle-invoice.yaml").read_bytes()).document):
            made = await workflows.create(scope, WorkflowCreate(definition=written))
            await workflows.save_version(scope, made.id)
            await workflows.change_status(scope, made.id, "activate")
            ids.append(made.id)
    worker = Worker(database, engine.driver, engine.starter, Ports(http=_Ledger()), WorkerOptions())
    working = asyncio.create_task(worker.run())
    try:
        inputs = [json.loads(path.read_text()) for path in sorted((EXAMPLES / "invoices").glob("00*.json"))]
        starts = [StartRequest(ids[0], inputs[number % len(inputs)]) for number in range(count)]
        await asyncio.gather(*(engine.starter.submit(actor, start) for start in starts))
        deadline = time.monotonic() + 300
        while True:
            async with transaction(database, actor, read_only=True) as connection:
                left = await connection.fetchval("select count(*) from weft.dispatch_jobs")
            if not left:
                return actor, ids[0]
            if time.monotonic() > deadline:
                raise RuntimeError("the history was not made within five minutes")
            await asyncio.sleep(0.2)
    finally:
        worker.stop()
        await working


class _Ledger:
    """The ledger without its process: what is measured is the backtest, not how the history was made."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        body = b'{"status": "known", "receipt": "R-1"}'
        return HttpResponse(200, {"content-type": "application/json"}, body, request.url)
