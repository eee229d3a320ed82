"""A step has begun to wait: has its event come already?

No order of the two transactions loses a wake-up. Call the one that stores an event E (with its job J) and the one that
stores a wait W (with its job L). J can be claimed only when E is committed, L only when W is.

- W commits before J reads the waits: J finds W, unless it had paged past the place where W stands.
- W commits after that: E was committed before J began, hence before W, hence before L begins; L finds E. The same is so
  when J had paged past W's place.

So one of the two finds the other, perhaps both: then the second tells the execution what it knows already, and the
interpreter, which knows the visit and the attempt, lets that change nothing. An event settles a wait once, and a wait
is settled by one event: whichever save wins the execution's row version.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from weft.core.actor import system_actor
from weft.db.hot import transaction
from weft.engine.drive import Driver
from weft.engine.events.matching import heard
from weft.engine.news import Nothing, StepEnded, What
from weft.engine.queue import Job
from weft.engine.run import Run

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

PAGE = 20
"""Events that are looked at together for one wait."""

_CHOSEN = """
       select e.id, e.type, e.correlation, e.payload, e.received_at
         from weft.events e
        where e.tenant_id = $1 and e.type = w.type and {which}
          and e.received_at >= w.since and (e.received_at, e.id) > (j.at, j.after)
          and not exists (
                select 1 from weft.event_waits t
                 where t.tenant_id = $1 and t.execution_id = w.execution_id and t.step = w.step and t.taken = e.id)
        order by e.received_at, e.id limit $7"""

CAME = f"""/* weft:events.came */
select w.execution_id, w.visit, w.attempt, e.id, e.type, e.correlation, e.payload, e.received_at
  from unnest($2::uuid[], $3::integer[], $4::integer[], $5::timestamptz[], $6::uuid[])
         as j (execution_id, visit, attempt, at, after)
  join weft.event_waits w
    on w.tenant_id = $1 and w.execution_id = j.execution_id and w.visit = j.visit and w.attempt = j.attempt
   and w.taken is null
 cross join lateral (
      ({_CHOSEN.format(which="w.correlation <> '' and e.correlation = w.correlation")})
       union all
      ({_CHOSEN.format(which="w.correlation = ''")})
 ) e
 order by e.received_at, e.id
"""
"""Events that were there before the wait, in the order in which they came. Those that the same step of the execution
took in an earlier visit are no news to it."""


async def look(driver: Driver, tenant_id: UUID, jobs: Sequence[Job]) -> list[tuple[Job, What]]:
    """The answer to each job: the first event that the step waits for, or nothing."""
    answers: dict[UUID, What] = {}
    places: dict[UUID, Any] = {}
    runs: dict[UUID, Run] = {}
    left = list(jobs)
    while left:
        found = await _page(driver, tenant_id, left, places)
        missing = [job.execution_id for job in left if found[job.id] and job.execution_id not in runs]
        if missing:
            runs |= await driver.load(tenant_id, list(dict.fromkeys(missing)))
        again = []
        for job in left:
            what = await _first(driver, runs.get(job.execution_id), job, found[job.id])
            if what is not None or len(found[job.id]) < PAGE:
                answers[job.id] = what or Nothing()
            else:
                places[job.id] = found[job.id][-1]
                again.append(job)
        left = again
    return [(job, answers[job.id]) for job in jobs]


async def _page(driver: Driver, tenant_id: UUID, jobs: Sequence[Job], places: dict[UUID, Any]) -> dict[UUID, list[Any]]:
    """The next events for each job, oldest first."""
    async with transaction(driver.database, system_actor(tenant_id), read_only=True) as connection:
        rows = await connection.fetch(
            CAME,
            tenant_id,
            [job.execution_id for job in jobs],
            [job.visit for job in jobs],
            [job.attempt for job in jobs],
            [places[job.id]["received_at"] if job.id in places else BEGINNING for job in jobs],
            [places[job.id]["id"] if job.id in places else UUID(int=0) for job in jobs],
            PAGE,
        )
    by_visit: dict[tuple[UUID, int, int], list[Any]] = {}
    for row in rows:
        by_visit.setdefault((row["execution_id"], row["visit"], row["attempt"]), []).append(row)
    # A wait for several types has a page of each: what lies beyond the first page's end is looked at again later.
    return {job.id: by_visit.get((job.execution_id, job.visit, job.attempt), [])[:PAGE] for job in jobs}


async def _first(driver: Driver, run: Run | None, job: Job, events: Sequence[Any]) -> What | None:
    if run is None:
        return None
    for event in events:
        outcome = await heard(driver.evaluator, run, job.visit, job.attempt, event, driver.clock())
        if outcome is not None:
            return StepEnded(job.visit, job.attempt, outcome)
    return None
