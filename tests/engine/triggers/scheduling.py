"""Schedules for tests: an engine whose clock the test moves, and what became of the due times."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
from tests.conftest import PASSWORDS
from tests.factories import executions

from weft.core.actor import Actor
from weft.db.database import Database
from weft.db.hot import transaction
from weft.db.scope import enter
from weft.domain.workflows import queries, service
from weft.domain.workflows.models import TriggerKind
from weft.domain.workflows.schedule_schemas import ScheduleConfig
from weft.domain.workflows.schemas import TriggerCreate, TriggerUpdate
from weft.domain.workflows.service import schedules, triggers
from weft.engine.news import Cancelled, News
from weft.engine.process import EngineProcess
from weft.engine.triggers.schedules import Schedules
from weft.worker.loops.schedules import ScheduleLoop

NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)

INSTANT: dict[str, Any] = {"steps": [executions.SET]}
"""A workflow that a worker would take up; nobody does here, so its executions stay PENDING until a test ends them."""


@dataclass
class Clock:
    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Scheduling:
    """One database, one engine, and as many schedulers as a test wants."""

    database: Database
    actor: Actor
    engine: EngineProcess
    clock: Clock
    workflow_id: UUID
    loop: ScheduleLoop = field(init=False)

    def __post_init__(self) -> None:
        self.loop = self.scheduler()

    def scheduler(self, **options: Any) -> ScheduleLoop:
        engine = self.engine
        kept = Schedules(engine.driver, engine.starter, engine.guard)
        return ScheduleLoop(self.database, kept, clock=self.clock, **options)

    async def trigger(self, *, name: str = "nightly", workflow_id: UUID | None = None, **config: Any) -> UUID:
        """A schedule that counts from the test's clock."""
        workflow_id = workflow_id or self.workflow_id
        if {"every", "rrule"} & config.keys():
            config.setdefault("anchor", self.clock.now.isoformat())
        new = TriggerCreate(kind=TriggerKind.schedule, name=name, config=ScheduleConfig(**config))
        async with enter(self.database, self.actor) as scope:
            made = await triggers.create(scope, workflow_id, new)
            workflow = await service.get(scope, workflow_id)
            await schedules.arm(scope, workflow, [made.trigger], self.clock.now)
        return made.trigger.id

    async def change(self, trigger_id: UUID, **change: Any) -> None:
        """Change a trigger at the test's time."""
        async with enter(self.database, self.actor) as scope:
            trigger = await triggers.update(scope, self.workflow_id, trigger_id, TriggerUpdate(**change))
            workflow = await service.get(scope, self.workflow_id)
            await schedules.arm(scope, workflow, [trigger], self.clock.now)

    async def move(self, verb: str) -> None:
        async with enter(self.database, self.actor) as scope:
            workflow = await service.change_status(scope, self.workflow_id, verb)
            all_of_them = await scope.all(queries.schedules(scope.tenant_id, self.workflow_id))
            await schedules.arm(scope, workflow, all_of_them, self.clock.now)

    async def at(self, moment: datetime | timedelta) -> None:
        """Go there at once, and let one scheduler do what is due until nothing is."""
        self.clock.now = moment if isinstance(moment, datetime) else self.clock.now + moment
        while (await self.loop.run_once(self.clock.now)).claimed:
            pass

    async def runs(self, trigger_id: UUID | None = None) -> list[Any]:
        return await self.fetch(
            "select * from weft.schedule_runs where $1::uuid is null or trigger_id = $1 order by due_at", trigger_id
        )

    async def statuses(self, trigger_id: UUID | None = None) -> list[str]:
        return [row["status"] for row in await self.runs(trigger_id)]

    async def executions(self) -> list[Any]:
        return await self.fetch("select * from weft.workflow_executions order by metadata ->> 'scheduled_at', number")

    async def schedule(self, trigger_id: UUID) -> Any:
        (row,) = await self.fetch("select * from weft.workflow_schedules where trigger_id = $1", trigger_id)
        return row

    async def end(self, execution_id: UUID) -> None:
        """Let an execution come to an end, whichever."""
        news = [News(execution_id, Cancelled("The test ends it.", "the test"))]
        await self.engine.driver.deliver(self.actor.tenant_id, news)

    async def fetch(self, query: str, *values: Any) -> list[Any]:
        async with transaction(self.database, self.actor, read_only=True) as connection:
            rows: list[Any] = await connection.fetch(query, *values)
        return rows

    async def found(self, query: str) -> list[Any]:
        """What the query finds, as soon as it finds anything; at most a minute."""
        async with asyncio.timeout(60):
            while not (rows := await self.fetch(query)):  # noqa: ASYNC110  rows tell nobody
                await asyncio.sleep(0.01)
        return rows

    async def keys(self) -> Counter[str]:
        rows = await self.fetch("select idempotency_key from weft.workflow_executions")
        return Counter(row["idempotency_key"] for row in rows)


async def _open_month(database: Database) -> None:
    """The journal has a partition for each of the real date's months, and the test's own is none of them for ever."""
    owner = database.dsn.replace(f"//weft_app:{PASSWORDS['weft_app']}@", f"//weft_owner:{PASSWORDS['weft_owner']}@")
    connection = await asyncpg.connect(owner)
    try:
        await connection.execute("select weft.ensure_partition('execution_logs', $1)", NOON.date())
    finally:
        await connection.close()


@asynccontextmanager
async def scheduling(database: Database, actor: Actor) -> AsyncIterator[Scheduling]:
    clock = Clock()
    await _open_month(database)
    async with executions.engine(database, clock=clock, answers=False) as engine:
        workflow_id = await executions.workflow(database, actor, **INSTANT)
        yield Scheduling(database, actor, engine, clock, workflow_id)
