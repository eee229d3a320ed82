"""The dispatch loop: claim fairly, work side by side, deliver outcomes in groups, keep leases, stop in good order."""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from weft.core.clock import Clock, utc_now
from weft.core.errors import Exhausted, Unavailable
from weft.db.database import Database
from weft.db.hot import AWAY
from weft.engine.drive import Driver
from weft.engine.events import looking
from weft.engine.events.delivery import Delivery
from weft.engine.faults import is_own_end
from weft.engine.kinds import Ports
from weft.engine.news import Nothing, What
from weft.engine.queue import Job, Queue
from weft.engine.run import Run
from weft.engine.starts import Starter
from weft.worker import burial, children, errands
from weft.worker.hand import Hand
from weft.worker.listen import Listener
from weft.worker.options import WorkerOptions
from weft.worker.outbox import Outbox
from weft.worker.suspects import Suspects
from weft.worker.turnstile import Turnstile

log = structlog.get_logger("weft.worker")


LATE_PLACES = 4
"""One place for every four is kept for tenants that have nothing in hand when all others are taken."""

FEW_TENANTS = 8
"""With more tenants than this in hand no place is kept."""


class Worker:
    """One per process. `run` returns after `stop` was called and everything in hand was finished or given back."""

    def __init__(
        self,
        database: Database,
        driver: Driver,
        starter: Starter,
        ports: Ports,
        options: WorkerOptions,
        *,
        listen_dsn: str | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{random.getrandbits(32):08x}"
        self._driver = driver
        self._starter = starter
        self._ports = ports
        self._options = options
        self._clock = clock
        self._queue = Queue(database, self.owner, timedelta(seconds=options.lease))
        self._delivery = Delivery(driver, starter)
        self._outbox = Outbox(driver, self._settled, self._failed)
        self._turnstile = Turnstile(database, clock, self._settled)
        self._suspects = Suspects()
        self._database = database
        self._listener = Listener(listen_dsn or database.dsn, "weft_jobs", self._heard)
        self._held = Hand()
        self._heard_of_jobs = False
        self._errands: dict[UUID, asyncio.Task[None]] = {}
        self._groups: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._next_due: datetime | None = None
        self._next_poll: datetime | None = None
        self.claimed = 0

    @property
    def holding(self) -> int:
        """Jobs in hand."""
        return len(self._held)

    def wake(self) -> None:
        """There is something to do: look now."""
        self._wake.set()

    def _heard(self, said: str) -> None:
        """Somebody has put a job. A new timer may be due before the one that we know of: ask again."""
        if said != "job":
            self._next_poll = None
        self._heard_of_jobs = True
        self._wake.set()

    def stop(self) -> None:
        """Finish what is in hand, claim nothing more."""
        self._stopping.set()
        self._wake.set()

    async def run(self) -> None:
        listening = asyncio.create_task(self._listener.run())
        beating = asyncio.create_task(self._heartbeat())
        try:
            while not self._stopping.is_set():
                try:
                    worked = await self._round()
                except AWAY as error:
                    log.warning("database unavailable", error=type(error).__name__)
                    await self._sleep(0.5)
                    continue
                if not worked:
                    await self._sleep(self._until_next())
            await self._drain()
        finally:
            for task in (listening, beating):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    # -- claiming ------------------------------------------------------------------------------------------

    async def _round(self) -> bool:
        """Promote what is due, claim what there is room for. Whether anything was claimed."""
        self._wake.clear()
        await self._promote()
        room = self._options.concurrency - len(self._held)
        jobs = await self._claim(min(room, self._options.batch)) if room > 0 else await self._claim_late()
        if not jobs:
            return False
        self.claimed += len(jobs)
        by_tenant: dict[UUID, list[Job]] = {}
        for job in jobs:
            self._held.take(job)
            by_tenant.setdefault(job.tenant_id, []).append(job)
        for tenant_id, group in by_tenant.items():
            task = asyncio.create_task(self._work(tenant_id, group))
            self._groups.add(task)
            task.add_done_callback(self._groups.discard)
        return True

    async def _claim(self, most: int) -> list[Job]:
        """Jobs from the queue; or one suspect and nothing beside it, see `suspects.py`."""
        now = self._clock()
        if not self._held:
            self._suspects.over()
        if self._suspects.may_try(len(self._held)):
            suspect = await self._queue.claim_suspect()
            if suspect is not None:
                log.warning("trying a job alone: its workers died", kind=suspect.kind, lapses=suspect.lapses)
                self._suspects.tries(now)
                return [suspect]
        if self._suspects.holds_back(now):
            return []
        return await self._queue.claim(most)

    async def _claim_late(self) -> list[Job]:
        """All places are taken: jobs of tenants that have none of them, for places that are kept for this.

        Otherwise one tenant's flood, which takes every place that comes free, would let another's first job wait for a
        batch of the flood. With many tenants in hand places come free all the time, and nobody needs to be asked.
        """
        room = self._options.concurrency + self._options.concurrency // LATE_PLACES - len(self._held)
        tenants = self._held.tenants
        if (
            room <= 0
            or not self._heard_of_jobs
            or len(tenants) > FEW_TENANTS
            or self._suspects.holds_back(self._clock())
        ):
            return []
        self._heard_of_jobs = False
        return await self._queue.claim(min(room, self._options.batch), but=tenants)

    async def _promote(self) -> None:
        now = self._clock()
        due = self._next_due is not None and self._next_due <= now
        if not due and self._next_poll is not None and now < self._next_poll:
            return
        promoted = await self._queue.promote(now)
        self._next_due = promoted.next_due
        self._suspects.seen(promoted.suspects, now)
        self._next_poll = now + timedelta(seconds=self._options.poll)
        if promoted.recovered:
            log.warning("took over jobs of a worker that is gone", jobs=promoted.recovered)

    def _until_next(self) -> float:
        seconds = self._options.poll
        if self._next_due is not None:
            seconds = min(seconds, max(0.0, (self._next_due - self._clock()).total_seconds()))
        return seconds

    async def _sleep(self, seconds: float) -> None:
        """Until something wakes us, or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    # -- working -------------------------------------------------------------------------------------------

    async def _work(self, tenant_id: UUID, jobs: Sequence[Job]) -> None:
        """All claimed jobs of one tenant: those that are news go out together, the others are worked on."""
        try:
            busy: list[Job] = []
            for job in jobs:
                what = errands.answered_in_memory(job)
                if what is None:
                    busy.append(job)
                else:
                    self._outbox.put(tenant_id, job, what)
            await self._children(tenant_id, [job for job in busy if job.kind in ("child_done", "cancel_child")])
            await self._follow(tenant_id, [job for job in busy if job.kind == "child_pause"])
            for job in busy:
                if job.kind in ("event", "ended"):
                    self._errands[job.id] = asyncio.create_task(self._spread(job))
            await self._look(tenant_id, [job for job in busy if job.kind == "event_wait"])
            await self._begin_errands(tenant_id, [job for job in busy if job.kind in ("step", "child")])
        except AWAY as error:
            log.warning("jobs put off: database unavailable", jobs=len(jobs), error=type(error).__name__)
            await self._put_off(jobs, error)
        except BaseException as error:
            if is_own_end(error):
                raise
            log.exception("jobs put off: they could not be begun", jobs=len(jobs))
            await self._put_off(jobs, error)

    async def _children(self, tenant_id: UUID, jobs: Sequence[Job]) -> None:
        ended = [job for job in jobs if job.kind == "child_done"]
        if ended:
            family = await errands.children_of(self._driver, tenant_id, ended)
            family = await errands.with_output(self._driver, tenant_id, family)
            for job in ended:
                self._outbox.put(tenant_id, job, errands.child_ended(job, family))
        cancelled = [job for job in jobs if job.kind == "cancel_child"]
        if cancelled:
            await self._cancel_children(tenant_id, cancelled)

    async def _cancel_children(self, tenant_id: UUID, jobs: Sequence[Job]) -> None:
        try:
            await errands.cancel_children(self._driver, tenant_id, jobs)
        except (*AWAY, Exhausted, Unavailable):
            raise
        except BaseException as error:
            if is_own_end(error):
                raise
            if len(jobs) == 1:
                await self._put_off(jobs, error)
            else:  # one of them cannot be told; the others can
                for job in jobs:
                    await self._cancel_children(tenant_id, [job])
        else:
            for job in jobs:
                self._outbox.put(tenant_id, job, Nothing())

    async def _follow(self, tenant_id: UUID, jobs: Sequence[Job]) -> None:
        """Sub-workflows pause and go on with the executions that wait for them."""
        if jobs:
            await children.follow_parents(self._driver, tenant_id, jobs)
            for job in jobs:
                self._outbox.put(tenant_id, job, Nothing())

    async def _look(self, tenant_id: UUID, jobs: Sequence[Job]) -> None:
        """Steps that have begun to wait: has what they wait for come already?"""
        if jobs:
            for job, what in await looking.look(self._driver, tenant_id, jobs):
                self._outbox.put(tenant_id, job, what)

    async def _spread(self, job: Job) -> None:
        """An event, or the end of an execution, is told to whoever asks; the job is finished there, page by page."""
        try:
            await self._delivery.deliver(job)
        except BaseException as error:
            if is_own_end(error):
                raise
            log.warning("event put off", kind=job.kind, job=str(job.id), error=f"{type(error).__name__}: {error}")
            await self._put_off([job], error)
        else:
            self._settled(job, None)
        finally:
            self._errands.pop(job.id, None)

    async def _begin_errands(self, tenant_id: UUID, jobs: Sequence[Job]) -> None:
        if not jobs:
            return
        runs = await self._loaded(tenant_id, jobs)
        for job in jobs:
            run = runs.get(job.execution_id)
            if job.id not in self._held:
                continue
            if run is None:
                self._outbox.put(tenant_id, job, Nothing())
                continue
            coroutine: Coroutine[None, None, What | None]
            if job.kind == "child":
                coroutine = errands.start_child(self._driver, self._starter, run, job)
            else:
                coroutine = errands.perform(self._driver, self._ports, run, job, self._turnstile)
            self._errands[job.id] = asyncio.create_task(self._errand(tenant_id, job, coroutine))

    async def _loaded(self, tenant_id: UUID, jobs: Sequence[Job], *, told: bool = False) -> dict[UUID, Run]:
        """The jobs' executions. One that cannot be read does not take the others along: its jobs are put off.

        `told`: the log has a traceback of it, or of one like it; hundreds of them would hold up the others.
        """
        ids = list(dict.fromkeys(job.execution_id for job in jobs))
        try:
            return await self._driver.load(tenant_id, ids)
        except (*AWAY, Exhausted, Unavailable):
            raise
        except BaseException as error:
            if is_own_end(error):
                raise
            if not told and jobs[0].claims == 1:
                log.exception("executions cannot be read", executions=len(ids), first=str(ids[0]))
            if len(ids) == 1:
                log.warning("an execution cannot be read", execution=str(ids[0]), error=type(error).__name__)
                await self._put_off(jobs, error)
                return {}
        runs: dict[UUID, Run] = {}
        for execution_id in ids:
            runs |= await self._loaded(tenant_id, [job for job in jobs if job.execution_id == execution_id], told=True)
        return runs

    async def _errand(self, tenant_id: UUID, job: Job, work: Coroutine[None, None, What | None]) -> None:
        try:
            what = await work
        except BaseException as error:
            if is_own_end(error):
                raise
            log.exception("job put off", kind=job.kind, execution=str(job.execution_id))
            await self._put_off([job], error)
        else:
            if what is not None:
                self._outbox.put(tenant_id, job, what)
        finally:
            self._errands.pop(job.id, None)

    def _settled(self, job: Job, next_due: datetime | None) -> None:
        """The outbox has answered a job; whatever it put may be claimed at once."""
        self._held.drop(job.id)
        if next_due is not None and (self._next_due is None or next_due < self._next_due):
            self._next_due = next_due
        self._wake.set()

    async def _failed(self, job: Job, error: BaseException) -> None:
        await self._put_off([job], error)

    async def _put_off(self, jobs: Sequence[Job], error: BaseException) -> None:
        """Our own fault or the database's: later, with growing distance; the claim stays counted.

        What should have been given up and could not even be told so is buried.
        """
        said = errands.said(error)
        for job in jobs:
            if not self._held.drop(job.id):
                continue
            self._outbox.forget(job)
            until = self._clock() + timedelta(seconds=min(60.0, 0.5 * 2**job.claims))
            try:
                if errands.is_poisoned(job) and not isinstance(error, (*AWAY, Exhausted, Unavailable)):
                    log.error("job buried: its execution cannot be told", kind=job.kind, error=said)
                    await burial.bury(self._database, job, errands.reason(job), said)
                else:
                    await self._queue.defer(job, until, said)
            except AWAY:
                continue  # its lease lapses
            except Exception:  # likewise; the others are put off all the same
                log.exception("a job could not be put off", kind=job.kind, job=str(job.id))
        self._wake.set()

    # -- leases --------------------------------------------------------------------------------------------

    async def _heartbeat(self) -> None:
        while True:
            await asyncio.sleep(self._options.lease / 3)
            held = self._held.leases()
            if not held:
                continue
            try:
                kept = await self._queue.extend(held)
            except AWAY:
                continue
            except Exception:  # a heart that stops would give everything in hand to others, and say nothing
                log.exception("leases could not be extended")
                continue
            for job_id, epoch in held:
                if job_id not in kept and self._held.epoch(job_id) == epoch:
                    self._lose(job_id)

    def _lose(self, job_id: UUID) -> None:
        """Somebody else has the job now: what we still do for it would be done twice."""
        self._held.drop(job_id)
        task = self._errands.get(job_id)
        if task is not None:
            task.cancel()

    async def _drain(self) -> None:
        """Wait for what is in hand; give back what does not end in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._options.drain):
                while self._groups or self._errands or self._outbox.busy:
                    waiting = [*self._groups, *self._errands.values(), *self._outbox.tasks]
                    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in list(self._errands.values()):
            task.cancel()
        if self._held:
            log.info("giving jobs back", jobs=len(self._held))
            with suppress(*AWAY):
                await self._queue.release(self._held.leases())
        await self._starter.close()
