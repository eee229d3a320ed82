"""Changing rows: only with `--write`, only what weft does not keep itself, audited, never over another's change."""

from __future__ import annotations

import html
import re
from typing import Any
from uuid import UUID

import pytest
from tests.factories import executions, identity
from tests.studio.conftest import TABLES, Browser, Open, Planter

from weft.core.actor import system_actor
from weft.db.database import Database
from weft.db.scope import enter
from weft.domain.clients.models import Client
from weft.studio import rows, rules
from weft.studio.errors import ChangeRefused


async def made(database: Database, acme: identity.Person, **given: Any) -> str:
    """A client of the tenant, made as weft makes it; its id."""
    async with enter(database, system_actor(acme.tenant_id)) as scope:
        client = await scope.add(Client(name=given.pop("name", "Müller"), **given))
        return str(client.id)


async def version(browser: Browser, table: str, pk: str) -> str:
    page = await browser.get(f"/{table}/edit", pk=pk)
    assert page.status_code == 200
    found = re.search(r'name="#version" value="([^"]+)"', page.text)
    assert found is not None
    return found[1]


async def audited(database: Database, acme: identity.Person, pk: str) -> list[Any]:
    async with enter(database, system_actor(acme.tenant_id)) as scope:
        return list(
            await scope.raw.fetch(
                "select action, before::text, after::text, actor_kind, actor_name, actor_id, ip, user_agent"
                " from weft.audit_logs where tenant_id = $1 and resource_id = $2 and action <> 'insert' order by at",
                acme.tenant_id,
                pk,
            )
        )


@pytest.fixture
async def acme(database: Database) -> identity.Person:
    return await identity.tenant(database, "acme")


async def test_without_write_nothing_can_be_changed(database: Database, acme: identity.Person, studio: Open) -> None:
    pk = await made(database, acme)
    browser = await studio(tenant="acme")
    for path in (f"/clients/edit?pk={pk}", f"/roles/delete?pk={pk}"):
        for answer in (await browser.get(path), await browser.post(path, name="Other", **{"#version": "1"})):
            assert (answer.status_code, "--write" in answer.text) == (403, True)
    assert (await browser.post("/roles/selected?name=delete&pks=x")).status_code == 403
    assert ">Edit<" not in (await browser.get("/clients/detail", pk=pk)).text


async def test_an_edit_is_saved_and_audited(database: Database, acme: identity.Person, studio: Open) -> None:
    pk = await made(database, acme, name="Müller", notes="old")
    browser = await studio(tenant="acme", writes=True)
    saved = await browser.post(
        f"/clients/edit?pk={pk}",
        **{
            "#version": await version(browser, "clients", pk),
            "name": "ÄRGER & Co",
            "notes.null": "on",
            "company": "=1",
        },
    )
    assert (saved.status_code, saved.headers["location"]) == (303, f"/clients/detail?pk={pk}")
    shown = await browser.get(f"/clients/detail?pk={pk}")
    assert "Saved: name, company, notes." in shown.text.replace("name key, ", "").replace(", name key", "")
    assert "ÄRGER &amp; Co" in shown.text
    (entry,) = await audited(database, acme, pk)
    assert (entry["action"], entry["actor_kind"], entry["actor_name"]) == ("update", "system", "studio: olga")
    assert (entry["ip"], entry["user_agent"]) == ("127.0.0.1", "weft db studio")
    assert '"name_key": "ärger & co"' in entry["after"]
    assert '"notes": "old"' in entry["before"]


async def test_nothing_different_saves_nothing(database: Database, acme: identity.Person, studio: Open) -> None:
    pk = await made(database, acme, name="Müller", notes="two\nlines")
    browser = await studio(tenant="acme", writes=True)
    saved = await browser.post(
        f"/clients/edit?pk={pk}",
        **{
            "#version": await version(browser, "clients", pk),
            "name": "Müller",
            "notes": "two\r\nlines",
            "email.null": "on",
        },
    )
    assert saved.status_code == 303
    assert await audited(database, acme, pk) == []


async def test_somebody_elses_change_is_not_overwritten(
    database: Database, acme: identity.Person, studio: Open
) -> None:
    pk = await made(database, acme)
    browser = await studio(tenant="acme", writes=True)
    stale = await version(browser, "clients", pk)
    fresh = await version(browser, "clients", pk)
    assert (await browser.post(f"/clients/edit?pk={pk}", name="First", **{"#version": fresh})).status_code == 303
    second = await browser.post(f"/clients/edit?pk={pk}", name="Second", **{"#version": stale})
    assert second.status_code == 412
    assert "Somebody changed this row" in second.text
    assert 'value="Second"' in second.text
    missing = await browser.post(f"/clients/edit?pk={pk}", name="Third")
    assert missing.status_code == 400
    assert "First" in (await browser.get(f"/clients/detail?pk={pk}")).text


WRONG = [
    ("clients", "is_active", "perhaps", "Say true or false"),
    ("clients", "is_active.null", "on", "cannot be left empty"),
    ("clients", "name", "  ", "at least 1 character"),
    ("clients", "company", "x" * 201, "at most 200 characters"),
    ("clients", "email", "nobody", "@-sign"),
    ("tenants", "settings", "{", "This is not JSON"),
    ("tenants", "settings", "NaN", "no NaN"),
    ("tenants", "settings", '{"a": "\\u0000"}', "NUL character"),
    ("tenants", "settings", '{"a": "\\ud800"}', "Half of a surrogate pair"),
    ("tenants", "settings", '{"a": 1e999999}', "sensible size"),
    ("tenants", "settings", "[" * 100_000, "nested deeper than"),
    ("tenants", "settings", "[1]", "valid dictionary"),
    ("tenants", "feature_flags", '{"beta": 1}', "beta: Input should be a valid boolean"),
    ("tenants", "tier", "GOLD", "Choose one of"),
    ("tenant_users", "name", "", "at least 1 character"),
    ("secrets", "description", "x" * 501, "at most 500 characters"),
    ("roles", "description", "x" * 1001, "at most 1000 characters"),
    ("api_keys", "name", " ", "at least 1 character"),
    ("api_keys", "expires_at", "tomorrow", "A time looks like"),
    ("api_keys", "expires_at", "0001-01-01 00:00:00+14:00", "A time looks like"),
    ("api_keys", "expires_at", "3500-01-01", "2999"),
]


async def test_values_are_checked_before_they_are_sent(planter: Planter, studio: Open) -> None:
    """As weft's own services check them, by their schemas."""
    tenant = await planter.tenant("ada")
    browser = await studio(tenant="ada", writes=True)
    for table, column, text, said in WRONG:
        pk = str(tenant) if table == "tenants" else (await planter.plant(table, tenant, **PLAIN.get(table, {})))["id"]
        pk = pk.strip("'")
        sent = {"#version": await version(browser, table, pk), column: text}
        refused = await browser.post(f"/{table}/edit?pk={pk}", **sent)
        assert (refused.status_code, said in html.unescape(refused.text)) == (400, True), (table, column, text[:20])


PLAIN = {"roles": {"is_builtin": "false"}}


async def test_values_are_written_as_weft_writes_them(database: Database, acme: identity.Person, studio: Open) -> None:
    pk = await made(database, acme)
    browser = await studio(tenant="acme", writes=True)
    sent = {"name": "  ÄRGER  ", "email": " Grace@EXAMPLE.com ", "#version": await version(browser, "clients", pk)}
    assert (await browser.post(f"/clients/edit?pk={pk}", **sent)).status_code == 303
    async with enter(database, system_actor(acme.tenant_id)) as scope:
        row = await scope.raw.fetchrow("select name, name_key, email from weft.clients where id = $1", UUID(pk))
    assert tuple(row) == ("ÄRGER", "ärger", "Grace@example.com")


async def test_what_the_database_refuses_is_said_in_words(
    database: Database, acme: identity.Person, studio: Open
) -> None:
    async with enter(database, system_actor(acme.tenant_id)) as scope:
        first, second = await scope.raw.fetch(
            "select id, name, row_version::text as version from weft.roles where tenant_id = $1 limit 2",
            acme.tenant_id,
        )
    nowhere = UUID("0199c0aa-0000-7000-8000-000000000000")
    for table, key, values, said in (
        ("roles", first["id"], {"name": second["name"]}, "Another row has these values already"),
        ("tenant_users", acme.member_id, {"role_id": nowhere}, "does not exist in this tenant"),
        ("tenant_users", acme.member_id, {"status": "GONE"}, "does not allow these values"),
    ):
        with pytest.raises(ChangeRefused, match=said):
            async with rows.writing(database, system_actor(acme.tenant_id), 60, TABLES) as connection:
                await rows.update(connection, TABLES[table], acme.tenant_id, [key], values, "1")


async def test_another_tenants_row_can_neither_be_edited_nor_deleted_nor_referred_to(
    database: Database, acme: identity.Person, studio: Open
) -> None:
    other = await identity.tenant(database, "other")
    theirs = await made(database, other)
    browser = await studio(tenant="acme", writes=True)
    assert (await browser.get("/clients/edit", pk=theirs)).status_code == 404
    assert (await browser.post(f"/clients/edit?pk={theirs}", name="Mine", **{"#version": "1"})).status_code == 404
    await identity.role(database, other, "audit:read", name="theirs")
    find = "select id::text from weft.roles where tenant_id = $1 and name = 'theirs'"
    async with enter(database, system_actor(other.tenant_id)) as scope:
        role = await scope.raw.fetchval(find, other.tenant_id)
    gone = await browser.post(f"/roles/delete?pk={role}")
    assert gone.status_code == 303
    assert "0 rows are gone" in (await browser.get("/roles/list")).text
    async with enter(database, system_actor(other.tenant_id)) as scope:
        assert await scope.raw.fetchval(find, other.tenant_id) == role


async def test_deleting_asks_with_counts_and_is_all_or_none(
    database: Database, acme: identity.Person, studio: Open
) -> None:
    free = await identity.role(database, acme, "audit:read", "keys:read")
    await identity.somebody(database, acme, "audit:read")
    async with enter(database, system_actor(acme.tenant_id)) as scope:
        found = await scope.raw.fetch(
            "select r.id::text, r.name, r.is_builtin, m.id is not null as in_use"
            " from weft.roles r left join weft.tenant_users m on m.role_id = r.id where r.tenant_id = $1",
            acme.tenant_id,
        )
    mine = next(row["id"] for row in found if row["name"] == free)
    used = next(row["id"] for row in found if row["in_use"] and not row["is_builtin"])
    builtin = next(row["id"] for row in found if row["is_builtin"] and not row["in_use"])
    browser = await studio(tenant="acme", writes=True)
    chosen = await browser.post(f"/roles/selected?name=delete&pks={mine}&pks={used}")
    asked = await browser.get(chosen.headers["location"])
    assert "<strong>2 rows</strong>" in asked.text
    assert "in Role permissions: deleted along" in asked.text
    assert "1 in Tenant users: they hold it back" in asked.text
    refused = await browser.post(chosen.headers["location"])
    assert (refused.status_code, "still refer to it" in refused.text) == (409, True)
    assert (await browser.get("/roles/detail", pk=mine)).status_code == 200

    both = f"/roles/delete?pk={mine}&pk={builtin}"
    for kept in (await browser.get(both), await browser.post(both), await browser.get("/roles/edit", pk=builtin)):
        assert (kept.status_code, "Built-in roles stay as they are" in kept.text) == (403, True)
    assert ">Edit<" not in (await browser.get("/roles/detail", pk=builtin)).text

    done = await browser.post(f"/roles/delete?pk={mine}")
    assert (done.status_code, done.headers["location"]) == (303, "/roles/list")
    assert "1 row is gone" in (await browser.get("/roles/list")).text
    assert (await browser.get("/roles/detail", pk=mine)).status_code == 404
    assert [entry["action"] for entry in await audited(database, acme, mine)] == ["delete"]
    too_many = "&".join(f"pk={used}" for _ in range(101))
    assert (await browser.get(f"/roles/delete?{too_many}")).status_code == 400


async def test_what_weft_keeps_itself_stays_read_only(planter: Planter, studio: Open) -> None:
    tenant = await planter.tenant("ada")
    browser = await studio(tenant="ada", writes=True)
    for table in (
        "workflow_versions",
        "workflow_executions",
        "dispatch_jobs",
        "workflow_triggers",
        "tenant_keys",
        "workflows",
    ):
        row = await planter.plant(table, tenant)
        pk = row["id"].strip("'")
        for answer in (await browser.get(f"/{table}/edit", pk=pk), await browser.post(f"/{table}/delete?pk={pk}")):
            assert (answer.status_code, "written by weft alone" in answer.text) == (403, True), table
    row = await planter.plant("secrets", tenant)
    form = (await browser.get("/secrets/edit", pk=row["id"].strip("'"))).text
    fields = set(re.findall(r'id="field-(\w+)"', form))
    assert fields == {"description"}
    assert "id" not in {c.name for c in TABLES["clients"].columns.values() if c.editable}
    assert not TABLES["clients"].columns["name_key"].editable


EDITABLE = {
    "api_keys": {"name", "expires_at"},
    "clients": {"name", "email", "phone", "address", "company", "notes", "is_active"},
    "roles": {"description"},
    "secrets": {"description"},
    "tenant_users": {"name"},
    "tenants": {"name", "tier", "settings", "feature_flags"},
}
DELETABLE = {"api_keys", "roles", "secrets", "sessions", "user_permissions"}


def test_nothing_can_be_changed_that_a_service_guards() -> None:
    """Every column that can be edited, by name: for a new one ask whether an edit goes round a permission, or round a
    rule of the service that changes it otherwise; if so, it belongs into `rules`."""
    editable = {t.name: {c.name for c in t.columns.values() if c.editable} for t in TABLES.values() if t.may_update}
    assert editable == EDITABLE
    assert {t.name for t in TABLES.values() if t.may_delete} == DELETABLE
    assert set(rules.WRITING) == {"clients"}


async def test_a_workflow_is_not_put_away_by_hand(database: Database, acme: identity.Person, studio: Open) -> None:
    actor = system_actor(acme.tenant_id)
    pk = str(await executions.workflow(database, actor, output="{{ input }}"))
    before = await audited(database, acme, pk)
    writer = await identity.somebody(database, acme, "audit:read", "workflows:read", "workflows:write")
    browser = await studio("acme", writer.email, writes=True)
    for operator in (browser, await studio(tenant="acme", writes=True)):
        for sent in ({"deleted_at": "2026-01-01 00:00:00+00:00"}, {"draft": "5"}, {"name": "Other"}):
            refused = await operator.post(f"/workflows/edit?pk={pk}", **{"#version": "1"}, **sent)
            assert (refused.status_code, "written by weft alone" in refused.text) == (403, True)
    assert await audited(database, acme, pk) == before


async def test_members_change_what_they_may_under_their_own_name(
    database: Database, acme: identity.Person, studio: Open
) -> None:
    pk = await made(database, acme)
    writer = await identity.somebody(
        database, acme, "audit:read", "clients:read", "clients:write", "roles:read", "roles:write"
    )
    browser = await studio("acme", owner=False, writes=True)
    await browser.post("/sign-in", email=writer.email, password=identity.PASSWORD)
    saved = await browser.post(
        f"/clients/edit?pk={pk}", name="By Mia", **{"#version": await version(browser, "clients", pk)}
    )
    assert saved.status_code == 303
    (entry,) = await audited(database, acme, pk)
    assert (entry["actor_kind"], entry["actor_name"]) == ("user", "studio: Mia")
    refused = await browser.get("/roles/edit", pk=pk)
    assert (refused.status_code, "Only operators" in refused.text) == (403, True)

    borrowed = await studio("acme", writer.email, writes=True)
    await borrowed.post(
        f"/clients/edit?pk={pk}", name="By Olga", **{"#version": await version(borrowed, "clients", pk)}
    )
    entry = (await audited(database, acme, pk))[-1]
    assert (entry["actor_kind"], entry["actor_name"]) == ("system", "studio: olga as Mia")


async def test_exports_are_written_down(database: Database, acme: identity.Person, studio: Open) -> None:
    await made(database, acme, name="=cmd|' /C calc'!A0", notes='say "hi"\nthere')
    browser = await studio(tenant="acme")
    exported = await browser.get("/clients/export", format="csv", filter="name__contains=calc")
    assert exported.headers["content-disposition"] == 'attachment; filename="clients.csv"'
    assert "\"'=cmd|" in exported.text or "'=cmd|" in exported.text
    assert '"say ""hi""\nthere"' in exported.text
    async with enter(database, system_actor(acme.tenant_id)) as scope:
        noted = await scope.raw.fetchrow(
            "select actor_name, after::text from weft.audit_logs where tenant_id = $1 and action = 'studio.exported'",
            acme.tenant_id,
        )
    assert noted["actor_name"] == "studio: olga"
    assert '"filter": "name__contains=calc"' in noted["after"]
