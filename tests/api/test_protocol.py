"""What a connection may cost, on real sockets: endless headers, requests that do not come, bodies that trickle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from weft.api import serve
from weft.api.protocol import MOST_HEADER_BYTES, CarefulProtocol

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Open = Callable[[], "asyncio.Future[Streams]"]


class Echo:
    """Answers with the number of header and body bytes; remembers whom it lost. Reads when it may."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()
        self.may_read = asyncio.Event()
        self.may_read.set()
        self.asked = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.asked.set()
        await self.may_read.wait()
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.lost.set()
                raise ClientDisconnect
            size, more = size + len(message["body"]), message["more_body"]
        text = f"{len(scope['headers'])} {size}".encode()
        head = [(b"content-length", str(len(text)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": text})


@asynccontextmanager
async def listening(echo: Echo, connections: int | None = None) -> AsyncIterator[Callable[[], asyncio.Future[Streams]]]:
    bound = serve.listen("127.0.0.1", 0)
    server = serve.server(echo, connections)
    task = asyncio.create_task(server.serve(sockets=[bound]))
    writers: list[asyncio.StreamWriter] = []

    async def opened() -> Streams:
        streams = await asyncio.open_connection(*bound.getsockname()[:2])
        writers.append(streams[1])
        return streams

    try:
        yield lambda: asyncio.ensure_future(opened())
    finally:
        for writer in writers:
            writer.close()
        server.should_exit = server.force_exit = True
        await asyncio.wait_for(task, 60)
        bound.close()


@pytest.fixture
async def echo() -> Echo:
    return Echo()


@pytest.fixture
async def connect(echo: Echo) -> AsyncIterator[Open]:
    async with listening(echo) as connected:
        yield connected


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies have a short time, so that nobody has to wait for it."""
    monkeypatch.setattr(CarefulProtocol, "body_seconds", 0.1)


@pytest.fixture
def hurry_heads(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From now on heads have a short time as well: a head that was to come in time must have come before."""
    return lambda: monkeypatch.setattr(CarefulProtocol, "header_seconds", 0.1)


async def ended(reader: asyncio.StreamReader) -> bytes:
    """All that came until the server closed."""
    try:
        return await asyncio.wait_for(reader.read(), 60)
    except ConnectionResetError:
        return b""  # what we were still sending met a closed socket


async def answered(reader: asyncio.StreamReader) -> bytes:
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return await asyncio.wait_for(reader.readexactly(length), 60)


async def flooded(streams: Streams, piece: bytes, most: int = 100) -> int:
    """Send pieces until the server does not take more; how many there were."""
    _, writer = streams
    for sent in range(most):
        if writer.is_closing():
            return sent
        try:
            writer.write(piece)
            await writer.drain()
        except ConnectionError:
            return sent
    return most


@pytest.mark.parametrize(
    "begin",
    [HEAD, HEAD + b"x: ", b"GET /", HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nx: "],
    ids=["many headers", "one header", "the address", "a trailer"],
)
async def test_headers_are_counted(connect: Open, begin: bytes) -> None:
    streams = await connect()
    streams[1].write(begin)
    await streams[1].drain()
    piece = b"a" * 100_000 if begin != HEAD else b"".join(b"x%d: %s\r\n" % (i, b"a" * 100) for i in range(1_000))
    assert await flooded(streams, piece) < 100
    assert b"200 OK" not in await ended(streams[0])


async def test_headers_that_are_too_large_are_told_so(connect: Open) -> None:
    reader, writer = await connect()
    writer.write(HEAD + b"x: " + b"a" * MOST_HEADER_BYTES + b"\r\n\r\n")
    assert (await ended(reader)).startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")


async def test_a_body_may_be_longer_than_headers_and_come_in_the_smallest_chunks(connect: Open) -> None:
    reader, writer = await connect()
    for _ in range(2):
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(40):
            writer.write(b"1\r\na\r\n" * 1_000)
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        assert await answered(reader) == b"2 40000"
    writer.write((HEAD + b"Content-Length: 200000\r\n\r\n" + b"a" * 200_000) * 2)
    assert [await answered(reader), await answered(reader)] == [b"2 200000"] * 2


@pytest.mark.parametrize("sent", [b"", b"P", HEAD, b"\r\n"], ids=["nothing", "a letter", "half a head", "empty line"])
async def test_a_request_that_does_not_come_is_not_waited_for(
    connect: Open, hurry_heads: Callable[[], None], sent: bytes
) -> None:
    hurry_heads()
    reader, writer = await connect()
    writer.write(sent)
    assert (await ended(reader)).startswith(b"HTTP/1.1 408 Request Timeout\r\n")


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("kind", [b"Content-Length: 1000\r\n", b"Transfer-Encoding: chunked\r\n"])
async def test_a_body_that_does_not_come_is_given_up(connect: Open, echo: Echo, kind: bytes) -> None:
    reader, writer = await connect()
    writer.write(HEAD + kind + b"\r\n")
    assert await ended(reader) == b""
    await asyncio.wait_for(echo.lost.wait(), 60)


@pytest.mark.usefixtures("hurried")
async def test_a_body_that_weft_does_not_read_is_not_late(
    connect: Open, echo: Echo, hurry_heads: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    echo.may_read.clear()
    reader, writer = await connect()
    writer.write(HEAD + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    await asyncio.wait_for(echo.asked.wait(), 60)
    hurry_heads()
    second, other = await connect()  # has been closed by the same clock, when it was its turn
    assert (await ended(second)).startswith(b"HTTP/1.1 408")
    other.close()
    monkeypatch.setattr(CarefulProtocol, "body_seconds", 60.0)
    echo.may_read.set()
    assert await asyncio.wait_for(reader.readline(), 60) == b"HTTP/1.1 100 Continue\r\n"
    writer.write(b"hello")
    await reader.readline()
    assert await answered(reader) == b"3 5"


async def test_a_body_has_the_whole_time_from_when_it_was_asked_for(
    connect: Open, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock that ran before looks a moment after: it has nothing to say about what nobody wanted until then."""
    made: list[CarefulProtocol] = []
    begin = CarefulProtocol.connection_made

    def remember(self: CarefulProtocol, transport: asyncio.Transport) -> None:
        made.append(self)
        begin(self, transport)

    monkeypatch.setattr(CarefulProtocol, "connection_made", remember)
    echo.may_read.clear()
    reader, writer = await connect()
    writer.write(HEAD + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    await asyncio.wait_for(echo.asked.wait(), 60)
    echo.may_read.set()
    assert await asyncio.wait_for(reader.readline(), 60) == b"HTTP/1.1 100 Continue\r\n"
    (protocol,) = made
    protocol._look_at_body()
    writer.write(b"hello")
    await reader.readline()
    assert await answered(reader) == b"3 5"
    assert not protocol.transport.is_closing()


@pytest.mark.usefixtures("hurried")
async def test_an_answer_may_take_its_time(connect: Open, echo: Echo, hurry_heads: Callable[[], None]) -> None:
    echo.may_read.clear()
    reader, writer = await connect()
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.wait_for(echo.asked.wait(), 60)
    hurry_heads()
    second, _ = await connect()
    assert (await ended(second)).startswith(b"HTTP/1.1 408")
    echo.may_read.set()
    assert await answered(reader) == b"1 0"


async def test_too_many_connections_are_refused(echo: Echo) -> None:
    async with listening(echo, connections=2) as connect:
        await connect()
        reader, writer = await connect()
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await ended(reader)).startswith(b"HTTP/1.1 503 ")


def test_there_is_room_for_streams_and_others() -> None:
    assert 256 <= serve.most_connections(streams=10) <= 8_202
