"""Rate limits over all workers, on a virtual clock."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from tests.conftest import make_tenant
from tests.engine.conftest import Engine
from tests.engine.documents import chain, step

from weft.core.actor import Actor
from weft.core.ports import HttpRequest, HttpResponse
from weft.db.scope import enter
from weft.domain.executions import service as executions
from weft.domain.limits.schemas import RateLimitWrite
from weft.domain.limits.service import rates
from weft.domain.secrets import service as secrets
from weft.domain.secrets.schemas import SecretPut
from weft.engine.kinds import Ports
from weft.engine.vault import Vault


class StandingClock:
    """Time goes on only when a test says so."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0)

    def __call__(self) -> datetime:
        return self.now


class Target:
    """Notes when it was called; asks for peace once, if told to."""

    def __init__(self, clock: StandingClock, *, refuse_first: bool = False) -> None:
        self.calls: dict[str, list[datetime]] = {}
        self._clock = clock
        self._refuse = refuse_first

    async def send(self, request: HttpRequest) -> HttpResponse:
        host = request.url.split("/")[2]
        self.calls.setdefault(host, []).append(self._clock())
        headers = {"content-type": "application/json"}
        if self._refuse:
            self._refuse = False
            return HttpResponse(429, headers | {"retry-after": "30"}, b"{}", request.url)
        return HttpResponse(200, headers, b"{}", request.url)


def calling(**more: Any) -> dict[str, Any]:
    return chain(step("call", "http", {"url": "http://{{ input }}/"}, **more))


async def limit(engine: Engine, target: str, *, actor: Actor | None = None, **wanted: Any) -> None:
    async with enter(engine.database, actor or engine.actor) as scope:
        await rates.put(scope, RateLimitWrite(target=target, **wanted))


async def started(engine: Engine, number: int, host: str = "api.example.com", actor: Actor | None = None) -> list[UUID]:
    actor = actor or engine.actor
    workflow = await engine.workflow(calling(), actor)
    found = await asyncio.gather(*(engine.start(workflow, host, actor=actor) for _ in range(number)))
    return [one.id for one in found]


async def run(
    engine: Engine, clock: StandingClock, *, workers: int = 2, tick: float = 0.001, others: Sequence[Actor] = ()
) -> None:
    """Time jumps, by whole ticks, to the next job as soon as nothing is left to do before it."""
    began, length = clock.now, timedelta(seconds=tick)
    running = [engine.worker(lease=300, poll=60) for _ in range(workers)]
    for worker in running:
        worker._clock = worker._turnstile._clock = clock
    tasks = [asyncio.create_task(worker.run()) for worker in running]
    try:
        async with asyncio.timeout(300):
            while True:
                jobs = await engine.jobs()
                for other in others:
                    jobs += await engine.jobs(other)
                if not jobs:
                    return
                if all(job["state"] == "scheduled" for job in jobs):
                    ticks = -((began - min(job["run_at"] for job in jobs)) // length)
                    clock.now = max(clock.now, began + ticks * length)
                for worker in running:
                    worker._heard("timer")
                await asyncio.sleep(0.002)
    finally:
        for worker in running:
            worker.stop()
        await asyncio.gather(*tasks)


def stand_still(engine: Engine) -> StandingClock:
    clock = StandingClock()
    engine.driver.clock = clock
    engine.http = Target(clock)  # type: ignore[assignment]  # a stand-in
    return clock


async def test_hundreds_of_calls_keep_to_the_rate_and_another_tenant_does_not_notice(engine: Engine) -> None:
    clock = stand_still(engine)
    other = await make_tenant(engine.database, "other")
    await limit(engine, "api.example.com", calls=100, burst=10)
    await started(engine, 300)
    began = clock.now
    theirs = await started(engine, 20, actor=other)
    await run(engine, clock, tick=0.1, others=[other])
    calls = sorted(engine.http.calls["api.example.com"])  # type: ignore[attr-defined]  # the stand-in's
    assert len(calls) == 320
    rows = await engine.fetch(
        "select completed_at from weft.workflow_executions where id = any($1)", theirs, actor=other
    )
    assert {row["completed_at"] for row in rows} == {began}, "another tenant waits for nobody"
    mine = Counter(calls) - Counter({began: len(theirs)})
    assert mine == {began + timedelta(seconds=place / 10): 10 for place in range(30)}, "ten in each tenth of a second"
    rows = await engine.fetch("select distinct attempt, status from weft.execution_logs")
    assert [(row["attempt"], row["status"]) for row in rows] == [(1, "COMPLETED")], "waiting is no attempt"


async def test_whoever_waits_for_its_turn_says_until_when(engine: Engine) -> None:
    clock = stand_still(engine)
    await limit(engine, "*.example.com", calls=1, seconds=60)
    ids = await started(engine, 2)
    worker = engine.worker(lease=300, poll=60)
    worker._clock = worker._turnstile._clock = clock
    task = asyncio.create_task(worker.run())
    async with asyncio.timeout(60):
        while [job["state"] for job in await engine.jobs()] != ["scheduled"]:  # noqa: ASYNC110  it is told by nobody
            await asyncio.sleep(0.005)
    worker.stop()
    await task
    (job,) = await engine.jobs()
    assert (job["claims"], job["run_at"]) == (0, clock.now + timedelta(seconds=60))
    async with enter(engine.database, engine.actor, read_only=True) as scope:
        waiting = [(await executions.get(scope, one)).steps for one in ids]
    (live,) = [steps[0] for steps in waiting if steps]
    assert live.resumes_at == clock.now + timedelta(seconds=60)
    # A quicker limit does not let it wait for the old one.
    await limit(engine, "*.example.com", calls=10, seconds=1)
    await run(engine, clock, workers=1)
    assert clock.now < job["run_at"]


async def test_a_429_holds_up_all_calls_to_its_target(engine: Engine) -> None:
    clock = stand_still(engine)
    engine.http = target = Target(clock, refuse_first=True)  # type: ignore[assignment]  # a stand-in
    await limit(engine, "*", calls=10, burst=1)
    workflow = await engine.workflow(calling(retry={"attempts": 2, "initial": 1, "jitter": False}))
    for _ in range(5):
        await engine.start(workflow, "api.example.com")
    began = clock.now
    await run(engine, clock, workers=1)
    first, *others = sorted(target.calls["api.example.com"])
    assert first == began
    assert len(others) == 5
    assert others[0] >= began + timedelta(seconds=30)


async def test_a_host_that_only_a_secret_names_is_limited_too(engine: Engine) -> None:
    clock = stand_still(engine)
    async with enter(engine.database, engine.actor) as scope:
        await secrets.put(scope, "chat", SecretPut(value="http://api.example.com/key"))
    await limit(engine, "api.example.com", calls=1, seconds=10)
    engine.ports = Ports(http=engine.http, secrets=Vault(engine.database))
    workflow = await engine.workflow(chain(step("call", "http", {"url": "secret://chat"})))
    for _ in range(3):
        await engine.start(workflow, None)
    began = clock.now
    await run(engine, clock, workers=1)
    calls = engine.http.calls["api.example.com"]  # type: ignore[attr-defined]  # the stand-in's
    assert [(at - began).seconds for at in sorted(calls)] == [0, 10, 20]


async def test_a_removed_limit_lets_them_go(engine: Engine) -> None:
    clock = stand_still(engine)
    await limit(engine, "api.example.com", calls=1, seconds=3600)
    await started(engine, 3)
    worker = engine.worker(lease=300, poll=60)
    worker._clock = worker._turnstile._clock = clock
    task = asyncio.create_task(worker.run())
    async with asyncio.timeout(60):
        while [job["state"] for job in await engine.jobs()] != ["scheduled"] * 2:  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(0.005)
    worker.stop()
    await task
    async with enter(engine.database, engine.actor) as scope:
        (known,) = await scope.raw.fetch("select id from weft.rate_limits")
        await rates.delete(scope, known["id"])
    await run(engine, clock, workers=1)
    assert set(engine.http.calls["api.example.com"]) == {clock.now}  # type: ignore[attr-defined]  # the stand-in's
