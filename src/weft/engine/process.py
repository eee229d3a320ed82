"""What one process needs to run workflows: made once by the API or the worker, closed in the right order.

async with EngineProcess(database, listen_dsn=settings.database.listen_url) as engine:
    ...
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self

from weft.core.clock import Clock, utc_now
from weft.db.clock import DatabaseClock
from weft.db.database import Database
from weft.db.hot import AWAY
from weft.engine import registry
from weft.engine.drive import Driver
from weft.engine.limits import USUAL, Limits
from weft.engine.simulation.places import Places
from weft.engine.starts import Starter
from weft.engine.triggers.lookup import Triggers
from weft.engine.waiting import Waiters
from weft.engine.watching import StreamLimits, Watchers
from weft.expressions.guard import Guard


class EngineProcess:
    """The guard, the driver, the starter, those who wait, and the triggers that are known, of one process.

    `wakes`: saves tell workers that there are new jobs; a worker that looks by itself leaves it out. `answers`: this
    process holds requests open until executions end, and therefore listens for it. `clock` is the database's unless a
    test brings one.
    """

    def __init__(
        self,
        database: Database,
        *,
        listen_dsn: str | None = None,
        wakes: bool = True,
        answers: bool = True,
        clock: Clock | None = None,
        guard: Guard | None = None,
        streams: StreamLimits | None = None,
        limits: Limits = USUAL,
    ) -> None:
        self.database = database
        self.guard = guard or Guard()
        self._synchronised = DatabaseClock(database) if clock is None else None
        self.clock: Clock = clock or self._synchronised or utc_now
        self._keeping: asyncio.Task[None] | None = None
        self.driver = Driver(database, self.guard, clock=self.clock, wakes=wakes, limits=limits)
        self.starter = Starter(self.driver)
        self.waiters = Waiters(database, listen_dsn=listen_dsn)
        self.watchers = Watchers(database, limits=streams)
        self.triggers = Triggers(database)
        self.simulations = Places()
        self._answers = answers

    async def open(self) -> None:
        """Find the step kinds, ask the time, start the guard's processes, listen. Raises `GuardUnavailable`."""
        registry.kinds()
        if self._synchronised is not None:
            with suppress(*AWAY):  # it is asked again
                await self._synchronised.synchronise()
            self._keeping = asyncio.create_task(self._synchronised.keep())
        await self.guard.start()
        if self._answers:
            await self.waiters.open()
            self.watchers.open()

    async def close(self) -> None:
        """Let starts under way come to their end, then stop. Call it before the database is closed."""
        if self._keeping is not None:
            self._keeping.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeping
        await self.starter.close()
        await self.waiters.close()
        await self.watchers.close()
        await self.guard.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
