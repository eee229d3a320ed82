from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx2
import pytest
from tests.factories import identity

from weft.api.assemble import assembled
from weft.core.actor import Actor
from weft.db.database import Database
from weft.domain.identity.access import open_scope
from weft.http.state import Services


@dataclass(frozen=True)
class Desk:
    """The whole API: as the owner of one tenant, as the owner of another, and who the first one is."""

    mine: httpx2.AsyncClient
    theirs: httpx2.AsyncClient
    actor: Actor


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    acme = await identity.tenant(database, "acme")
    globex = await identity.tenant(database, "globex")
    services = Services(database, open_scope, cursor_key=bytes(32), public_url="http://weft.test")
    async with assembled(services) as app:

        def client(headers: dict[str, str]) -> httpx2.AsyncClient:
            return httpx2.AsyncClient(
                transport=httpx2.ASGITransport(app=app), base_url="http://weft.test/v1", headers=headers
            )

        async with (
            client(await identity.bearer(database, acme)) as mine,
            client(await identity.bearer(database, globex)) as theirs,
        ):
            yield Desk(mine, theirs, await identity.actor(database, acme))
