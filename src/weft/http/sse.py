"""Server-sent events: how one is written, and a response that writes them for as long as its client listens.

    return EventStream(body(), close=watch.close)      # `body` yields what `event` and HEARTBEAT make

A client that does not take what it is sent is dropped: what waits for it would otherwise wait in our memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Final

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

log = structlog.get_logger("weft.api")

MEDIA_TYPE: Final = "text/event-stream"
HEARTBEAT: Final = b": still here\n\n"
"""A comment: clients ignore it, proxies see that the connection lives."""
RECONNECT: Final = b"retry: 1000\n\n"
"""How long a browser waits before it connects again, in milliseconds."""
PATIENCE = 20.0
"""Seconds that a client may leave what it is sent unread."""

_HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold events back until its buffer is full
}


def event(name: str, data: str, event_id: str | None = None) -> bytes:
    """One event. `data` is one line of JSON; without an id the client keeps the one before."""
    head = f"id: {event_id}\n" if event_id is not None else ""
    return f"{head}event: {name}\ndata: {data}\n\n".encode()


class EventStream(Response):
    """Writes what `body` yields until it ends or the client is gone. `close` is called in every case."""

    media_type = MEDIA_TYPE

    def __init__(self, body: AsyncGenerator[bytes, None], *, close: Callable[[], None]) -> None:
        super().__init__(headers=dict(_HEADERS))
        del self.headers["content-length"]
        self._events = body
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  ASGI calls it so
        try:
            async with aclosing(self._events):
                await self._serve(receive, send)
        finally:
            self._close()

    async def _serve(self, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        writing = asyncio.create_task(self._write(send))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait({writing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (writing, leaving):
                task.cancel()
            _, pending = await asyncio.wait({writing, leaving}, timeout=PATIENCE)
        if writing not in pending and not writing.cancelled():
            writing.result()

    async def _write(self, send: Send) -> None:
        try:
            async for chunk in self._events:
                async with asyncio.timeout(PATIENCE):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except TimeoutError:
            log.info("dropped a client that does not read its events")
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _left(receive: Receive) -> None:
    """Returns when the client has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass
