"""What one process needs to run workflows: made once by the API or the worker, closed in the right order.

async with EngineProcess(database, listen_dsn=settings.database.listen_url) as engine:
    ...
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from weft.core.clock import Clock, utc_now
from weft.db.database import Database
from weft.engine import registry
from weft.engine.drive import Driver
from weft.engine.starts import Starter
from weft.engine.triggers.lookup import Triggers
from weft.engine.waiting import Waiters
from weft.expressions.guard import Guard


class EngineProcess:
    """The guard, the driver, the starter, those who wait, and the triggers that are known, of one process.

    `wakes`: saves tell workers that there are new jobs; a worker that looks by itself leaves it out. `answers`: this
    process holds requests open until executions end, and therefore listens for it.
    """

    def __init__(
        self,
        database: Database,
        *,
        listen_dsn: str | None = None,
        wakes: bool = True,
        answers: bool = True,
        clock: Clock = utc_now,
        guard: Guard | None = None,
    ) -> None:
        self.database = database
        self.guard = guard or Guard()
        self.driver = Driver(database, self.guard, clock=clock, wakes=wakes)
        self.starter = Starter(self.driver)
        self.waiters = Waiters(database, listen_dsn=listen_dsn)
        self.triggers = Triggers(database)
        self._answers = answers

    async def open(self) -> None:
        """Find the step kinds, start the guard's processes, begin to listen. Raises `GuardUnavailable`."""
        registry.kinds()
        await self.guard.start()
        if self._answers:
            await self.waiters.open()

    async def close(self) -> None:
        """Let starts under way come to their end, then stop. Call it before the database is closed."""
        await self.starter.close()
        await self.waiters.close()
        await self.guard.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
