"""Guards for tests, and the invoice that the examples are about."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from weft.expressions.guard import Guard
from weft.expressions.guard_link import Link

FOREVER = b"range(5000)"
"""Stands in what would run for ever."""
PATIENCE = 60.0


class HastyGuard(Guard):
    """Gives up soon what would run for ever, and nothing else: a busy machine may need longer for the rest."""

    def __init__(self, *, haste: float = 0.4, **options: Any) -> None:
        super().__init__(wall_limit=haste, cpu_limit=PATIENCE, **options)
        self._haste = haste

    def _give(self, link: Link, job: Any) -> None:
        self._wall_limit = self._haste if FOREVER in job.question else PATIENCE
        super()._give(link, job)


@pytest.fixture
async def guard() -> AsyncIterator[Guard]:
    async with Guard(wall_limit=PATIENCE, cpu_limit=PATIENCE) as started:
        yield started


@pytest.fixture
async def hasty_guard() -> AsyncIterator[Guard]:
    async with HastyGuard() as started:
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
