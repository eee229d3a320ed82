"""For-each on the real engine: long lists in chunks, results in pages, and nothing that grows with their number."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from tests.engine.conftest import Engine, ok
from tests.engine.documents import Document, chain, step

from weft.core.ports import HttpError, HttpRequest, HttpResponse
from weft.db import hot
from weft.db.database import Database
from weft.db.hot import transaction
from weft.engine import turn
from weft.engine.drive import Driver
from weft.engine.items import SHORT, Chunks, written
from weft.engine.limits import Limits
from weft.engine.news import News, Retried, StepEnded, TakenUp
from weft.engine.outcomes import Done, Failed
from weft.engine.queue import Job, Queue
from weft.engine.starts import Starter

LONG = 3 * SHORT
SHAPES = {"with the execution": SHORT // 2, "in chunks": LONG}


def each(*body: dict[str, Any], items: Any = "input", **config: Any) -> Document:
    inner = chain(*body) if body else chain(step("give", "transform", {"output": "{{ item }}"}))
    loop = step("each", "for_each", {"items": items, "body": inner, **config})
    return chain(loop, step("end", "end", {"output": "{{ steps.each.output }}"}))


def call_item(**more: Any) -> dict[str, Any]:
    config = {"method": "POST", "url": "http://stub/{{ index }}", "body": {"item": "{{ item }}"}}
    return step("call", "http", config, **more)


async def rows(engine: Engine, table: str) -> int:
    (row,) = await engine.fetch(f"select count(*) as n from weft.{table}")
    return int(row["n"])


async def completions(engine: Engine, execution_id: UUID, key: str) -> Counter[str]:
    found = await engine.fetch(
        "select frame from weft.execution_logs where execution_id = $1 and step_key = $2 and status = 'COMPLETED'",
        execution_id, key,
    )  # fmt: skip
    return Counter(row["frame"].partition(".")[2] for row in found)


async def take_up(engine: Engine, execution_id: UUID) -> None:
    (job,) = await Queue(engine.database, "me", timedelta(seconds=30)).claim(1)
    await engine.driver.deliver(engine.actor.tenant_id, [News(execution_id, TakenUp(), job.fence)])


# -- outputs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", SHAPES.values(), ids=SHAPES)
async def test_results_are_in_the_order_of_the_items(count: int, engine: Engine) -> None:
    items = [{"n": number} for number in range(count)]
    result = await engine.start(await engine.workflow(each(concurrency=7)), items)
    await engine.settle()
    assert (await engine.execution(result.id))["output"] == items
    assert await rows(engine, "item_chunks") == await rows(engine, "item_results") == 0, "nothing is left behind"


@pytest.mark.parametrize("count", SHAPES.values(), ids=SHAPES)
async def test_items_may_be_counted_instead_of_listed(count: int, engine: Engine) -> None:
    body = step("give", "transform", {"output": "{{ [item, index] }}"})
    result = await engine.start(await engine.workflow(each(body, items={"count": "input.n"})), {"n": count})
    await engine.settle()
    assert (await engine.execution(result.id))["output"] == [[number, number] for number in range(count)]


async def test_what_is_not_collected_is_counted(engine: Engine) -> None:
    broken = [step("check", "condition"), step("no", "fail", {"message": "No."}), step("yes", "end", {"output": 1})]
    body = {
        "steps": broken,
        "transitions": [
            {"from": "check", "to": "no", "when": {"field": "item", "operator": "equals", "value": 0}},
            {"from": "check", "to": "yes", "default": True},
        ],
    }
    outputs = {}
    for collect in ("none", "count", "all"):
        loop = step(
            "each", "for_each", {"items": "input", "body": body, "collect": collect, "on_item_error": "continue"}
        )
        result = await engine.start(await engine.workflow(chain(loop)), [0, 1, 2, 0])
        await engine.settle()
        outputs[collect] = (await engine.execution(result.id))["output"]
    assert outputs == {"none": {"count": 4, "failed": 2}, "count": 2, "all": [None, 1, 1, None]}


async def test_too_many_items_are_a_failure_that_says_what_to_do(engine: Engine) -> None:
    driver = Driver(engine.database, engine.driver.evaluator.guard, clock=engine.clock, limits=Limits(items=10))
    starter = Starter(driver)
    engine.driver, engine.starter = driver, starter
    result = await engine.start(await engine.workflow(each(items={"count": 11})), None, inline=True)
    assert result.error is not None
    assert (result.error["kind"], result.status) == ("too_many_items", "FAILED")
    assert "at most 10 fit into one for-each (WEFT_MAX_ITEMS). Cut the list into batches" in result.error["message"]


@pytest.mark.parametrize("count", [20, LONG])
async def test_results_that_are_too_much_are_not_gathered(count: int, engine: Engine) -> None:
    engine.driver.limits = Limits(output=400_000)
    body = step("give", "transform", {"output": "x" * 30_000})
    result = await engine.start(await engine.workflow(each(body, items={"count": count})), None)
    await engine.settle()
    row = await engine.execution(result.id)
    assert (row["status"], row["error"]["kind"]) == ("FAILED", "output_too_large")
    assert "at most 400,000" in row["error"]["message"]
    counted = await engine.start(await engine.workflow(each(body, items={"count": count}, collect="count")), None)
    await engine.settle()
    assert (await engine.execution(counted.id))["output"] == count


# -- where they lie ----------------------------------------------------------------------------------------------


async def test_a_short_list_needs_no_statement_of_its_own(engine: Engine) -> None:
    result = await engine.start(await engine.workflow(each(call_item())), list(range(9)))
    await take_up(engine, result.id)
    assert await rows(engine, "item_chunks") == 0
    (row,) = await engine.fetch("select data from weft.execution_logs where step_key = 'each'")
    assert row["data"] == {"items": list(range(9))}
    await engine.settle()
    assert (await engine.execution(result.id))["status"] == "COMPLETED"


async def test_a_turn_reads_only_the_chunks_of_its_items(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    result = await engine.start(await engine.workflow(each(call_item(), concurrency=2)), list(range(LONG)))
    await take_up(engine, result.id)
    assert await rows(engine, "item_chunks") == 4
    chunks = await engine.fetch("select first, count, items from weft.item_chunks order by first")
    assert [(row["first"], row["count"]) for row in chunks] == [(0, 200), (200, 200), (400, 200), (600, LONG - 600)]
    assert [item for row in chunks for item in row["items"]] == list(range(LONG))
    run = (await engine.driver.load(engine.actor.tenant_id, [result.id]))[result.id]
    items = run.items[1]
    assert isinstance(items, Chunks)
    assert 0 not in items, "loading an execution reads no chunk"
    await engine.driver.evaluator.item_store.fetch(engine.actor.tenant_id, result.id, 1, items, 450)
    assert [index in items for index in (399, 400, 450, LONG - 1, LONG)] == [False, True, True, True, False]


async def test_the_state_does_not_grow_with_the_items(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn, "BUDGET", 100)
    result = await engine.start(await engine.workflow(each(concurrency=3)), list(range(LONG)))
    await take_up(engine, result.id)
    saves = 1
    while (await engine.execution(result.id))["status"] == "RUNNING":
        row = await engine.execution(result.id)
        assert len(json.dumps(row["state"])) < 2_000
        saves += 1
        jobs = await Queue(engine.database, "me", timedelta(seconds=30)).claim(10)
        await answer(engine, jobs)
    assert saves < LONG / 50
    assert (await engine.execution(result.id))["output"] == list(range(LONG))


async def answer(engine: Engine, jobs: list[Job]) -> None:
    """What a worker does with steps that need no outside world."""
    run = (await engine.driver.load(engine.actor.tenant_id, [jobs[0].execution_id]))[jobs[0].execution_id]
    news = []
    for job in jobs:
        context = await engine.driver.evaluator.context(
            run, run.state.visits[job.visit].frame, ["item"], engine.clock()
        )
        news.append(News(job.execution_id, StepEnded(job.visit, job.attempt, Done(context["item"])), job.fence))
    await engine.driver.deliver(engine.actor.tenant_id, news)


def test_a_chunk_is_bounded_by_items_and_by_bytes() -> None:
    def sizes(items: list[Any]) -> list[int]:
        kept = written(UUID(int=1), 1, 1, items, 10_000_000)
        assert not isinstance(kept, Failed)
        assert [item for row in kept.chunks for item in json.loads(row.items.text)] == items
        return [row.count for row in kept.chunks]

    assert sizes(list(range(257))) == [200, 57]
    assert sizes(["x" * 60_000] * 5) == [2, 2, 1]
    assert sizes(["x" * 300_000, 1, 2]) == [1, 2]
    refused = written(UUID(int=1), 1, 1, ["x" * 600] * 1_000, 500_000)
    assert isinstance(refused, Failed)
    assert (refused.kind, refused.retryable) == ("output_too_large", False)


def test_pieces_of_a_long_list_are_found_and_forgotten() -> None:
    chunks = Chunks(1, 10_000)
    for first in range(0, 4_000, 200):
        chunks.add(first, list(range(first, first + 200)))
        chunks.add(first, [])
    assert chunks.get(3_999) == 3_999
    assert chunks.get(4_000) is None
    assert 0 not in chunks, "the earliest are forgotten"
    chunks.add(0, [0])
    assert (chunks.get(0), chunks.get(1)) == (0, None)


# -- failure, retry, death ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", SHAPES.values(), ids=SHAPES)
async def test_a_retried_execution_goes_on_with_the_unfinished_items(count: int, engine: Engine) -> None:
    broken = {str(count // 2)}

    def reply(request: HttpRequest) -> HttpResponse:
        index = request.url.rpartition("/")[2]
        return ok(b'{"error": "no"}', 400) if index in broken else ok(json.dumps({"was": int(index)}).encode())

    engine.http.replies = [reply]
    body = [call_item(), step("give", "transform", {"output": "{{ steps.call.output.body.was }}"})]
    result = await engine.start(await engine.workflow(each(*body, concurrency=40)), list(range(count)))
    await engine.settle()
    assert (await engine.execution(result.id))["status"] == "FAILED"
    assert await rows(engine, "item_chunks") == 0, "the attempt is over, and its items go with it"
    done = await completions(engine, result.id, "each.give")
    assert count // 2 - 40 <= len(done) < count
    broken.clear()
    await engine.driver.deliver(engine.actor.tenant_id, [News(result.id, Retried("ada"))])
    await engine.settle()
    row = await engine.execution(result.id)
    assert (row["status"], row["output"]) == ("COMPLETED", list(range(count)))
    assert set((await completions(engine, result.id, "each.give")).values()) == {1}, "nothing ran twice"
    assert await rows(engine, "item_results") == 0


async def test_a_for_each_that_is_tried_again_keeps_what_its_items_reached(engine: Engine) -> None:
    replies: list[Any] = [ok(b"1")] * 300 + [HttpError("connection", "gone", retryable=True)] + [ok(b"1")]
    engine.http.replies = replies
    document = each(call_item(), concurrency=20)
    document["steps"][0]["retry"] = {"attempts": 2, "initial": 0.01}
    result = await engine.start(await engine.workflow(document), list(range(LONG)))
    await engine.settle()
    engine.clock.advance(5)
    await engine.settle()
    row = await engine.execution(result.id)
    assert row["status"] == "COMPLETED"
    assert len(row["output"]) == LONG
    assert None not in row["output"]
    done = await completions(engine, result.id, "each.call")
    assert (len(done), set(done.values())) == (LONG, {1})


async def test_a_death_in_the_middle_repeats_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process, which knows nothing, takes over from the rows."""
    monkeypatch.setattr(turn, "BUDGET", 100)
    result = await engine.start(await engine.workflow(each(concurrency=3)), list(range(LONG)))
    await take_up(engine, result.id)
    jobs = await Queue(engine.database, "dies", timedelta(seconds=30)).claim(10)
    await answer(engine, jobs[:1])
    reached = await completions(engine, result.id, "each.give")
    assert 100 < len(reached) < LONG
    async with transaction(engine.database, engine.actor) as connection:
        await connection.execute("update weft.dispatch_jobs set lease_until = now() - interval '1 hour'")
    engine.driver = Driver(engine.database, engine.driver.evaluator.guard, clock=engine.clock)
    engine.starter = Starter(engine.driver)
    await engine.settle()
    row = await engine.execution(result.id)
    assert (row["status"], row["output"]) == ("COMPLETED", list(range(LONG)))
    done = await completions(engine, result.id, "each.give")
    assert (len(done), set(done.values())) == (LONG, {1})


# -- very many ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_hundred_thousand_items(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a turn reads and writes does not depend on how many items there are, and each runs once."""
    count = 100_000
    states: list[int] = []
    statements: Counter[str] = Counter()
    original = hot._begun

    def log(record: Any) -> None:
        statements.update([record.query.partition("*/")[0]])

    async def begun(database: Database, statement: str) -> Any:
        connection = await original(database, statement)
        connection.add_query_logger(log)
        return connection

    monkeypatch.setattr(hot, "_begun", begun)
    before = Driver._advance_and_save

    async def watched(self: Driver, tenant_id: UUID, news: Any, runs: Any, *more: Any) -> Any:
        saved = await before(self, tenant_id, news, runs, *more)
        states.extend(len(json.dumps(run.row().state)) for run in runs.values())
        return saved

    monkeypatch.setattr(Driver, "_advance_and_save", watched)
    body = step("keep", "set", {"vars": {"newest": "{{ item }}"}})
    document = each(body, collect="none", concurrency=10)
    result = await engine.start(await engine.workflow(document), [f"item {number}" for number in range(count)])
    await engine.settle(seconds=600)
    row = await engine.execution(result.id)
    assert (row["error"], row["output"]) == (None, {"count": count, "failed": 0})
    (ended,) = await engine.fetch(
        "select count(*) as rows, count(distinct frame) as items from weft.execution_logs"
        " where execution_id = $1 and step_key = 'each.keep' and status = 'COMPLETED'", result.id,
    )  # fmt: skip
    assert (ended["rows"], ended["items"]) == (count, count)
    assert max(states) < 20_000, "bytes of state in any save"
    saves = statements["/* weft:engine.save "]
    assert saves < count / 400
    for label in ("load", "outputs", "item_chunks", "settle"):
        assert statements[f"/* weft:engine.{label} "] <= 4 * saves, label
    assert await rows(engine, "item_chunks") == 0
