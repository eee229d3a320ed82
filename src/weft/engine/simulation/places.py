"""How many simulations and backtests one process works on: one of each tenant, two in all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID

from weft.engine.simulation.errors import SimulationsBusy

AT_ONCE: Final = 2


class Places:
    """A process's places. They give way to other requests between slices of work, but share its processor."""

    def __init__(self) -> None:
        self._tenants: set[UUID] = set()
        self._free = asyncio.Semaphore(AT_ONCE)

    @asynccontextmanager
    async def taken(self, tenant_id: UUID) -> AsyncIterator[None]:
        """Raises `SimulationsBusy` when the tenant has one already; waits for others' to end."""
        if tenant_id in self._tenants:
            raise SimulationsBusy
        self._tenants.add(tenant_id)
        try:
            async with self._free:
                yield
        finally:
            self._tenants.discard(tenant_id)
