"""The audit log over HTTP: what was changed, by whom, from where; readable by few, changeable by none."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import asyncpg
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.factories import identity
from tests.factories.identity import Person

from weft.core.actor import system_actor
from weft.core.clock import utc_now
from weft.db.database import Database
from weft.db.scope import enter
from weft.domain.audit import rules

Headers = dict[str, str]


@pytest.fixture
async def owner(database: Database, acme: Person) -> Headers:
    return await identity.bearer(database, acme)


async def entries(api: httpx2.AsyncClient, headers: Headers, **query: str) -> list[dict[str, Any]]:
    response = await api.get("/v1/audit", params={"order": "asc", **query}, headers=headers)
    assert response.status_code == 200, response.text
    return list(response.json()["items"])


@pytest.mark.parametrize("path", ["/v1/audit", "/v1/audit/1-0198c0de-0000-7000-8000-000000000001"])
async def test_anonymous_and_whoever_may_not_are_refused(
    api: httpx2.AsyncClient, database: Database, acme: Person, path: str
) -> None:
    assert (await api.get(path)).status_code == 401
    mia = await identity.bearer(database, await identity.member(database, acme, role="MEMBER"))
    refused = await api.get(path, headers=mia)
    assert (refused.status_code, "audit:read" in refused.json()["detail"]) == (403, True)


async def test_other_tenants_entries_do_not_exist(
    api: httpx2.AsyncClient, database: Database, owner: Headers, globex: Person
) -> None:
    theirs = await entries(api, await identity.bearer(database, globex))
    mine = await entries(api, owner)
    assert not {entry["id"] for entry in theirs} & {entry["id"] for entry in mine}
    hidden = await api.get(f"/v1/audit/{theirs[0]['id']}", headers=owner)
    assert (hidden.status_code, hidden.json()["type"]) == (404, "/errors/audit_entry_not_found")


async def test_a_change_is_shown_with_before_after_and_who_did_it(
    api: httpx2.AsyncClient, acme: Person, owner: Headers
) -> None:
    made = (await api.post("/v1/clients", json={"name": "Ada", "phone": "1"}, headers=owner)).json()
    await api.patch(f"/v1/clients/{made['id']}", json={"phone": "2"}, headers={**owner, "X-Correlation-Id": "c-77"})
    found = await entries(api, owner, resource_type="clients", resource_id=made["id"])
    assert [entry["action"] for entry in found] == ["insert", "update"]
    change = found[1]
    assert (change["before"], change["after"]) == ({"phone": "1"}, {"phone": "2"})
    assert (change["actor_id"], change["actor_kind"], change["actor_name"]) == (str(acme.user_id), "user", acme.name)
    assert (change["ip"], change["user_agent"], change["correlation_id"]) == ("198.51.100.4", "weft tests", "c-77")
    assert (await api.get(f"/v1/audit/{change['id']}", headers=owner)).json() == change


async def test_a_program_is_named_with_its_key(
    api: httpx2.AsyncClient, database: Database, acme: Person, owner: Headers
) -> None:
    key = {"Authorization": f"Bearer {await identity.api_key(database, acme, ['clients:write'])}"}
    await api.post("/v1/clients", json={"name": "Ada"}, headers=key)
    (entry,) = await entries(api, owner, resource_type="clients")
    assert (entry["actor_kind"], entry["actor_name"]) == ("api_key", f"{acme.name} (a program)")


async def test_secrets_are_masked(api: httpx2.AsyncClient, owner: Headers) -> None:
    for entry in await entries(api, owner, limit="200"):
        for side in (entry["before"], entry["after"]):
            for name in ("secret_hash", "password_hash"):
                assert (side or {}).get(name) in (None, "***")
    sessions = await entries(api, owner, resource_type="sessions", action="insert")
    assert [entry["after"]["secret_hash"] for entry in sessions] == ["***"]


async def test_every_filter_narrows(api: httpx2.AsyncClient, database: Database, acme: Person, owner: Headers) -> None:
    mia = await identity.member(database, acme, role="MANAGER")
    hers = await identity.bearer(database, mia)
    between = utc_now()
    await api.post("/v1/clients", json={"name": "Ada"}, headers={**hers, "X-Correlation-Id": "first"})
    await api.post("/v1/clients", json={"name": "Bob"}, headers={**owner, "X-Correlation-Id": "second"})
    clients = await entries(api, owner, resource_type="clients")
    assert [entry["after"]["name"] for entry in clients] == ["Ada", "Bob"]
    assert await entries(api, owner, actor_id=str(mia.user_id)) == [clients[0]]
    assert await entries(api, owner, correlation_id="second") == [clients[1]]
    assert await entries(api, owner, action="delete") == []
    assert await entries(api, owner, **{"from": between.isoformat()}) == clients
    assert await entries(api, owner, **{"from": clients[1]["at"]}) == [clients[1]]
    before = await entries(api, owner, to=between.isoformat(), limit="200")
    assert before
    assert not {entry["id"] for entry in before} & {entry["id"] for entry in clients}
    late = (utc_now() + timedelta(days=1)).isoformat()
    assert await entries(api, owner, **{"from": late}) == []
    naive = await api.get("/v1/audit", params={"from": "2026-01-01T00:00:00"}, headers=owner)
    assert naive.status_code == 422


async def test_the_log_pages_newest_first_without_gaps(api: httpx2.AsyncClient, owner: Headers) -> None:
    for number in range(5):
        await api.post("/v1/clients", json={"name": f"client {number}"}, headers=owner)
    seen: list[str] = []
    query = {"limit": "2", "resource_type": "clients"}
    while True:
        page = (await api.get("/v1/audit", params=query, headers=owner)).json()
        seen += [entry["after"]["name"] for entry in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == [f"client {number}" for number in (4, 3, 2, 1, 0)]


@pytest.mark.parametrize("name", ["x", "1-x", "-1-x", "9" * 30 + "-0198c0de-0000-7000-8000-000000000001", "%00"])
async def test_what_names_no_entry_is_not_found(api: httpx2.AsyncClient, owner: Headers, name: str) -> None:
    assert (await api.get(f"/v1/audit/{name}", headers=owner)).status_code in (400, 404)


@pytest.mark.parametrize("statement", ["update weft.audit_logs set action = 'x'", "delete from weft.audit_logs"])
async def test_nobody_changes_the_log(database: Database, acme: Person, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with enter(database, system_actor(acme.tenant_id)) as scope:
            await scope.raw.execute(statement)


@given(st.datetimes(timezones=st.just(utc_now().tzinfo)), st.uuids())
def test_the_name_of_an_entry_leads_back_to_its_place(at: Any, entry_id: Any) -> None:
    place = rules.place_of(rules.name_of(at, entry_id))
    if at.year >= 1970 and at.year < 2280:
        assert place == (at, entry_id)
    else:
        assert place in (None, (at, entry_id))
