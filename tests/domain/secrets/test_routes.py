"""Secrets over HTTP: they go in, and nothing of them comes out again."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import httpx2
import pytest
from tests.factories import identity
from tests.factories.identity import Person

from weft.core.actor import system_actor
from weft.db.database import Database
from weft.db.scope import enter
from weft.domain.secrets import service as secrets

Headers = dict[str, str]
VALUE = "s3cr3t-of-the-ledger-0123456789"
GUARDED: list[tuple[str, str, object, str]] = [
    ("GET", "/v1/secrets", None, "secrets:read"),
    ("GET", "/v1/secrets/ledger", None, "secrets:read"),
    ("PUT", "/v1/secrets/ledger", {"value": VALUE}, "secrets:write"),
    ("DELETE", "/v1/secrets/ledger", None, "secrets:write"),
]


@pytest.fixture
async def owner(database: Database, acme: Person) -> Headers:
    return await identity.bearer(database, acme)


async def put(api: httpx2.AsyncClient, headers: Headers, name: str = "ledger", value: str = VALUE, **more: Any) -> Any:
    response = await api.put(f"/v1/secrets/{name}", json={"value": value, **more}, headers=headers)
    assert response.status_code in (200, 201), response.text
    assert value not in response.text
    return response


async def opened(database: Database, tenant: Person, name: str) -> list[str]:
    async with enter(database, system_actor(tenant.tenant_id)) as scope:
        return [await secrets.opened(scope, cell) for cell in await secrets.stored(scope, [name])]


async def test_a_secret_is_set_replaced_and_deleted(
    api: httpx2.AsyncClient, database: Database, acme: Person, owner: Headers
) -> None:
    first = await put(api, owner, description="The ledger's token")
    assert (first.status_code, first.json()["version"], first.json()["description"]) == (201, 1, "The ledger's token")
    second = await put(api, owner, value="another-value")
    assert (second.status_code, second.json()["version"]) == (200, 2)
    assert second.json()["description"] == "The ledger's token"
    before, after = (datetime.fromisoformat(answer.json()["rotated_at"]) for answer in (first, second))
    assert after > before
    assert await opened(database, acme, "ledger") == ["another-value"]
    assert (await api.delete("/v1/secrets/ledger", headers=owner)).status_code == 204
    assert (await api.get("/v1/secrets/ledger", headers=owner)).json()["type"] == "/errors/secret_not_found"


async def test_no_answer_holds_a_value(api: httpx2.AsyncClient, owner: Headers) -> None:
    await put(api, owner)
    for path in ("/v1/secrets", "/v1/secrets/ledger"):
        response = await api.get(path, headers=owner)
        assert response.status_code == 200
        assert VALUE not in response.text
        assert '"value"' not in response.text


async def test_a_refused_value_is_not_repeated(api: httpx2.AsyncClient, owner: Headers) -> None:
    for body in ({"value": "xyz"}, {"value": "long" * 5000}, {"value": VALUE + "\0"}, {"value": VALUE, "x": VALUE}):
        response = await api.put("/v1/secrets/ledger", json=body, headers=owner)
        assert response.status_code == 422, response.text
        assert "xyz" not in response.text
        assert "longlong" not in response.text
        assert VALUE not in response.text


async def test_a_name_is_a_word(api: httpx2.AsyncClient, owner: Headers) -> None:
    for name in ("with-dash", "1st", "a.b", "x" * 65, "é"):
        response = await api.put(f"/v1/secrets/{name}", json={"value": VALUE}, headers=owner)
        assert response.json()["type"] == "/errors/secret_name_invalid", name


async def test_what_was_changed_meanwhile_is_not_overwritten(api: httpx2.AsyncClient, owner: Headers) -> None:
    tag = (await put(api, owner)).headers["etag"]
    await put(api, owner, value="somebody was faster")
    stale = await api.put("/v1/secrets/ledger", json={"value": "mine instead"}, headers={**owner, "If-Match": tag})
    assert stale.status_code == 412
    assert (await api.delete("/v1/secrets/ledger", headers={**owner, "If-Match": tag})).status_code == 412


async def test_the_list_goes_by_name(api: httpx2.AsyncClient, owner: Headers) -> None:
    for name in ("b", "a", "c"):
        await put(api, owner, name)
    first = (await api.get("/v1/secrets", params={"order": "asc", "limit": "2"}, headers=owner)).json()
    assert [one["name"] for one in first["items"]] == ["a", "b"]
    rest = await api.get("/v1/secrets", params={"order": "asc", "cursor": first["next_cursor"]}, headers=owner)
    assert [one["name"] for one in rest.json()["items"]] == ["c"]


async def test_the_audit_log_says_that_and_never_what(
    api: httpx2.AsyncClient, database: Database, acme: Person, owner: Headers
) -> None:
    await put(api, owner)
    await put(api, owner, value="another-value")
    await api.delete("/v1/secrets/ledger", headers=owner)
    async with enter(database, system_actor(acme.tenant_id)) as scope:
        rows = await scope.raw.fetch("select * from weft.audit_logs where resource_type = 'secrets' order by at, id")
    assert [row["action"] for row in rows] == ["insert", "update", "delete"]
    assert rows[1]["after"]["value"] == "***"
    assert all(VALUE not in str(dict(row)) and "another-value" not in str(dict(row)) for row in rows)


async def test_the_table_holds_no_plain_value(
    api: httpx2.AsyncClient, database: Database, acme: Person, owner: Headers
) -> None:
    await put(api, owner)
    async with enter(database, system_actor(acme.tenant_id)) as scope:
        (row,) = await scope.raw.fetch("select * from weft.secrets")
    assert VALUE.encode() not in bytes(row["value"])


async def test_anonymous_is_refused(api: httpx2.AsyncClient) -> None:
    for method, path, body, _ in GUARDED:
        assert (await api.request(method, path, json=body)).status_code == 401


async def test_without_the_permission_each_is_refused(
    api: httpx2.AsyncClient, database: Database, acme: Person
) -> None:
    for permission, other in (("secrets:read", "secrets:write"), ("secrets:write", "secrets:read")):
        headers = await identity.bearer(database, await identity.somebody(database, acme, other))
        for method, path, body, needed in GUARDED:
            if needed == permission:
                response = await api.request(method, path, json=body, headers=headers)
                assert (response.status_code, permission in response.json()["detail"]) == (403, True), (method, path)


async def test_what_belongs_to_another_tenant_does_not_exist(
    api: httpx2.AsyncClient, database: Database, acme: Person, owner: Headers, globex: Person
) -> None:
    theirs = await identity.bearer(database, globex)
    await put(api, theirs)
    for method in ("GET", "DELETE"):
        response = await api.request(method, "/v1/secrets/ledger", headers=owner)
        assert (response.status_code, response.json()["type"]) == (404, "/errors/secret_not_found")
    assert (await api.get("/v1/secrets", headers=owner)).json()["items"] == []
    await put(api, owner, value="ours, of the same name")
    assert await opened(database, globex, "ledger") == [VALUE]
    assert await opened(database, acme, "ledger") == ["ours, of the same name"]
