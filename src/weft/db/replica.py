"""Reads that a streaming replica answers, and when it does not.

A replica is behind. So a read goes there only if what it will see is new enough, and there are two ways to know:

- *Never older than the request* (the usual). The request is signed in on the primary; there, in the same transaction,
  the end of the written log is read. Whatever was confirmed to anybody before the request came lies before it. The
  replica is given a moment to have replayed that far, else the primary answers. So everybody reads what they wrote,
  through whichever process, and nothing has to be remembered about them.
- *Up to so many seconds old*, for those who say that this is enough. Once a second the replica is compared with where
  the primary's log ended at known times; its clock is not asked, and a primary that rests is not taken for a lag.

A replica that is away, too far behind, promoted, or that row security would not guard is not asked; one look a second
finds out when it is well again.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import asyncpg
import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from weft.db.database import Connection, Database, make_engine
from weft.db.hot import AWAY

log = structlog.get_logger("weft.replica")

EVERY: Final = 1.0
"""Seconds between two looks."""

LOOK_SECONDS: Final = 2.0
CATCH_UP: Final = 0.05
"""Seconds that a read waits for the replica to replay what was written before it."""
PAUSE: Final = 0.005

LONGEST_READ: Final = 16.0
"""Seconds: a little more than the application's own `statement_timeout`."""

POSITION: Final = """/* weft:replica.position */
select case when pg_is_in_recovery() then null
            when current_setting('synchronous_commit') = 'off' then pg_current_wal_insert_lsn()
            else pg_current_wal_flush_lsn() end::text
"""
"""Behind everything that was confirmed until now. Null where the primary's address leads to a replica."""

SEEN: Final = """/* weft:replica.look */
select pg_is_in_recovery() as following, pg_last_wal_replay_lsn()::text as replayed,
       row_security_active('weft.workflows') as guarded
"""
HAS: Final = """/* weft:replica.has */
select pg_is_in_recovery() and ($1::text is null or pg_last_wal_replay_lsn() >= $1::text::pg_lsn)
"""

FAILURES: Final = (*AWAY, asyncpg.PostgresError, SQLAlchemyError)


class State(StrEnum):
    unknown = "unknown"  # nobody has looked yet
    ready = "ready"
    away = "away"
    lagging = "lagging"
    promoted = "promoted"  # it is no replica any more
    unguarded = "unguarded"  # row security does not bind the role there


@dataclass(frozen=True, slots=True)
class Freshness:
    """How old what is read may be: `stale` seconds or, when that is 0, as new as the log's `position`."""

    stale: float = 0.0
    position: str | None = None


def position_number(text: str) -> int:
    """A place in the log, `16/B374D848`, as a number of bytes."""
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


class Lag:
    """How far behind a replica is, from where the primary's log ended at known times."""

    def __init__(self, horizon: float) -> None:
        self._horizon = horizon
        self._samples: deque[tuple[float, int]] = deque()

    def note(self, at: float, position: int) -> None:
        """The primary's log ended here at this time."""
        self._samples.append((at, position))
        while len(self._samples) > 2 and at - self._samples[1][0] > self._horizon:
            self._samples.popleft()

    def seconds(self, replayed: int) -> float | None:
        """0 for everything; else since when something is missing. None: longer than we have looked."""
        if not self._samples:
            return None
        latest = self._samples[-1][0]
        for at, position in reversed(self._samples):
            if position <= replayed:
                return latest - at
        return None

    def bytes(self, replayed: int) -> int:
        return max(0, self._samples[-1][1] - replayed) if self._samples else 0


class Replica:
    """One process's way to the replica. `keep` looks after it; `connection` is what a scope asks for."""

    def __init__(
        self,
        primary: Database,
        dsn: str,
        *,
        size: int = 5,
        max_lag: float = 10.0,
        stale: float = 0.0,
        application_name: str = "weft api",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_lag = max_lag
        self.stale = stale
        self.state = State.unknown
        self.lag_seconds: float | None = None
        self.lag_bytes: int | None = None
        self.reads = {"replica": 0, "primary": 0}
        """Reads that could have gone there, by who answered."""
        self._primary = primary
        self._clock = clock
        self._looked = 0.0
        self._lag = Lag(max_lag + 10)
        self.engine = make_engine(
            dsn,
            application_name=application_name,
            size=size,
            wait=0.25,
            longest=LONGEST_READ,
            connect=LOOK_SECONDS,
            statements=primary.statements,
        )

    async def close(self) -> None:
        await self.engine.dispose()

    async def keep(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY)

    async def look(self) -> State:
        """Where it stands now."""
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                async with self._primary.pool.acquire() as connection:
                    written = await connection.fetchval(POSITION)
                if written is not None:
                    self._lag.note(self._clock(), position_number(written))
                row = await self._ask()
        except FAILURES as error:
            return await self._not_there(error)
        self._looked = self._clock()
        return self._turn(self._judge(row))

    def may_answer(self, freshness: Freshness) -> bool:
        """Whether it is worth asking."""
        if self.state is not State.ready:
            return False
        if freshness.stale <= 0:
            return freshness.position is not None
        return (self.lag_seconds or 0.0) + self._clock() - self._looked <= min(freshness.stale, self.max_lag)

    async def connection(self, freshness: Freshness) -> AsyncConnection | None:
        """A connection to it that sees what is wanted; None: ask the primary."""
        found = await self._connection(freshness) if self.may_answer(freshness) else None
        self.reads["primary" if found is None else "replica"] += 1
        return found

    def lost(self) -> None:
        """A read broke off: nobody is sent there until somebody has looked again."""
        if self.state is State.ready:
            self._turn(State.away)

    async def _connection(self, freshness: Freshness) -> AsyncConnection | None:
        try:
            connection = await self.engine.connect()
        except FAILURES:
            return None
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                raw = (await connection.get_raw_connection()).driver_connection
                if await self._has(raw, None if freshness.stale > 0 else freshness.position):
                    return connection
        except FAILURES as error:
            with suppress(*FAILURES):
                await connection.invalidate()
            log.debug("the replica did not answer", error=type(error).__name__)
            self.lost()
        except BaseException:
            await connection.close()
            raise
        await connection.close()
        return None

    async def _has(self, raw: Connection, position: str | None) -> bool:
        until = self._clock() + CATCH_UP
        while not await raw.fetchval(HAS, position):
            if self._clock() >= until or position is None:
                return False
            await asyncio.sleep(PAUSE)
        return True

    async def _ask(self) -> Any:
        async with self.engine.connect() as connection:
            raw: Connection = (await connection.get_raw_connection()).driver_connection
            return await raw.fetchrow(SEEN)

    def _judge(self, row: Any) -> State:
        if not row["following"]:
            return State.promoted
        if not row["guarded"]:
            return State.unguarded
        replayed = position_number(row["replayed"]) if row["replayed"] else 0
        self.lag_seconds, self.lag_bytes = self._lag.seconds(replayed), self._lag.bytes(replayed)
        is_near = self.lag_seconds is not None and self.lag_seconds <= self.max_lag
        return State.ready if is_near else State.lagging

    async def _not_there(self, error: BaseException) -> State:
        self.lag_seconds = self.lag_bytes = None
        with suppress(*FAILURES):
            await self.engine.dispose()  # connections that were open lead nowhere
        log.debug("the replica could not be looked at", error=type(error).__name__)
        return self._turn(State.away)

    def _turn(self, state: State) -> State:
        if state is not self.state:
            say = log.info if state is State.ready else log.warning
            say("the replica is " + state.value, lag_seconds=self.lag_seconds)
            self.state = state
        return state
