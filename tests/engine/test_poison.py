"""Poison never stops a worker: whatever is wrong with one job, it ends after some tries, and the others go on."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs
from tests.engine.conftest import Engine
from tests.engine.documents import FIVE, INPUT, call, chain, step

from weft.core.ids import new_id
from weft.core.ports import HttpRequest, HttpResponse
from weft.db import hot
from weft.engine.news import News, Retried, TakenUp
from weft.engine.plans import Plan
from weft.engine.queue import MOST_LAPSES, Queue
from weft.engine.start_requests import StartResult
from weft.engine.steps import transform
from weft.interpreter import codec
from weft.worker import errands
from weft.worker.suspects import ALONE, EMPTYING, PATIENCE, Suspects


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Tracebacks with all their variables take longer to draw than the tests take."""
    with capture_logs():
        yield


async def write(engine: Engine, statement: str, *values: Any) -> None:
    async with hot.transaction(engine.database, engine.actor) as connection:
        await connection.execute(statement, *values)


async def until_ended(engine: Engine, ids: list[UUID], *, workers: int = 1) -> dict[UUID, Any]:
    """Run workers while the clock flies over the pauses between tries; every execution has ended then."""

    def over(jobs: list[Any]) -> bool:
        if not jobs:
            return True
        if all(job["state"] == "scheduled" for job in jobs):
            engine.clock.ahead = max(
                engine.clock.ahead, min(job["run_at"] for job in jobs) - engine.clock() + engine.clock.ahead
            )
        return False

    await engine.settle(until=over, workers=workers)
    rows = await engine.fetch("select * from weft.workflow_executions where id = any($1::uuid[])", ids)
    return {row["id"]: row for row in rows}


async def healthy(engine: Engine, number: int = 5) -> list[UUID]:
    workflow = await engine.workflow(chain(call(), step("end", "end")))
    return [(await engine.start(workflow, None)).id for _ in range(number)]


def all_completed(rows: dict[UUID, Any], ids: list[UUID]) -> bool:
    return all(rows[one]["status"] == "COMPLETED" for one in ids)


async def dead(engine: Engine) -> list[Any]:
    return await engine.fetch("select * from weft.dispatch_dead order by died_at, id")


# -- what cannot be read -----------------------------------------------------------------------------------


async def test_a_hundred_poison_jobs_among_healthy_ones(engine: Engine) -> None:
    """States that nobody can read: their jobs die, their executions fail as they stand, the others complete."""
    workflow = await engine.workflow(chain(call(), step("end", "end")))
    poison = [(await engine.start(workflow, None)).id for _ in range(100)]
    queue = Queue(engine.database, "me", timedelta(seconds=30))
    jobs = await queue.claim(200)
    await engine.driver.deliver(engine.actor.tenant_id, [News(j.execution_id, TakenUp(), j.fence) for j in jobs])
    await write(engine, """update weft.workflow_executions set state = '{"i": {"from": "the future"}}'""")
    innocent = await healthy(engine)
    rows = await until_ended(engine, [*poison, *innocent])
    assert all_completed(rows, innocent)
    assert {rows[one]["status"] for one in poison} == {"FAILED"}
    buried = await dead(engine)
    assert {row["execution_id"] for row in buried} == set(poison)
    assert all(row["last_error"] for row in buried)
    jobs_left = await engine.jobs()
    assert jobs_left == []


async def test_a_definition_that_no_longer_compiles(engine: Engine) -> None:
    workflow = await engine.workflow(chain(call(), step("end", "end")))
    poison = (await engine.start(workflow, None)).id
    await _spoil_version(engine, workflow)
    engine.driver.plans = type(engine.driver.plans)()
    innocent = await healthy(engine)
    rows = await until_ended(engine, [poison, *innocent])
    assert all_completed(rows, innocent)
    assert rows[poison]["status"] == "FAILED"
    (buried,) = await dead(engine)
    assert (buried["kind"], buried["execution_id"]) == ("start", poison)


async def _spoil_version(engine: Engine, workflow: UUID) -> None:
    """Versions are never updated: a spoiled one is put beside it, and the execution moved to it."""
    version = new_id()
    await write(
        engine,
        "insert into weft.workflow_versions (tenant_id, id, workflow_id, number, definition, content_hash)"
        " values ($1, $2, $3, 2, $4, 'y')", engine.actor.tenant_id, version, workflow, {"steps": [{"key": "a"}]},
    )  # fmt: skip
    await write(engine, "update weft.workflow_executions set version_id = $1", version)


async def test_a_buried_execution_goes_on_when_it_can_be_read_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow = await engine.workflow(chain(call(), step("end", "end")))
    one = (await engine.start(workflow, None)).id
    original = codec.load_state

    def unreadable(*_: Any) -> Any:
        raise KeyError("phase")

    job = (await Queue(engine.database, "me", timedelta(seconds=30)).claim(1))[0]
    await engine.driver.deliver(engine.actor.tenant_id, [News(one, TakenUp(), job.fence)])
    monkeypatch.setattr("weft.engine.run.load_state", unreadable)
    rows = await until_ended(engine, [one])
    assert (rows[one]["status"], rows[one]["error"]["kind"]) == ("FAILED", "abandoned")
    monkeypatch.setattr("weft.engine.run.load_state", original)
    assert one in await engine.driver.deliver(engine.actor.tenant_id, [News(one, Retried("ada"))])
    await engine.settle()
    assert (await engine.execution(one))["status"] == "COMPLETED"


# -- what a step kind may do wrong -------------------------------------------------------------------------


class Panic(BaseException):
    """What an extension written in Rust raises when it panics: PyO3's exception is no Exception."""


class Misbehaving:
    """An outside world that does to the worker what its address says."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def send(self, request: HttpRequest) -> HttpResponse:
        how = request.url.rpartition("/")[2]
        self.calls.append(how)
        match how:
            case "exit":
                sys.exit(3)
            case "interrupt":
                raise KeyboardInterrupt
            case "cancel":
                raise asyncio.CancelledError
            case "recursion":
                raise RecursionError
            case "memory":
                raise MemoryError
            case "panic":
                raise Panic("index out of bounds")
            case "closed":
                raise GeneratorExit
            case "block" if self.calls.count("block") <= 2:
                time.sleep(1.5)  # noqa: ASYNC251  the fault itself
        return HttpResponse(200, {"content-type": "application/json"}, b"{}", request.url)


async def test_a_kind_that_raises_what_it_may_not_fails_its_own_step(engine: Engine) -> None:
    engine.http = world = Misbehaving()  # type: ignore[assignment]  # a stand-in
    ways = ["exit", "interrupt", "cancel", "recursion", "memory", "panic", "closed"]
    workflow = await engine.workflow(chain(step("call", "http", {"url": "http://stub/{{ input }}"})))
    poison = {way: (await engine.start(workflow, way)).id for way in ways}
    innocent = await healthy(engine)
    rows = await until_ended(engine, [*poison.values(), *innocent])
    assert all_completed(rows, innocent)
    for way, one in poison.items():
        assert (rows[one]["status"], rows[one]["error"]["kind"]) == ("FAILED", "internal"), way
    assert sorted(way for way in world.calls if way in ways) == sorted(ways), "each was tried once"
    assert await dead(engine) == []


@pytest.mark.parametrize(
    "raised", [Panic("boom"), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()], ids=repr
)
async def test_an_instant_kind_that_raises_what_it_may_not_fails_its_own_step(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, raised: BaseException
) -> None:
    """In the worker, where its answer goes out with those of others, and in a start that runs it at once."""
    original = type(transform.STEP).answer

    def answer(self: Any, call: Any) -> Any:
        if call.config["output"] == "poison":
            raise raised
        return original(self, call)

    monkeypatch.setattr(type(transform.STEP), "answer", answer)
    bad = chain(call(), step("t", "transform", {"output": "{{ input }}"}), step("end", "end"))
    workflow = await engine.workflow(bad)
    at_once = await engine.workflow(chain(step("t", "transform", {"output": "{{ input }}"}), step("end", "end")))
    poison = [(await engine.start(workflow, "poison")).id, (await engine.start(at_once, "poison", inline=True)).id]
    innocent = [*await healthy(engine, 10), (await engine.start(workflow, "fine")).id]
    rows = await until_ended(engine, [*poison, *innocent])
    assert all_completed(rows, innocent)
    assert [rows[one]["error"]["kind"] for one in poison] == ["internal", "internal"]
    assert await dead(engine) == []


@pytest.mark.parametrize("where", ["_advance", "load"])
async def test_a_panic_of_ours_is_put_off_like_any_fault(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """A library of ours panics over one execution: its job dies, and no place, answer or tenant is lost with it."""
    workflow = await engine.workflow(chain(call(), step("end", "end")))
    poison = (await engine.start(workflow, None)).id
    original = getattr(engine.driver, where)

    async def panics(first: Any, second: Any, *more: Any) -> Any:
        met = first.id == poison if where == "_advance" else poison in second
        if met:
            raise Panic("a library of ours")
        return await original(first, second, *more)

    monkeypatch.setattr(engine.driver, where, panics)
    innocent = await healthy(engine)
    rows = await until_ended(engine, [poison, *innocent])
    assert all_completed(rows, innocent)
    assert rows[poison]["status"] == "FAILED"
    (buried,) = await dead(engine)
    assert buried["last_error"].startswith("Panic")


async def test_a_start_that_panics_is_refused_alone(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What checks inputs is written in Rust too. Whoever waits for the start is told, and so are the others."""
    workflow = await engine.workflow(chain(call(), step("end", "end")))
    original = Plan.check_input

    def check(self: Plan, value: Any) -> None:
        if value == "poison":
            raise Panic("boom")
        original(self, value)

    monkeypatch.setattr(Plan, "check_input", check)
    async with asyncio.timeout(60):
        answers = await asyncio.gather(
            *(engine.start(workflow, value) for value in ("fine", "poison", "fine")), return_exceptions=True
        )
    assert [isinstance(answer, StartResult) for answer in answers] == [True, False, True]
    assert str(answers[1]) == "The start broke: Panic."


async def test_what_cannot_be_put_off_takes_nobody_along(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pause of a job cannot be written: its lease lapses, and the answers that wait behind it are saved."""
    workflow = await engine.workflow(chain(call(), step("end", "end")))
    poison = (await engine.start(workflow, None)).id
    original = engine.driver._advance
    failures: list[str] = []

    async def advance(run: Any, news: Any, now: Any, room: Any) -> None:
        if run.id == poison:
            raise Panic("boom")
        await original(run, news, now, room)

    async def defer(*_: Any) -> None:
        failures.append("defer")
        raise RuntimeError("no such statement")

    monkeypatch.setattr(engine.driver, "_advance", advance)
    monkeypatch.setattr(Queue, "defer", defer)
    innocent = await healthy(engine)
    await engine.settle(until=lambda jobs: {job["execution_id"] for job in jobs} == {poison})
    rows = await engine.fetch("select id, status from weft.workflow_executions")
    assert all_completed({row["id"]: row for row in rows}, innocent)
    assert failures


async def test_a_kind_that_blocks_the_loop_beyond_its_lease(engine: Engine) -> None:
    """Nothing can be done for as long; then it goes on, and whoever took the jobs over does them."""
    engine.http = Misbehaving()  # type: ignore[assignment]  # a stand-in
    workflow = await engine.workflow(chain(step("call", "http", {"url": "http://stub/block"})))
    blocking = [(await engine.start(workflow, None)).id for _ in range(2)]
    innocent = await healthy(engine)
    worker = engine.worker(lease=1.0, poll=0.05)
    task = asyncio.create_task(worker.run())
    async with asyncio.timeout(60):
        while await engine.jobs():
            worker.wake()
            await asyncio.sleep(0.01)
    worker.stop()
    await task
    rows = await until_ended(engine, [*blocking, *innocent])
    assert all_completed(rows, innocent)
    assert {rows[one]["status"] for one in blocking} <= {"COMPLETED", "FAILED"}


@pytest.mark.parametrize(("output", "why"), [({"f": object()}, "TypeError"), ("a\0b", "NUL")])
def test_what_cannot_be_stored_is_said(output: Any, why: str) -> None:
    assert why in (errands.unstorable(output) or "")


def test_what_can_be_stored_is_not_refused() -> None:
    assert [errands.unstorable(value) for value in (None, {"a": [1, "ü\\u0000"]}, "\\0", 1.5)] == [None] * 4


async def test_a_job_of_a_kind_that_nobody_knows(engine: Engine) -> None:
    workflow = await engine.workflow(chain(call(), step("end", "end")))
    one = (await engine.start(workflow, None)).id
    await write(engine, "update weft.dispatch_jobs set kind = 'teleport'")
    innocent = await healthy(engine)
    rows = await until_ended(engine, [one, *innocent])
    assert all_completed(rows, innocent)
    assert rows[one]["status"] == "FAILED"
    assert [row["kind"] for row in await dead(engine)] == ["teleport"]


async def test_a_turn_that_raises(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    innocent_flow = await engine.workflow({**FIVE, "name": "good"})
    poison_flow = await engine.workflow({**FIVE, "name": "bad"})
    original = engine.driver._advance

    async def advance(run: Any, news: Any, now: Any, room: Any) -> None:
        if run.facts.workflow_id == poison_flow and any(isinstance(item.what, TakenUp) for item in news):
            raise ZeroDivisionError("a bug of ours")
        await original(run, news, now, room)

    monkeypatch.setattr(engine.driver, "_advance", advance)
    poison = (await engine.start(poison_flow, INPUT)).id
    innocent = [(await engine.start(innocent_flow, INPUT)).id for _ in range(5)]
    rows = await until_ended(engine, [poison, *innocent])
    assert all_completed(rows, innocent)
    assert rows[poison]["status"] == "FAILED"
    (buried,) = await dead(engine)
    assert buried["last_error"].startswith("ZeroDivisionError")
    assert buried["claims"] == errands.MOST_CLAIMS + 1


# -- suspects ----------------------------------------------------------------------------------------------


async def test_an_innocent_job_survives_the_company_of_one_that_kills_workers(engine: Engine) -> None:
    """Both were in hand each time a worker died. Tried alone, one of them simply ends."""
    workflow = await engine.workflow(chain(call()))
    ids = [(await engine.start(workflow, None)).id for _ in range(2)]
    queue = Queue(engine.database, "dies", timedelta(seconds=30))
    for job in await queue.claim(10):
        await engine.driver.deliver(engine.actor.tenant_id, [News(job.execution_id, TakenUp(), job.fence)])
    for _ in range(MOST_LAPSES):
        assert len(await queue.claim(10)) == 2
        await _die(engine, queue)
    guilty = await queue.claim_suspect()
    assert guilty is not None
    await _die(engine, queue)
    rows = await until_ended(engine, ids)
    assert rows[guilty.execution_id]["error"]["kind"] == "interrupted"
    (other,) = set(ids) - {guilty.execution_id}
    assert rows[other]["status"] == "COMPLETED"


async def _die(engine: Engine, queue: Queue) -> None:
    await write(engine, "update weft.dispatch_jobs set lease_until = now() - interval '1 hour' where state = 'leased'")
    await queue.promote(engine.clock())


def test_a_worker_empties_its_hands_for_a_suspect_but_not_for_ever() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    known = Suspects()
    assert not known.may_try(0)
    known.seen(True, now)
    assert known.may_try(0)
    assert not known.may_try(3)
    assert not known.holds_back(now + PATIENCE / 2)
    assert known.holds_back(now + PATIENCE)
    assert not known.holds_back(now + PATIENCE + EMPTYING)
    assert known.holds_back(now + PATIENCE + 2 * EMPTYING)
    known.seen(False, now)
    assert not known.holds_back(now + PATIENCE)


def test_a_suspect_is_alone_until_it_ends_or_has_lived_long_enough() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    known = Suspects()
    known.seen(True, now)
    known.tries(now)
    known.seen(False, now)
    assert known.holds_back(now + ALONE / 2)
    assert not known.holds_back(now + ALONE)
    known.tries(now)
    known.over()
    assert not known.holds_back(now)
