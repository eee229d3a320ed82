"""The scheduler: claims schedules that are due, of all tenants, and sleeps until the next one is.

Every worker runs it. A claim is a lease with an epoch (`db/sql/schedules.sql`), and a due time is a unique row, so any
number of schedulers start each due time once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog

from weft.core.clock import Clock, utc_now
from weft.db.database import Database
from weft.db.hot import AWAY
from weft.engine.triggers.schedules import Schedules, is_busy
from weft.worker.listen import Listener

log = structlog.get_logger("weft.schedules")

CHANNEL: Final = "weft_schedules"
KEPT: Final = timedelta(days=90)
"""How long it is remembered what became of a due time."""
PRUNED: Final = timedelta(hours=1)
AT_ONCE: Final = 4
"""Tenants at the same time: each takes a connection of the pool."""

CLAIM = "/* weft:schedules.claim */ select * from weft.claim_schedules($1, $2, $3)"
NEXT = "/* weft:schedules.next */ select weft.next_schedule()"
PRUNE = "/* weft:schedules.prune */ select weft.prune_schedule_runs($1, $2)"


@dataclass(frozen=True, slots=True)
class Round:
    """What one look came to. `next_at`: when there is something to do again; None: nothing is planned."""

    claimed: int
    started: int
    next_at: datetime | None


class ScheduleLoop:
    """`lease`: how long a claim holds when its worker dies. `longest`: how long to sleep when nobody calls."""

    def __init__(
        self,
        database: Database,
        schedules: Schedules,
        *,
        listen_dsn: str | None = None,
        clock: Clock = utc_now,
        batch: int = 500,
        lease: timedelta = timedelta(seconds=20),
        longest: timedelta = timedelta(seconds=30),
    ) -> None:
        self._database = database
        self._schedules = schedules
        self._clock = clock
        self._batch = batch
        self._lease = lease
        self._longest = longest
        self._wake = asyncio.Event()
        self._listener = Listener(
            listen_dsn or database.dsn, CHANNEL, lambda _: self._wake.set(), name="weft schedules"
        )
        self._pruned_at: datetime | None = None

    async def run(self) -> None:
        """Until it is cancelled. What was under way then is taken up again after the lease."""
        listening = asyncio.create_task(self._listener.run())
        try:
            while True:
                await self._sleep(await self._round())
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening

    async def _round(self) -> timedelta:
        """One look; how long to sleep after it."""
        self._wake.clear()
        now = self._clock()
        try:
            done = await self.run_once(now)
            await self._prune(now)
        except AWAY as error:
            log.warning("database unavailable", error=type(error).__name__)
            return timedelta(seconds=1)
        except Exception:
            log.exception("schedules not looked at")
            return timedelta(seconds=5)
        if done.claimed:
            return timedelta()
        until = done.next_at - self._clock() if done.next_at is not None else self._longest
        return min(max(until, timedelta()), self._longest)

    async def run_once(self, now: datetime) -> Round:
        """Claim what is due `now` and do it. A tenant whose turn fails is tried again after the lease."""
        async with self._database.pool.acquire() as connection:
            rows = await connection.fetch(CLAIM, now, self._batch, self._lease)
            next_at = None if rows else await connection.fetchval(NEXT)
        by_tenant: dict[UUID, list[tuple[UUID, int]]] = {}
        for row in rows:
            by_tenant.setdefault(row["tenant_id"], []).append((row["trigger_id"], row["epoch"]))
        started = await self._tenants(list(by_tenant.items()), now)
        return Round(len(rows), started, next_at)

    async def _tenants(self, claims: Sequence[tuple[UUID, list[tuple[UUID, int]]]], now: datetime) -> int:
        room = asyncio.Semaphore(AT_ONCE)

        async def one(tenant_id: UUID, claimed: list[tuple[UUID, int]]) -> int:
            async with room:
                return await self._schedules.run(tenant_id, claimed, now, now + self._lease)

        answers: list[Any] = await asyncio.gather(
            *(one(tenant_id, claimed) for tenant_id, claimed in claims), return_exceptions=True
        )
        for (tenant_id, claimed), answer in zip(claims, answers, strict=True):
            if isinstance(answer, BaseException):
                if not isinstance(answer, Exception):
                    raise answer
                _say(tenant_id, len(claimed), answer)
        return sum(answer for answer in answers if isinstance(answer, int))

    async def _prune(self, now: datetime) -> None:
        if self._pruned_at is not None and now - self._pruned_at < PRUNED:
            return
        async with self._database.pool.acquire() as connection:
            while await connection.fetchval(PRUNE, now - KEPT, 5_000) == 5_000:
                pass
        self._pruned_at = now

    async def _sleep(self, length: timedelta) -> None:
        if not length:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(length.total_seconds()):
                await self._wake.wait()


def _say(tenant_id: UUID, schedules: int, error: Exception) -> None:
    if is_busy(error):
        log.warning("schedules put off", tenant=str(tenant_id), schedules=schedules, error=type(error).__name__)
    else:
        log.error("schedules put off", tenant=str(tenant_id), schedules=schedules, exc_info=error)
