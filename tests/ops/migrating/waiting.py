"""Wait for what the database shows; it tells nobody."""

from __future__ import annotations

import asyncio
from typing import Any


async def until(
    connection: Any, question: str, *, seconds: float = 60.0, while_: asyncio.Task[Any] | None = None
) -> Any:
    """The first answer that counts as true; `while_` must not end before it comes."""
    async with asyncio.timeout(seconds):
        while not (answer := await connection.fetchval(question)):
            assert while_ is None or not while_.done(), "it ended too early"
            await asyncio.sleep(0.01)
    return answer
