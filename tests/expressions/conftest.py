"""A guard for each test that asks for one, and the invoice that the examples are about."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from weft.expressions.guard import Guard


@pytest.fixture
async def guard() -> AsyncIterator[Guard]:
    async with Guard(wall_limit=5.0) as started:
        yield started


@pytest.fixture
async def hasty_guard() -> AsyncIterator[Guard]:
    """Gives up soon, for what would run for ever."""
    async with Guard(wall_limit=0.4) as started:
        yield started


@pytest.fixture
def context() -> dict[str, Any]:
    return {
        "input": {
            "amount": 1500,
            "customer": {"id": 7, "name": "Zoë", "tier": "gold", "keys": None},
            "lines": [{"price": 2.5, "quantity": 2, "sku": "b"}, {"price": 1, "quantity": 3, "sku": "a"}],
            "note": "hello",
            "nothing": None,
            "paid": False,
            "huge": 10**30,
            "größe": 3,
        },
        "steps": {"review": {"output": {"approved": True}}, "a b": {"output": 1}},
        "now": "2026-11-21T10:00:00Z",
    }
