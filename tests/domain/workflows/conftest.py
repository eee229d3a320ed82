"""The API with the rooms that workflows need, and the step kinds of the engine."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest
from tests.factories import api as serving
from tests.factories import identity
from tests.factories.identity import Person

from weft.db.database import Database
from weft.domain.identity.routes import routers as identity_routers
from weft.domain.workflows.routes import routers
from weft.engine import registry


@pytest.fixture
async def api(database: Database) -> AsyncIterator[httpx2.AsyncClient]:
    registry.kinds()
    async with serving.client(database, (*identity_routers, *routers)) as client:
        yield client


@pytest.fixture
async def acme(database: Database) -> Person:
    """The OWNER of a tenant."""
    return await identity.tenant(database, "acme")


@pytest.fixture
async def owner(database: Database, acme: Person) -> dict[str, str]:
    """Headers of the OWNER."""
    return await identity.bearer(database, acme)
