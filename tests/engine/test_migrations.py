"""Moving executions to another version on a real database: seen first, then done, whole or not at all."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest
from tests.engine.conftest import Engine, ok
from tests.engine.documents import Document, call, chain, step
from tests.engine.test_delivery import Counted, claim
from tests.engine.test_events import send
from tests.engine.versions import publish

from weft.core.actor import Actor
from weft.core.ids import new_id
from weft.domain.executions.errors import ExecutionNotFound, MappingInvalid, MigrationToItself
from weft.domain.workflows.errors import WorkflowNotFound
from weft.engine import migrations
from weft.engine.migrations import Page, Wanted
from weft.engine.news import Cancelled, Migrated, News, Paused, Resumed, Retried, StepEnded
from weft.engine.outcomes import Done, Failed
from weft.engine.start_errors import VersionUnknown

LIVE = ("PENDING", "RUNNING", "WAITING", "PAUSED")


async def consider(
    engine: Engine, workflow: UUID, mapping: dict[str, str | None] | None = None, *, actor: Actor | None = None,
    **more: Any,
) -> Page:  # fmt: skip
    asked: dict[str, Any] = {
        "from_version": 1, "to_version": 2, "executions": None, "statuses": LIVE, "limit": 100, "after": None,
        "dry_run": False,
    }  # fmt: skip
    wanted = Wanted(workflow_id=workflow, mapping=mapping or {}, **(asked | more))
    return await migrations.consider(engine.driver, actor or engine.actor, wanted)


async def two_versions(engine: Engine, first: Document, second: Document) -> tuple[UUID, UUID]:
    workflow = await engine.workflow(first)
    return workflow, await publish(engine, workflow, second, 2)


async def begun(engine: Engine, workflow: UUID, value: Any = None) -> UUID:
    """An execution of version 1 that has come as far as it can without a worker."""
    return (await engine.start(workflow, value, version=1, inline=True)).id


END = step("end", "end", {"output": "{{ steps.call.output.body.n }}"})
RENAMED_END = step("end", "end", {"output": "{{ steps.pay.output.body.n + steps.extra.output }}"})


async def test_a_running_errand_is_answered_in_the_new_version(engine: Engine) -> None:
    engine.http.replies = [ok(b'{"n": 5}')]
    engine.http.gate = asyncio.Event()
    workflow, version = await two_versions(
        engine, chain(call(), END), chain(call("pay"), step("extra", "transform", {"output": 2}), RENAMED_END)
    )
    execution = await begun(engine, workflow)
    worker = engine.worker()
    task = asyncio.create_task(worker.run())
    async with asyncio.timeout(60):
        await engine.http.asked.wait()
    page = await consider(engine, workflow, {"call": "pay"})
    engine.http.gate.set()
    worker.stop()
    await task
    await engine.settle()
    (item,) = page.items
    assert (item.moved, item.problems, [(m.step, m.target) for m in item.moves]) == (True, (), [("call", "pay")])
    row = await engine.execution(execution)
    assert (row["status"], row["output"], row["version_id"]) == ("COMPLETED", 7, version)
    assert engine.http.keys == [f"{execution}:call:1:1"]
    journal = [entry for entry in await engine.journal(execution) if entry[0]]
    assert journal == [("call", 1, "COMPLETED"), ("extra", 1, "COMPLETED"), ("end", 1, "COMPLETED")]


async def test_a_worker_that_died_before_the_move_is_followed_under_the_same_key(engine: Engine) -> None:
    from tests.engine.test_delivery import lapse

    workflow, _ = await two_versions(engine, chain(call()), chain(call("pay")))
    execution = await begun(engine, workflow)
    await claim(engine, "dies")
    await consider(engine, workflow, {"call": "pay"})
    await lapse(engine)
    await engine.settle()
    assert (await engine.execution(execution))["status"] == "COMPLETED"
    assert engine.http.keys == [f"{execution}:call:1:1"], "the outside world knows it under this key"


async def test_a_move_leaves_a_note_and_an_audit_event(engine: Engine) -> None:
    workflow, _ = await two_versions(engine, chain(call()), chain(call("pay")))
    execution = await begun(engine, workflow)
    await consider(engine, workflow, {"call": "pay"})
    (note,) = await engine.fetch("select * from weft.execution_logs where visit = 0")
    assert (note["message"], note["data"]) == (
        "Moved from version 1 to version 2 by ada.",
        {"from_version": 1, "to_version": 2, "mapping": {"call": "pay"}},
    )
    (event,) = await engine.fetch("select * from weft.audit_logs where action = 'execution.migrate'")
    assert (event["resource_id"], event["after"]) == (str(execution), note["data"])


async def test_a_dry_run_changes_nothing(engine: Engine) -> None:
    workflow, _ = await two_versions(engine, chain(call()), chain(call("pay")))
    execution = await begun(engine, workflow)
    before = await engine.execution(execution)
    page = await consider(engine, workflow, {"call": "pay"}, dry_run=True)
    assert [(item.problems, item.moved) for item in page.items] == [((), False)]
    refused = await consider(engine, workflow, dry_run=True)
    assert "map it to a step of the type 'http'" in refused.items[0].problems[0]
    assert await engine.execution(execution) == before


async def test_what_cannot_be_moved_stays_while_others_go(engine: Engine) -> None:
    first = chain(call("one"), call("two"))
    workflow, version = await two_versions(engine, first, chain(call("two")))
    stuck, free = await begun(engine, workflow), await begun(engine, workflow)
    await engine.driver.deliver(engine.actor.tenant_id, [News(free, StepEnded(1, 1, Done()))])
    page = await consider(engine, workflow)
    assert {item.execution_id: item.moved for item in page.items} == {stuck: False, free: True}
    assert (await engine.execution(free))["version_id"] == version
    assert (await engine.execution(stuck))["version_id"] != version
    rows = await engine.fetch("select 1 from weft.audit_logs where action = 'execution.migrate'")
    assert len(rows) == 1, "the audit log tells what was done, not what was tried"


async def test_a_join_that_has_nothing_left_to_wait_for_fires(engine: Engine) -> None:
    def fork(*, joined: bool) -> Document:
        arrows = [("p", "x"), ("p", "y"), ("x", "j"), *([("y", "j")] if joined else []), ("j", "end")]
        return {
            "steps": [step("p", "parallel"), step("x", "transform", {"output": 1}), call("y"), step("j", "join"),
                      step("end", "end", {"output": 3})],
            "transitions": [{"from": a, "to": b} for a, b in arrows],
        }  # fmt: skip

    workflow, _ = await two_versions(engine, fork(joined=True), fork(joined=False))
    execution = await begun(engine, workflow)
    await consider(engine, workflow)
    await engine.settle()
    row = await engine.execution(execution)
    assert row["status"] == "COMPLETED"
    steps = [entry for entry in await engine.journal(execution) if entry[0] in ("j", "end")]
    assert steps == [("j", 1, "COMPLETED"), ("end", 1, "COMPLETED")]


async def test_items_under_way_go_along(engine: Engine) -> None:
    def lines(key: str, *body: dict[str, Any]) -> Document:
        each = step(key, "for_each", {"items": "{{ input }}", "concurrency": 2, "body": chain(*body)})
        return chain(each, step("end", "end", {"output": "{{ steps." + key + ".output }}"}))

    workflow, _ = await two_versions(
        engine, lines("lines", call()), lines("rows", call(), step("out", "transform", {"output": "{{ item }}"}))
    )
    execution = await begun(engine, workflow, [7, 8, 9])
    page = await consider(engine, workflow, {"lines": "rows"})
    assert {(m.step, m.target, m.tokens) for m in page.items[0].moves} == {
        ("lines", "rows", 1), ("lines.call", "rows.call", 2),
    }  # fmt: skip
    await engine.settle()
    assert (await engine.execution(execution))["output"] == [7, 8, 9]


async def test_failed_paused_and_pending_executions_are_moved_too(engine: Engine) -> None:
    workflow, version = await two_versions(engine, chain(call()), chain(step("call", "http", call()["config"]), END))
    tenant = engine.actor.tenant_id
    failed, paused = await begun(engine, workflow), await begun(engine, workflow)
    pending = (await engine.start(workflow, None, version=1)).id
    await engine.driver.deliver(tenant, [News(failed, StepEnded(1, 1, Failed("http_4xx", "no", retryable=False)))])
    await engine.driver.deliver(tenant, [News(paused, Paused("ada"))])
    page = await consider(engine, workflow)
    assert {item.execution_id for item in page.items} == {paused, pending}, "failed ones only when they are asked for"
    assert [item.moved for item in (await consider(engine, workflow, statuses=("FAILED",))).items] == [True]
    engine.http.replies = [ok(b'{"n": 4}')]
    await engine.driver.deliver(tenant, [News(failed, Retried("ada")), News(paused, Resumed("ada"))])
    await engine.settle()
    for execution in (failed, paused, pending):
        row = await engine.execution(execution)
        assert (row["status"], row["output"], row["version_id"]) == ("COMPLETED", 4, version)


async def test_executions_are_named_or_come_page_by_page(engine: Engine) -> None:
    workflow, _ = await two_versions(engine, chain(call()), chain(call()))
    ids = [await begun(engine, workflow) for _ in range(5)]
    seen: list[UUID] = []
    after = None
    while True:
        page = await consider(engine, workflow, limit=2, after=after, dry_run=True)
        seen += [item.execution_id for item in page.items]
        after = page.next
        if after is None:
            break
    assert seen == ids
    assert [item.moved for item in (await consider(engine, workflow, executions=ids[1:3])).items] == [True, True]
    again = await consider(engine, workflow, executions=ids[:2])
    assert [item.problems for item in again.items] == [(), ("It does not run version 1.",)]
    with pytest.raises(ExecutionNotFound):
        await consider(engine, workflow, executions=[new_id()])


async def test_what_is_wrong_with_a_request_is_said_before_anything_is_looked_at(engine: Engine, bob: Actor) -> None:
    workflow, _ = await two_versions(engine, chain(call()), chain(call("pay")))
    with pytest.raises(MappingInvalid, match="'paid', which is no step of the new version"):
        await consider(engine, workflow, {"call": "paid"})
    with pytest.raises(MigrationToItself):
        await consider(engine, workflow, to_version=1)
    with pytest.raises(VersionUnknown):
        await consider(engine, workflow, to_version=3)
    with pytest.raises(WorkflowNotFound):
        await consider(engine, workflow, actor=bob)


async def test_an_execution_that_ended_meanwhile_stays_and_says_so(engine: Engine) -> None:
    workflow, _ = await two_versions(engine, chain(call()), chain(call()))
    execution = await begun(engine, workflow)
    plans = engine.driver.plans
    async with engine.database.pool.acquire() as connection:
        await connection.execute(f"begin; set local app.tenant_id = '{engine.actor.tenant_id}'")
        rows = await connection.fetch("select id from weft.workflow_versions order by number")
        source, target = [await plans.get(connection, engine.actor.tenant_id, row["id"]) for row in rows]
        await connection.execute("commit")
    await engine.driver.deliver(engine.actor.tenant_id, [News(execution, Cancelled("", "ada"))])
    what = Migrated(source, target, {}, "ada")
    assert await engine.driver.deliver(engine.actor.tenant_id, [News(execution, what)]) == {}
    assert what.refused == {execution: ("It has ended as CANCELLED.",)}


async def test_a_save_that_read_the_old_version_is_made_again_in_the_new_one(engine: Engine) -> None:
    """A step's answer and the move race for the row: whoever is second sees what the first has written."""
    workflow, version = await two_versions(
        engine, chain(call("a"), step("end", "end", {"output": 1})), chain(call("b"), step("end", "end", {"output": 2}))
    )
    for _ in range(4):
        execution = await begun(engine, workflow)
        page, _ = await asyncio.gather(
            consider(engine, workflow, {"a": "b"}, executions=[execution]),
            engine.driver.deliver(engine.actor.tenant_id, [News(execution, StepEnded(1, 1, Done()))]),
        )
        row = await engine.execution(execution)
        assert row["status"] == "COMPLETED"
        assert (row["output"], row["version_id"] == version) == ((2, True) if page.items[0].moved else (1, False))


def trip(book: str, undo: str | None) -> Document:
    cancel = {"method": "POST", "url": "http://stub/cancel", "body": "{{ compensating }}"}
    return {
        "steps": [
            step(book, "transform", {"output": {"booking": 7}}, **({"compensate": undo} if undo else {})),
            call("pay"),
            *([step(undo, "http", cancel)] if undo else []),
        ],
        "transitions": [{"from": book, "to": "pay"}],
    }


async def test_what_was_done_before_the_move_is_undone_by_the_new_version(engine: Engine) -> None:
    engine.http.replies = [lambda request: ok(status=402 if request.url.endswith("/pay") else 200)]
    workflow, _ = await two_versions(engine, trip("book", "unbook"), trip("reserve", "unreserve"))
    failed, cancelled = await begun(engine, workflow), await begun(engine, workflow)
    mapping: dict[str, str | None] = {"book": "reserve", "unbook": "unreserve"}
    assert [item.moved for item in (await consider(engine, workflow, mapping)).items] == [True, True]
    await engine.driver.deliver(engine.actor.tenant_id, [News(cancelled, Cancelled("stop", "ada"))])
    await engine.settle()
    for execution, status in ((failed, "FAILED"), (cancelled, "CANCELLED")):
        assert (await engine.execution(execution))["status"] == status
        assert (await engine.journal(execution))[-1] == ("unreserve", 1, "COMPLETED")
    undone = [request.body or b"" for request in engine.http.requests if request.url.endswith("/cancel")]
    assert [b'"booking":7' in body and b'"reserve"' in body for body in undone] == [True, True]


async def test_what_the_new_version_cannot_undo_stays_and_the_preview_says_so(engine: Engine) -> None:
    workflow, version = await two_versions(engine, trip("book", "unbook"), trip("book", None))
    execution = await begun(engine, workflow)
    said = "What 'book' has done could not be undone by the new version: 'book' has no `compensate`."
    for dry_run in (True, False):
        page = await consider(engine, workflow, {"unbook": None}, dry_run=dry_run)
        assert [(item.problems, item.moved) for item in page.items] == [((said,), False)]
    assert (await engine.execution(execution))["version_id"] != version


def twice(first: str, second: str) -> Document:
    """Two steps in a loop that wait for the same type of event, with a delay between the turns."""
    again = {"max_visits": 5, "on_error": "end"}
    return {
        "steps": [
            step(first, "wait_for_event", {"event": "order.paid"}, **again),
            step(second, "wait_for_event", {"event": "order.paid"}),
            step("pause", "delay", {"for": 60}),
            step("end", "end"),
        ],
        "transitions": [
            {"from": a, "to": b} for a, b in ((first, second), (second, "pause"), ("pause", first))
        ],
    }  # fmt: skip


async def test_a_step_that_was_moved_knows_the_events_that_it_took(engine: Engine) -> None:
    """Even where two steps take each other's names; a step that was left out leaves nothing to one of its name."""
    workflow, _ = await two_versions(engine, twice("wait", "check"), twice("check", "wait"))
    swapped, dropped, all_dropped = [await begun(engine, workflow) for _ in range(3)]
    await send(engine)
    await engine.settle()
    mappings: dict[UUID, dict[str, str | None]] = {
        swapped: {"wait": "check", "check": "wait"},
        dropped: {"wait": None, "check": "wait"},
        all_dropped: {"wait": None, "check": None},
    }
    for execution, mapping in mappings.items():
        page = await consider(engine, workflow, mapping, executions=[execution])
        assert [(item.moved, item.problems) for item in page.items] == [(True, ())]
    for _ in range(2):
        engine.clock.advance(61)
        await engine.settle()
    waits = await engine.fetch("select execution_id, visit, step from weft.event_waits where taken is null")
    assert {(row["execution_id"], row["visit"], row["step"]) for row in waits} == {
        (swapped, 4, "check"),
        (dropped, 5, "wait"),  # its first step has no predecessor, and took the event in the second turn
        (all_dropped, 7, "check"),  # so have both of them
    }


@pytest.mark.parametrize("executions", [1, 20])
async def test_the_statements_of_a_move_do_not_grow_with_the_batch(
    executions: int, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow, _ = await two_versions(engine, chain(call()), chain(call("pay")))
    for _ in range(executions):
        await begun(engine, workflow)
    await consider(engine, workflow, dry_run=True)
    counted = Counted(engine, monkeypatch)
    page = await consider(engine, workflow, {"call": "pay"})
    assert sum(item.moved for item in page.items) == executions
    labels = [statement.split("*/")[0][8:] for statement in counted.statements if statement.startswith("/*")]
    assert [label.strip() for label in labels] == [
        "engine.migrated_workflow", "engine.version", "engine.version", "engine.migration_page", "engine.load",
        "engine.save", "engine.audit", "engine.migration_moved",
    ]  # fmt: skip
