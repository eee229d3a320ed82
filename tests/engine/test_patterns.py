"""The control-flow patterns on a real database: what `tests/interpreter/test_patterns.py` plays on the interpreter."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from tests.engine.conftest import PATIENCE, Engine, ok
from tests.interpreter.pattern_files import Line, Scenario, scenarios

from weft.core.ports import HttpRequest, HttpResponse
from weft.db.hot import transaction
from weft.domain.events.storing import NewEvent, store
from weft.engine.kinds import Ports
from weft.engine.news import Cancelled, News
from weft.interpreter.codec import load_state
from weft.interpreter.state import Phase
from weft.worker.loop import Worker
from weft.worker.options import WorkerOptions


class Callers:
    """Calls that steps have made and nobody has answered yet, oldest first."""

    def __init__(self) -> None:
        self.open: list[tuple[str, asyncio.Future[HttpResponse]]] = []

    async def send(self, request: HttpRequest) -> HttpResponse:
        answer: asyncio.Future[HttpResponse] = asyncio.get_running_loop().create_future()
        entry = (request.url.rpartition("/")[2], answer)
        self.open.append(entry)
        try:
            return await answer
        finally:
            self.open.remove(entry)

    def answer(self, step: str, body: Any) -> None:
        future = next(future for name, future in self.open if name == step and not future.done())
        future.set_result(ok(json.dumps(body).encode()))

    def is_waiting(self, step: str) -> bool:
        return any(name == step and not future.done() for name, future in self.open)


class Stage:
    """One execution, a worker that runs it, and the script's hand on the outside world."""

    def __init__(self, engine: Engine, callers: Callers, worker: Worker, execution_id: UUID) -> None:
        self.engine = engine
        self.callers = callers
        self.worker = worker
        self.id = execution_id

    async def rest(self) -> None:
        """Until every job that could be done is done: what is left in hand are calls that nobody has answered."""
        before: set[UUID] | None = None
        async with asyncio.timeout(60):
            while True:
                jobs = {job["id"] for job in await self.engine.jobs() if job["state"] != "scheduled"}
                if len(jobs) == len(self.callers.open) == self.worker.holding:
                    if jobs == before:  # seen twice: the rows were read before the worker was looked at
                        return
                    before = jobs
                else:
                    before = None
                self.worker.wake()
                await asyncio.sleep(0.005)

    async def play(self, line: Line) -> None:
        match line.verb:
            case "answer":
                self.callers.answer(line.words[0], line.body or {})
                await self.rest()
            case "event":
                event = NewEvent(line.words[0], "API", self.engine.clock(), "", line.body)
                async with transaction(self.engine.database, self.engine.actor) as connection:
                    await store(connection, self.engine.actor.tenant_id, [event])
                await self.rest()
            case "cancel":
                news = News(self.id, Cancelled("", "the test"))
                await self.engine.driver.deliver(self.engine.actor.tenant_id, [news])
            case "live" | "running":
                assert sorted(await self.live(running=line.verb == "running")) == sorted(line.words)
            case _:
                raise AssertionError(f"what is '{line.verb}'?")

    async def live(self, *, running: bool) -> list[str]:
        row = await self.engine.execution(self.id)
        state = load_state(row["state"]["i"] if row["state"] else None)
        graphs = {frame.id: frame.graph for frame in state.frames.values()}
        return [
            f"{graphs[visit.frame]}.{visit.step}".lstrip(".")
            for visit in state.visits.values()
            if not (running and visit.phase is Phase.queued)
        ]


@asynccontextmanager
async def running(engine: Engine, callers: Callers) -> AsyncIterator[Worker]:
    options = WorkerOptions(lease=PATIENCE, poll=0.2, drain=PATIENCE)
    worker = Worker(engine.database, engine.driver, engine.starter, Ports(http=callers), options, clock=engine.clock)
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        for _, future in callers.open:
            if not future.done():
                future.set_result(ok())
        worker.stop()
        await task


ALL = scenarios()
identify: Callable[[Scenario], str] = lambda s: f"{s.number:02d}-{s.name.lower().replace(' ', '-')}"  # noqa: E731  short


@pytest.mark.parametrize("scenario", ALL, ids=identify)
async def test_the_engine_keeps_the_pattern(scenario: Scenario, engine: Engine) -> None:
    for name, document in scenario.workflows.items():
        await engine.workflow({**document, "name": name})
    workflow = await engine.workflow({**scenario.document, "name": "pattern"})
    callers = Callers()
    async with running(engine, callers) as worker:
        started = await engine.start(workflow, scenario.input)
        stage = Stage(engine, callers, worker, started.id)
        await stage.rest()
        for line in scenario.script:
            await stage.play(line)
    row = await engine.execution(started.id)
    assert row["status"] == scenario.status, row["error"]
    rows = await engine.fetch(
        "select step_key, status from weft.execution_logs where execution_id = $1 and visit > 0"
        " order by visit, attempt", started.id,
    )  # fmt: skip
    assert [(row["step_key"], row["status"]) for row in rows] == list(scenario.journal)
