from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest
from tests.factories import api as serving
from tests.factories import identity
from tests.factories.identity import Person

from weft.db.database import Database


@pytest.fixture
async def api(database: Database) -> AsyncIterator[httpx2.AsyncClient]:
    async with serving.client(database) as client:
        yield client


@pytest.fixture
async def acme(database: Database) -> Person:
    """The OWNER of a tenant."""
    return await identity.tenant(database, "acme")


@pytest.fixture
async def globex(database: Database) -> Person:
    """The OWNER of another tenant."""
    return await identity.tenant(database, "globex")
