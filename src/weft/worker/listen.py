"""One direct connection that listens. Notifications wake, polling saves: losing one costs a poll, never a job."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import asyncpg
import structlog

log = structlog.get_logger("weft.listen")


class Listener:
    """Calls `heard` for every notification on a channel. `run` reconnects until it is cancelled.

    `name` is what the server calls the connection. Workers are counted by the usual one: each has one of it.
    """

    def __init__(
        self, dsn: str, channel: str, heard: Callable[[str], None], *, name: str = "weft worker listen"
    ) -> None:
        self._dsn = dsn
        self._name = name
        self._channel = channel
        self._heard = heard

    async def run(self) -> None:
        while True:
            try:
                await self._listen()
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
                log.warning("not listening: the database is away", error=type(error).__name__)
            await asyncio.sleep(1)

    async def _listen(self) -> None:
        lost = asyncio.Event()
        connection = await asyncpg.connect(self._dsn, timeout=10, server_settings={"application_name": self._name})
        try:
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(self._channel, lambda _connection, _pid, _channel, said: self._heard(said))
            self._heard("")  # whatever was said while nobody listened
            await lost.wait()
        finally:
            with suppress(Exception):
                await connection.close(timeout=2)
