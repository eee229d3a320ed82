"""An engine on a real database: workflows from documents, a worker that runs until nothing is left to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from weft.core.actor import Actor
from weft.core.ids import new_id
from weft.core.ports import HttpError, HttpRequest, HttpResponse
from weft.db.database import Database
from weft.db.hot import transaction
from weft.engine.drive import Driver
from weft.engine.kinds import Ports
from weft.engine.start_requests import StartRequest, StartResult
from weft.engine.starts import Starter
from weft.expressions.guard import Guard
from weft.interpreter.compile import compile_definition
from weft.interpreter.definition import Graph
from weft.worker.loop import Worker
from weft.worker.options import WorkerOptions

PATIENCE = 60.0
"""Seconds that leases last, workers have to stop, and expressions may take, unless a test is about just that: a machine
that stands still for a moment must not look like a worker that died."""

Reply = HttpResponse | HttpError | Callable[[HttpRequest], HttpResponse]


def ok(body: bytes = b"{}", status: int = 200) -> HttpResponse:
    return HttpResponse(status, {"content-type": "application/json"}, body, "http://stub")


@dataclass
class ScriptedHttp:
    """The outside world of a test: answers in order (the last one for ever), remembers what it was asked."""

    replies: list[Reply] = field(default_factory=lambda: [ok()])
    requests: list[HttpRequest] = field(default_factory=list)
    gate: asyncio.Event | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, request: HttpRequest) -> HttpResponse:
        self.requests.append(request)
        self.asked.set()
        if self.gate is not None:
            await self.gate.wait()
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, HttpError):
            raise reply
        return reply(request) if callable(reply) else reply

    @property
    def keys(self) -> list[str]:
        return [{k.lower(): v for k, v in r.headers.items()}["idempotency-key"] for r in self.requests]


class VirtualClock:
    """Real time plus whatever the test adds."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def advance(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)


@dataclass
class Engine:
    database: Database
    actor: Actor
    driver: Driver
    starter: Starter
    http: ScriptedHttp
    clock: VirtualClock
    ports: Ports | None = None  # instead of the scripted world alone

    async def workflow(self, document: dict[str, Any], actor: Actor | None = None) -> UUID:
        """Store a document as an active workflow with one version."""
        actor = actor or self.actor
        tenant, workflow, version = actor.tenant_id, new_id(), new_id()
        name = document.setdefault("name", f"w-{workflow.hex[-8:]}")
        async with transaction(self.database, actor) as connection:
            await connection.execute(
                "insert into weft.workflows (tenant_id, id, name, name_key, status, version, current_version_id)"
                " values ($1, $2, $3, $3, 'ACTIVE', 1, $4)", tenant, workflow, name, version,
            )  # fmt: skip
            await connection.execute(
                "insert into weft.workflow_versions (tenant_id, id, workflow_id, number, definition, content_hash)"
                " values ($1, $2, $3, 1, $4, 'x')", tenant, version, workflow, document,
            )  # fmt: skip
            await connection.execute(
                "insert into weft.workflow_publications (tenant_id, version_id) values ($1, $2)", tenant, version
            )
            await connection.execute(
                "insert into weft.workflow_counters (tenant_id, workflow_id) values ($1, $2)", tenant, workflow
            )
            for order, (path, kind) in enumerate(_steps(compile_definition(document).graph)):
                await connection.execute(
                    'insert into weft.workflow_steps (tenant_id, id, version_id, key, name, step_type, "order", config)'
                    " values ($1, $2, $3, $4, $4, $5, $6, '{}')", tenant, new_id(), version, path, kind, order,
                )  # fmt: skip
        return workflow

    async def start(
        self, workflow: UUID | str, value: Any = None, *, actor: Actor | None = None, **more: Any
    ) -> StartResult:
        return await self.starter.submit(actor or self.actor, StartRequest(workflow, value, **more))

    def worker(self, **options: Any) -> Worker:
        chosen = {"lease": PATIENCE, "poll": 0.2, "drain": PATIENCE} | options
        ports = self.ports or Ports(http=self.http)
        return Worker(self.database, self.driver, self.starter, ports, WorkerOptions(**chosen), clock=self.clock)

    async def settle(
        self, *, until: Callable[[list[Any]], bool] | None = None, workers: int = 1, seconds: float = 120
    ) -> None:
        """Run workers until no job is ready or in hand (or `until` holds of the jobs), at most so many seconds."""
        running = [self.worker() for _ in range(workers)]
        tasks = [asyncio.create_task(worker.run()) for worker in running]
        try:
            async with asyncio.timeout(seconds):
                while True:
                    jobs = await self.jobs()
                    idle = not any(w.holding for w in running)
                    due = any(j["state"] != "scheduled" or j["run_at"] <= self.clock() for j in jobs)
                    if until(jobs) if until else idle and not due:
                        return
                    for worker in running:
                        worker.wake()
                    await asyncio.sleep(0.01)
        finally:
            for worker in running:
                worker.stop()
            await asyncio.gather(*tasks)

    async def jobs(self, actor: Actor | None = None) -> list[Any]:
        return await self.fetch("select * from weft.dispatch_jobs order by run_at, id", actor=actor)

    async def execution(self, execution_id: UUID, actor: Actor | None = None) -> Any:
        rows = await self.fetch("select * from weft.workflow_executions where id = $1", execution_id, actor=actor)
        return rows[0]

    async def journal(self, execution_id: UUID) -> list[tuple[str | None, int, str]]:
        """(step, attempt, status) in the order of visits."""
        rows = await self.fetch(
            "select step_key, attempt, status from weft.execution_logs where execution_id = $1"
            " order by visit, attempt, id", execution_id,
        )  # fmt: skip
        return [(row["step_key"], row["attempt"], row["status"]) for row in rows]

    async def fetch(self, query: str, *values: Any, actor: Actor | None = None) -> list[Any]:
        async with transaction(self.database, actor or self.actor, read_only=True) as connection:
            rows: list[Any] = await connection.fetch(query, *values)
        return rows


def _steps(graph: Graph) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for step in graph.steps.values():
        found.append((step.path, step.kind))
        if step.body is not None:
            found += _steps(step.body)
    return found


@pytest.fixture
async def engine(database: Database, ada: Actor) -> AsyncIterator[Engine]:
    clock = VirtualClock()
    async with Guard(wall_limit=PATIENCE) as guard:
        driver = Driver(database, guard, clock=clock)
        yield Engine(database, ada, driver, Starter(driver), ScriptedHttp(), clock)
