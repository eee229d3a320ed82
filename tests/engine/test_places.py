"""Concurrency limits: never more than so many, nobody forgotten, no place lost."""

from __future__ import annotations

import asyncio
import random
from typing import Any
from uuid import UUID

import pytest
from tests.engine.conftest import Engine
from tests.engine.documents import FIVE, INPUT, call, chain, step

from weft.core.ports import HttpRequest, HttpResponse
from weft.db.scope import enter
from weft.domain.limits.models import WhenFull
from weft.domain.limits.schemas import TenantLimitsWrite, WorkflowLimitsWrite
from weft.domain.limits.service import tenants, workflows
from weft.engine.news import Cancelled, News, Paused, Resumed, Retried
from weft.engine.places import ConcurrencyKeyUnclear, WorkflowFull
from weft.engine.replays import ReplayRequest, replay
from weft.worker import sweep


async def limit(engine: Engine, workflow: UUID, **wanted: Any) -> None:
    async with enter(engine.database, engine.actor) as scope:
        await workflows.set_limits(scope, workflow, WorkflowLimitsWrite(**wanted))


async def limit_tenant(engine: Engine, **wanted: Any) -> None:
    async with enter(engine.database, engine.actor) as scope:
        await tenants.set_limits(scope, TenantLimitsWrite(**wanted))


async def places(engine: Engine) -> list[str]:
    rows = await engine.fetch("select state from weft.execution_places order by since")
    return [row["state"] for row in rows]


class Crowd:
    """The outside world that counts who is there at the same time, by what they say of themselves."""

    def __init__(self, *, fail: random.Random | None = None) -> None:
        self.inside: dict[str, int] = {}
        self.most: dict[str, int] = {}
        self._fail = fail

    async def send(self, request: HttpRequest) -> HttpResponse:
        who = request.url.rpartition("/")[2]
        self.inside[who] = self.inside.get(who, 0) + 1
        self.most[who] = max(self.most.get(who, 0), self.inside[who])
        await asyncio.sleep(0)
        self.inside[who] -= 1
        status = 400 if self._fail is not None and self._fail.random() < 0.2 else 200
        return HttpResponse(status, {"content-type": "application/json"}, b"{}", request.url)


def visit(key: str = "call") -> dict[str, Any]:
    return step(key, "http", {"url": "http://stub/{{ input.who }}"})


async def test_never_more_than_the_limit_whatever_happens(engine: Engine) -> None:
    """200 starts, four workers, random failures, cancellations and retries: three at once, and no place is lost."""
    engine.http = crowd = Crowd(fail=random.Random(5))  # type: ignore[assignment]  # a stand-in
    workflow = await engine.workflow(chain(visit("one"), visit("two")))
    await limit(engine, workflow, concurrent=3)
    started = await asyncio.gather(*(engine.start(workflow, {"who": "all"}) for _ in range(200)))
    chosen = random.Random(6).sample(started, 20)
    tenant = engine.actor.tenant_id
    for one in chosen:
        await engine.driver.deliver(tenant, [News(one.id, Cancelled("not needed", "ada"))], actor=engine.actor)
    await engine.settle(workers=4)
    failed = await engine.fetch("select id from weft.workflow_executions where status = 'FAILED'")
    assert failed
    for row in failed[:15]:
        await engine.driver.deliver(tenant, [News(row["id"], Retried("ada"))], actor=engine.actor)
    await engine.settle(workers=4)
    rows = await engine.fetch(
        "select id, status, started_at, completed_at from weft.workflow_executions where started_at is not null"
    )
    assert {row["status"] for row in rows} == {"COMPLETED", "FAILED"}
    assert crowd.most["all"] <= 3
    # Those that were retried have a gap in the middle, in which they had no place.
    whole = [row for row in rows if row["id"] not in {one["id"] for one in failed}]
    assert most_at_once([(row["started_at"], row["completed_at"]) for row in whole]) <= 3
    statuses = await engine.fetch("select status, count(*) as n from weft.workflow_executions group by status")
    assert sum(row["n"] for row in statuses) == 200
    assert {row["status"]: row["n"] for row in statuses}["CANCELLED"] == 20
    assert await places(engine) == []
    assert await engine.jobs() == []
    assert await sweep.sweep(engine.database) == 0


def most_at_once(periods: list[tuple[Any, Any]]) -> int:
    """Of periods that do not include their end."""
    edges = sorted([(begin, 1) for begin, _ in periods] + [(end, -1) for _, end in periods])
    now = most = 0
    for _, change in edges:
        now += change
        most = max(most, now)
    return most


async def test_whoever_waits_says_for_what_and_goes_on_when_there_is_a_place(engine: Engine) -> None:
    workflow = await engine.workflow(chain(call()))
    await limit(engine, workflow, concurrent=1)
    first = await engine.start(workflow, None)
    second = await engine.start(workflow, None, inline=True)
    assert (second.status, await places(engine)) == ("PENDING", ["held", "waiting"])
    assert [job["state"] for job in await engine.jobs()] == ["ready", "parked"]
    tenant = engine.actor.tenant_id
    await engine.driver.deliver(tenant, [News(first.id, Cancelled("", "ada"))], actor=engine.actor)
    assert await places(engine) == ["held"]
    await engine.settle()
    assert (await engine.execution(second.id))["status"] == "COMPLETED"


async def test_the_most_urgent_goes_first_then_the_oldest(engine: Engine) -> None:
    workflow = await engine.workflow(chain(visit()))
    await limit(engine, workflow, concurrent=1)
    order = [await engine.start(workflow, {"who": "x"}, priority=p) for p in (0, 0, -10, 50, 50)]
    await engine.settle()
    rows = await engine.fetch("select id from weft.workflow_executions order by started_at")
    wanted = [order[0], order[3], order[4], order[1], order[2]]
    assert [row["id"] for row in rows] == [one.id for one in wanted]


async def test_a_key_gives_each_value_its_own_places(engine: Engine) -> None:
    engine.http = crowd = Crowd()  # type: ignore[assignment]  # a stand-in
    workflow = await engine.workflow(chain(visit()))
    await limit(engine, workflow, concurrent=1, key="input.who")
    for number in range(12):
        await engine.start(workflow, {"who": f"c{number % 3}"})
    assert sorted(await places(engine)) == ["held"] * 3 + ["waiting"] * 9
    await engine.settle(workers=2)
    assert crowd.most == {"c0": 1, "c1": 1, "c2": 1}
    assert await places(engine) == []


async def test_a_key_that_does_not_work_out_refuses_the_start(engine: Engine) -> None:
    workflow = await engine.workflow(chain(call()))
    await limit(engine, workflow, concurrent=1, key="12 // input.parts")
    with pytest.raises(ConcurrencyKeyUnclear, match="12 // input"):
        await engine.start(workflow, {"parts": 0})
    assert await engine.jobs() == []


async def test_a_workflow_that_refuses_says_so_and_repeats_its_answer(engine: Engine) -> None:
    workflow = await engine.workflow(chain(call()))
    await limit(engine, workflow, concurrent=2, when_full=WhenFull.refuse)
    answers = await asyncio.gather(*(engine.start(workflow, n) for n in range(5)), return_exceptions=True)
    assert sum(isinstance(answer, WorkflowFull) for answer in answers) == 3
    assert await places(engine) == ["held", "held"]
    await engine.settle()
    kept = await engine.start(workflow, 1, idempotency_key="k")
    await engine.start(workflow, 2)
    again = await engine.start(workflow, 1, idempotency_key="k")
    assert (again.id, again.created) == (kept.id, False), "a repeated key is answered even when there is no place"
    with pytest.raises(WorkflowFull, match="2 of 2"):
        await engine.start(workflow, 3)


async def test_a_limit_holds_for_a_process_that_knew_of_none(engine: Engine) -> None:
    workflow = await engine.workflow(chain(call()))
    running = await engine.start(workflow, None)
    await limit(engine, workflow, concurrent=1)
    assert await places(engine) == ["held"], "what runs when a limit is set counts"
    later = await engine.start(workflow, None)
    assert later.status == "PENDING"
    assert await places(engine) == ["held", "waiting"]
    await engine.settle()
    for one in (running, later):
        assert (await engine.execution(one.id))["status"] == "COMPLETED"
    assert await places(engine) == []


async def test_a_larger_limit_or_none_lets_the_waiting_go(engine: Engine) -> None:
    workflow = await engine.workflow(chain(call()))
    await limit(engine, workflow, concurrent=1)
    for _ in range(5):
        await engine.start(workflow, None)
    await limit(engine, workflow, concurrent=3)
    assert (await places(engine)).count("held") == 3
    async with enter(engine.database, engine.actor) as scope:
        await workflows.clear(scope, workflow)
    assert (await places(engine)).count("held") == 5
    await engine.settle()
    assert await places(engine) == []


async def test_a_tenant_s_limit_is_one_for_all_its_workflows(engine: Engine) -> None:
    engine.http = crowd = Crowd()  # type: ignore[assignment]  # a stand-in
    first = await engine.workflow(chain(visit()))
    second = await engine.workflow(chain(visit()))
    await limit(engine, second, concurrent=1)
    await limit_tenant(engine, concurrent_executions=2)
    for _ in range(10):
        await engine.start(first, {"who": "a"})
        await engine.start(second, {"who": "a"})
    assert sorted(await places(engine)) == ["held"] * 2 + ["placed"] * 9 + ["waiting"] * 9
    await engine.settle(workers=3)
    assert crowd.most["a"] <= 2
    statuses = await engine.fetch("select distinct status from weft.workflow_executions")
    assert [row["status"] for row in statuses] == ["COMPLETED"]
    assert await places(engine) == []
    await limit_tenant(engine, concurrent_executions=None)
    assert (await engine.start(first, {"who": "a"}, inline=True)).status == "RUNNING"


async def test_a_sub_workflow_does_not_wait_for_its_own_parent(engine: Engine) -> None:
    """The tenant has one place and the workflow, which calls itself, has one: else it would wait for ever."""
    document = chain(
        step("more", "condition"), step("inner", "sub_workflow", {"workflow": "self", "input": {"depth": 0}}),
        step("end", "end"), name="self",
    )  # fmt: skip
    document["transitions"] = [
        {"from": "more", "to": "inner", "when": "input.depth > 0"}, {"from": "more", "to": "end", "default": True},
        {"from": "inner", "to": "end"},
    ]  # fmt: skip
    workflow = await engine.workflow(document)
    await limit(engine, workflow, concurrent=1)
    await limit_tenant(engine, concurrent_executions=1)
    outer = await engine.start(workflow, {"depth": 1})
    await engine.settle()
    assert (await engine.execution(outer.id))["status"] == "COMPLETED"
    assert await places(engine) == []


async def test_a_replay_waits_for_a_place_like_any_start(engine: Engine) -> None:
    engine.http = crowd = Crowd()  # type: ignore[assignment]  # a stand-in
    workflow = await engine.workflow(chain(visit(), step("end", "end")))
    first = await engine.start(workflow, {"who": "a"})
    await engine.settle()
    await limit(engine, workflow, concurrent=1, key="input.who", priority=7)
    running = await engine.start(workflow, {"who": "a"})
    again = await replay(engine.driver, engine.actor, ReplayRequest(first.id, "call"))
    assert await places(engine) == ["held", "waiting"]
    await engine.settle(workers=2)
    assert crowd.most["a"] == 1
    for one in (running, again):
        row = await engine.execution(one.id)
        assert (row["status"], row["priority"], row["place_key"]) == ("COMPLETED", 7, "a")
    assert await places(engine) == []


async def test_a_paused_execution_keeps_its_place(engine: Engine) -> None:
    workflow = await engine.workflow(chain(call()))
    await limit(engine, workflow, concurrent=1)
    tenant = engine.actor.tenant_id
    first, second = [await engine.start(workflow, None) for _ in range(2)]
    for one in (first, second):
        await engine.driver.deliver(tenant, [News(one.id, Paused("ada"))], actor=engine.actor)
    await engine.settle(until=lambda jobs: [job["state"] for job in jobs] == ["parked"])
    assert await places(engine) == ["held", "waiting"]
    for one in (second, first):
        await engine.driver.deliver(tenant, [News(one.id, Resumed("ada"))], actor=engine.actor)
    await engine.settle()
    rows = await engine.fetch("select distinct status from weft.workflow_executions")
    assert [row["status"] for row in rows] == ["COMPLETED"]
    assert await places(engine) == []


async def test_places_cost_nothing_where_there_are_no_limits(engine: Engine) -> None:
    workflow = await engine.workflow(FIVE)
    await engine.start(workflow, INPUT)
    await engine.settle()
    assert await engine.fetch("select * from weft.execution_places") == []
    row = (await engine.fetch("select place_key, priority from weft.workflow_executions"))[0]
    assert (row["place_key"], row["priority"]) == (None, 0)


async def test_the_sweep_frees_what_a_fault_has_left(engine: Engine) -> None:
    workflow = await engine.workflow(chain(call()))
    await limit(engine, workflow, concurrent=1)
    lost = await engine.start(workflow, None)
    waiting = await engine.start(workflow, None)
    async with enter(engine.database, engine.actor) as scope:
        await scope.raw.execute("update weft.workflow_executions set status = 'FAILED' where id = $1", lost.id)
        await scope.raw.execute("delete from weft.dispatch_jobs where execution_id = $1", lost.id)
    assert await sweep.sweep(engine.database) == 1
    assert await places(engine) == ["held"]
    await engine.settle()
    assert (await engine.execution(waiting.id))["status"] == "COMPLETED"


async def test_the_queue_of_a_limit_is_not_read_to_give_one_place(engine: Engine) -> None:
    """Plans: what is admitted is found by the index, in order, however many wait."""
    workflow = await engine.workflow(chain(call()))
    await limit(engine, workflow, concurrent=2)
    first = await engine.start(workflow, None)
    async with enter(engine.database, engine.actor) as scope:
        await scope.raw.execute(
            "insert into weft.workflow_executions (tenant_id, id, workflow_id, version_id, number, place_key)"
            " select e.tenant_id, gen_random_uuid(), e.workflow_id, e.version_id, 100 + n, ''"
            "   from weft.workflow_executions e, generate_series(1, 5000) n where e.id = $1", first.id,
        )  # fmt: skip
        await scope.raw.execute(
            "insert into weft.execution_places (tenant_id, execution_id, workflow_id, key)"
            " select tenant_id, id, workflow_id, '' from weft.workflow_executions where id <> $1", first.id,
        )  # fmt: skip
        # `plan_cache_mode` and statistics as they are right after a burst: nobody has analysed anything yet.
        before = await scope.raw.fetchval(READ)
        admitted = await scope.raw.fetchval(
            "select weft.admit($1, array[$2::uuid], array[''])", engine.actor.tenant_id, workflow
        )
        after = await scope.raw.fetchval(READ)
    assert admitted == 1
    assert 0 < after - before < 50, f"{after - before} rows were read"


READ = "select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables where relname = 'execution_places'"
