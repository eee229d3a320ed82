"""Clients over HTTP."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from tests.factories import identity
from tests.factories.identity import Person

from weft.core.actor import system_actor
from weft.db.database import Database
from weft.db.scope import enter

Headers = dict[str, str]
ID = "0198f3a0-0000-7000-8000-00000000c0de"
FULL = {
    "name": "Müller & Söhne",
    "email": "office@mueller.example",
    "phone": "+49 30 123456",
    "address": "Hauptstraße 1\n10115 Berlin",
    "company": "Müller GmbH",
    "notes": "Pays on time.",
    "is_active": True,
}
GUARDED: list[tuple[str, str, object, str]] = [
    ("GET", "/v1/clients", None, "clients:read"),
    ("POST", "/v1/clients", {"name": "New"}, "clients:write"),
    ("GET", f"/v1/clients/{ID}", None, "clients:read"),
    ("PATCH", f"/v1/clients/{ID}", {"name": "Other"}, "clients:write"),
    ("DELETE", f"/v1/clients/{ID}", None, "clients:write"),
    ("POST", f"/v1/clients/{ID}/restore", None, "clients:write"),
]


@pytest.fixture
async def owner(database: Database, acme: Person) -> Headers:
    return await identity.bearer(database, acme)


async def make(api: httpx2.AsyncClient, headers: Headers, **fields: Any) -> dict[str, Any]:
    response = await api.post("/v1/clients", json={"name": "Ada", **fields}, headers=headers)
    assert response.status_code == 201, response.text
    return dict(response.json())


async def names(api: httpx2.AsyncClient, headers: Headers, **query: str) -> list[str]:
    response = await api.get("/v1/clients", params={"order": "asc", **query}, headers=headers)
    assert response.status_code == 200, response.text
    return [item["name"] for item in response.json()["items"]]


async def test_anonymous_is_refused(api: httpx2.AsyncClient) -> None:
    for method, path, body, _ in GUARDED:
        assert (await api.request(method, path, json=body)).status_code == 401, (method, path)


async def test_without_the_permission_each_is_refused(
    api: httpx2.AsyncClient, database: Database, acme: Person
) -> None:
    for permission, other in (("clients:read", "clients:write"), ("clients:write", "clients:read")):
        headers = await identity.bearer(database, await identity.somebody(database, acme, other))
        for method, path, body, needed in GUARDED:
            if needed == permission:
                response = await api.request(method, path, json=body, headers=headers)
                assert (response.status_code, permission in response.json()["detail"]) == (403, True), (method, path)


async def test_what_belongs_to_another_tenant_does_not_exist(
    api: httpx2.AsyncClient, database: Database, owner: Headers, globex: Person
) -> None:
    theirs = await make(api, await identity.bearer(database, globex))
    for method, path, body, _ in GUARDED[2:]:
        response = await api.request(method, path.replace(ID, theirs["id"]), json=body, headers=owner)
        assert (response.status_code, response.json()["type"]) == (404, "/errors/client_not_found")
    assert await names(api, owner) == []


async def test_every_column_is_kept_and_shown(api: httpx2.AsyncClient, owner: Headers) -> None:
    made = await make(api, owner, **FULL)
    assert {key: made[key] for key in FULL} == FULL
    shown = await api.get(f"/v1/clients/{made['id']}", headers=owner)
    assert (shown.json(), shown.headers["etag"]) == (made, '"1"')
    bare = await make(api, owner, name="  Bare  ")
    assert (bare["name"], bare["email"], bare["is_active"]) == ("Bare", None, True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": None},
        {"name": "x" * 201},
        {"email": "not an address"},
        {"email": ""},
        {"is_active": "yes"},
        {"tenant_id": ID},
        {"deleted_at": None},
    ],
)
async def test_unfit_clients_are_refused(api: httpx2.AsyncClient, owner: Headers, wrong: dict[str, Any]) -> None:
    made = await make(api, owner)
    assert (await api.post("/v1/clients", json={"name": "Ada", **wrong}, headers=owner)).status_code == 422
    assert (await api.patch(f"/v1/clients/{made['id']}", json=wrong, headers=owner)).status_code == 422
    assert await names(api, owner) == ["Ada"]


async def test_only_what_is_sent_changes_and_only_the_version_that_was_read(
    api: httpx2.AsyncClient, owner: Headers
) -> None:
    made = await make(api, owner, **FULL)
    url = f"/v1/clients/{made['id']}"
    changed = await api.patch(url, json={"phone": None, "is_active": False}, headers={**owner, "If-Match": '"1"'})
    assert changed.headers["etag"] == '"2"'
    assert {key: changed.json()[key] for key in FULL} == {**FULL, "phone": None, "is_active": False}
    stale = await api.patch(url, json={"name": "Late"}, headers={**owner, "If-Match": '"1"'})
    assert (stale.status_code, stale.json()["type"]) == (412, "/errors/version_stale")
    assert (await api.delete(url, headers={**owner, "If-Match": '"1"'})).status_code == 412


async def test_a_deleted_client_is_hidden_its_name_free_and_it_comes_back(
    api: httpx2.AsyncClient, owner: Headers
) -> None:
    made = await make(api, owner, **FULL)
    url = f"/v1/clients/{made['id']}"
    assert (await api.delete(url, headers=owner)).status_code == 204
    for response in (
        await api.get(url, headers=owner),
        await api.patch(url, json={"name": "Ghost"}, headers=owner),
        await api.delete(url, headers=owner),
    ):
        assert response.status_code == 404
    assert await names(api, owner) == []
    assert await names(api, owner, deleted="true") == [FULL["name"]]
    again = await make(api, owner, **FULL)
    assert again["id"] != made["id"]
    restored = await api.post(f"{url}/restore", headers=owner)
    assert restored.status_code == 200
    assert {key: restored.json()[key] for key in FULL} == FULL
    assert restored.json()["deleted_at"] is None
    assert await names(api, owner) == [FULL["name"], FULL["name"]]
    not_deleted = await api.post(f"{url}/restore", headers=owner)
    assert (not_deleted.status_code, not_deleted.json()["type"]) == (409, "/errors/client_not_deleted")


async def test_names_are_found_by_their_beginning_in_any_case(api: httpx2.AsyncClient, owner: Headers) -> None:
    for name in ("Straßenbau AG", "STRASSE 7", "strand", "Ända", "100% pure", "Zoë"):
        await make(api, owner, name=name)
    assert await names(api, owner, name="straSSE") == ["Straßenbau AG", "STRASSE 7"]
    assert await names(api, owner, name="STRA") == ["Straßenbau AG", "STRASSE 7", "strand"]
    assert await names(api, owner, name="än") == ["Ända"]
    assert await names(api, owner, name="100%") == ["100% pure"]
    assert await names(api, owner, name="%") == []
    renamed = (await api.get("/v1/clients", params={"name": "zo"}, headers=owner)).json()["items"][0]
    await api.patch(f"/v1/clients/{renamed['id']}", json={"name": "Yves"}, headers=owner)
    assert await names(api, owner, name="zo") == []
    assert await names(api, owner, name="yv") == ["Yves"]


async def test_the_list_filters_and_pages_by_key(api: httpx2.AsyncClient, owner: Headers) -> None:
    for number in range(7):
        await make(api, owner, name=f"client {number}", is_active=number % 2 == 0)
    assert await names(api, owner, is_active="false") == ["client 1", "client 3", "client 5"]
    seen: list[str] = []
    query = {"limit": "3", "is_active": "true"}
    while True:
        page = (await api.get("/v1/clients", params=query, headers=owner)).json()
        seen += [item["name"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == ["client 6", "client 4", "client 2", "client 0"]


async def test_the_prefix_is_served_by_the_index(database: Database, acme: Person) -> None:
    async with enter(database, system_actor(acme.tenant_id)) as scope:
        await scope.raw.execute("set local enable_seqscan = off; set local enable_bitmapscan = off")
        plan = await scope.raw.fetch(
            "explain select * from weft.clients where tenant_id = $1 and name_key >= $2 and name_key < $3"
            " and deleted_at is null",
            acme.tenant_id,
            "stra",
            "stra\U0010ffff",
        )
    text = "\n".join(row[0] for row in plan)
    assert "clients_name_key_idx" in text
    assert "Index Cond" in text
    assert "name_key >= " in text.partition("Index Cond")[2].splitlines()[0]
