"""Getting in: the token in the address, the cookie after it, and what a page of another site cannot do."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from tests.factories import identity
from tests.studio.conftest import HOST, TABLES, Browser, Open, Planter

from weft.core.actor import system_actor
from weft.core.errors import WeftError
from weft.db.database import Database
from weft.db.scope import enter
from weft.domain.identity.models import MemberStatus
from weft.studio.doors import IDLE
from weft.studio.errors import (
    HostNotLoopback,
    MemberMissing,
    MemberNeedsTenant,
    RoleMissing,
    RoleNeedsOperator,
    TenantMissing,
    TenantNeeded,
)
from weft.studio.serve import StudioPortTaken, listen


async def test_the_address_works_once(studio: Open) -> None:
    browser = await studio(entered=False)
    first = browser.doors.address
    assert (await browser.get("/")).status_code == 401
    answer = await browser.client.get(first)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert (await browser.get("/")).status_code == 200
    browser.client.cookies.clear()
    assert (await browser.client.get(first)).status_code == 401
    assert browser.announced == [browser.doors.address]
    assert (await browser.client.get(browser.doors.address)).status_code == 303


async def test_a_wrong_token_and_an_old_cookie_do_not(studio: Open) -> None:
    browser = await studio(entered=False)
    for token in ("x", "é", "", browser.doors.address[-43:-1]):
        assert (await browser.get("/", token=token)).status_code == 401
    await browser.enter()
    browser.clock.advance(IDLE)
    assert (await browser.get("/")).status_code == 200  # and counts as use
    browser.clock.advance(IDLE + timedelta(seconds=1))
    assert (await browser.get("/")).status_code == 401
    browser.client.cookies.clear()
    browser.client.cookies.set(browser.doors.cookie, "guessed")
    assert (await browser.get("/clients/list")).status_code == 401


async def test_a_name_that_points_here_is_not_this_host(studio: Open) -> None:
    browser = await studio()
    for host in ("evil.example:5555", "127.0.0.1", "127.0.0.1:5556", "localhost.evil.example:5555"):
        assert (await browser.client.get("/", headers={"Host": host})).status_code == 421
    assert (await browser.client.get("/", headers={"Host": "localhost:5555"})).status_code == 200


async def test_changes_come_from_our_own_pages_with_their_token(studio: Open, planter: Planter) -> None:
    tenant_id = str(await planter.tenant("ada"))
    browser = await studio()
    token = browser.client.cookies["starlette_admin_csrftoken"]
    form = {"tenant": tenant_id, "csrftoken": token}

    async def status(headers: dict[str, str], data: dict[str, str] = form) -> int:
        return (await browser.client.post("/tenants", data=data, headers=headers)).status_code

    assert await status({"Origin": "http://evil.example"}) == 403
    assert await status({"Origin": "null"}) == 403
    assert await status({"Sec-Fetch-Site": "cross-site"}) == 403
    assert await status({"Sec-Fetch-Site": "same-site"}) == 403
    assert await status({"Origin": HOST}, {"tenant": tenant_id}) == 403
    assert await status({"Origin": HOST}, {"tenant": tenant_id, "csrftoken": token[:-1]}) == 403
    assert await status({"Origin": HOST, "Sec-Fetch-Site": "same-origin"}) == 303
    large = await browser.client.post("/tenants", content=b"x" * 4_000_001, headers={"Origin": HOST})
    assert large.status_code == 413


async def test_pages_load_nothing_from_elsewhere_and_run_no_foreign_script(studio: Open, planter: Planter) -> None:
    tenant = await planter.tenant("ada")
    await planter.plant("clients", tenant, name="'<script>alert(1)</script>'", name_key="'x'")
    browser = await studio(tenant="ada", writes=True)
    for path in ("/", "/clients/list", "/clients/list?q=<script>alert(1)</script>", "/nothing/list"):
        page = await browser.get(path)
        policy = page.headers["content-security-policy"]
        nonce = re.search(r"'nonce-([^']+)'", policy)
        assert nonce is not None
        assert "unsafe-inline" not in policy.partition("style-src")[0]
        assert "unsafe-eval" not in policy
        scripts = re.findall(r"<script[^>]*>", page.text)
        assert scripts
        assert all(f'nonce="{nonce[1]}"' in script for script in scripts)
        assert "<script>alert" not in page.text
        assert not re.search(r'\son\w+="', page.text)
        foreign = re.findall(r"""(?:src|href|url\()=?["']?(https?://[^"')\s]+)""", page.text)
        assert [url for url in foreign if not url.startswith(HOST)] == []
        assert page.headers["x-frame-options"] == "DENY"
        assert page.headers["cache-control"] == "no-store"


async def test_operators_choose_a_tenant_in_the_browser(studio: Open, planter: Planter) -> None:
    ada, bob = await planter.tenant("ada"), await planter.tenant("bob")
    await planter.plant("clients", ada, name="'Client of Ada'", name_key="'a'")
    browser = await studio()
    assert "No tenant chosen" in (await browser.get("/")).text
    assert (await browser.get("/permissions/list")).status_code == 200
    closed = await browser.get("/clients/list")
    assert (closed.status_code, "Choose a tenant first" in closed.text) == (403, True)
    listed = await browser.get("/tenants", q="AD")
    assert "<code>ada</code>" in listed.text
    assert "<code>bob</code>" not in listed.text
    assert (await browser.post("/tenants", tenant=str(ada))).status_code == 303
    assert "Client of Ada" in (await browser.get("/clients/list")).text
    await browser.post("/tenants", tenant=str(bob))
    assert "Client of Ada" not in (await browser.get("/clients/list")).text
    assert (await browser.post("/tenants", tenant="0199c0aa-0000-7000-8000-000000000000")).status_code == 404


async def test_members_see_what_they_may(database: Database, studio: Open) -> None:
    acme = await identity.tenant(database, "acme")
    auditor = await identity.somebody(database, acme, "audit:read", "workflows:read")
    browser = await studio("acme", auditor.email)
    assert (await browser.get("/audit_logs/list")).status_code == 200
    assert (await browser.get("/workflows/list")).status_code == 200
    closed = await browser.get("/clients/list")
    assert (closed.status_code, "clients:read" in closed.text) == (403, True)
    menu = (await browser.get("/")).text
    assert "/workflows/list" in menu
    assert "/clients/list" not in menu
    member = await identity.somebody(database, acme, "workflows:read", "clients:read")
    refused = await (await studio("acme", member.email)).get("/workflows/list")
    assert (refused.status_code, "audit:read" in refused.text) == (403, True)


async def test_the_entrance_alone_opens_neither_the_engines_tables_nor_the_installations(
    database: Database, studio: Open
) -> None:
    acme = await identity.tenant(database, "acme")
    auditor = await identity.somebody(database, acme, "audit:read")
    browser = await studio("acme", auditor.email)
    menu = (await browser.get("/")).text
    for table in TABLES.values():
        may = table.name in ("audit_logs", "permissions")
        for page in ("list", "detail", "export", "value"):
            answer = await browser.get(f"/{table.name}/{page}", format="csv")
            assert (answer.status_code == 403) is not may, (table.name, page)
        assert (f'/{table.name}/list"' in menu) is may, table.name
    for permission, opens, closes in (
        ("executions:read", ("dispatch_dead", "dispatch_jobs", "questions"), "backups"),
        ("tenants:read", ("archives", "payload_usage"), "dispatch_dead"),
        ("system:read", ("backups", "app_instances", "last_runs", "migration_history"), "archives"),
    ):
        somebody = await identity.somebody(database, acme, "audit:read", permission)
        browser = await studio("acme", somebody.email)
        for name in opens:
            assert (await browser.get(f"/{name}/list")).status_code == 200, name
        assert (await browser.get(f"/{closes}/list")).status_code == 403, closes


async def test_a_role_sees_what_it_may(database: Database, studio: Open, planter: Planter) -> None:
    acme = await identity.tenant(database, "acme")
    bolt = await planter.tenant("bolt")
    await planter.plant("workflows", bolt, name="'Of Bolt'", name_key="'of bolt'")
    role = await identity.role(database, acme, "audit:read", "workflows:read", name="Reviewer")
    browser = await studio("acme", role=role, writes=True)
    listed = await browser.get("/workflows/list")
    assert (listed.status_code, "Of Bolt" in listed.text) == (200, False)
    closed = await browser.get("/clients/list")
    assert (closed.status_code, "clients:read" in closed.text) == (403, True)
    assert "as the role Reviewer" in (await browser.get("/")).text
    assert (await (await studio("acme", role="owner")).get("/clients/list")).status_code == 200
    refused = await (await studio("acme", role="VIEWER")).get("/workflows/list")
    assert (refused.status_code, "audit:read" in refused.text) == (403, True)

    async with enter(database, system_actor(acme.tenant_id)) as scope:
        await scope.raw.execute("delete from weft.role_permissions p using weft.roles r where r.id = p.role_id "
                                "and r.name = 'Reviewer' and p.resource = 'workflows'")  # fmt: skip
    assert (await browser.get("/workflows/list")).status_code == 403


async def test_what_a_role_exports_is_the_operators_deed(database: Database, studio: Open) -> None:
    acme = await identity.tenant(database, "acme")
    role = await identity.role(database, acme, "audit:read", "roles:read", name="Reviewer")
    browser = await studio("acme", role=role)
    assert (await browser.get("/audit_logs/export", format="csv")).status_code == 200
    async with enter(database, system_actor(acme.tenant_id)) as scope:
        row = await scope.raw.fetchrow(
            "select actor_name, actor_kind from weft.audit_logs where action = 'studio.exported'"
        )
    assert (row["actor_name"], row["actor_kind"]) == ("studio: olga as the role Reviewer", "system")


async def test_without_the_owners_address_members_sign_in(database: Database, studio: Open) -> None:
    acme = await identity.tenant(database, "acme")
    auditor = await identity.somebody(database, acme, "audit:read")
    browser = await studio("acme", owner=False)
    asked = await browser.get("/workflows/list")
    assert (asked.status_code, asked.headers["location"]) == (303, "/sign-in")
    wrong = await browser.post("/sign-in", email=auditor.email, password="wrong")
    assert wrong.status_code == 401
    assert (await browser.post("/sign-in", email=auditor.email, password=identity.PASSWORD)).status_code == 303
    assert "<strong>Acme</strong>" in (await browser.get("/")).text
    assert (await browser.get("/workflows/list")).status_code == 403
    assert (await browser.get("/tenants")).status_code == 403
    await browser.post("/sign-out")
    assert (await browser.get("/")).headers["location"] == "/sign-in"

    await browser.post("/sign-in", email=auditor.email, password=identity.PASSWORD)
    async with enter(database, system_actor(acme.tenant_id)) as scope:
        await scope.raw.execute("update weft.tenant_users set status = 'INACTIVE' where user_id = $1", auditor.user_id)
    assert (await browser.get("/")).status_code == 401


async def test_a_member_who_may_not_look_is_signed_out_again(database: Database, studio: Open) -> None:
    acme = await identity.tenant(database, "acme")
    member = await identity.somebody(database, acme, "workflows:read")
    browser = await studio("acme", owner=False)
    refused = await browser.post("/sign-in", email=member.email, password=identity.PASSWORD)
    assert (refused.status_code, "audit:read" in refused.text) == (403, True)
    assert (await browser.get("/")).headers["location"] == "/sign-in"


async def test_a_wrong_start_is_refused(database: Database, studio: Open) -> None:
    acme = await identity.tenant(database, "acme")
    await identity.member(database, acme, email="away@acme.example", status=MemberStatus.inactive)
    starts: list[tuple[str | None, str | None, bool, type[WeftError]]] = [
        (None, None, False, TenantNeeded),
        (None, "owner@acme.example", True, MemberNeedsTenant),
        ("nowhere", None, True, TenantMissing),
        ("acme", "nobody@acme.example", True, MemberMissing),
        ("acme", "away@acme.example", True, MemberMissing),
    ]
    for tenant, email, owner, refusal in starts:
        with pytest.raises(refusal):
            await studio(tenant, email, owner=owner)
    for tenant, owner, refusal in (("acme", True, RoleMissing), ("acme", False, RoleNeedsOperator)):
        with pytest.raises(refusal):
            await studio(tenant, role="NOBODY", owner=owner)
    with pytest.raises(MemberNeedsTenant):
        await studio(None, role="OWNER")


def test_it_listens_on_this_machine_only() -> None:
    for host in ("0.0.0.0", "192.168.0.7", "example.com", "::"):
        with pytest.raises(HostNotLoopback):
            listen(host, 0)
    with listen("localhost", 0) as taken, pytest.raises(StudioPortTaken):
        listen("127.0.0.1", taken.getsockname()[1])


async def test_errors_are_pages_that_say_what_to_do(browser_of_ada: Browser) -> None:
    for path, status, words in (
        ("/nothing/list", 404, "The menu lists"),
        ("/clients/detail?pk=x", 404, "no such row"),
        ("/clients/detail", 404, "no such row"),
        ("/clients/list?page=after.x", 400, "Begin again at the first page"),
        ("/clients/list?filter=nothing__eq=1", 400, "unknown filter field"),
        ("/clients/list?filter=id__eq=1", 400, "An id looks like"),
        ("/clients/list?page_size=7", 400, "page_size"),
        (f"/clients/list?q={'x' * 300}", 400, "at most 200"),
        ("/clients/export?format=exe", 400, "csv or json"),
        ("/elsewhere", 404, "Not Found"),
    ):
        page = await browser_of_ada.get(path)
        assert (page.status_code, words in page.text) == (status, True), path


async def test_a_refusal_leads_back_to_the_table_for_whoever_may_see_it(database: Database, studio: Open) -> None:
    acme = await identity.tenant(database, "acme")
    auditor = await identity.somebody(database, acme, "audit:read")
    browser = await studio("acme", auditor.email)
    wrong = await browser.get("/audit_logs/list", filter="x")
    assert (wrong.status_code, "All rows of Audit logs" in wrong.text) == (400, True)
    closed = await browser.get("/clients/list", filter="x")
    assert (closed.status_code, "All rows of" in closed.text) == (403, False)
    assert "All rows of" not in (await browser.get("/nothing/list")).text
