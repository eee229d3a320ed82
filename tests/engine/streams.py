"""Streams of events in tests: the application is called as a server calls it, and what it sends is read event by event.

async with streams.opened(app, "/v1/executions/.../events", headers) as stream:
    event = await stream.next("execution")
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message


@dataclass(frozen=True)
class Event:
    name: str
    id: str | None
    data: dict[str, Any]


@dataclass
class Stream:
    """One response. `status` is known once `opened` gives it; `stalled` makes this client stop reading."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    parts: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)
    body: bytes = b""
    stalled: bool = False
    left: asyncio.Event = field(default_factory=asyncio.Event)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    async def send(self, message: Message) -> None:
        if self.stalled:
            await asyncio.Event().wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            self.started.set()
            return
        if message["body"]:
            self.parts.put_nowait(message["body"])
        if not message.get("more_body", False):
            self.parts.put_nowait(None)

    async def chunk(self) -> bytes | None:
        """What was sent next, as it was sent; None at the end."""
        async with asyncio.timeout(60):
            return await self.parts.get()

    async def next(self, name: str | None = None) -> Event:
        """The next event, or the next of that name."""
        while (chunk := await self.chunk()) is not None:
            found = parsed(chunk)
            if found is not None and name in (None, found.name):
                return found
        raise EOFError("the stream has ended")

    async def rest(self) -> list[Event]:
        """Every event until the end."""
        found = []
        while (chunk := await self.chunk()) is not None:
            if (one := parsed(chunk)) is not None:
                found.append(one)
        return found

    async def json(self) -> Any:
        return json.loads(b"".join([part async for part in self._all()]))

    async def _all(self) -> AsyncIterator[bytes]:
        while (chunk := await self.chunk()) is not None:
            yield chunk


def parsed(chunk: bytes) -> Event | None:
    """One event; None for a comment or a hint."""
    fields = dict(line.partition(": ")[::2] for line in chunk.decode().splitlines() if line)
    if "event" not in fields:
        return None
    return Event(fields["event"], fields.get("id"), json.loads(fields["data"]))


@asynccontextmanager
async def opened(
    app: ASGIApp, target: str, headers: Mapping[str, str], *, last: str | None = None
) -> AsyncIterator[Stream]:
    """A GET whose answer is read while it comes. Leaving the block hangs up."""
    stream = Stream()
    path, _, query = target.partition("?")
    sent = dict(headers) | ({"Last-Event-ID": last} if last is not None else {})
    scope = {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()], "scheme": "http",
        "server": ("weft.test", 80), "client": ("198.51.100.4", 4321), "http_version": "1.1", "root_path": "",
        "asgi": {"version": "3.0"},
    }  # fmt: skip
    asked = False

    async def receive() -> Message:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await stream.left.wait()
        return {"type": "http.disconnect"}

    stream.task = asyncio.create_task(app(scope, receive, stream.send))  # type: ignore[arg-type]  # any awaitable
    try:
        async with asyncio.timeout(60):
            await stream.started.wait()
        yield stream
    finally:
        stream.left.set()
        async with asyncio.timeout(60):
            await stream.task
