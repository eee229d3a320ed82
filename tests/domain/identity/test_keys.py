"""API keys: shown once, limited to their scopes, revoked for good."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import httpx2
import pytest
from tests.factories import identity
from tests.factories.identity import Person

from weft.core.actor import system_actor
from weft.core.clock import utc_now
from weft.db.database import Database
from weft.db.scope import enter
from weft.domain.identity import access

Headers = dict[str, str]


@pytest.fixture
async def owner(database: Database, acme: Person) -> Headers:
    return await identity.bearer(database, acme)


def code(response: httpx2.Response) -> str:
    return str(response.json()["type"]).removeprefix("/errors/")


async def test_a_key_is_shown_once_and_works_within_its_scopes(
    api: httpx2.AsyncClient, database: Database, acme: Person, owner: Headers
) -> None:
    made = await api.post("/v1/keys", json={"name": "ci", "scopes": ["tenants:read", "keys:read"]}, headers=owner)
    assert made.status_code == 201, made.text
    assert made.headers["cache-control"] == "no-store"
    body = made.json()
    assert body["token"].startswith(body["prefix"] + "_")
    assert body["scopes"] == ["keys:read", "tenants:read"]
    assert (body["user_id"], body["user_name"], body["last_used_at"]) == (str(acme.user_id), acme.name, None)
    key = {"Authorization": f"Bearer {body['token']}"}
    assert (await api.get("/v1/tenant", headers=key)).status_code == 200
    assert (await api.get("/v1/members", headers=key)).status_code == 403
    await access.settle(database)
    shown = await api.get(f"/v1/keys/{body['id']}", headers=owner)
    assert "token" not in shown.json()
    assert body["token"].rpartition("_")[2] not in shown.text
    assert shown.json()["last_used_at"] is not None
    assert shown.headers["etag"] == '"1"'  # being used is no change of the key


async def test_a_key_never_exceeds_its_member_later_either(
    api: httpx2.AsyncClient, database: Database, acme: Person, owner: Headers
) -> None:
    mia = await identity.member(database, acme, role="ADMIN")
    hers = await identity.bearer(database, mia)
    made = await api.post("/v1/keys", json={"name": "ci", "scopes": ["members:read"]}, headers=hers)
    key = {"Authorization": f"Bearer {made.json()['token']}"}
    assert (await api.get("/v1/members", headers=key)).status_code == 200
    await api.patch(f"/v1/members/{mia.member_id}", json={"role": "VIEWER"}, headers=owner)
    assert (await api.get("/v1/members", headers=key)).status_code == 403


async def test_scopes_beyond_ones_own_are_refused(
    api: httpx2.AsyncClient, database: Database, acme: Person, owner: Headers
) -> None:
    admin = await identity.bearer(database, await identity.member(database, acme, role="ADMIN"))
    refused = await api.post("/v1/keys", json={"name": "x", "scopes": ["tenants:write"]}, headers=admin)
    assert (refused.status_code, code(refused)) == (403, "grant_beyond_own")
    unknown = await api.post("/v1/keys", json={"name": "x", "scopes": ["sky:fall"]}, headers=owner)
    assert (unknown.status_code, code(unknown)) == (422, "permission_unknown")
    assert unknown.json()["errors"][0]["path"] == ["scopes"]


async def test_an_expiry_lies_ahead_and_has_a_time_zone(api: httpx2.AsyncClient, owner: Headers) -> None:
    for moment, says in (
        ((utc_now() - timedelta(minutes=1)).isoformat(), "expiry_in_past"),
        ("2030-01-01T00:00:00", "request_invalid"),
    ):
        key = {"name": "x", "scopes": [], "expires_at": moment}
        refused = await api.post("/v1/keys", json=key, headers=owner)
        assert (refused.status_code, code(refused)) == (422, says)
    ahead = {"name": "x", "scopes": [], "expires_at": (utc_now() + timedelta(days=1)).isoformat()}
    assert (await api.post("/v1/keys", json=ahead, headers=owner)).status_code == 201


async def test_a_revoked_key_is_refused_at_once_and_still_listed_on_request(
    api: httpx2.AsyncClient, database: Database, acme: Person, owner: Headers
) -> None:
    made = (await api.post("/v1/keys", json={"name": "ci", "scopes": ["tenants:read"]}, headers=owner)).json()
    key = {"Authorization": f"Bearer {made['token']}"}
    assert (await api.get("/v1/tenant", headers=key)).status_code == 200
    revoked = await api.delete(f"/v1/keys/{made['id']}", headers=owner)
    assert revoked.status_code == 200
    assert revoked.json()["revoked_at"] is not None
    assert (await api.get("/v1/tenant", headers=key)).status_code == 401
    again = await api.delete(f"/v1/keys/{made['id']}", headers=owner)
    assert again.json()["revoked_at"] == revoked.json()["revoked_at"]
    assert (await api.get("/v1/keys", headers=owner)).json()["items"] == []
    listed = await api.get("/v1/keys", params={"include_revoked": "true"}, headers=owner)
    assert [item["id"] for item in listed.json()["items"]] == [made["id"]]


async def test_the_log_shows_the_key_but_never_its_hash(
    api: httpx2.AsyncClient, database: Database, acme: Person, owner: Headers
) -> None:
    made = (await api.post("/v1/keys", json={"name": "ci", "scopes": ["tenants:read"]}, headers=owner)).json()
    async with enter(database, system_actor(acme.tenant_id), read_only=True) as scope:
        stored = await scope.raw.fetchval("select secret_hash from weft.api_keys where id = $1", UUID(made["id"]))
        rows = await scope.raw.fetch(
            "select after::text as after from weft.audit_logs where resource_type = 'api_keys'"
        )
    assert len(rows) == 1
    assert '"secret_hash": "***"' in rows[0]["after"]
    assert stored.hex() not in rows[0]["after"]
    assert made["prefix"] in rows[0]["after"]
