from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest
from tests.factories import executions

from weft.db.database import Database
from weft.engine.process import EngineProcess


@pytest.fixture
async def running(database: Database) -> AsyncIterator[EngineProcess]:
    async with executions.engine(database) as opened:
        yield opened


@pytest.fixture
async def http(database: Database, running: EngineProcess) -> AsyncIterator[httpx2.AsyncClient]:
    """The API in front of that engine, webhooks included."""
    async with executions.client(database, running) as opened:
        yield opened
