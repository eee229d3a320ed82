"""Identity over HTTP. First who is refused: nobody, somebody without the permission, somebody of another tenant."""

from __future__ import annotations

from typing import Any

import httpx2
from tests.factories import api as serving
from tests.factories import identity
from tests.factories.identity import Person

from weft.db.database import Database
from weft.domain.identity import rules
from weft.domain.identity.models import MemberStatus

ID = "0198f3a0-0000-7000-8000-00000000c0de"
MEMBER = {"email": "new@acme.example", "name": "New", "role": "VIEWER"}
ROLE = {"name": "auditor", "permissions": ["audit:read"]}
KEY = {"name": "ci", "scopes": ["workflows:read"]}

GUARDED: list[tuple[str, str, object, str | None]] = [
    ("GET", "/v1/me", None, None),
    ("POST", "/v1/me/password", {"current_password": "x" * 8, "new_password": "y" * 8}, None),
    ("POST", "/v1/auth/switch", {"tenant": "globex"}, None),
    ("GET", "/v1/tenant", None, "tenants:read"),
    ("PATCH", "/v1/tenant", {"name": "Other"}, "tenants:write"),
    ("GET", "/v1/members", None, "members:read"),
    ("POST", "/v1/members", MEMBER, "members:write"),
    ("GET", f"/v1/members/{ID}", None, "members:read"),
    ("PATCH", f"/v1/members/{ID}", {"name": "Other"}, "members:write"),
    ("DELETE", f"/v1/members/{ID}", None, "members:write"),
    ("GET", f"/v1/members/{ID}/permissions", None, "members:read"),
    ("PUT", f"/v1/members/{ID}/permissions/keys:read", {"effect": "ALLOW"}, "roles:write"),
    ("DELETE", f"/v1/members/{ID}/permissions/keys:read", None, "roles:write"),
    ("GET", "/v1/permissions", None, "roles:read"),
    ("GET", "/v1/roles", None, "roles:read"),
    ("POST", "/v1/roles", ROLE, "roles:write"),
    ("GET", f"/v1/roles/{ID}", None, "roles:read"),
    ("PATCH", f"/v1/roles/{ID}", {"name": "other"}, "roles:write"),
    ("DELETE", f"/v1/roles/{ID}", None, "roles:write"),
    ("GET", "/v1/keys", None, "keys:read"),
    ("POST", "/v1/keys", KEY, "keys:write"),
    ("GET", f"/v1/keys/{ID}", None, "keys:read"),
    ("DELETE", f"/v1/keys/{ID}", None, "keys:write"),
]
NEEDING = [(method, path, body, permission) for method, path, body, permission in GUARDED if permission]


async def test_anonymous_is_refused(api: httpx2.AsyncClient) -> None:
    for method, path, body, _ in GUARDED:
        response = await api.request(method, path, json=body)
        found = (response.status_code, response.json()["type"])
        assert found == (401, "/errors/credential_missing"), (method, path)


async def test_a_wrong_token_is_refused(api: httpx2.AsyncClient) -> None:
    response = await api.get("/v1/me", headers={"Authorization": "Bearer weft_sk_nonsense"})
    assert (response.status_code, response.json()["type"]) == (401, "/errors/credential_invalid")


async def test_without_the_permission_each_is_refused(
    api: httpx2.AsyncClient, database: Database, acme: Person
) -> None:
    for permission in sorted({needed for *_, needed in NEEDING if needed}):
        others = [word for word in map(rules.word, rules.PERMISSIONS) if word != permission]
        headers = await identity.bearer(database, await identity.somebody(database, acme, *others))
        for method, path, body, needed in NEEDING:
            if needed == permission:
                response = await api.request(method, path, json=body, headers=headers)
                assert response.status_code == 403, (method, path)
                assert permission in response.json()["detail"]


async def test_what_belongs_to_another_tenant_does_not_exist(
    api: httpx2.AsyncClient, database: Database, acme: Person, globex: Person
) -> None:
    mine, theirs = await identity.bearer(database, acme), await identity.bearer(database, globex)
    role = (await api.post("/v1/roles", json=ROLE, headers=theirs)).json()
    key = (await api.post("/v1/keys", json=KEY, headers=theirs)).json()
    targets = {"/members/": str(globex.member_id), "/roles/": role["id"], "/keys/": key["id"]}
    for method, path, body, _ in GUARDED:
        for part, target in targets.items():
            if part in path:
                response = await api.request(method, path.replace(ID, target), json=body, headers=mine)
                assert response.status_code == 404, (method, path)
    for path in ("/v1/members", "/v1/roles", "/v1/keys"):
        seen = {item["id"] for item in (await api.get(path, headers=mine)).json()["items"]}
        assert not seen & set(targets.values())


async def test_signing_in_gives_a_token_and_a_cookie_that_scripts_cannot_read(
    api: httpx2.AsyncClient, acme: Person
) -> None:
    response = await api.post("/v1/auth/login", json={"email": "OWNER@acme.example", "password": acme.password})
    assert response.status_code == 200, response.text
    body = response.json()
    assert body["token"].startswith("weft_ss_")
    assert (body["tenant_id"], body["tenant_slug"]) == (str(acme.tenant_id), "acme")
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Secure" not in cookie
    assert response.headers["cache-control"] == "no-store"
    me = (await api.get("/v1/me", headers={"Authorization": f"Bearer {body['token']}"})).json()
    assert me["user"] == {"id": str(acme.user_id), "email": acme.email, "name": acme.name}
    assert (me["role"], me["credential"]) == ("OWNER", "session")
    assert me["permissions"] == sorted(map(rules.word, rules.PERMISSIONS))
    assert [m["tenant"]["slug"] for m in me["memberships"]] == ["acme"]
    # The client kept the cookie: it alone is enough to read.
    assert (await api.get("/v1/me")).json() == me


async def test_the_cookie_is_secure_where_people_use_https(database: Database, acme: Person) -> None:
    async with serving.client(database, public_url="https://weft.example") as api:
        sign_in = {"email": acme.email, "password": acme.password}
        response = await api.post("/v1/auth/login", json=sign_in)
        assert "Secure" in response.headers["set-cookie"]


async def test_every_refusal_of_a_sign_in_reads_the_same(
    api: httpx2.AsyncClient, database: Database, acme: Person, globex: Person
) -> None:
    asleep = await identity.member(database, acme, status=MemberStatus.inactive)
    attempts = [
        {"email": acme.email, "password": "wrong password"},
        {"email": "nobody@acme.example", "password": acme.password},
        {"email": asleep.email, "password": asleep.password},
        {"email": acme.email, "password": acme.password, "tenant": "globex"},
        {"email": acme.email, "password": acme.password, "tenant": "nowhere"},
        {"email": "not an address", "password": ""},
    ]
    answers = set()
    for attempt in attempts:
        response = await api.post("/v1/auth/login", json=attempt)
        assert "set-cookie" not in response.headers
        answers.add((response.status_code, response.json()["type"], response.json()["detail"]))
    assert len(answers) == 1
    assert next(iter(answers))[:2] == (401, "/errors/sign_in_refused")


async def test_other_sites_cannot_sign_somebody_in(api: httpx2.AsyncClient, acme: Person) -> None:
    sign_in = {"email": acme.email, "password": acme.password}
    response = await api.post("/v1/auth/login", json=sign_in, headers={"Sec-Fetch-Site": "cross-site"})
    assert response.status_code == 403
    assert "set-cookie" not in response.headers


async def test_signing_out_ends_the_session_at_once(api: httpx2.AsyncClient, database: Database, acme: Person) -> None:
    headers = await identity.bearer(database, acme)
    assert (await api.post("/v1/auth/logout", headers=headers)).status_code == 204
    assert (await api.get("/v1/me", headers=headers)).status_code == 401
    assert (await api.post("/v1/auth/logout", headers=headers)).status_code == 204  # it is over: that was wanted
    assert (await api.post("/v1/auth/logout")).status_code == 401


async def test_a_browser_loses_its_cookie_even_if_the_session_is_gone(
    api: httpx2.AsyncClient, database: Database, acme: Person
) -> None:
    token = await identity.session(database, acme)
    api.cookies.set("weft_session", token[:-1] + ("0" if token[-1] != "0" else "1"), domain="weft.example")
    response = await api.post("/v1/auth/logout", headers={"Sec-Fetch-Site": "same-origin"})
    assert response.status_code == 204
    assert 'weft_session=""' in response.headers["set-cookie"]
    assert "Max-Age=0" in response.headers["set-cookie"]


async def test_an_api_key_does_not_sign_out(api: httpx2.AsyncClient, database: Database, acme: Person) -> None:
    headers = {"Authorization": f"Bearer {await identity.api_key(database, acme)}"}
    for path, body in (
        ("/v1/auth/logout", None),
        ("/v1/auth/switch", {"tenant": "acme"}),
        ("/v1/me/password", {"current_password": acme.password, "new_password": "another one"}),
    ):
        response = await api.post(path, json=body, headers=headers)
        assert (response.status_code, response.json()["type"]) == (403, "/errors/session_needed"), path


async def test_switching_moves_the_session_to_the_other_tenant(
    api: httpx2.AsyncClient, database: Database, acme: Person, globex: Person
) -> None:
    await identity.member(database, globex, email=acme.email, role="VIEWER")
    headers = await identity.bearer(database, acme)
    response = await api.post("/v1/auth/switch", json={"tenant": "globex"}, headers=headers)
    assert response.status_code == 200, response.text
    assert "set-cookie" not in response.headers  # it came as a header, not as a cookie
    there = {"Authorization": f"Bearer {response.json()['token']}"}
    me = (await api.get("/v1/me", headers=there)).json()
    assert (me["tenant"]["slug"], me["role"]) == ("globex", "VIEWER")
    assert {m["tenant"]["slug"] for m in me["memberships"]} == {"acme", "globex"}
    assert (await api.get("/v1/me", headers=headers)).status_code == 401  # the old session ended
    response = await api.post("/v1/auth/switch", json={"tenant": "initech"}, headers=there)
    assert (response.status_code, response.json()["type"]) == (403, "/errors/tenant_not_yours")
    assert (await api.get("/v1/me", headers=there)).status_code == 200  # nothing was lost by asking


async def test_the_tenant_header_looks_into_another_tenant_once(
    api: httpx2.AsyncClient, database: Database, acme: Person, globex: Person
) -> None:
    await identity.member(database, globex, email=acme.email, role="VIEWER")
    headers = await identity.bearer(database, acme)
    there = await api.get("/v1/tenant", headers={**headers, "Weft-Tenant": "globex"})
    assert there.json()["slug"] == "globex"
    assert (await api.get("/v1/tenant", headers=headers)).json()["slug"] == "acme"
    # Signing out works from there too, and ends the one session.
    assert (await api.post("/v1/auth/logout", headers={**headers, "Weft-Tenant": "globex"})).status_code == 204
    assert (await api.get("/v1/me", headers=headers)).status_code == 401


async def test_a_key_sees_its_own_tenant_only(
    api: httpx2.AsyncClient, database: Database, acme: Person, globex: Person
) -> None:
    await identity.member(database, globex, email=acme.email)
    headers = {"Authorization": f"Bearer {await identity.api_key(database, acme, ['tenants:read'])}"}
    me = (await api.get("/v1/me", headers=headers)).json()
    assert (me["credential"], me["permissions"]) == ("api_key", ["tenants:read"])
    assert [m["tenant"]["slug"] for m in me["memberships"]] == ["acme"]
    response = await api.get("/v1/tenant", headers={**headers, "Weft-Tenant": "globex"})
    assert (response.status_code, response.json()["type"]) == (403, "/errors/key_bound_to_tenant")


async def test_changing_the_password_ends_the_other_sessions(
    api: httpx2.AsyncClient, database: Database, acme: Person, globex: Person
) -> None:
    there = await identity.member(database, globex, email=acme.email)
    mine, other = await identity.bearer(database, acme), await identity.bearer(database, acme)
    elsewhere = await identity.bearer(database, there)
    wrong = {"current_password": "not this one", "new_password": "a new password"}
    assert (await api.post("/v1/me/password", json=wrong, headers=mine)).status_code == 403
    short = {"current_password": acme.password, "new_password": "short"}
    response = await api.post("/v1/me/password", json=short, headers=mine)
    assert (response.status_code, response.json()["errors"][0]["path"]) == (422, ["new_password"])
    right = {"current_password": acme.password, "new_password": "a new password"}
    assert (await api.post("/v1/me/password", json=right, headers=mine)).status_code == 204
    assert (await api.get("/v1/me", headers=mine)).status_code == 200
    for headers in (other, elsewhere):
        assert (await api.get("/v1/me", headers=headers)).status_code == 401
    for password, status in ((acme.password, 401), ("a new password", 200)):
        sign_in = {"email": acme.email, "password": password}
        assert (await api.post("/v1/auth/login", json=sign_in)).status_code == status


async def test_the_tenant_is_shown_and_changed_with_its_version(
    api: httpx2.AsyncClient, database: Database, acme: Person
) -> None:
    headers = await identity.bearer(database, acme)
    shown = await api.get("/v1/tenant", headers=headers)
    assert (shown.json()["slug"], shown.json()["tier"], shown.headers["etag"]) == ("acme", "FREE", '"1"')
    change = {"name": "Acme Ltd", "settings": {"week_starts": "monday"}}
    changed = await api.patch("/v1/tenant", json=change, headers={**headers, "If-Match": '"1"'})
    assert changed.status_code == 200, changed.text
    assert (changed.json()["name"], changed.json()["settings"]) == ("Acme Ltd", {"week_starts": "monday"})
    assert changed.headers["etag"] == '"2"'
    stale = await api.patch("/v1/tenant", json={"name": "Late"}, headers={**headers, "If-Match": '"1"'})
    assert stale.status_code == 412
    flags = await api.patch("/v1/tenant", json={"feature_flags": {"beta.editor": True, "dark": False}}, headers=headers)
    assert flags.json()["feature_flags"] == {"beta.editor": True, "dark": False}
    assert flags.json()["settings"] == {"week_starts": "monday"}
    wrongs: tuple[dict[str, Any], ...] = (
        {"name": None}, {"name": " "}, {"slug": "other"}, {"settings": None}, {"tier": "PRO"},
        {"feature_flags": None}, {"feature_flags": {"beta": "yes"}}, {"feature_flags": {"beta": 1}},
        {"feature_flags": {"9": True}}, {"feature_flags": {f"f{n}": True for n in range(201)}},
    )  # fmt: skip
    for wrong in wrongs:
        assert (await api.patch("/v1/tenant", json=wrong, headers=headers)).status_code == 422, wrong
    only_name = await api.patch("/v1/tenant", json={"name": "Acme Inc"}, headers=headers)
    assert only_name.json()["settings"] == {"week_starts": "monday"}
