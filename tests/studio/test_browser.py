"""The pages in a real Chromium: its rules for scripts, cookies and origins are not those of a test client."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.conftest import TestDatabase
from tests.factories import identity
from tests.studio import chromium

from weft.core.actor import system_actor
from weft.db.database import Database
from weft.db.scope import enter
from weft.domain.clients.models import Client
from weft.ops.installation import Addresses
from weft.studio.frame import Bounds
from weft.studio.serve import Wish, listen, serve

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(chromium.PROGRAM is None, reason="no Chromium is installed"),
]
PATIENCE = timedelta(minutes=5)


@pytest.fixture
async def address(test_database: TestDatabase) -> AsyncIterator[str]:
    """A running studio with `--write`; the address that opens it."""
    opened: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    listener: socket.socket = listen("127.0.0.1", 0)
    addresses = Addresses(test_database.app, test_database.owner, None, embedded=False)
    wish = Wish(tenant=None, email=None, writes=True, operator="olga", bounds=Bounds())
    running = asyncio.create_task(serve(addresses, listener, wish, opened=opened.set_result, announce=lambda _: None))
    yield await opened
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    listener.close()


async def test_a_row_is_found_changed_and_deleted_by_clicks(address: str, database: Database, tmp_path: Path) -> None:
    acme = await identity.tenant(database, "acme")
    await identity.role(database, acme, "audit:read", name="Auditors")
    async with enter(database, system_actor(acme.tenant_id)) as scope:
        await scope.add(Client(name="Müller <b>", notes="old"))
    base = address.partition("/?")[0]
    async with asyncio.timeout(PATIENCE.total_seconds()), chromium.page(tmp_path) as page:
        await page.go(address)
        assert await page.run("location.href") == f"{base}/"
        await page.go(f"{base}/tenants")
        await page.follow("document.querySelector('.list-group button').click()")
        assert await page.run("document.querySelector('.studio-where strong').textContent") == "Acme"

        await page.go(f"{base}/clients/list")
        await page.follow("document.querySelector('tr[data-sa-pk] a').click()")
        await page.follow("document.querySelector('a.btn-primary').click()")
        assert await page.run("document.getElementById('field-email').disabled")
        await page.run("document.getElementById('field-name').value = 'Meyer'")
        await page.follow("document.querySelector('.card-footer button').click()")
        assert "Saved: name" in await page.run("document.body.textContent")

        await page.go(f"{base}/roles/list?filter=name__eq=Auditors")
        await page.run("document.querySelector('[data-sa-hook=row-checkbox]').click()")
        await page.follow("document.querySelector('[data-sa-name=delete]').click()")
        assert "1 row will be deleted" in await page.run("document.body.textContent")
        await page.follow("document.querySelector('.btn-danger').click()")
        assert "1 row is gone" in await page.run("document.body.textContent")

        await page.run("document.getElementById('studio-theme').click()")
        assert await page.run("document.documentElement.dataset.bsTheme") in ("dark", "light")
        assert page.complaints == []
        assert [url for url in page.requests if not url.startswith((base, "data:", "about:"))] == []
