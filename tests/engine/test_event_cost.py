"""What events cost: which index finds the waits, and a number of statements that does not grow."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from tests.conftest import TestDatabase
from tests.engine.conftest import Engine
from tests.engine.documents import FIVE, INPUT, chain, step
from tests.engine.test_delivery import Counted
from tests.engine.test_events import claim, send, wait
from tests.factories import executions

from weft.core.ids import new_id
from weft.db.hot import transaction
from weft.engine.events import delivery, looking
from weft.engine.events.delivery import Delivery
from weft.engine.news import News, TakenUp

MANY = 5_000


def labels(counted: Counted) -> list[str]:
    said = [
        statement.split("*/")[0].split("weft:")[1].strip() for statement in counted.statements if "weft:" in statement
    ]
    return [label for label in said if not label.startswith("queue.")]


@pytest.mark.parametrize("waiting", [1, 40])
async def test_waking_many_takes_as_many_statements_as_waking_one(
    waiting: int, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow = await engine.workflow(chain(wait(), step("end", "end")))
    await asyncio.gather(*(engine.start(workflow) for _ in range(waiting)))
    await engine.settle()
    await send(engine)
    (job,) = await claim(engine)
    counted = Counted(engine, monkeypatch)
    await Delivery(engine.driver, engine.starter).deliver(job)
    assert labels(counted) == [
        "events.load", "events.waiting", "engine.load", "engine.save", "engine.settle", "events.taken",
        "events.forget", "events.trigger_version", "events.finish",
    ]  # fmt: skip
    done = await engine.fetch("select count(*) as n from weft.workflow_executions where status = 'COMPLETED'")
    assert done[0]["n"] == waiting


@pytest.mark.parametrize("waiting", [1, 40])
async def test_beginning_to_wait_takes_one_statement_more_for_the_whole_batch(
    waiting: int, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow = await engine.workflow(chain(wait(), step("end", "end")))
    await engine.start(workflow, inline=True)
    await engine.settle()
    for _ in range(waiting):
        await engine.start(workflow)
    jobs = await claim(engine, limit=100)
    news = [News(job.execution_id, TakenUp(), job.fence) for job in jobs]
    with monkeypatch.context() as patched:
        counted = Counted(engine, patched)
        await engine.driver.deliver(engine.actor.tenant_id, news)
    assert labels(counted) == ["engine.load", "engine.save", "events.waits"]
    looked = await claim(engine, limit=100)
    counted = Counted(engine, monkeypatch)
    await looking.look(engine.driver, engine.actor.tenant_id, looked)
    assert labels(counted) == ["events.came"]


async def test_an_execution_that_has_nothing_to_do_with_events_costs_what_it_did(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow = await engine.workflow(FIVE)
    await engine.start(workflow, INPUT, inline=True)
    counted = Counted(engine, monkeypatch)
    await engine.start(workflow, INPUT, inline=True)
    assert labels(counted) == ["engine.save"]


# -- plans ---------------------------------------------------------------------------------------------------


@pytest.fixture
async def crowded(engine: Engine, test_database: TestDatabase) -> Engine:
    """5,000 executions wait for events of one type, each about something else; as many events are kept."""
    workflow = await engine.workflow(chain(step("end", "end")))
    await executions.fill(engine.database, engine.actor, workflow, MANY)
    async with transaction(engine.database, engine.actor) as connection:
        await connection.execute(
            "insert into weft.event_waits (tenant_id, id, execution_id, visit, attempt, step, type, correlation, since)"
            " select tenant_id, gen_random_uuid(), id, 1, 1, 'w', 'order.paid', 'order-' || number, created_at"
            " from weft.workflow_executions where tenant_id = $1", engine.actor.tenant_id,
        )  # fmt: skip
        await connection.execute(
            "insert into weft.events (tenant_id, id, type, correlation, source, received_at)"
            " select $1, gen_random_uuid(), 'order.paid', 'order-' || n, 'API', now() from generate_series(1, $2) n",
            engine.actor.tenant_id, MANY,
        )  # fmt: skip
    admin = await asyncpg.connect(test_database.admin)
    try:
        await admin.execute("analyze weft.event_waits")
        await admin.execute("analyze weft.events")
    finally:
        await admin.close()
    return engine


async def explained(engine: Engine, statement: str, *values: Any) -> str:
    async with transaction(engine.database, engine.actor, read_only=True) as connection:
        answer = await connection.fetchval(f"explain (analyze, format json, timing off) {statement}", *values)
    return answer if isinstance(answer, str) else json.dumps(answer)


async def test_one_of_5000_that_wait_is_found_by_an_index(crowded: Engine) -> None:
    values = ("order.paid", "order-1234", UUID(int=0), crowded.clock(), new_id(), 500)
    plan = await explained(crowded, delivery.WAITING, crowded.actor.tenant_id, *values)
    assert "event_waits_open_idx" in plan
    assert "Seq Scan" not in plan


async def test_an_event_that_came_before_the_wait_is_found_by_an_index(crowded: Engine) -> None:
    rows = await crowded.fetch("select execution_id from weft.event_waits limit 1")
    plan = await explained(
        crowded, looking.CAME, crowded.actor.tenant_id, [rows[0]["execution_id"]], [1], [1], [looking.BEGINNING],
        [UUID(int=0)], looking.PAGE,
    )  # fmt: skip
    assert "events_correlation_idx" in plan
    assert "Seq Scan" not in plan
