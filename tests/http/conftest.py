"""A small application with routes of its own, and somebody at the door who knows two people by name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

import httpx2
import pytest
from fastapi import APIRouter
from pydantic import Field
from sqlalchemy import select
from sqlalchemy.pool import QueuePool

from weft.api.app import WeftApi, create_app
from weft.core.actor import Actor
from weft.core.errors import Conflict, Issue, NotFound, Unauthenticated
from weft.db.database import Database
from weft.db.scope import Scope, enter
from weft.domain.clients.models import Client
from weft.http.bodies import Input, Output
from weft.http.paging import Page, Paged, Paging, page
from weft.http.preconditions import IfMatch, Tag, check
from weft.http.scope import Visitor, acting, allowed, public, signed_in
from weft.http.state import Credential, RequestFacts, RequestServices, Services

KEY = bytes(range(32))
BASE = "http://weft.test"


class ClientMissing(NotFound):
    code = "client_missing"


class ClientOdd(Conflict):
    code = "client_odd"


class TokenUnknown(Unauthenticated):
    code = "token_unknown"


class ClientCreate(Input):
    name: Annotated[str, Field(min_length=1, max_length=200)]
    notes: str | None = None
    extra: dict[str, Any] = Field(default_factory=dict)


class ClientRead(Output):
    id: UUID
    name: str
    row_version: int


Reader = Annotated[Scope, allowed("clients:read")]
Writer = Annotated[Scope, allowed("clients:write")]

router = APIRouter(prefix="/clients", tags=["clients"])


@router.get("", response_model=Page[ClientRead])
async def list_clients(scope: Reader, query: Paging, name: str | None = None) -> Paged[Client]:
    """Every client of the tenant."""
    matching = select(Client) if name is None else select(Client).where(Client.name == name)
    return await page(scope, matching, (Client.created_at, Client.id), query)


@router.post("", status_code=201, response_model=ClientRead)
async def create_client(scope: Writer, new: ClientCreate, tag: Tag) -> Client:
    client = await scope.add(Client(name=new.name, notes=new.notes))
    tag(client.row_version)
    if new.name == "odd":
        issue = Issue("this name is odd", ("name",), "odd")
        raise ClientOdd("Choose an even name.", issues=[issue])
    if new.name == "bug":
        raise RuntimeError("a secret in a traceback: hunter2")
    if new.name == "lost":
        # The server ends this connection: found only at COMMIT, after the handler has returned.
        async with scope.database.pool.acquire() as other:
            await other.fetchval("select pg_terminate_backend($1, 60000)", scope.raw.get_server_pid())
    return client


@router.get("/{client_id}", response_model=ClientRead)
async def read_client(scope: Reader, client_id: UUID, tag: Tag) -> Client:
    client = await scope.one(select(Client).where(Client.id == client_id), missing=ClientMissing("No such client."))
    tag(client.row_version)
    return client


@router.patch("/{client_id}", response_model=ClientRead)
async def rename_client(scope: Writer, client_id: UUID, change: ClientCreate, expected: IfMatch, tag: Tag) -> Client:
    client = await scope.one(select(Client).where(Client.id == client_id), missing=ClientMissing("No such client."))
    check(expected, client.row_version)
    client.name = change.name
    await scope.flush()
    tag(client.row_version)
    return client


@router.get("/write/while-reading")
async def write_while_reading(scope: Reader) -> dict[str, str]:
    return {"read_only": await scope.raw.fetchval("show transaction_read_only")}


@router.get("/me/facts")
async def read_facts(scope: Annotated[Scope, signed_in()]) -> dict[str, str | None]:
    return {"ip": scope.actor.ip, "agent": scope.actor.user_agent, "correlation_id": scope.actor.correlation_id}


@router.post("/errands")
async def run_errand(
    actor: Annotated[Actor, acting("clients:write")], services: RequestServices
) -> dict[str, str | int]:
    pool = services.database.engine.pool
    assert isinstance(pool, QueuePool)
    return {"name": actor.name, "connections": pool.checkedout()}


@router.post("/visits")
async def visit(visitor: Annotated[Visitor, public()]) -> dict[str, bool]:
    return {"known": visitor.credential is not None}


@router.post("/visits/here")
async def visit_from_here(visitor: Annotated[Visitor, public(same_origin=True)]) -> dict[str, bool]:
    return {"known": visitor.credential is not None}


class Door:
    """An authenticator for tests: a token is a name."""

    def __init__(self, people: dict[str, Actor]) -> None:
        self.people = people

    def __call__(
        self, database: Database, credential: Credential, facts: RequestFacts, *, read_only: bool
    ) -> AbstractAsyncContextManager[Scope]:
        return self._open(database, credential, facts, read_only=read_only)

    @asynccontextmanager
    async def _open(
        self, database: Database, credential: Credential, facts: RequestFacts, *, read_only: bool
    ) -> AsyncIterator[Scope]:
        actor = self.people.get(credential.token)
        if actor is None:
            raise TokenUnknown("This token is not valid. Sign in again.")
        actor = replace(actor, ip=facts.ip, user_agent=facts.user_agent, correlation_id=facts.correlation_id)
        async with enter(database, actor, read_only=read_only) as scope:
            yield scope


MakeClient = Callable[..., httpx2.AsyncClient]


@pytest.fixture
def door(ada: Actor, bob: Actor) -> Door:
    reader = replace(ada, everything=False, permissions=frozenset({"clients:read"}))
    return Door({"ada": ada, "bob": bob, "reader": reader})


@pytest.fixture
def services(database: Database, door: Door) -> Services:
    return Services(database=database, authenticate=door, cursor_key=KEY, public_url=BASE)


@pytest.fixture
def app(services: Services) -> WeftApi:
    return create_app(services, [router], trusted_proxies=["10.0.0.0/8"], max_body=20_000)


def client_for(app: WeftApi, *, who: str | None = "ada", peer: str = "192.0.2.1") -> httpx2.AsyncClient:
    headers = {"Authorization": f"Bearer {who}"} if who else {}
    return httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app, client=(peer, 4711)), base_url=BASE, headers=headers
    )


@pytest.fixture
async def http(app: WeftApi) -> AsyncIterator[httpx2.AsyncClient]:
    """Ada, who may do everything."""
    async with client_for(app) as client:
        yield client


@pytest.fixture
async def anonymous(app: WeftApi) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_for(app, who=None) as client:
        yield client
