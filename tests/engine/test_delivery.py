"""Delivery at least once, effects recognisable, and a number of statements that does not grow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from tests.conftest import make_tenant
from tests.engine.conftest import Engine, ok
from tests.engine.documents import FIVE, INPUT, call, chain, step

from weft.core.actor import Actor
from weft.core.ids import new_id
from weft.db import hot
from weft.engine import drive, store
from weft.engine.news import News, Retried, StepEnded, TakenUp
from weft.engine.outcomes import Done
from weft.engine.queue import MOST_LAPSES, Job, Queue


async def claim(engine: Engine, owner: str = "me", limit: int = 10, lease: float = 30) -> list[Job]:
    return await Queue(engine.database, owner, timedelta(seconds=lease)).claim(limit)


async def lapse(engine: Engine) -> None:
    """As if the worker had died long ago."""
    async with hot.transaction(engine.database, engine.actor) as connection:
        await connection.execute("update weft.dispatch_jobs set lease_until = now() - interval '1 hour'")
    await Queue(engine.database, "other", timedelta(seconds=30)).promote(engine.clock())


# -- the same news twice -----------------------------------------------------------------------------------


async def test_the_same_job_delivered_twice_changes_nothing_the_second_time(engine: Engine) -> None:
    result = await engine.start(await engine.workflow(FIVE), INPUT)
    (job,) = await claim(engine)
    news = [News(result.id, TakenUp(), job.fence)]
    await engine.driver.deliver(engine.actor.tenant_id, news)
    before = await engine.fetch("select * from weft.execution_logs order by visit")
    await engine.driver.deliver(engine.actor.tenant_id, news)
    assert await engine.fetch("select * from weft.execution_logs order by visit") == before
    assert (await engine.execution(result.id))["row_version"] == 2


async def test_a_worker_that_lost_its_lease_writes_nothing(engine: Engine) -> None:
    result = await engine.start(await engine.workflow(FIVE), INPUT)
    (mine,) = await claim(engine, "slow")
    await lapse(engine)
    (theirs,) = await claim(engine, "fast")
    assert theirs.epoch == mine.epoch + 1
    assert await engine.driver.deliver(engine.actor.tenant_id, [News(result.id, TakenUp(), mine.fence)]) == {}
    assert (await engine.execution(result.id))["status"] == "PENDING"
    await engine.driver.deliver(engine.actor.tenant_id, [News(result.id, TakenUp(), theirs.fence)])
    assert (await engine.execution(result.id))["status"] == "COMPLETED"
    assert await engine.jobs() == []


async def test_two_workers_on_one_execution_both_get_through(engine: Engine) -> None:
    """Both branches end at the same instant, in two transactions on the same row."""
    document: dict[str, Any] = {
        "steps": [step("fork", "parallel"), call("a"), call("b"), step("meet", "join"), step("end", "end")],
        "transitions": [
            {"from": "fork", "to": "a"}, {"from": "fork", "to": "b"}, {"from": "a", "to": "meet"},
            {"from": "b", "to": "meet"}, {"from": "meet", "to": "end"},
        ],
    }  # fmt: skip
    tenant = engine.actor.tenant_id
    result = await engine.start(await engine.workflow(document), None)
    await engine.driver.deliver(tenant, [News(result.id, TakenUp(), (await claim(engine))[0].fence)])
    jobs = await claim(engine)
    ended = [News(result.id, StepEnded(j.visit, j.attempt, Done(j.visit)), j.fence) for j in jobs]
    await asyncio.gather(*(engine.driver.deliver(tenant, [item]) for item in ended))
    row = await engine.execution(result.id)
    assert row["status"] == "COMPLETED"
    assert [s for s, _, _ in await engine.journal(result.id)] == ["fork", "a", "b", "meet", "end"]
    assert await engine.jobs() == []


# -- a worker dies -----------------------------------------------------------------------------------------


async def test_an_idempotent_effect_runs_again_under_the_same_key(engine: Engine) -> None:
    result = await engine.start(await engine.workflow(chain(call())), None)
    await engine.driver.deliver(engine.actor.tenant_id, [News(result.id, TakenUp(), (await claim(engine))[0].fence)])
    await claim(engine, "dies")
    await lapse(engine)
    await engine.settle()
    assert (await engine.execution(result.id))["status"] == "COMPLETED"
    assert engine.http.keys == [f"{result.id}:call:1:1"]


async def test_an_effect_that_is_not_counts_as_a_failed_attempt(engine: Engine) -> None:
    once = call(retry={"attempts": 2, "initial": 0.01})
    once["config"]["idempotent"] = False
    result = await engine.start(await engine.workflow(chain(once)), None)
    await engine.driver.deliver(engine.actor.tenant_id, [News(result.id, TakenUp(), (await claim(engine))[0].fence)])
    await claim(engine, "dies")
    await lapse(engine)
    await engine.settle()
    engine.clock.advance(1)
    await engine.settle()
    rows = await engine.fetch("select attempt, status, error from weft.execution_logs order by attempt")
    assert [(r["attempt"], r["status"]) for r in rows] == [(1, "FAILED"), (2, "COMPLETED")]
    assert rows[0]["error"]["kind"] == "interrupted"
    assert engine.http.keys == [f"{result.id}:call:1:2"]


async def test_a_poison_job_is_given_up_and_its_execution_told(engine: Engine) -> None:
    step_poison = await engine.start(await engine.workflow(chain(call())), None)
    await engine.driver.deliver(
        engine.actor.tenant_id, [News(step_poison.id, TakenUp(), (await claim(engine))[0].fence)]
    )
    start_poison = await engine.start(await engine.workflow(FIVE), INPUT)
    for _ in range(MOST_LAPSES):
        assert len(await claim(engine, "dies")) == 2
        await lapse(engine)
    queue = Queue(engine.database, "dies alone", timedelta(seconds=30))
    assert await claim(engine) == [], "suspects are not claimed beside others"
    assert [await queue.claim_suspect() is not None for _ in range(3)] == [True, True, False]
    await lapse(engine)
    await engine.settle()
    assert engine.http.requests == [], "poison is not run once more to see"
    assert (await engine.execution(step_poison.id))["error"]["kind"] == "interrupted"
    row = await engine.execution(start_poison.id)
    assert row["status"] == "FAILED"
    dead = await engine.fetch("select * from weft.dispatch_dead")
    assert [(d["kind"], d["execution_id"]) for d in dead] == [("start", start_poison.id)]
    assert "set aside" in dead[0]["reason"]
    assert await engine.jobs() == []
    await engine.driver.deliver(engine.actor.tenant_id, [News(start_poison.id, Retried("ada"))])
    await engine.settle()
    assert (await engine.execution(start_poison.id))["status"] == "COMPLETED"


CRASH_POINTS = ("load", "save", "commit")


@pytest.mark.parametrize("point", CRASH_POINTS)
async def test_a_crash_between_any_two_statements_loses_nothing(
    point: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection dies at each statement of each save in turn; whatever was ordered still happens, once."""
    engine.http.replies = [ok()]
    document = chain(step("a", "set", {"vars": {"x": 1}}), call("one"), call("two"), step("end", "end", {"output": 1}))
    workflow = await engine.workflow(document)
    result = await engine.start(workflow, None)
    crashes = Crashes(point)
    crashes.install(monkeypatch)
    await engine.settle()
    assert crashes.left == 0, "every planned crash has happened"
    row = await engine.execution(result.id)
    assert (row["status"], row["output"]) == ("COMPLETED", 1)
    steps = [(s, status) for s, _, status in await engine.journal(result.id)]
    assert steps == [("a", "COMPLETED"), ("one", "COMPLETED"), ("two", "COMPLETED"), ("end", "COMPLETED")]
    assert set(engine.http.keys) == {f"{result.id}:one:2:1", f"{result.id}:two:3:1"}
    assert await engine.jobs() == []


class Crashes:
    """Breaks the connection at one point of the first saves and loads."""

    def __init__(self, point: str, times: int = 3) -> None:
        self.point = point
        self.left = times

    def _strike(self) -> bool:
        if self.left == 0:
            return False
        self.left -= 1
        return True

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        original_save, original_load, original = store.save, store.load, hot.transaction

        async def save(connection: Any, *arguments: Any, **named: Any) -> Any:
            done = await original_save(connection, *arguments, **named)
            if self.point == "save" and named.get("wake") is not None and self._strike():
                raise asyncpg.ConnectionDoesNotExistError("killed after the statement, before COMMIT")
            return done

        async def load(connection: Any, *arguments: Any) -> Any:
            if self.point == "load" and self._strike():
                raise asyncpg.ConnectionDoesNotExistError("killed while loading")
            return await original_load(connection, *arguments)

        @asynccontextmanager
        async def transaction(database: Any, actor: Actor, *, read_only: bool = False) -> AsyncIterator[Any]:
            async with original(database, actor, read_only=read_only) as connection:
                yield connection
            if self.point == "commit" and not read_only and self._strike():
                raise asyncpg.ConnectionDoesNotExistError("killed after COMMIT, before anybody heard")

        monkeypatch.setattr(store, "save", save)
        monkeypatch.setattr(store, "load", load)
        monkeypatch.setattr(drive, "transaction", transaction)


async def test_a_stopped_worker_gives_back_what_it_holds(engine: Engine) -> None:
    engine.http.gate = asyncio.Event()
    result = await engine.start(await engine.workflow(chain(call())), None)
    worker = engine.worker(drain=0.05)
    task = asyncio.create_task(worker.run())
    async with asyncio.timeout(60):
        await engine.http.asked.wait()
    worker.stop()
    await task
    (job,) = await engine.jobs()
    assert (job["state"], job["claims"]) == ("ready", 0), "given back unharmed"
    engine.http.gate.set()
    await engine.settle()
    assert (await engine.execution(result.id))["status"] == "COMPLETED"
    assert len(set(engine.http.keys)) == 1


# -- statements and fairness -------------------------------------------------------------------------------


class Counted:
    """Counts what a pool's connections send."""

    def __init__(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.statements: list[str] = []
        pool = type(engine.database.pool)
        original = pool.acquire

        async def acquire(*arguments: Any, **named: Any) -> Any:
            connection = await original(*arguments, **named)
            connection.add_query_logger(self._log)
            return connection

        monkeypatch.setattr(pool, "acquire", acquire)

    def _log(self, record: Any) -> None:
        self.statements.append(record.query)


@pytest.mark.parametrize("executions", [1, 40])
async def test_the_number_of_statements_does_not_grow_with_the_batch(
    executions: int, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow = await engine.workflow(FIVE)
    await engine.start(workflow, INPUT, inline=True)  # plans and facts are known
    for _ in range(executions):
        await engine.start(workflow, INPUT)
    jobs = await claim(engine, limit=100)
    assert len(jobs) == executions
    counted = Counted(engine, monkeypatch)
    news = [News(job.execution_id, TakenUp(), job.fence) for job in jobs]
    assert len(await engine.driver.deliver(engine.actor.tenant_id, news)) == executions
    labels = [
        s.split("*/")[0] + "*/" if s.startswith("/*") else s.split(";")[0] for s in dict.fromkeys(counted.statements)
    ]
    assert labels == ["BEGIN READ ONLY", "/* weft:engine.load */", "COMMIT", "BEGIN", "/* weft:engine.save */"]


async def test_a_start_is_three_round_trips(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    workflow = await engine.workflow(FIVE)
    await engine.start(workflow, INPUT, inline=True)
    counted = Counted(engine, monkeypatch)
    await engine.start(workflow, INPUT, inline=True)
    heads = [statement.split(maxsplit=2)[:2] for statement in dict.fromkeys(counted.statements)]
    assert [h[0] for h in heads] == ["BEGIN;", "/*", "COMMIT"]


async def test_a_flood_of_one_tenant_does_not_delay_anothers_first_job(engine: Engine) -> None:
    other = await make_tenant(engine.database, "other")
    flood = await engine.workflow(FIVE)
    for _ in range(60):
        await engine.start(flood, INPUT)
    theirs = await engine.start(await engine.workflow({**FIVE, "name": "theirs"}, other), INPUT, actor=other)
    jobs = await claim(engine, limit=20)
    assert len(jobs) == 20
    assert theirs.id in {job.execution_id for job in jobs}


async def test_claims_take_turns_between_many_tenants(engine: Engine) -> None:
    actors = [await make_tenant(engine.database, f"t{n}") for n in range(6)]
    for actor in actors:
        workflow = await engine.workflow({**FIVE, "name": "w"}, actor)
        for _ in range(10):
            await engine.start(workflow, INPUT, actor=actor)
    queue = Queue(engine.database, "me", timedelta(seconds=30))
    seen: list[UUID] = []
    for _ in range(6):
        seen += [job.tenant_id for job in await queue.claim(8)]
    counts = {actor.tenant_id: seen.count(actor.tenant_id) for actor in actors}
    assert sum(counts.values()) == 48
    assert max(counts.values()) - min(counts.values()) <= 4, counts


async def test_numbers_and_starts_survive_a_version_published_meanwhile(engine: Engine) -> None:
    """The process still thinks that version 1 is current; the statement that stores the start knows better."""
    workflow = await engine.workflow(chain(step("a", "end", {"output": 1})))
    assert (await engine.start(workflow, None, inline=True)).output == 1
    second = chain(step("a", "end", {"output": 2}))
    async with hot.transaction(engine.database, engine.actor) as connection:
        version = new_id()
        await connection.execute(
            "insert into weft.workflow_versions (tenant_id, id, workflow_id, number, definition, content_hash)"
            " values ($1, $2, $3, 2, $4, 'y')", engine.actor.tenant_id, version, workflow, second,
        )  # fmt: skip
        await connection.execute("update weft.workflows set version = 2, current_version_id = $1", version)
    result = await engine.start(workflow, None, inline=True)
    assert (result.output, result.version_id) == (2, version)
    assert (await engine.start(workflow, None, inline=True, version=1)).output == 1
