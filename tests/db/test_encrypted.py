"""`sslmode=require` in the address: nothing is said to a server that does not speak TLS, not even who asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy.exc import DBAPIError

from weft.db import migrate
from weft.db.database import Database, DatabaseUnavailable, make_engine

TLS_WANTED = bytes.fromhex("0000000804d2162f")
"""PostgreSQL's request for TLS: its length and its number."""


class Plain:
    """A server that refuses TLS, and keeps what it heard."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.left = asyncio.Event()

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readexactly(len(TLS_WANTED))
        writer.write(b"N")
        self.heard.append(asked + await reader.read())
        writer.close()
        self.left.set()


@pytest.fixture
async def plain() -> AsyncIterator[tuple[Plain, int]]:
    place = Plain()
    server = await asyncio.start_server(place.meet, "127.0.0.1", 0)
    async with server:
        yield place, server.sockets[0].getsockname()[1]


async def test_the_engine_s_connections_say_no_more_than_the_wish_for_tls(plain: tuple[Plain, int]) -> None:
    place, port = plain
    with pytest.raises((DatabaseUnavailable, OSError)):
        await Database.open(address(port), size=1, hot_size=1, master_key=bytes(32))
    async with asyncio.timeout(30):
        await place.left.wait()
    assert set(place.heard) == {TLS_WANTED}


async def test_the_rooms_connections_say_no_more_either(plain: tuple[Plain, int]) -> None:
    place, port = plain
    engine = make_engine(address(port), application_name="weft test", size=1, wait=10.0)
    try:
        with pytest.raises((DBAPIError, OSError)):
            async with engine.connect():
                pass
    finally:
        await engine.dispose()
    async with asyncio.timeout(30):
        await place.left.wait()
    assert set(place.heard) == {TLS_WANTED}


async def test_migrations_say_no_more_either(plain: tuple[Plain, int]) -> None:
    place, port = plain
    with pytest.raises((DBAPIError, OSError)):
        await migrate.upgrade(address(port))
    async with asyncio.timeout(30):
        await place.left.wait()
    assert set(place.heard) == {TLS_WANTED}


def address(port: int) -> str:
    return f"postgresql://weft_app:secret@127.0.0.1:{port}/weft?sslmode=require"
