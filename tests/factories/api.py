"""The application in this process, without a socket: `async with api.client(database) as client`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final

import httpx2
from fastapi import APIRouter

from weft.api.app import WeftApi, create_app
from weft.db.database import Database
from weft.domain.audit.routes import router as audit
from weft.domain.clients.routes import router as clients
from weft.domain.events.routes import router as events
from weft.domain.identity import access
from weft.domain.identity.routes import routers as identity
from weft.domain.secrets.routes import router as secrets
from weft.domain.templates.routes import router as templates
from weft.http.state import Services

ROUTERS: Final[tuple[APIRouter, ...]] = (*identity, clients, secrets, templates, events, audit)


def app_of(
    database: Database, routers: Iterable[APIRouter] = ROUTERS, *, public_url: str = "http://weft.example"
) -> WeftApi:
    services = Services(database, access.open_scope, cursor_key=bytes(32), public_url=public_url)
    return create_app(services, routers)


@asynccontextmanager
async def client(
    database: Database, routers: Iterable[APIRouter] = ROUTERS, *, public_url: str = "http://weft.example"
) -> AsyncIterator[httpx2.AsyncClient]:
    """Requests go straight into the application; paths begin with /v1."""
    transport = httpx2.ASGITransport(
        app=app_of(database, routers, public_url=public_url), client=("198.51.100.4", 4321)
    )
    headers = {"User-Agent": "weft tests"}
    async with httpx2.AsyncClient(transport=transport, base_url=public_url, headers=headers) as opened:
        yield opened
    await access.settle(database)
