"""Rate limits of targets: who may call now, and when the others come again.

Errands ask one by one; what gathers while an answer is under way goes with the next, so that a claimed batch costs
one transaction whatever its size. The state is in the database and counts for all workers. A job that must wait is
scheduled for its turn in the same transaction: neither the claim nor the attempt is counted.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from weft.core.actor import system_actor
from weft.core.clock import Clock
from weft.db.database import Connection, Database
from weft.db.hot import transaction
from weft.domain.limits import rules
from weft.domain.limits.rules import Rate
from weft.engine.faults import is_own_end
from weft.engine.queue import POSTPONE, Job

LIMITS = """/* weft:rates.limits */
select r.id, r.target, r.calls, r.seconds, r.burst from weft.rate_limits r where r.tenant_id = $1
"""

# The update changes nothing; it locks, in the order of the ids, and tells where the target stands.
STAND = """/* weft:rates.stand */
insert into weft.rate_limit_states as s (tenant_id, rate_limit_id, next_call)
select $1, l.id, 0 from weft.rate_limits l where l.tenant_id = $1 and l.id = any($2::uuid[]) order by l.id
on conflict (tenant_id, rate_limit_id) do update set next_call = s.next_call
returning rate_limit_id, next_call, next_turn
"""

WRITE = """/* weft:rates.write */
update weft.rate_limit_states s set next_call = u.next_call, next_turn = u.next_turn
  from unnest($2::uuid[], $3::bigint[], $4::bigint[]) as u (id, next_call, next_turn)
 where s.tenant_id = $1 and s.rate_limit_id = u.id
"""

KEPT = 1000
"""Tenants whose limits a worker remembers."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Limit:
    id: UUID
    rate: Rate


@dataclass(slots=True)
class _Asking:
    job: Job
    limit: Limit
    answer: asyncio.Future[datetime | None]


class Turnstile:
    """One per worker. Tenants without rate limits never come here: a claim says whether there are any."""

    def __init__(self, database: Database, clock: Clock, put_off: Callable[[Job, datetime], None]) -> None:
        self._database = database
        self._clock = clock
        self._put_off = put_off
        self._known: OrderedDict[UUID, tuple[int, dict[str, Limit]]] = OrderedDict()
        self._waiting: dict[UUID, list[_Asking]] = {}
        self._pumps: dict[UUID, asyncio.Task[None]] = {}

    async def limit(self, job: Job, host: str | None) -> Limit | None:
        """The rate limit that a call of this job to a host falls under."""
        if host is None:
            return None
        known = self._known.get(job.tenant_id)
        if known is None or known[0] != job.limits:
            async with transaction(self._database, system_actor(job.tenant_id), read_only=True) as connection:
                rows = await connection.fetch(LIMITS, job.tenant_id)
            found = {row["target"]: Limit(row["id"], Rate(row["calls"], row["seconds"], row["burst"])) for row in rows}
            known = self._known[job.tenant_id] = (job.limits, found)
            self._known.move_to_end(job.tenant_id)
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
        return rules.match(host, known[1].items())

    async def pass_(self, job: Job, limit: Limit) -> datetime | None:
        """None: call now. Else the job is put off until this time, and is no longer ours."""
        asking = _Asking(job, limit, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(job.tenant_id, []).append(asking)
        if job.tenant_id not in self._pumps:
            self._pumps[job.tenant_id] = asyncio.create_task(self._pump(job.tenant_id))
        return await asking.answer

    async def back_off(self, tenant_id: UUID, limit: Limit, seconds: float) -> None:
        """The target has asked to be left alone: nobody of this tenant calls it for so long."""
        pause = timedelta(seconds=min(seconds, rules.LONGEST_BACK_OFF))
        async with transaction(self._database, system_actor(tenant_id)) as connection:
            for row in await connection.fetch(STAND, tenant_id, [limit.id]):
                until = _nanoseconds(self._clock() + pause)
                next_call = rules.backed_off(limit.rate, next_call=row["next_call"], until=until)
                await connection.execute(WRITE, tenant_id, [limit.id], [next_call], [row["next_turn"]])

    async def _pump(self, tenant_id: UUID) -> None:
        try:
            while batch := self._waiting.pop(tenant_id, None):
                try:
                    await self._serve(tenant_id, batch)
                except BaseException as error:
                    if is_own_end(error):
                        raise
                    for asking in batch:
                        if not asking.answer.done():
                            asking.answer.set_exception(error)
        finally:
            del self._pumps[tenant_id]

    async def _serve(self, tenant_id: UUID, batch: Sequence[_Asking]) -> None:
        by_limit: dict[UUID, list[_Asking]] = {}
        for asking in batch:
            by_limit.setdefault(asking.limit.id, []).append(asking)
        async with transaction(self._database, system_actor(tenant_id)) as connection:
            later = await _turns(connection, tenant_id, by_limit, self._clock)
            put_off = [(asking.job, later[id(asking)]) for asking in batch if id(asking) in later]
            if put_off:
                await connection.execute(
                    POSTPONE,
                    tenant_id,
                    [job.id for job, _ in put_off],
                    [job.epoch for job, _ in put_off],
                    [at for _, at in put_off],
                )
        for asking in batch:
            if id(asking) in later:
                self._put_off(asking.job, later[id(asking)])
            if not asking.answer.done():
                asking.answer.set_result(later.get(id(asking)))


async def _turns(
    connection: Connection, tenant_id: UUID, by_limit: dict[UUID, list[_Asking]], clock: Clock
) -> dict[int, datetime]:
    """When those come again that may not call now, by the identity of their question."""
    later: dict[int, datetime] = {}
    ids, calls, turns = [], [], []
    rows = await connection.fetch(STAND, tenant_id, list(by_limit))
    now = _nanoseconds(clock())  # after the locks: time goes on while one waits for them
    for row in rows:
        asking = sorted(by_limit[row["rate_limit_id"]], key=lambda one: not _was_told(one.job))
        told = sum(_was_told(one.job) for one in asking)
        taken = rules.take_turns(
            asking[0].limit.rate,
            next_call=row["next_call"],
            next_turn=row["next_turn"],
            now=now,
            told=told,
            fresh=len(asking) - told,
        )
        for one, at in zip(asking[taken.granted :], taken.waits, strict=True):
            later[id(one)] = _moment(at)
        ids.append(row["rate_limit_id"])
        calls.append(taken.next_call)
        turns.append(taken.next_turn)
    await connection.execute(WRITE, tenant_id, ids, calls, turns)
    return later


def _was_told(job: Job) -> bool:
    return bool((job.detail or {}).get("turn"))


def _nanoseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1) * 1000


def _moment(nanoseconds: int) -> datetime:
    """Rounded up: whoever comes at this time is not too early."""
    return _EPOCH + timedelta(microseconds=-(-nanoseconds // 1000))
