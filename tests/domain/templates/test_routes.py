"""Message templates over HTTP."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from tests.factories import identity
from tests.factories.identity import Person

from weft.db.database import Database

Headers = dict[str, str]
TEXT = "Dear {{ data.name }}"
GUARDED: list[tuple[str, str, object, str]] = [
    ("GET", "/v1/templates", None, "templates:read"),
    ("GET", "/v1/templates/welcome", None, "templates:read"),
    ("GET", "/v1/templates/welcome/versions", None, "templates:read"),
    ("PUT", "/v1/templates/welcome", {"text": TEXT}, "templates:write"),
    ("DELETE", "/v1/templates/welcome", None, "templates:write"),
]


@pytest.fixture
async def owner(database: Database, acme: Person) -> Headers:
    return await identity.bearer(database, acme)


async def put(api: httpx2.AsyncClient, headers: Headers, name: str = "welcome", **more: Any) -> dict[str, Any]:
    response = await api.put(f"/v1/templates/{name}", json={"text": TEXT, **more}, headers=headers)
    assert response.status_code == 200, response.text
    return dict(response.json())


async def test_each_change_is_a_version(api: httpx2.AsyncClient, owner: Headers) -> None:
    first = await put(api, owner, subject="Welcome", html="<p>{{ data.name }}</p>", description="On the first day")
    same = await put(api, owner, subject="Welcome", html="<p>{{ data.name }}</p>", description="On the first day")
    second = await put(api, owner, subject="Hello")
    assert [one["version"] for one in (first, same, second)] == [1, 1, 2]
    assert (await api.get("/v1/templates/welcome", headers=owner)).json() == second
    before = (await api.get("/v1/templates/welcome", params={"version": "1"}, headers=owner)).json()
    assert (before["subject"], before["is_newest"]) == ("Welcome", False)
    missing = await api.get("/v1/templates/welcome", params={"version": "3"}, headers=owner)
    assert missing.json()["type"] == "/errors/template_not_found"
    versions = (await api.get("/v1/templates/welcome/versions", headers=owner)).json()["items"]
    assert [one["version"] for one in versions] == [2, 1]


async def test_the_list_has_the_newest_of_each(api: httpx2.AsyncClient, owner: Headers) -> None:
    for name in ("b", "a"):
        await put(api, owner, name)
        await put(api, owner, name, subject="again")
    listed = (await api.get("/v1/templates", params={"order": "asc"}, headers=owner)).json()["items"]
    assert [(one["name"], one["version"]) for one in listed] == [("a", 2), ("b", 2)]


async def test_deleting_takes_all_versions(api: httpx2.AsyncClient, owner: Headers) -> None:
    await put(api, owner)
    await put(api, owner, subject="again")
    assert (await api.delete("/v1/templates/welcome", headers=owner)).status_code == 204
    assert (await api.get("/v1/templates/welcome", params={"version": "1"}, headers=owner)).status_code == 404
    assert (await put(api, owner))["version"] == 1


async def test_texts_that_cannot_be_filled_in_are_refused(api: httpx2.AsyncClient, owner: Headers) -> None:
    for body, field in (
        ({"text": "Dear {{ data.name"}, "text"),
        ({"text": "Dear {{ name }}"}, "text"),
        ({"text": TEXT, "subject": "{{ input.name }}"}, "subject"),
        ({"text": TEXT, "html": "{% include 'x' %}"}, "html"),
        ({"text": TEXT, "html": "{{ secrets.token }}"}, "html"),
        ({"text": ""}, "text"),
        ({"text": TEXT, "subject": "x" * 501}, "subject"),
    ):
        response = await api.put("/v1/templates/welcome", json=body, headers=owner)
        assert response.status_code in (400, 422), response.text
        assert field in str(response.json()["errors"]), response.text


async def test_a_name_can_stand_in_an_address(api: httpx2.AsyncClient, owner: Headers) -> None:
    assert (await put(api, owner, "welcome_email.v2-de"))["name"] == "welcome_email.v2-de"
    for name in ("-a", "a.", "a b", "x" * 101, "ü"):
        response = await api.put(f"/v1/templates/{name}", json={"text": TEXT}, headers=owner)
        assert response.json()["type"] == "/errors/template_name_invalid", name


async def test_anonymous_is_refused(api: httpx2.AsyncClient) -> None:
    for method, path, body, _ in GUARDED:
        assert (await api.request(method, path, json=body)).status_code == 401


async def test_without_the_permission_each_is_refused(
    api: httpx2.AsyncClient, database: Database, acme: Person
) -> None:
    for permission, other in (("templates:read", "templates:write"), ("templates:write", "templates:read")):
        headers = await identity.bearer(database, await identity.somebody(database, acme, other))
        for method, path, body, needed in GUARDED:
            if needed == permission:
                response = await api.request(method, path, json=body, headers=headers)
                assert (response.status_code, permission in response.json()["detail"]) == (403, True), (method, path)


async def test_what_belongs_to_another_tenant_does_not_exist(
    api: httpx2.AsyncClient, database: Database, owner: Headers, globex: Person
) -> None:
    theirs = await identity.bearer(database, globex)
    await put(api, theirs)
    for method, path in (("GET", ""), ("GET", "/versions"), ("DELETE", "")):
        response = await api.request(method, f"/v1/templates/welcome{path}", headers=owner)
        assert (response.status_code, response.json()["type"]) == (404, "/errors/template_not_found")
    assert (await put(api, owner, subject="ours"))["version"] == 1
    assert (await api.get("/v1/templates/welcome", headers=theirs)).json()["subject"] == ""
