"""Who may call, in which transaction, and when it commits."""

from __future__ import annotations

from typing import Annotated, Final

import asyncpg
import httpx2
import pytest
from fastapi import APIRouter
from sqlalchemy import select
from starlette.requests import HTTPConnection
from tests.conftest import Enter, TestDatabase
from tests.http.conftest import client_for

from weft.api.app import WeftApi, create_app
from weft.db.database import Database
from weft.db.scope import Scope
from weft.domain.clients.models import Client
from weft.http.scope import allowed, signed_in
from weft.http.state import SESSION_COOKIE, Services, Slot


async def names(as_ada: Enter) -> list[str]:
    async with as_ada() as scope:
        return [client.name for client in await scope.all(select(Client).order_by(Client.created_at, Client.id))]


async def test_nobody_is_refused_and_told_how_to_sign_in(anonymous: httpx2.AsyncClient) -> None:
    answer = await anonymous.get("/v1/clients")
    assert answer.status_code == 401
    assert answer.json()["type"] == "/errors/credential_missing"
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_an_unknown_token_is_refused(app: WeftApi) -> None:
    async with client_for(app, who="mallory") as client:
        answer = await client.get("/v1/clients")
    assert answer.status_code == 401
    assert answer.json()["type"] == "/errors/token_unknown"


async def test_the_missing_permission_is_named(app: WeftApi, as_ada: Enter) -> None:
    async with client_for(app, who="reader") as client:
        assert (await client.get("/v1/clients")).status_code == 200
        answer = await client.post("/v1/clients", json={"name": "Grace"})
    assert answer.status_code == 403
    assert "clients:write" in answer.json()["detail"]
    assert await names(as_ada) == []


async def test_a_handler_that_waits_holds_no_connection(app: WeftApi) -> None:
    async with client_for(app) as client:
        assert (await client.post("/v1/clients/errands")).json() == {"name": "ada", "connections": 0}
    async with client_for(app, who="reader") as client:
        assert (await client.post("/v1/clients/errands")).status_code == 403
    async with client_for(app, who=None) as client:
        assert (await client.post("/v1/clients/errands")).status_code == 401


async def test_a_public_route_asks_for_nothing(anonymous: httpx2.AsyncClient) -> None:
    assert (await anonymous.post("/v1/clients/visits")).json() == {"known": False}


async def test_what_is_answered_is_committed(http: httpx2.AsyncClient, as_ada: Enter) -> None:
    answer = await http.post("/v1/clients", json={"name": "Grace"})
    assert answer.status_code == 201
    assert await names(as_ada) == ["Grace"]


async def test_a_commit_that_is_refused_is_no_201(
    http: httpx2.AsyncClient, as_ada: Enter, test_database: TestDatabase
) -> None:
    """The handler has returned and its answer is ready: the client must hear of the failed commit instead."""
    admin = await asyncpg.connect(test_database.admin)
    try:
        await admin.execute(
            "alter table weft.clients add constraint late unique (tenant_id, notes) deferrable initially deferred"
        )
    finally:
        await admin.close()
    assert (await http.post("/v1/clients", json={"name": "Grace", "notes": "same"})).status_code == 201
    answer = await http.post("/v1/clients", json={"name": "Hedy", "notes": "same"})
    assert answer.status_code == 409
    assert answer.json()["type"] == "/errors/value_taken"
    assert "same" not in answer.json()["detail"].replace("the same", "")
    assert await names(as_ada) == ["Grace"]


async def test_a_commit_that_gets_lost_is_no_201(http: httpx2.AsyncClient, as_ada: Enter) -> None:
    answer = await http.post("/v1/clients", json={"name": "lost"})
    assert answer.status_code == 503
    assert answer.json()["type"] == "/errors/database_unavailable"
    assert answer.headers["retry-after"] == "1"
    assert await names(as_ada) == []


@pytest.mark.parametrize(("name", "status"), [("odd", 409), ("bug", 500)])
async def test_an_error_takes_everything_back(http: httpx2.AsyncClient, as_ada: Enter, name: str, status: int) -> None:
    assert (await http.post("/v1/clients", json={"name": name})).status_code == status
    assert await names(as_ada) == []


async def test_an_invalid_body_writes_nothing_and_frees_its_connection(http: httpx2.AsyncClient, app: WeftApi) -> None:
    for _ in range(12):  # more than the pool has
        assert (await http.post("/v1/clients", json={"nom": "Grace"})).status_code == 422
    assert app.state.weft.database.engine.pool.checkedout() == 0


async def test_reading_runs_read_only(http: httpx2.AsyncClient) -> None:
    assert (await http.get("/v1/clients/write/while-reading")).json() == {"read_only": "on"}


async def test_the_tenant_is_the_token_s(app: WeftApi, http: httpx2.AsyncClient) -> None:
    made = (await http.post("/v1/clients", json={"name": "Grace"})).json()
    async with client_for(app, who="bob") as bob:
        assert (await bob.get(f"/v1/clients/{made['id']}")).status_code == 404
        assert (await bob.get("/v1/clients")).json()["items"] == []


class TestCookies:
    """A browser attaches the session cookie to whatever page asks."""

    COOKIE: Final = {"Cookie": f"{SESSION_COOKIE}=ada"}

    async def test_a_cookie_signs_in(self, anonymous: httpx2.AsyncClient) -> None:
        assert (await anonymous.get("/v1/clients", headers=self.COOKIE)).status_code == 200

    @pytest.mark.parametrize(
        "headers",
        [
            {"Sec-Fetch-Site": "same-origin"},
            {"Origin": "http://weft.test"},
            {"Origin": "http://weft.test:80"},
        ],
    )
    async def test_our_own_page_may_change_things(self, anonymous: httpx2.AsyncClient, headers: dict[str, str]) -> None:
        answer = await anonymous.post("/v1/clients", json={"name": "Grace"}, headers=self.COOKIE | headers)
        assert answer.status_code == 201

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Sec-Fetch-Site": "none"},
            {"Sec-Fetch-Site": "cross-site", "Origin": "http://weft.test"},
            {"Origin": "http://weft.test:8080"},
            {"Origin": "https://weft.test"},
            {"Origin": "http://evil.test"},
            {"Origin": "null"},
            {"Origin": "http://[bad"},
        ],
    )
    async def test_another_site_s_page_may_not(
        self, anonymous: httpx2.AsyncClient, as_ada: Enter, headers: dict[str, str]
    ) -> None:
        answer = await anonymous.post("/v1/clients", json={"name": "Grace"}, headers=self.COOKIE | headers)
        assert answer.status_code == 403
        assert answer.json()["type"] == "/errors/origin_refused"
        assert await names(as_ada) == []

    async def test_a_bearer_token_needs_no_origin(self, http: httpx2.AsyncClient) -> None:
        answer = await http.post(
            "/v1/clients", json={"name": "Grace"}, headers={"Sec-Fetch-Site": "cross-site"} | self.COOKIE
        )
        assert answer.status_code == 201

    async def test_a_public_route_that_sets_cookies_refuses_other_sites(self, anonymous: httpx2.AsyncClient) -> None:
        here = "/v1/clients/visits/here"
        assert (await anonymous.post(here)).status_code == 200
        assert (await anonymous.post(here, headers={"Sec-Fetch-Site": "same-origin"})).status_code == 200
        assert (await anonymous.post(here, headers={"Sec-Fetch-Site": "cross-site"})).status_code == 403


class TestDeclarations:
    """Every route says who may call it, or there is no application."""

    def test_a_route_without_one_is_refused(self, services: Services) -> None:
        silent = APIRouter()

        @silent.get("/silent")
        async def read_silently() -> None:
            return None

        with pytest.raises(LookupError, match=r"/v1/silent.*found nothing"):
            create_app(services, [silent])

    def test_two_are_one_too_many(self, services: Services) -> None:
        torn = APIRouter()

        @torn.get("/torn")
        async def read_twice(
            first: Annotated[Scope, allowed("clients:read")], second: Annotated[Scope, signed_in()]
        ) -> None:
            return None

        with pytest.raises(LookupError, match="found clients:read, signed_in"):
            create_app(services, [torn])

    def test_two_routes_of_one_name_are_refused(self, services: Services) -> None:
        def make(path: str) -> APIRouter:
            router = APIRouter()

            @router.get(path)
            async def read_it(scope: Annotated[Scope, signed_in()]) -> None:
                return None

            return router

        with pytest.raises(LookupError, match="read_it"):
            create_app(services, [make("/one"), make("/two")])

    def test_a_permission_has_two_parts(self) -> None:
        with pytest.raises(ValueError, match="room:action"):
            allowed("everything")


async def test_a_slot_hands_over_what_was_attached(app: WeftApi, database: Database) -> None:
    slot: Slot[Database] = Slot("database of the test")
    connection = HTTPConnection({"type": "http", "app": app, "headers": [], "path": "/"})
    with pytest.raises(RuntimeError, match="database of the test"):
        slot.of(connection)
    slot.attach(app, database)
    assert slot.of(connection) is database
