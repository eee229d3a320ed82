"""The chore of a worker that was given the owner's address: maintenance when its schedule says so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

import asyncpg
import structlog

from weft.core.clock import Clock, utc_now
from weft.core.errors import WeftError
from weft.ops.installation import Addresses
from weft.ops.upkeep.run import MaintenanceRunning, Report, maintain
from weft.ops.upkeep.schedule import SELDOM, next_due
from weft.settings import Settings

log = structlog.get_logger("weft.maintenance")

AGAIN: Final = 600.0
"""Seconds until the next try when the database could not be reached."""

Maintain = Callable[..., Awaitable[Report | None]]


class MaintenanceLoop:
    """`keep` it running beside the worker. Without a schedule or an owner's address it does nothing."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock = utc_now,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        run: Maintain = maintain,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._sleep = sleep
        self._run = run

    async def keep(self) -> None:
        """Until it is cancelled."""
        database = self._settings.database
        if database.url is None or database.owner_url is None or self._settings.maintain.schedule is None:
            return
        addresses = Addresses(database.url, database.owner_url, None, embedded=False)
        due = next_due(self._settings.maintain, self._clock())
        while due is not None:
            now = self._clock()
            if now < due:
                await self._sleep(min(SELDOM, (due - now).total_seconds()))
                continue
            if await self._once(addresses, due, now):
                due = next_due(self._settings.maintain, now)
            else:
                await self._sleep(AGAIN)

    async def _once(self, addresses: Addresses, due: datetime, now: datetime) -> bool:
        """Whether this due time is dealt with, by us or by somebody else."""
        try:
            report = await self._run(addresses, self._settings, now, tasks=self._settings.maintain.tasks, due=due)
        except MaintenanceRunning:
            return True
        except (WeftError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            log.warning("maintenance put off", error=type(error).__name__)
            return False
        except Exception:
            log.exception("maintenance failed")
            return True
        if report is not None:
            failed = [step.what for step in report.steps if step.outcome == "failed"]
            say = log.warning if failed else log.info
            say("maintenance done", steps=len(report.steps), failed=failed)
        return True
