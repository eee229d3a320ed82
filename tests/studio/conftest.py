"""The studio in this process, without a socket, on a database of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

import asyncpg
import httpx2
import pytest
from jinja2.bccache import Bucket, BytecodeCache
from starlette_admin.base import BaseAdmin
from tests.conftest import TestDatabase
from tests.db.test_isolation import insert, row_of

from weft.core.ids import new_id
from weft.db.database import Database
from weft.migrations.models import METADATA
from weft.studio import catalogue, rows
from weft.studio.admin import DERIVE, application
from weft.studio.doors import Doors
from weft.studio.frame import Bounds
from weft.studio.viewers import prepare

TABLES = catalogue.read(METADATA, DERIVE)
HOST = "http://127.0.0.1:5555"
PATIENT = Bounds(seconds=60.0)
"""On a busy machine statements may take their time, unless a test says otherwise."""


@dataclass
class Clock:
    now: datetime = field(default_factory=lambda: datetime(2026, 11, 25, 12, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta) -> None:
        self.now += by


@dataclass
class Browser:
    """Somebody at the studio. `client` keeps cookies; forms are sent with the token that the page gave."""

    client: httpx2.AsyncClient
    doors: Doors
    clock: Clock
    announced: list[str]

    async def enter(self) -> None:
        answer = await self.client.get(self.doors.address)
        assert answer.status_code == 303
        await self.client.get("/")

    async def get(self, path: str, **query: Any) -> httpx2.Response:
        return await self.client.get(path, params=query or None)

    async def post(self, path: str, **fields: str) -> httpx2.Response:
        token = self.client.cookies["starlette_admin_csrftoken"]
        return await self.client.post(path, data={"csrftoken": token, **fields}, headers={"Origin": HOST})


Open = Callable[..., Awaitable[Browser]]


class _Compiled(BytecodeCache):
    """Templates are compiled once for all tests, not anew for each."""

    codes: ClassVar[dict[str, bytes]] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self.codes:
            bucket.bytecode_from_string(self.codes[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self.codes[bucket.key] = bucket.bytecode_to_string()


@pytest.fixture(autouse=True)
def compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    set_up = BaseAdmin._setup_templates

    def set_up_and_remember(self: BaseAdmin) -> None:
        set_up(self)
        self.templates.env.bytecode_cache = _Compiled()

    monkeypatch.setattr(BaseAdmin, "_setup_templates", set_up_and_remember)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Totals of few rows are exact, however busy the machine is."""
    monkeypatch.setattr(rows, "COUNTING_SECONDS", PATIENT.seconds)


@pytest.fixture
async def studio(database: Database, test_database: TestDatabase) -> AsyncIterator[Open]:
    """Opens a studio: `await studio(tenant="ada", writes=True)`; without `owner=False` it knows the owner's address."""
    async with AsyncExitStack() as stack:

        async def open_(
            tenant: str | None = None,
            email: str | None = None,
            *,
            role: str | None = None,
            writes: bool = False,
            owner: bool = True,
            entered: bool = True,
            bounds: Bounds | None = None,
        ) -> Browser:
            viewers = await prepare(
                database,
                owner=test_database.owner if owner else None,
                tenant=tenant,
                email=email,
                role=role,
                writes=writes,
                operator="olga",
            )
            clock, announced = Clock(), list[str]()
            doors = Doors("127.0.0.1", 5555, clock, announced.append)
            app = application(viewers, doors, secret="s" * 32, bounds=bounds or PATIENT)
            transport = httpx2.ASGITransport(app=app, client=("127.0.0.1", 4321))
            client = await stack.enter_async_context(httpx2.AsyncClient(transport=transport, base_url=HOST))
            browser = Browser(client, doors, clock, announced)
            if entered:
                await browser.enter()
            return browser

        yield open_


@dataclass
class Planter:
    """Puts a row of whatever values into any table, as a superuser: neither references nor audit are asked."""

    connection: Any

    async def tenant(self, slug: str) -> UUID:
        tenant_id = new_id()
        await self.connection.execute(
            "insert into weft.tenants (id, slug, name) values ($1, $2, $3)", tenant_id, slug, slug.title()
        )
        return tenant_id

    async def plant(self, table_name: str, tenant_id: UUID, /, **given: str) -> dict[str, str]:
        """The row's literals."""
        table = METADATA.tables[f"weft.{table_name}"]
        row = row_of(table, tenant_id, **given)
        await self.connection.execute(insert(table, row))
        return row


@pytest.fixture
async def planter(test_database: TestDatabase) -> AsyncIterator[Planter]:
    connection = await asyncpg.connect(test_database.admin)
    await connection.execute("set session_replication_role = replica")
    try:
        yield Planter(connection)
    finally:
        await connection.close()


@pytest.fixture
async def browser_of_ada(studio: Open, planter: Planter) -> Browser:
    """An operator who looks into the tenant `ada`, which is empty."""
    await planter.tenant("ada")
    return await studio(tenant="ada")
