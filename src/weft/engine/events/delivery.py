"""An event is delivered: to the steps that wait for it, in sets, and to the triggers that it starts.

One event may wake many executions, so its job goes through the open waits in pages by an index, keeps how far it has
come in its own row, and is taken up there by whoever claims it after a crash. Nothing that was done before is repeated
by that: a wait that has its event is not open any more, and a start repeats its idempotency key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from weft.core.actor import system_actor
from weft.db.hot import transaction
from weft.engine import store
from weft.engine.drive import Driver
from weft.engine.events.ends import Ends
from weft.engine.events.following import Followers
from weft.engine.events.matching import heard
from weft.engine.news import News, StepEnded
from weft.engine.queue import Job
from weft.engine.starts import Starter

PAGE: Final = 500
"""Executions that are woken by one save."""

MOST_CLAIMS: Final = 5
"""A job that was claimed more often than this without coming any further is set aside."""

LOAD = """/* weft:events.load */
select e.id, e.type, e.correlation, e.payload, e.received_at, e.execution_id, e.depth, x.metadata
  from weft.events e
  left join weft.workflow_executions x on x.tenant_id = $1 and x.id = e.execution_id
 where e.tenant_id = $1 and e.id = $2
"""

WAITING = """/* weft:events.waiting */
select w.id, w.execution_id, w.visit, w.attempt
  from weft.event_waits w
 where w.tenant_id = $1 and w.type = $2 and w.correlation = $3 and w.taken is null and w.id > $4 and w.since <= $5
   and not exists (
         select 1 from weft.event_waits t
          where t.tenant_id = $1 and t.execution_id = w.execution_id and t.step = w.step and t.taken = $6)
 order by w.id limit $7
"""

PROGRESS = """/* weft:events.progress */
update weft.dispatch_jobs j set detail = $4, claims = 1
 where j.tenant_id = $1 and j.id = $2 and j.epoch = $3 and j.state = 'leased'
"""

FINISH = """/* weft:events.finish */
with done as (
  delete from weft.dispatch_jobs j where j.tenant_id = $1 and j.id = $2 and j.epoch = $3 and j.state = 'leased'
  returning 1
)
update weft.events e set delivered_at = $5, effects = coalesce(e.effects, '{}') || $6::jsonb
 where e.tenant_id = $1 and e.id = $4 and exists (select 1 from done)
"""

DROP = """/* weft:events.drop */
delete from weft.dispatch_jobs j where j.tenant_id = $1 and j.id = $2 and j.epoch = $3 and j.state = 'leased'
"""


class LeaseLost(Exception):
    """Somebody else has the job now, and goes on where its row says."""


@dataclass(slots=True)
class _Place:
    """How far the job has come: which correlation is gone through, and after which wait."""

    passed: int = 0
    after: UUID = field(default=UUID(int=0))
    woken: int = 0

    @classmethod
    def of(cls, detail: Mapping[str, Any]) -> _Place:
        return cls(detail.get("passed", 0), UUID(detail.get("after", str(UUID(int=0)))), detail.get("woken", 0))

    def kept(self, event: str) -> dict[str, Any]:
        return {"event": event, "passed": self.passed, "after": str(self.after), "woken": self.woken}


class Delivery:
    """One per worker."""

    def __init__(self, driver: Driver, starter: Starter) -> None:
        self._driver = driver
        self._followers = Followers(driver, starter)
        self._ends = Ends(driver)

    async def deliver(self, job: Job) -> None:
        """Do the whole job and finish it. When this raises, the job is to be put off."""
        if job.claims > MOST_CLAIMS:
            await self._bury(job)
        elif job.kind == "ended":
            await self._ends.tell(job)
        else:
            await self._deliver(job)

    async def _deliver(self, job: Job) -> None:
        detail = job.detail or {}
        async with transaction(self._driver.database, system_actor(job.tenant_id), read_only=True) as connection:
            event = await connection.fetchrow(LOAD, job.tenant_id, UUID(detail["event"]))
        if event is None:  # it was too old to be kept
            await self._drop(job)
            return
        place = _Place.of(detail)
        correlations = [event["correlation"], ""] if event["correlation"] else [""]
        while place.passed < len(correlations):
            waits = await self._waiting(job.tenant_id, event, correlations[place.passed], place.after)
            if waits:
                place.woken += await self._wake(job.tenant_id, event, waits)
                place.after = waits[-1]["id"]
            if len(waits) < PAGE:
                place.passed, place.after = place.passed + 1, UUID(int=0)
            else:
                await self._keep(job, place)
        effects = await self._followers.start(job.tenant_id, event)
        await self._finish(job, event["id"], {"woken": place.woken, **effects})

    async def _waiting(self, tenant_id: UUID, event: Mapping[str, Any], correlation: str, after: UUID) -> Sequence[Any]:
        async with transaction(self._driver.database, system_actor(tenant_id), read_only=True) as connection:
            rows: Sequence[Any] = await connection.fetch(
                WAITING, tenant_id, event["type"], correlation, after, event["received_at"], event["id"], PAGE
            )
        return rows

    async def _wake(self, tenant_id: UUID, event: Mapping[str, Any], waits: Sequence[Any]) -> int:
        """Tell the executions behind these waits, in one save."""
        driver = self._driver
        runs = await driver.load(tenant_id, list(dict.fromkeys(wait["execution_id"] for wait in waits)))
        news = []
        for wait in waits:
            run = runs.get(wait["execution_id"])
            if run is None:
                continue
            visit, attempt = wait["visit"], wait["attempt"]
            outcome = await heard(driver.evaluator, run, visit, attempt, event, driver.clock())
            if outcome is not None:
                news.append(News(run.id, StepEnded(visit, attempt, outcome)))
        if news:
            await driver.deliver(tenant_id, news, known={item.execution_id: runs[item.execution_id] for item in news})
        return len(news)

    # -- the job's own row ---------------------------------------------------------------------------------

    async def _keep(self, job: Job, place: _Place) -> None:
        kept = place.kept(str((job.detail or {})["event"]))
        async with transaction(self._driver.database, system_actor(job.tenant_id)) as connection:
            done = await connection.execute(PROGRESS, job.tenant_id, job.id, job.epoch, kept)
        if done != "UPDATE 1":
            raise LeaseLost

    async def _finish(self, job: Job, event: UUID, effects: dict[str, Any]) -> None:
        async with transaction(self._driver.database, system_actor(job.tenant_id)) as connection:
            await connection.execute(FINISH, job.tenant_id, job.id, job.epoch, event, self._driver.clock(), effects)

    async def _drop(self, job: Job) -> None:
        async with transaction(self._driver.database, system_actor(job.tenant_id)) as connection:
            await connection.execute(DROP, job.tenant_id, job.id, job.epoch)

    async def _bury(self, job: Job) -> None:
        """Keep it among the dead: an operator should know that an event reached not everybody."""
        reason = (
            f"The job '{job.kind}' was delivered {job.claims - 1} times and came no further. Look at the worker's log."
        )
        async with transaction(self._driver.database, system_actor(job.tenant_id)) as connection:
            await store.bury(connection, job.tenant_id, [(job.fence, reason)])
            await connection.execute(DROP, job.tenant_id, job.id, job.epoch)
