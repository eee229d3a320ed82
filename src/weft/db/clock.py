"""The database's clock, carried on by this process: every process of an installation agrees on what time it is.

Timers, leases and schedules are compared across machines, and a machine's own clock may be wrong, or set by an hour
while we run. What counts is the server's `clock_timestamp()`: it is asked at the start and every minute, and carried
on in between by a counter that nobody can set. Until it was first asked, the wall clock must do.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import asyncpg
import structlog

from weft.core.clock import utc_now
from weft.db.database import Database
from weft.db.hot import AWAY

log = structlog.get_logger("weft.clock")

EVERY: Final = 60.0
"""Seconds between two questions."""

SOON: Final = 1.0
"""Seconds between two questions before the first answer: until it comes a wrong clock counts."""

SAMPLES: Final = 3
"""Questions of which the quickest counts: its answer is the least out of date."""

WORTH_TELLING: Final = timedelta(seconds=2)
"""How far a machine's clock may be off before the log says so."""

ASK = "/* weft:clock.ask */ select clock_timestamp()"


def ticks() -> float:
    """Seconds that go on through changes of the wall clock, and, where the system can tell, through a sleep."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class DatabaseClock:
    """Callable like `utc_now`. `synchronise` asks the server; `keep` does so for as long as the process lives."""

    def __init__(self, database: Database, *, counter: Callable[[], float] = ticks) -> None:
        self._database = database
        self._counter = counter
        self._at = utc_now()
        self._mark = counter()
        self._told = False
        self._is_known = False

    def __call__(self) -> datetime:
        return self._at + timedelta(seconds=self._counter() - self._mark)

    async def synchronise(self) -> None:
        """Take over the server's time. Raises what the driver raises when the server is away."""
        best: tuple[float, datetime, float] | None = None
        async with self._database.pool.acquire() as connection:
            for _ in range(SAMPLES):
                begun = self._counter()
                at = await connection.fetchval(ASK)
                ended = self._counter()
                if best is None or ended - begun < best[0]:
                    best = ended - begun, at, (begun + ended) / 2
        if best is not None:
            _, self._at, self._mark = best
            self._is_known = True
            self._tell()

    def _tell(self) -> None:
        """Say it once when this machine's clock is wrong: logs of several machines are hard to read then."""
        apart = utc_now() - self()
        wrong = abs(apart) > WORTH_TELLING
        if wrong and not self._told:
            log.warning("this machine's clock differs from the database's", seconds=round(apart.total_seconds(), 1))
        self._told = wrong

    async def keep(self) -> None:
        """Ask again and again; while the server is away the counter goes on."""
        while True:
            await asyncio.sleep(EVERY if self._is_known else SOON)
            try:
                await self.synchronise()
            except (*AWAY, asyncpg.PostgresError) as error:
                log.debug("the database's time could not be asked", error=type(error).__name__)
