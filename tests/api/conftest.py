"""The whole application in this process, with every router and a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx2
import pytest
from tests.factories import identity
from tests.factories.identity import Person

from weft.api import health, recovery
from weft.api.app import WeftApi
from weft.api.assemble import assembled
from weft.db.database import Database
from weft.domain.identity.access import open_scope
from weft.http.state import Services
from weft.ops.monitoring import facts

ADDRESS = "http://weft.test"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is there may take its time here; a process that serves gives it some seconds."""
    monkeypatch.setattr(health, "_PATIENCE", 60.0)
    monkeypatch.setattr(recovery, "_PATIENCE", 60.0)
    monkeypatch.setattr(facts, "PATIENCE", 60.0)


@dataclass(frozen=True)
class Whole:
    """The application, and somebody who may do everything in a tenant of it."""

    app: WeftApi
    database: Database
    owner: Person
    headers: dict[str, str]

    def client(self, headers: dict[str, str] | None = None) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=self.app), base_url=ADDRESS, headers=headers or {})


@pytest.fixture
async def whole(database: Database) -> AsyncIterator[Whole]:
    owner = await identity.tenant(database, "acme")
    headers = await identity.bearer(database, owner)
    services = Services(database, open_scope, cursor_key=bytes(32), public_url=ADDRESS)
    async with assembled(services) as app:
        yield Whole(app, database, owner, headers)
