"""Noticing that executions change, for whoever watches them: one look every fifth of a second for the whole process.

A save says nothing to watchers: it would have to say it for every execution, watched or not. Instead the row versions
of what is watched are looked up, one statement for each tenant, and only who sees another one reads what changed.
Nothing is looked up while nobody watches.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Self
from uuid import UUID

import asyncpg
import structlog

from weft.core.actor import system_actor
from weft.core.errors import Exhausted, Unavailable
from weft.db.database import Database
from weft.db.hot import AWAY, transaction

log = structlog.get_logger("weft.watching")

LOOK_EVERY: Final = 0.2
"""Seconds between two looks."""
READERS: Final = 3
"""Streams of this process that read from the database at once; the others wait for their turn."""

VERSIONS = """/* weft:engine.watched */
select e.id, e.row_version from weft.workflow_executions e where e.tenant_id = $1 and e.id = any($2::uuid[])
"""


class StreamsExhausted(Exhausted):
    code = "streams_exhausted"

    def __init__(self, limit: int, whose: str) -> None:
        super().__init__(
            f"{limit} streams of events are open {whose}, and there may be no more. Close one, or look "
            "from time to time: `weft execution show`, `GET /v1/executions/{id}`.",
            retry_after=10,
        )


class ServerLeaving(Unavailable):
    code = "server_leaving"

    def __init__(self) -> None:
        super().__init__("This process is about to stop. Connect again: another one answers.", retry_after=1)


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """How many streams one process holds open, in all and for one tenant."""

    total: int = 1_000
    per_tenant: int = 100


class Watch:
    """One stream's eye on one execution. `close` it when the stream ends."""

    def __init__(self, watchers: Watchers, tenant_id: UUID, execution_id: UUID) -> None:
        self.tenant_id = tenant_id
        self.execution_id = execution_id
        self._watchers = watchers
        self._version = 0  # as the last look found it
        self.is_gone = False  # there is no such execution any more
        self._moved = asyncio.Event()

    @property
    def is_leaving(self) -> bool:
        """Whether the process is about to stop, and the stream should end."""
        return self._watchers.is_leaving

    @property
    def reading(self) -> asyncio.Semaphore:
        """Held while the stream reads, so that many streams leave connections to others."""
        return self._watchers.readers

    def see(self, version: int | None) -> None:
        """What a look has found; None: nothing."""
        self.is_gone = version is None
        if self.is_gone or version != self._version:
            self._version = version or 0
            self._moved.set()

    def wake(self) -> None:
        self._moved.set()

    async def moved(self, version: int, seconds: float) -> bool:
        """Whether the execution is beyond `version`, waiting so long at most. Also ends when it or the process goes."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._version <= version and not self.is_gone and not self.is_leaving:
                    self._moved.clear()
                    await self._moved.wait()
        return self._version > version

    def close(self) -> None:
        self._watchers.remove(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Watchers:
    """One per process: `open`, `watch` as often as wanted, `leave` when the process is told to stop, `close`."""

    def __init__(
        self, database: Database, *, limits: StreamLimits | None = None, look_every: float = LOOK_EVERY
    ) -> None:
        self._database = database
        self._limits = limits or StreamLimits()
        self._look_every = look_every
        self._watched: dict[UUID, set[Watch]] = {}  # by tenant
        self._anybody = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.is_leaving = False
        self.readers = asyncio.Semaphore(READERS)

    def __len__(self) -> int:
        """Streams that are open."""
        return sum(map(len, self._watched.values()))

    def open(self) -> None:
        self._task = asyncio.create_task(self._keep_looking())

    def leave(self) -> None:
        """End every stream: the process is about to stop."""
        self.is_leaving = True
        for watches in self._watched.values():
            for watch in watches:
                watch.wake()

    async def close(self) -> None:
        self.leave()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def watch(self, tenant_id: UUID, execution_id: UUID) -> Watch:
        """Raises `StreamsExhausted` when there are too many already."""
        if self.is_leaving:
            raise ServerLeaving
        if len(self) >= self._limits.total:
            raise StreamsExhausted(self._limits.total, "in this process")
        if len(self._watched.get(tenant_id, ())) >= self._limits.per_tenant:
            raise StreamsExhausted(self._limits.per_tenant, "in this tenant")
        watch = Watch(self, tenant_id, execution_id)
        self._watched.setdefault(tenant_id, set()).add(watch)
        self._anybody.set()
        return watch

    def remove(self, watch: Watch) -> None:
        others = self._watched.get(watch.tenant_id, set())
        others.discard(watch)
        if not others:
            self._watched.pop(watch.tenant_id, None)
        if not self._watched:
            self._anybody.clear()

    async def _keep_looking(self) -> None:
        while True:
            await self._anybody.wait()
            try:
                await self.look()
            except (asyncpg.PostgresError, *AWAY) as error:
                log.warning("cannot look at watched executions", error=type(error).__name__)
                await asyncio.sleep(1)
            await asyncio.sleep(self._look_every)

    async def look(self) -> None:
        """Look up the row versions of everything that is watched, one statement for each tenant."""
        for tenant_id, watches in [(tenant, list(watches)) for tenant, watches in self._watched.items()]:
            ids = list({watch.execution_id for watch in watches})
            async with transaction(self._database, system_actor(tenant_id), read_only=True) as connection:
                found = dict(await connection.fetch(VERSIONS, tenant_id, ids))
            for watch in watches:
                watch.see(found.get(watch.execution_id))
