"""Waiting for executions to end, for whoever holds a request open: one listening connection for the whole process.

The save that ends an awaited execution says its id on the channel `weft_done`. Notifications make it quick, looking
makes it sure: what is waited for longer than a second is also looked up, one statement for each tenant, so that a lost
connection, a notification from before it or an execution that nobody announced costs a second and nothing else.
Nothing is looked up while nobody waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import asyncpg
import structlog

from weft.core.actor import Actor, system_actor
from weft.core.ids import new_id
from weft.db.database import Database
from weft.db.hot import transaction
from weft.engine.payloads import Payloads
from weft.engine.start_requests import StartRequest, StartResult
from weft.engine.starts import Starter
from weft.interpreter.state import Status

log = structlog.get_logger("weft.waiting")

CHANNEL = "weft_done"

LONGEST = 30.0
"""Seconds that a request may wait for its execution."""

FINAL = frozenset(status.value for status in Status if status.is_final)

_LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)

Left = Callable[[], Awaitable[None]]
"""Returns when whoever waits has gone away."""

ENDED = """/* weft:engine.ended */
select e.id from weft.workflow_executions e
 where e.tenant_id = $1 and e.id = any($2::uuid[]) and e.status = any($3::text[])
"""

OUTCOME = """/* weft:engine.outcome */
select e.id, e.number, e.workflow_id, e.version_id, e.status, e.output, e.error
  from weft.workflow_executions e
 where e.tenant_id = $1 and e.id = $2
"""


class Expectation:
    """Somebody waits for one execution. Used as a context manager, so that nobody is waited for in vain."""

    def __init__(self, waiters: Waiters, tenant_id: UUID, execution_id: UUID) -> None:
        self.tenant_id = tenant_id
        self.execution_id = execution_id
        self._waiters = waiters
        self._ended = asyncio.Event()

    def __enter__(self) -> Self:
        self._waiters.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._waiters.remove(self)

    @property
    def is_over(self) -> bool:
        return self._ended.is_set()

    def tell(self) -> None:
        """The execution has ended."""
        self._ended.set()

    async def wait(self, seconds: float, left: Left | None = None) -> bool:
        """Whether the execution ended within so many seconds. `left` ends the waiting early: the client is gone."""
        if self.is_over:
            return True
        waiting: set[asyncio.Future[Any]] = {asyncio.ensure_future(self._ended.wait())}
        if left is not None:
            waiting.add(asyncio.ensure_future(left()))
        try:
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        return self.is_over


class Waiters:
    """One per process. `expect` before the execution is started, so that its end cannot be missed."""

    def __init__(self, database: Database, *, listen_dsn: str | None = None, look_every: float = 1.0) -> None:
        """`listen_dsn`: a direct address, when the database's own goes through a pooler. `look_every`: seconds."""
        self._database = database
        self._dsn = listen_dsn or database.dsn
        self._look_every = look_every
        self._expected: dict[UUID, set[Expectation]] = {}
        self._anybody = asyncio.Event()
        self._listening = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def __len__(self) -> int:
        """Executions that are waited for."""
        return len(self._expected)

    @property
    def is_listening(self) -> bool:
        return self._listening.is_set()

    async def open(self, patience: float = 2.0) -> None:
        """Begin to listen. A database that does not answer within `patience` seconds is tried again later."""
        self._tasks = [asyncio.create_task(self._keep_listening()), asyncio.create_task(self._keep_looking())]
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._listening.wait()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def expect(self, tenant_id: UUID, execution_id: UUID) -> Expectation:
        """Wait for an execution: `with waiters.expect(...) as ending: ...; await ending.wait(seconds)`."""
        return Expectation(self, tenant_id, execution_id)

    def add(self, expectation: Expectation) -> None:
        self._expected.setdefault(expectation.execution_id, set()).add(expectation)
        self._anybody.set()

    def remove(self, expectation: Expectation) -> None:
        others = self._expected.get(expectation.execution_id)
        if others is None:
            return
        others.discard(expectation)
        if not others:
            del self._expected[expectation.execution_id]
        if not self._expected:
            self._anybody.clear()

    def _tell(self, execution_id: UUID) -> None:
        for expectation in self._expected.get(execution_id, ()):
            expectation.tell()

    # -- hearing -------------------------------------------------------------------------------------------

    def _heard(self, _connection: object, _process: int, _channel: str, payload: object) -> None:
        with suppress(ValueError):
            self._tell(UUID(str(payload)))

    async def _keep_listening(self) -> None:
        while True:
            try:
                await self._listen()
            except _LOST as error:
                log.warning("not told of ended executions: the database is away", error=type(error).__name__)
            self._listening.clear()
            await asyncio.sleep(1)

    async def _listen(self) -> None:
        lost = asyncio.Event()
        connection = await asyncpg.connect(
            self._dsn, timeout=10, server_settings={"application_name": "weft waiting requests"}
        )
        try:
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(CHANNEL, self._heard)
            self._listening.set()
            await lost.wait()
        finally:
            with suppress(Exception):
                await connection.close(timeout=2)

    # -- looking -------------------------------------------------------------------------------------------

    async def _keep_looking(self) -> None:
        while True:
            await self._anybody.wait()
            await asyncio.sleep(self._look_every)
            try:
                await self.look()
            except _LOST as error:
                log.warning("cannot look for ended executions: the database is away", error=type(error).__name__)

    async def look(self) -> None:
        """Look up everything that is waited for now, one statement for each tenant."""
        by_tenant: dict[UUID, set[UUID]] = {}
        for expectations in self._expected.values():
            for waiting in expectations:
                if not waiting.is_over:
                    by_tenant.setdefault(waiting.tenant_id, set()).add(waiting.execution_id)
        for tenant_id, ids in by_tenant.items():
            async with transaction(self._database, system_actor(tenant_id), read_only=True) as connection:
                rows = await connection.fetch(ENDED, tenant_id, ids, list(FINAL))
            for row in rows:
                self._tell(row[0])


async def start_and_wait(
    starter: Starter,
    waiters: Waiters,
    database: Database,
    actor: Actor,
    request: StartRequest,
    *,
    seconds: float,
    left: Left | None = None,
) -> StartResult:
    """Start an execution, run it here as far as it needs no outside world, and wait for the rest.

    The result tells how far it came: its status is final if it ended in time. A request that repeats an idempotency
    key waits for the execution that the first one started.
    """
    execution_id = request.execution_id or new_id()
    with waiters.expect(actor.tenant_id, execution_id) as ending:
        result = await starter.submit(actor, _awaited(request, execution_id))
        if result.status in FINAL:
            return result
        if result.id == execution_id:
            return await _outcome_after(ending, database, actor, result, seconds, left)
    with waiters.expect(actor.tenant_id, result.id) as ending:
        return await _outcome_after(ending, database, actor, result, seconds, left)


def _awaited(request: StartRequest, execution_id: UUID) -> StartRequest:
    return replace(request, execution_id=execution_id, inline=True, awaited=True)


async def _outcome_after(
    ending: Expectation,
    database: Database,
    actor: Actor,
    result: StartResult,
    seconds: float,
    left: Left | None,
) -> StartResult:
    if not await ending.wait(seconds, left):
        return result
    async with transaction(database, actor, read_only=True) as connection:
        row = await connection.fetchrow(OUTCOME, actor.tenant_id, result.id)
    output = await Payloads(database).whole(actor.tenant_id, result.id, row["output"])
    return replace(result, status=row["status"], output=output, error=row["error"])
