"""Who waits for a connection, how many, and for how long; and what a pooler in front of the server allows.

A queue without an end only moves the trouble: when the database is slower than the requests come, every one of them
waits longer than the one before. So a process that answers people bounds the queue, and says "come back" in time.
Workers do not: they hold a bounded number of jobs, and have nobody to send away.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

import asyncpg

from weft.core.errors import Unavailable

RETRY_SOON: Final = 1.0

PROBE: Final = "weft_probe"
"""The name of the statement that `keeps_statements` prepares."""


class DatabaseBusy(Unavailable, TimeoutError):
    code = "database_busy"

    def __init__(self) -> None:
        super().__init__("All connections to the database are in use. Try again in a moment.", retry_after=RETRY_SOON)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one may wait for a connection, and how many may wait for each pool; None: without a bound."""

    seconds: float | None = None
    waiting: int | None = None


WORKERS: Final = Patience()
"""A worker waits as long as it takes."""


class Gate:
    """The queue before one pool. `with gate:` around the wait; raises `DatabaseBusy` when it is full."""

    __slots__ = ("most", "refused", "waiting")

    def __init__(self, most: int | None) -> None:
        self.most = most
        self.waiting = 0
        self.refused = 0

    def __enter__(self) -> None:
        if self.most is not None and self.waiting >= self.most:
            self.refused += 1
            raise DatabaseBusy
        self.waiting += 1

    def __exit__(self, *_: object) -> None:
        self.waiting -= 1


class HotPool:
    """The engine's connections: an asyncpg pool with a gate. `acquire()` is awaited, or entered."""

    def __init__(self, pool: Any, patience: Patience) -> None:
        self._pool = pool
        self._seconds = patience.seconds
        self.gate = Gate(patience.waiting)

    def acquire(self) -> Lease:
        return Lease(self)

    async def take(self) -> Any:
        try:
            return await self._taken()
        except asyncpg.ObjectNotInPrerequisiteStateError as error:
            # What the server says of a database that a restore exchanges at this moment. Later will work.
            raise asyncpg.CannotConnectNowError(str(error)) from error

    async def _taken(self) -> Any:
        with self.gate:
            if self._seconds is None:
                return await self._pool.acquire()
            begun = time.monotonic()
            try:
                return await self._pool.acquire(timeout=self._seconds)
            except TimeoutError as error:
                if time.monotonic() - begun < self._seconds or self._pool.get_size() < self._pool.get_max_size():
                    raise  # it was the server that did not answer
                self.gate.refused += 1
                raise DatabaseBusy from error

    async def release(self, connection: Any) -> None:
        await self._pool.release(connection)

    async def close(self) -> None:
        await self._pool.close()

    def terminate(self) -> None:
        self._pool.terminate()

    @property
    def waits(self) -> Any:
        """Who waits, and how long it took, as the pool itself has measured."""
        return self._pool.waits

    def get_size(self) -> int:
        return int(self._pool.get_size())

    def get_idle_size(self) -> int:
        return int(self._pool.get_idle_size())

    def get_max_size(self) -> int:
        return int(self._pool.get_max_size())


class Lease:
    """One connection for a while."""

    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: HotPool) -> None:
        self._pool = pool
        self._connection: Any = None

    def __await__(self) -> Generator[Any, None, Any]:
        return self._pool.take().__await__()

    async def __aenter__(self) -> Any:
        self._connection = await self._pool.take()
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.release(self._connection)


@dataclass(frozen=True, slots=True)
class Preparing:
    """How the drivers may prepare statements."""

    kept: bool
    """False: a statement that was prepared may be another client's the next time, so none is kept by name."""

    def asyncpg(self) -> dict[str, Any]:
        return {} if self.kept else {"statement_cache_size": 0}

    def sqlalchemy(self) -> dict[str, Any]:
        if self.kept:
            return {}
        # Without a cache asyncpg sends an unnamed statement again together with its values, in one message.
        return {
            "statement_cache_size": 0,
            "prepared_statement_cache_size": 0,
            "prepared_statement_name_func": lambda: "",
        }


DIRECT: Final = Preparing(kept=True)


async def behind_pooler(dsn: str) -> Preparing:
    """What a pooler in transaction mode allows, found out by asking it once.

    A pooler that follows prepared statements (PgBouncer since 1.21, with `max_prepared_statements`) gives them names
    of its own on the server. One that does not hands the name through, to be met there by other clients.
    """
    connection = await asyncpg.connect(dsn, timeout=10, statement_cache_size=0)
    try:
        async with connection.transaction():  # one server connection for all of it
            statement = await connection.prepare("select 1", name=PROBE)
            passed_on = await connection.fetchval(
                "select exists (select from pg_catalog.pg_prepared_statements where name = $1)", PROBE
            )
            if passed_on:
                await connection.execute(f"deallocate {PROBE}")
        del statement  # until here it had to be known, or the driver would have closed it
        return Preparing(kept=not passed_on)
    finally:
        await connection.close()
