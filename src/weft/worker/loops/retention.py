"""The chore that archives and deletes what is too old. Any number of workers may have it: one at a time works."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

import asyncpg
import structlog

from weft.core.clock import Clock, utc_now
from weft.db.hot import AWAY
from weft.ops.retention import Report, Sweep

log = structlog.get_logger("weft.worker")

SOON = 10.0
"""Seconds until the next round when one had to stop before its end."""


@dataclass(slots=True)
class Numbers:
    """For metrics: what this worker has done since it started."""

    executions: int = 0
    archived: int = 0
    failures: int = 0
    last_run: datetime | None = None


class Retention:
    """`keep` it running beside the worker."""

    def __init__(
        self,
        sweep: Sweep,
        *,
        every_seconds: float,
        round_seconds: float,
        clock: Clock = utc_now,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.numbers = Numbers()
        self._sweep = sweep
        self._every = every_seconds
        self._round = round_seconds
        self._clock = clock
        self._sleep = sleep

    async def run_once(self, now: datetime) -> Report:
        """One round, as long as it may take."""
        report = await self._sweep.run(now, seconds=self._round)
        self.numbers.executions += report.executions
        self.numbers.archived += report.archived
        self.numbers.failures += report.failures
        self.numbers.last_run = now
        return report

    async def keep(self) -> None:
        """Round after round, until it is cancelled. Nothing that goes wrong here stops the worker."""
        while True:
            pause = self._every
            try:
                report = await self.run_once(self._clock())
                if not report.is_done:
                    pause = min(SOON, self._every)
            except (asyncpg.PostgresError, *AWAY) as error:
                self.numbers.failures += 1
                log.warning("retention put off", error=type(error).__name__)
            except Exception:
                self.numbers.failures += 1
                log.exception("retention failed")
            await self._sleep(pause)
