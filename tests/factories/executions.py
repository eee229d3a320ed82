"""Workflows that really run, an engine in this process, and the API in front of both.

    async with executions.engine(database) as engine, executions.client(database, engine) as client:
        workflow_id = await executions.workflow(database, ada, steps=[...])

Nothing takes jobs here unless a test does: `take_up` and `run_jobs` are what a worker would do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx2
from tests.factories import workflows

from weft.api.app import create_app
from weft.core.actor import Actor, system_actor
from weft.core.clock import Clock, utc_now
from weft.db.database import Database
from weft.db.hot import transaction
from weft.db.scope import enter
from weft.domain.executions.routes import router as reading
from weft.domain.identity import access
from weft.domain.workflows import service
from weft.domain.workflows.schemas import WorkflowCreate
from weft.engine import control_routes, registry, routes, usage_routes
from weft.engine.news import News, StepEnded, TakenUp
from weft.engine.outcomes import Done, Failed
from weft.engine.process import EngineProcess
from weft.engine.start_requests import StartRequest, StartResult
from weft.engine.triggers import webhook
from weft.expressions.guard import Guard
from weft.http.state import Services

PATIENCE = 60.0
"""Seconds that an expression may take, and the listening connection to come about: machines stand still at times."""

SET: Mapping[str, Any] = {"key": "answer", "type": "set", "config": {"vars": {"total": "{{ input.amount }}"}}}
"""A step that needs no outside world."""

CALL: Mapping[str, Any] = {"key": "call", "type": "http", "config": {"method": "POST", "url": "https://pay.example"}}
"""A step that does: it waits for a worker."""

FAIL: Mapping[str, Any] = {"key": "refuse", "type": "fail", "config": {"message": "The amount is not ours to pay."}}


@asynccontextmanager
async def engine(database: Database, *, clock: Clock = utc_now, answers: bool = True) -> AsyncIterator[EngineProcess]:
    """An engine with one guard child. Nothing claims its jobs."""
    guard = Guard(children=1, wall_limit=PATIENCE)
    async with EngineProcess(database, clock=clock, answers=answers, guard=guard) as opened:
        if answers:
            async with asyncio.timeout(PATIENCE):
                await opened.waiters._listening.wait()
        yield opened


@asynccontextmanager
async def client(database: Database, running: EngineProcess) -> AsyncIterator[httpx2.AsyncClient]:
    """The API with the routes of executions, those of the engine, and webhooks."""
    services = Services(database, access.open_scope, cursor_key=bytes(32), public_url="http://weft.example")
    app = create_app(
        services, (reading, routes.router, control_routes.router, usage_routes.router), unversioned=(webhook.router,)
    )
    routes.attach(app, running)
    transport = httpx2.ASGITransport(app=app, client=("198.51.100.4", 4321))
    headers = {"User-Agent": "weft tests"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://weft.example", headers=headers) as opened:
        yield opened
    await access.settle(database)


async def workflow(
    database: Database,
    actor: Actor,
    *,
    steps: Sequence[Mapping[str, Any]] = (SET,),
    transitions: Sequence[Mapping[str, Any]] | None = None,
    active: bool = True,
    **more: Any,
) -> UUID:
    """A workflow with one version that can be started."""
    registry.kinds()
    document = workflows.definition(steps=steps, transitions=transitions, **more)
    async with enter(database, actor) as scope:
        made = await service.create(scope, WorkflowCreate(definition=document))
        await service.save_version(scope, made.id)
        if active:
            await service.change_status(scope, made.id, "activate")
    return made.id


async def renew(
    database: Database, actor: Actor, workflow_id: UUID, *, steps: Sequence[Mapping[str, Any]], **more: Any
) -> int:
    """Make these steps the next version of the workflow. Returns its number."""
    document = workflows.definition(steps=steps, **more)
    async with enter(database, actor) as scope:
        made = await service.import_definition(scope, await service.examine(document), workflow_id=workflow_id)
    return made.saved.version.number


async def start(running: EngineProcess, actor: Actor, workflow_id: UUID, **request: Any) -> StartResult:
    return await running.starter.submit(actor, StartRequest(workflow=workflow_id, **request))


async def take_up(running: EngineProcess, actor: Actor, execution_id: UUID) -> None:
    """What a worker does with a start job, without the job."""
    await running.driver.deliver(actor.tenant_id, [News(execution_id, TakenUp())])


async def settle(
    running: EngineProcess, actor: Actor, execution_id: UUID, outcome: Done | Failed, *, visit: int = 1
) -> None:
    """A worker's errand has come to an end."""
    await running.driver.deliver(actor.tenant_id, [News(execution_id, StepEnded(visit, 1, outcome))])


async def stored(running: EngineProcess, actor: Actor) -> Any:
    """The tenant's first execution, as soon as there is one."""
    async with asyncio.timeout(120):
        while True:
            async with transaction(running.database, actor, read_only=True) as connection:
                row = await connection.fetchrow("select * from weft.workflow_executions order by id limit 1")
            if row is not None:
                return row


async def waited_for(running: EngineProcess) -> None:
    """Returns when a request waits for an execution."""
    while len(running.waiters) == 0:  # noqa: ASYNC110  the waiters tell nobody, and need not
        await asyncio.sleep(0)


async def jobs(database: Database, actor: Actor) -> list[Any]:
    """The tenant's queue, in the order in which it was put."""
    async with transaction(database, system_actor(actor.tenant_id), read_only=True) as connection:
        rows: list[Any] = await connection.fetch("select * from weft.dispatch_jobs order by id")
    return rows


FILL = """
insert into weft.workflow_executions
  (tenant_id, id, workflow_id, version_id, number, status, created_at, updated_at, started_at, completed_at)
select $1, gen_random_uuid(), $2, $3, 1000 + n, (array['COMPLETED', 'COMPLETED', 'COMPLETED', 'FAILED'])[1 + n % 4],
       at, at, at, at
  from generate_series(1, $4::integer) n, lateral (select $5::timestamptz + n * interval '1 second' as at) t
"""


async def fill(
    database: Database, actor: Actor, workflow_id: UUID, rows: int, *, since: datetime | None = None
) -> None:
    """Many finished executions, one each second, without going through the engine."""
    began = since or datetime.now(UTC)
    async with transaction(database, actor) as connection:
        version_id = await connection.fetchval(
            "select current_version_id from weft.workflows where id = $1", workflow_id
        )
        await connection.execute(FILL, actor.tenant_id, workflow_id, version_id, rows, began)
