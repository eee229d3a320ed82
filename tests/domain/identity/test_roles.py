"""Roles: the built-in ones stay, a tenant's own never exceed whoever writes them."""

from __future__ import annotations

import httpx2
import pytest
from tests.factories import identity
from tests.factories.identity import Person

from weft.db.database import Database
from weft.domain.identity import rules

Headers = dict[str, str]
AUDITOR = {"name": "auditor", "description": "Reads the log", "permissions": ["audit:read", "members:read"]}


@pytest.fixture
async def owner(database: Database, acme: Person) -> Headers:
    return await identity.bearer(database, acme)


def code(response: httpx2.Response) -> str:
    return str(response.json()["type"]).removeprefix("/errors/")


async def test_every_tenant_begins_with_the_builtin_roles(api: httpx2.AsyncClient, owner: Headers) -> None:
    page = (await api.get("/v1/roles", params={"order": "asc"}, headers=owner)).json()
    assert [role["name"] for role in page["items"]] == sorted(rules.ROLES)
    for role in page["items"]:
        assert role["is_builtin"]
        assert role["permissions"] == sorted(map(rules.word, rules.ROLES[role["name"]][1]))


@pytest.mark.parametrize(("name", "found"), [("Owner", ["OWNER"]), ("auditor", ["auditor"]), ("audit", [])])
async def test_a_role_is_found_by_its_name(
    api: httpx2.AsyncClient, owner: Headers, name: str, found: list[str]
) -> None:
    await api.post("/v1/roles", json=AUDITOR, headers=owner)
    page = (await api.get("/v1/roles", params={"name": name}, headers=owner)).json()
    assert [role["name"] for role in page["items"]] == found


async def test_the_catalogue_is_listed(api: httpx2.AsyncClient, owner: Headers) -> None:
    listed = (await api.get("/v1/permissions", headers=owner)).json()
    assert {entry["permission"] for entry in listed} == set(map(rules.word, rules.PERMISSIONS))
    assert all(entry["description"] for entry in listed)


async def test_a_role_is_made_changed_and_deleted(
    api: httpx2.AsyncClient, database: Database, acme: Person, owner: Headers
) -> None:
    made = await api.post("/v1/roles", json=AUDITOR, headers=owner)
    assert made.status_code == 201, made.text
    url = f"/v1/roles/{made.json()['id']}"
    assert made.json()["permissions"] == AUDITOR["permissions"]
    mia = await identity.member(database, acme, role="auditor")
    hers = await identity.bearer(database, mia)
    assert (await api.get("/v1/members", headers=hers)).status_code == 200
    change = {"permissions": ["audit:read", "keys:read"]}
    changed = await api.patch(url, json=change, headers={**owner, "If-Match": made.headers["etag"]})
    assert (changed.status_code, changed.json()["permissions"]) == (200, change["permissions"])
    assert (changed.json()["name"], changed.json()["description"]) == ("auditor", "Reads the log")
    assert changed.headers["etag"] != made.headers["etag"]  # though no column of the role itself changed
    assert (await api.get("/v1/members", headers=hers)).status_code == 403
    assert (await api.get("/v1/keys", headers=hers)).status_code == 200
    stale = await api.patch(url, json={"name": "late"}, headers={**owner, "If-Match": made.headers["etag"]})
    assert stale.status_code == 412
    used = await api.delete(url, headers=owner)
    assert (used.status_code, code(used)) == (409, "role_in_use")
    await api.patch(f"/v1/members/{mia.member_id}", json={"role": "VIEWER"}, headers=owner)
    assert (await api.delete(url, headers=owner)).status_code == 204
    assert (await api.get(url, headers=owner)).status_code == 404
    assert (await api.post("/v1/roles", json=AUDITOR, headers=owner)).status_code == 201  # the name is free again


@pytest.mark.parametrize("name", ["auditor", "AUDITOR", "Owner", "viewer"])
async def test_names_differ_in_more_than_letter_case(api: httpx2.AsyncClient, owner: Headers, name: str) -> None:
    await api.post("/v1/roles", json=AUDITOR, headers=owner)
    refused = await api.post("/v1/roles", json={**AUDITOR, "name": name}, headers=owner)
    assert (refused.status_code, code(refused)) == (409, "role_name_taken")


async def test_a_role_may_change_the_case_of_its_own_name(api: httpx2.AsyncClient, owner: Headers) -> None:
    made = (await api.post("/v1/roles", json=AUDITOR, headers=owner)).json()
    changed = await api.patch(f"/v1/roles/{made['id']}", json={"name": "Auditor"}, headers=owner)
    assert changed.json()["name"] == "Auditor"


async def test_unknown_permissions_are_refused(api: httpx2.AsyncClient, owner: Headers) -> None:
    refused = await api.post("/v1/roles", json={"name": "x", "permissions": ["audit:read", "sky:fall"]}, headers=owner)
    assert (refused.status_code, code(refused)) == (422, "permission_unknown")
    assert "sky:fall" in refused.json()["detail"]
    assert refused.json()["errors"][0]["path"] == ["permissions"]


async def test_builtin_roles_stay_as_they_are(api: httpx2.AsyncClient, owner: Headers) -> None:
    page = (await api.get("/v1/roles", headers=owner)).json()
    for role in page["items"]:
        url = f"/v1/roles/{role['id']}"
        for response in (
            await api.patch(url, json={"permissions": []}, headers=owner),
            await api.patch(url, json={"name": "other"}, headers=owner),
            await api.delete(url, headers=owner),
        ):
            assert (response.status_code, code(response)) == (409, "role_builtin")


async def test_nobody_writes_a_role_beyond_himself(
    api: httpx2.AsyncClient, database: Database, acme: Person, owner: Headers
) -> None:
    admin = await identity.bearer(database, await identity.member(database, acme, role="ADMIN"))
    beyond = {"name": "boss", "permissions": ["tenants:write"]}
    assert code(await api.post("/v1/roles", json=beyond, headers=admin)) == "grant_beyond_own"
    mine = (await api.post("/v1/roles", json=AUDITOR, headers=admin)).json()
    more = {"permissions": [*AUDITOR["permissions"], "tenants:write"]}
    assert code(await api.patch(f"/v1/roles/{mine['id']}", json=more, headers=admin)) == "grant_beyond_own"
    boss = (await api.post("/v1/roles", json=beyond, headers=owner)).json()
    disarm = await api.patch(f"/v1/roles/{boss['id']}", json={"permissions": []}, headers=admin)
    assert code(disarm) == "grant_beyond_own"
    assert code(await api.delete(f"/v1/roles/{boss['id']}", headers=admin)) == "grant_beyond_own"
    # Its words may be changed by anybody who may write roles: they grant nothing.
    named = await api.patch(f"/v1/roles/{boss['id']}", json={"description": "The boss"}, headers=admin)
    assert named.status_code == 200


async def test_a_refused_change_leaves_nothing_behind(
    api: httpx2.AsyncClient, database: Database, acme: Person
) -> None:
    admin = await identity.bearer(database, await identity.member(database, acme, role="ADMIN"))
    made = (await api.post("/v1/roles", json=AUDITOR, headers=admin)).json()
    wrong = {"name": "renamed", "permissions": ["tenants:write"]}
    assert (await api.patch(f"/v1/roles/{made['id']}", json=wrong, headers=admin)).status_code == 403
    shown = (await api.get(f"/v1/roles/{made['id']}", headers=admin)).json()
    assert shown == made
