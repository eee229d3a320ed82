"""Answers to jobs on their way into the database, by tenant: what gathers during one save goes with the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from uuid import UUID

import structlog

from weft.core.errors import Exhausted, Unavailable
from weft.db.hot import AWAY
from weft.engine.drive import Driver
from weft.engine.faults import is_own_end
from weft.engine.news import News, What
from weft.engine.queue import Job
from weft.engine.run import Run

log = structlog.get_logger("weft.worker")

LARGEST = 200
"""Answers of one save."""

SIDE_BY_SIDE = 2
"""Saves of one tenant at the same time: while one waits for the database, the next is computed."""


class Outbox:
    """`settled(job, next_due)` is called for every job that was answered, or that is somebody else's by now; `failed`
    for one whose answer cannot be applied, which the caller puts off."""

    def __init__(
        self,
        driver: Driver,
        settled: Callable[[Job, datetime | None], None],
        failed: Callable[[Job, BaseException], Awaitable[None]],
    ) -> None:
        self._driver = driver
        self._settled = settled
        self._failed = failed
        self._waiting: dict[UUID, list[tuple[Job, What]]] = {}
        self._pumps: dict[UUID, set[asyncio.Task[None]]] = {}

    @property
    def busy(self) -> bool:
        return bool(self._pumps)

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        return [task for tasks in self._pumps.values() for task in tasks]

    def put(self, tenant_id: UUID, job: Job, what: What) -> None:
        waiting = self._waiting.setdefault(tenant_id, [])
        waiting.append((job, what))
        pumps = self._pumps.setdefault(tenant_id, set())
        if not pumps or (len(pumps) < SIDE_BY_SIDE and len(waiting) >= LARGEST // 4):
            pumps.add(asyncio.create_task(self._pump(tenant_id)))

    def forget(self, job: Job) -> None:
        """The job was put off: do not answer it any more."""
        waiting = self._waiting.get(job.tenant_id)
        if waiting:
            self._waiting[job.tenant_id] = [(j, w) for j, w in waiting if j.id != job.id]

    async def _pump(self, tenant_id: UUID) -> None:
        try:
            while waiting := self._waiting.get(tenant_id):
                batch, self._waiting[tenant_id] = waiting[:LARGEST], waiting[LARGEST:]
                await self._deliver(tenant_id, batch)
        finally:
            pumps = self._pumps[tenant_id]
            pumps.discard(asyncio.current_task())
            if not pumps:
                del self._pumps[tenant_id]
            if not self._waiting.get(tenant_id):
                self._waiting.pop(tenant_id, None)

    async def _deliver(self, tenant_id: UUID, batch: Sequence[tuple[Job, What]], *, told: bool = False) -> None:
        """Save a batch. What the outside world has done is not forgotten because the database is away.

        One whose news cannot be applied does not take the others along. `told`: the log has the traceback already.
        """
        delay = 0.1
        while True:
            try:
                runs = await self._driver.deliver(tenant_id, _news(batch))
            except (*AWAY, Exhausted, Unavailable):
                await asyncio.sleep(delay)
                delay = min(5.0, delay * 2)
            except BaseException as error:
                if is_own_end(error):
                    raise
                job = batch[0][0]
                if not told and job.claims == 1:
                    log.exception("news could not be applied", news=len(batch), first=str(job.execution_id))
                if len(batch) == 1:
                    log.warning(
                        "a job could not be answered", kind=job.kind, execution=str(job.execution_id),
                        error=type(error).__name__,
                    )  # fmt: skip
                    await self._failed(job, error)  # failed too often, it is given up
                    return
                for one in batch:
                    await self._deliver(tenant_id, [one], told=True)
                return
            else:
                for job, _ in batch:
                    self._settled(job, _next_due(runs.get(job.execution_id)))
                return


def _news(batch: Sequence[tuple[Job, What]]) -> list[News]:
    return [News(job.execution_id, what, job.fence) for job, what in batch]


def _next_due(run: Run | None) -> datetime | None:
    times = [job.run_at for job in run.jobs if job.run_at is not None] if run is not None else []
    return min(times, default=None)
