"""Members, their roles and direct permissions; and every way up that must stay closed."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import httpx2
import pytest
from tests.factories import identity
from tests.factories.identity import Person

from weft.core.actor import system_actor
from weft.db.database import Database
from weft.db.scope import enter
from weft.domain.identity import rules
from weft.domain.identity.errors import LastOwner
from weft.domain.identity.models import MemberStatus
from weft.domain.identity.schemas import MemberCreate, MemberUpdate
from weft.domain.identity.service import members

Headers = dict[str, str]


@pytest.fixture
async def owner(database: Database, acme: Person) -> Headers:
    return await identity.bearer(database, acme)


async def add(api: httpx2.AsyncClient, headers: Headers, **fields: Any) -> httpx2.Response:
    return await api.post("/v1/members", json={"email": "mia@acme.example", "name": "Mia", **fields}, headers=headers)


def code(response: httpx2.Response) -> str:
    return str(response.json()["type"]).removeprefix("/errors/")


async def test_a_new_member_signs_in_with_the_password_that_is_shown_once(
    api: httpx2.AsyncClient, owner: Headers
) -> None:
    made = await add(api, owner, role="viewer")
    assert made.status_code == 201, made.text
    body = made.json()
    assert (body["role"], body["status"], body["is_new_account"]) == ("VIEWER", "ACTIVE", True)
    shown = (await api.get(f"/v1/members/{body['id']}", headers=owner)).json()
    assert "password" not in shown
    assert {key: body[key] for key in shown} == shown
    sign_in = {"email": "mia@acme.example", "password": body["password"]}
    assert (await api.post("/v1/auth/login", json=sign_in)).status_code == 200


async def test_a_given_password_is_not_repeated(api: httpx2.AsyncClient, owner: Headers) -> None:
    made = await add(api, owner, password="a good password")
    assert (made.json()["password"], made.json()["role"]) == (None, "MEMBER")
    sign_in = {"email": "mia@acme.example", "password": "a good password"}
    assert (await api.post("/v1/auth/login", json=sign_in)).status_code == 200


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"email": "not an address"}, "email_invalid"),
        ({"password": "short"}, "password_unfit"),
        ({"password": "mia@acme.example"}, "password_unfit"),
        ({"role": "EMPEROR"}, "role_not_found"),
        ({"name": " "}, "request_invalid"),
        ({"is_superuser": True}, "request_invalid"),
    ],
)
async def test_unfit_members_are_refused(
    api: httpx2.AsyncClient, owner: Headers, fields: dict[str, Any], says: str
) -> None:
    assert code(await add(api, owner, **fields)) == says
    assert len((await api.get("/v1/members", headers=owner)).json()["items"]) == 1


async def test_one_address_is_a_member_once(api: httpx2.AsyncClient, owner: Headers) -> None:
    assert (await add(api, owner)).status_code == 201
    again = await add(api, owner, email="MIA@acme.example")
    assert (again.status_code, code(again)) == (409, "member_exists")


async def test_a_removed_member_can_come_back(api: httpx2.AsyncClient, owner: Headers) -> None:
    made = (await add(api, owner, password="a good password")).json()
    assert (await api.delete(f"/v1/members/{made['id']}", headers=owner)).status_code == 204
    assert (await api.get(f"/v1/members/{made['id']}", headers=owner)).status_code == 404
    sign_in = {"email": "mia@acme.example", "password": "a good password"}
    assert (await api.post("/v1/auth/login", json=sign_in)).status_code == 401


async def test_the_list_pages_and_filters(api: httpx2.AsyncClient, database: Database, acme: Person) -> None:
    for number in range(5):
        status = MemberStatus.suspended if number == 0 else MemberStatus.active
        await identity.member(database, acme, role="VIEWER", status=status, name=f"V{number}")
    headers = await identity.bearer(database, acme)
    seen: list[str] = []
    cursor = None
    while True:
        query = {"limit": "2", "order": "asc", **({"cursor": cursor} if cursor else {})}
        page = (await api.get("/v1/members", params=query, headers=headers)).json()
        seen += [item["name"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [acme.name, "V0", "V1", "V2", "V3", "V4"]
    for query, names in (
        ({"status": "SUSPENDED"}, {"V0"}),
        ({"role": "OWNER"}, {acme.name}),
        ({"email": acme.email.upper()}, {acme.name}),
        ({"email": acme.email[1:]}, set()),
        ({"role": "VIEWER", "status": "ACTIVE"}, {"V1", "V2", "V3", "V4"}),
    ):
        page = (await api.get("/v1/members", params=query, headers=headers)).json()
        assert {item["name"] for item in page["items"]} == names


async def test_a_change_counts_with_the_next_request(
    api: httpx2.AsyncClient, database: Database, acme: Person, owner: Headers
) -> None:
    mia = await identity.member(database, acme, role="VIEWER")
    hers = await identity.bearer(database, mia)
    role = {"name": "other", "permissions": []}
    assert (await api.post("/v1/roles", json=role, headers=hers)).status_code == 403
    url = f"/v1/members/{mia.member_id}"
    changed = await api.patch(url, json={"role": "ADMIN", "name": "Mia B"}, headers={**owner, "If-Match": '"1"'})
    assert (changed.json()["role"], changed.json()["name"], changed.headers["etag"]) == ("ADMIN", "Mia B", '"2"')
    assert (await api.post("/v1/roles", json=role, headers=hers)).status_code == 201
    assert (await api.patch(url, json={"role": "VIEWER"}, headers={**owner, "If-Match": '"1"'})).status_code == 412


async def test_a_deactivated_member_is_out_at_once_and_signs_in_anew_later(
    api: httpx2.AsyncClient, database: Database, acme: Person, owner: Headers
) -> None:
    mia = await identity.member(database, acme)
    session = await identity.bearer(database, mia)
    key = {"Authorization": f"Bearer {await identity.api_key(database, mia)}"}
    url = f"/v1/members/{mia.member_id}"
    assert (await api.patch(url, json={"status": "SUSPENDED"}, headers=owner)).json()["status"] == "SUSPENDED"
    for headers in (session, key):
        assert (await api.get("/v1/me", headers=headers)).status_code == 401
    await api.patch(url, json={"status": "ACTIVE"}, headers=owner)
    assert (await api.get("/v1/me", headers=session)).status_code == 401  # that session ended
    assert (await api.get("/v1/me", headers=key)).status_code == 200  # programs go on


async def test_the_key_of_a_removed_member_is_refused(
    api: httpx2.AsyncClient, database: Database, acme: Person, owner: Headers
) -> None:
    mia = await identity.member(database, acme)
    key = {"Authorization": f"Bearer {await identity.api_key(database, mia)}"}
    assert (await api.get("/v1/me", headers=key)).status_code == 200
    await api.delete(f"/v1/members/{mia.member_id}", headers=owner)
    assert (await api.get("/v1/me", headers=key)).status_code == 401


@pytest.mark.parametrize("change", [{"role": "ADMIN"}, {"status": "INACTIVE"}, {"status": "SUSPENDED"}, None])
async def test_the_last_owner_stays(
    api: httpx2.AsyncClient, database: Database, acme: Person, owner: Headers, change: dict[str, str] | None
) -> None:
    await identity.member(database, acme, role="OWNER", status=MemberStatus.suspended)  # does not count
    url = f"/v1/members/{acme.member_id}"
    leave = api.delete(url, headers=owner) if change is None else api.patch(url, json=change, headers=owner)
    refused = await leave
    assert (refused.status_code, code(refused)) == (409, "last_owner")
    await identity.member(database, acme, role="OWNER")
    leave = api.delete(url, headers=owner) if change is None else api.patch(url, json=change, headers=owner)
    assert (await leave).status_code in (200, 204)


async def test_two_owners_who_leave_at_once_do_not_both_succeed(database: Database, acme: Person) -> None:
    second = await identity.member(database, acme, role="OWNER")

    async def demote(member_id: UUID) -> None:
        async with enter(database, system_actor(acme.tenant_id)) as scope:
            await members.update(scope, member_id, MemberUpdate(role="VIEWER"))

    outcomes = await asyncio.gather(demote(acme.member_id), demote(second.member_id), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == [LastOwner.__name__, "NoneType"]


# Ways up.


async def test_nobody_makes_members_above_himself(api: httpx2.AsyncClient, database: Database, acme: Person) -> None:
    admin = await identity.bearer(database, await identity.member(database, acme, role="ADMIN"))
    refused = await add(api, admin, role="OWNER")
    assert (refused.status_code, code(refused)) == (403, "grant_beyond_own")
    assert "tenants:write" in refused.json()["detail"]
    assert (await add(api, admin, role="ADMIN")).status_code == 201


async def test_nobody_raises_himself_or_others_above_himself(
    api: httpx2.AsyncClient, database: Database, acme: Person
) -> None:
    admin = await identity.member(database, acme, role="ADMIN")
    mia = await identity.member(database, acme, role="VIEWER")
    headers = await identity.bearer(database, admin)
    for target in (admin, mia):
        refused = await api.patch(f"/v1/members/{target.member_id}", json={"role": "OWNER"}, headers=headers)
        assert code(refused) == "grant_beyond_own"


@pytest.mark.parametrize("change", [{"role": "VIEWER"}, {"status": "SUSPENDED"}, {"name": "Puppet"}, None])
async def test_nobody_changes_who_stands_above(
    api: httpx2.AsyncClient, database: Database, acme: Person, change: dict[str, str] | None
) -> None:
    await identity.member(database, acme, role="OWNER")  # so that it is not about the last one
    admin = await identity.bearer(database, await identity.member(database, acme, role="ADMIN"))
    url = f"/v1/members/{acme.member_id}"
    refused = await (api.delete(url, headers=admin) if change is None else api.patch(url, json=change, headers=admin))
    assert (refused.status_code, code(refused)) == (403, "member_above_you")


async def test_a_key_raises_nobody_beyond_its_scopes(api: httpx2.AsyncClient, database: Database, acme: Person) -> None:
    token = await identity.api_key(database, acme, ["members:write", "roles:write", "keys:write"])
    key = {"Authorization": f"Bearer {token}"}
    assert code(await add(api, key, role="VIEWER")) == "grant_beyond_own"
    role = {"name": "reader", "permissions": ["workflows:read"]}
    assert code(await api.post("/v1/roles", json=role, headers=key)) == "grant_beyond_own"
    more = {"name": "more", "scopes": ["workflows:read"]}
    assert code(await api.post("/v1/keys", json=more, headers=key)) == "grant_beyond_own"


async def test_direct_permissions_are_put_listed_changed_and_taken_back(
    api: httpx2.AsyncClient, database: Database, acme: Person, owner: Headers
) -> None:
    mia = await identity.member(database, acme, role="VIEWER")
    hers = await identity.bearer(database, mia)
    url = f"/v1/members/{mia.member_id}/permissions"
    assert (await api.get("/v1/keys", headers=hers)).status_code == 403
    put = await api.put(f"{url}/keys:read", json={}, headers=owner)
    assert (put.status_code, put.json()["effect"]) == (200, "ALLOW")
    assert (await api.get("/v1/keys", headers=hers)).status_code == 200
    assert (await api.put(f"{url}/tenants:read", json={"effect": "DENY"}, headers=owner)).status_code == 200
    assert (await api.get("/v1/tenant", headers=hers)).status_code == 403
    await api.put(f"{url}/keys:read", json={"effect": "DENY"}, headers=owner)  # unique: it changes the one
    listed = (await api.get(url, headers=owner)).json()
    assert [(grant["permission"], grant["effect"]) for grant in listed] == [
        ("keys:read", "DENY"),
        ("tenants:read", "DENY"),
    ]
    assert (await api.delete(f"{url}/tenants:read", headers=owner)).status_code == 204
    assert (await api.get("/v1/tenant", headers=hers)).status_code == 200
    gone = await api.delete(f"{url}/tenants:read", headers=owner)
    assert (gone.status_code, code(gone)) == (404, "grant_not_found")
    unknown = await api.put(f"{url}/keys:eat", json={}, headers=owner)
    assert (unknown.status_code, code(unknown)) == (422, "permission_unknown")


async def test_nobody_grants_or_lifts_what_he_does_not_hold(
    api: httpx2.AsyncClient, database: Database, acme: Person, owner: Headers
) -> None:
    admin = await identity.member(database, acme, role="ADMIN")
    headers = await identity.bearer(database, admin)
    own = f"/v1/members/{admin.member_id}/permissions"
    assert code(await api.put(f"{own}/tenants:write", json={}, headers=headers)) == "grant_beyond_own"
    # Denied by the owner, the admin cannot lift the denial, nor turn it into a grant.
    await api.put(f"{own}/audit:read", json={"effect": "DENY"}, headers=owner)
    assert code(await api.delete(f"{own}/audit:read", headers=headers)) == "grant_beyond_own"
    assert code(await api.put(f"{own}/audit:read", json={}, headers=headers)) == "grant_beyond_own"
    mia = await identity.member(database, acme, role="VIEWER")
    theirs = f"/v1/members/{mia.member_id}/permissions"
    assert code(await api.put(f"{theirs}/audit:read", json={}, headers=headers)) == "grant_beyond_own"


async def test_nobody_disarms_an_owner(
    api: httpx2.AsyncClient, database: Database, acme: Person, owner: Headers
) -> None:
    admin = await identity.bearer(database, await identity.member(database, acme, role="ADMIN"))
    url = f"/v1/members/{acme.member_id}/permissions/roles:write"
    assert code(await api.put(url, json={"effect": "DENY"}, headers=admin)) == "member_above_you"
    assert code(await api.put(url, json={"effect": "DENY"}, headers=owner)) == "owner_not_deniable"


async def test_an_account_of_strangers_is_not_let_in_by_its_address(
    api: httpx2.AsyncClient, database: Database, acme: Person, globex: Person
) -> None:
    """Globex's administrator made that account and may know its password."""
    eve = await identity.member(database, globex, email="eve@example.com")
    owner = await identity.bearer(database, acme)
    refused = await add(api, owner, email=eve.email)
    assert (refused.status_code, code(refused)) == (409, "account_elsewhere")
    # The operator may, and so may somebody who belongs to both.
    async with enter(database, system_actor(acme.tenant_id)) as scope:
        made = await members.create(scope, MemberCreate(email=eve.email, name="Eve", role="VIEWER"))
    assert (made.user_id, made.is_new_account, made.password) == (eve.user_id, False, None)
    await identity.member(database, globex, email=acme.email, role="VIEWER")
    ann = await identity.member(database, globex, email="ann@example.com")
    added = await add(api, owner, email=ann.email)
    assert (added.status_code, added.json()["is_new_account"], added.json()["password"]) == (201, False, None)


def test_every_role_lists_the_catalogue_sensibly() -> None:
    for name, (description, permissions) in rules.ROLES.items():
        assert description, name
        assert ("tenants", "read") in permissions, name
