"""Pages by key: complete, without doubles, and only for whoever got the cursor."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from tests.conftest import Enter
from tests.http.conftest import KEY, client_for

from weft.api.app import WeftApi
from weft.domain.clients.models import Client
from weft.http import paging
from weft.http.paging import CursorInvalid, Order, PageQuery, page

COLUMNS = (Client.created_at, Client.id)


@pytest.fixture
async def seven(as_ada: Enter) -> list[str]:
    """Seven clients of one transaction: their `created_at` is the same, only the id tells them apart."""
    async with as_ada() as scope:
        return [str((await scope.add(Client(name=f"client {number}"))).id) for number in range(7)]


async def walk(http: httpx2.AsyncClient, **query: Any) -> list[str]:
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await http.get("/v1/clients", params=query | cursor)
        assert answer.status_code == 200, answer.text
        document = answer.json()
        found += [item["id"] for item in document["items"]]
        if document["next_cursor"] is None:
            return found
        cursor = {"cursor": document["next_cursor"]}


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 8, 200])
async def test_every_row_is_on_exactly_one_page(http: httpx2.AsyncClient, seven: list[str], limit: int) -> None:
    assert await walk(http, limit=limit, order="asc") == seven
    assert await walk(http, limit=limit) == seven[::-1]


async def test_rows_that_come_or_go_between_pages_shift_nothing(
    http: httpx2.AsyncClient, as_ada: Enter, seven: list[str]
) -> None:
    first = (await http.get("/v1/clients?limit=3")).json()
    async with as_ada() as scope:
        await scope.add(Client(name="newer"))
        gone = await scope.one(select(Client).where(Client.id == first["items"][0]["id"]), missing=CursorInvalid())
        gone.deleted_at = scope.now()
    second = (await http.get("/v1/clients", params={"limit": 10, "cursor": first["next_cursor"]})).json()
    assert [item["id"] for item in second["items"]] == seven[3::-1]


async def test_filters_hold_on_every_page(http: httpx2.AsyncClient, seven: list[str], as_ada: Enter) -> None:
    async with as_ada() as scope:
        same = [str((await scope.add(Client(name="same"))).id) for _ in range(3)]
    assert await walk(http, limit=1, order="asc", name="same") == same


@pytest.mark.parametrize("limit", ["0", "201", "-1", "x", "1.5", ""])
async def test_limits_are_limits(http: httpx2.AsyncClient, limit: str) -> None:
    assert (await http.get("/v1/clients", params={"limit": limit})).status_code == 422


class TestCursors:
    """A cursor is bound to the list, filters, order and tenant that it was made for."""

    @pytest.fixture
    async def cursor(self, http: httpx2.AsyncClient, seven: list[str]) -> str:
        return str((await http.get("/v1/clients?limit=2")).json()["next_cursor"])

    async def refused(self, http: httpx2.AsyncClient, **query: str) -> None:
        answer = await http.get("/v1/clients", params=query)
        assert answer.status_code == 422
        assert answer.json()["type"] == "/errors/cursor_invalid"

    async def test_another_page_size_is_fine(self, http: httpx2.AsyncClient, cursor: str) -> None:
        assert (await http.get("/v1/clients", params={"cursor": cursor, "limit": 5})).status_code == 200

    async def test_another_order_is_not(self, http: httpx2.AsyncClient, cursor: str) -> None:
        await self.refused(http, cursor=cursor, order="asc")

    async def test_another_filter_is_not(self, http: httpx2.AsyncClient, cursor: str) -> None:
        await self.refused(http, cursor=cursor, name="client 1")

    async def test_another_tenant_is_not(self, app: WeftApi, cursor: str) -> None:
        async with client_for(app, who="bob") as bob:
            await self.refused(bob, cursor=cursor)

    async def test_another_installation_s_is_not(self, app: WeftApi, cursor: str) -> None:
        app.state.weft = replace(app.state.weft, cursor_key=bytes(32))
        async with client_for(app) as http:
            await self.refused(http, cursor=cursor)

    async def test_no_bit_can_be_changed(self, http: httpx2.AsyncClient, cursor: str) -> None:
        signed = bytearray(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        for place in range(0, len(signed), 7):
            changed = bytes(byte ^ (1 if index == place else 0) for index, byte in enumerate(signed))
            await self.refused(http, cursor=urlsafe_b64encode(changed).rstrip(b"=").decode())

    @pytest.mark.parametrize("cursor", ["x", "!!!!", "====", "a" * 1999, "\N{SNOWMAN}", "' or 1=1 --"])
    async def test_nonsense_is_refused(self, http: httpx2.AsyncClient, cursor: str) -> None:
        await self.refused(http, cursor=cursor)

    async def test_it_does_not_name_the_tenant_s_rows_to_others(self, http: httpx2.AsyncClient, cursor: str) -> None:
        """It is short enough for an address, and the page before it cannot be asked with it."""
        assert len(cursor) < 300


@given(st.text(max_size=100))
def test_no_text_is_a_cursor(text: str) -> None:
    with pytest.raises(CursorInvalid):
        paging._decode(KEY, text)


async def test_a_select_of_several_things_gives_rows(as_ada: Enter, seven: list[str]) -> None:
    query = PageQuery(key=KEY, limit=4, order=Order.asc)
    async with as_ada() as scope:
        chosen = select(Client.id, Client.name, Client.created_at)
        first = await page(scope, chosen, COLUMNS, query)
        second = await page(scope, chosen, COLUMNS, replace(query, cursor=first.next_cursor))
    assert [str(row.id) for row in (*first.items, *second.items)] == seven
    assert second.next_cursor is None


async def test_rows_without_their_sort_columns_need_a_key(as_ada: Enter, seven: list[str]) -> None:
    query = PageQuery(key=KEY, limit=4, order=Order.desc)
    async with as_ada() as scope:
        chosen = select(Client, Client.name)
        found = await page(scope, chosen, COLUMNS, query, key_of=lambda row: (row[0].created_at, row[0].id))
    assert [str(row[0].id) for row in found.items] == seven[:2:-1]


async def test_text_and_numbers_sort_too(as_ada: Enter, seven: list[str]) -> None:
    query = PageQuery(key=KEY, limit=3, order=Order.desc)
    async with as_ada() as scope:
        first = await page(scope, select(Client), (Client.name_key, Client.row_version, Client.id), query)
        then = replace(query, cursor=first.next_cursor)
        second = await page(scope, select(Client), (Client.name_key, Client.row_version, Client.id), then)
        assert [client.name for client in (*first.items, *second.items)] == [f"client {n}" for n in (6, 5, 4, 3, 2, 1)]
        with pytest.raises(CursorInvalid):
            await page(scope, select(Client), COLUMNS, then)


async def test_pages_at_the_same_time_do_not_disturb_each_other(http: httpx2.AsyncClient, seven: list[str]) -> None:
    walks = await asyncio.gather(*(walk(http, limit=2, order="asc") for _ in range(5)))
    assert walks == [seven] * 5
