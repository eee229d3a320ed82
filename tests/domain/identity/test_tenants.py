"""Tenants are made whole: roles, permissions and an owner who can sign in."""

from __future__ import annotations

from typing import Any

import pytest
from tests.factories import identity
from tests.factories.identity import Person

from weft.core.actor import system_actor
from weft.db.database import Database
from weft.db.scope import enter
from weft.domain.identity import rules
from weft.domain.identity.errors import EmailInvalid, PasswordUnfit, SignInRefused, SlugInvalid, SlugTaken
from weft.domain.identity.service import sessions, tenants
from weft.http.state import RequestFacts

FACTS = RequestFacts(ip="203.0.113.9", user_agent="test", correlation_id="correlation-2")
NEW: dict[str, Any] = {"slug": "acme", "name": "Acme", "owner_email": "ada@acme.example", "owner_name": "Ada"}


async def test_a_tenant_comes_with_roles_and_an_owner(database: Database) -> None:
    made = await tenants.create(database, **NEW)
    assert made.owner_is_new
    assert made.password is not None
    async with enter(database, system_actor(made.tenant_id), read_only=True) as scope:
        rows = await scope.raw.fetch(
            "select r.name, p.resource, p.action from weft.roles r"
            " join weft.role_permissions p on p.tenant_id = r.tenant_id and p.role_id = r.id where r.is_builtin"
        )
    assert {(row["name"], (row["resource"], row["action"])) for row in rows} == {
        (name, permission) for name, (_, permissions) in rules.ROLES.items() for permission in permissions
    }
    signed_in = await sessions.sign_in(
        database, email=NEW["owner_email"], password=made.password, tenant="acme", facts=FACTS
    )
    assert signed_in.tenant_id == made.tenant_id
    assert await tenants.find(database, "acme") == made.tenant_id
    assert await tenants.find(database, "nowhere") is None


async def test_builtin_roles_can_be_completed_after_an_upgrade(database: Database, acme: Person) -> None:
    async with enter(database, system_actor(acme.tenant_id)) as scope:
        await scope.raw.execute("delete from weft.role_permissions where resource = 'audit'")
        await scope.raw.execute("delete from weft.roles where name = 'STAKEHOLDER'")
        before = await scope.raw.fetchval("select count(*) from weft.role_permissions")
        await tenants.ensure_builtin_roles(scope)
        await tenants.ensure_builtin_roles(scope)
        after = await scope.raw.fetchval("select count(*) from weft.role_permissions")
    assert before < after == sum(len(permissions) for _, permissions in rules.ROLES.values())


async def test_an_existing_account_owns_another_tenant_and_keeps_its_password(database: Database) -> None:
    first = await tenants.create(database, **NEW, owner_password="the first password")
    second = await tenants.create(database, **{**NEW, "slug": "two"}, owner_password="a second password")
    assert (second.owner_user_id, second.owner_is_new, second.password) == (first.owner_user_id, False, None)
    await sessions.sign_in(database, email=NEW["owner_email"], password="the first password", tenant="two", facts=FACTS)
    with pytest.raises(SignInRefused):
        await sessions.sign_in(
            database, email=NEW["owner_email"], password="a second password", tenant="two", facts=FACTS
        )


@pytest.mark.parametrize("slug", ["Acme Ltd", "-", "", "a" * 64])
async def test_an_impossible_slug_is_refused_with_a_suggestion(database: Database, slug: str) -> None:
    with pytest.raises(SlugInvalid) as refused:
        await tenants.create(database, **{**NEW, "slug": slug})
    assert (rules.slug_of(slug) or "acme") in refused.value.message


async def test_refusals_leave_nothing_behind(database: Database) -> None:
    await tenants.create(database, **NEW)
    with pytest.raises(SlugTaken):
        await tenants.create(database, **{**NEW, "owner_email": "bob@acme.example"})
    with pytest.raises(EmailInvalid):
        await tenants.create(database, **{**NEW, "slug": "two", "owner_email": "nobody"})
    with pytest.raises(PasswordUnfit):
        await tenants.create(database, **{**NEW, "slug": "two"}, owner_password="short")
    assert await tenants.find(database, "two") is None
    async with enter(database, system_actor(sessions.NOWHERE), read_only=True) as scope:
        assert await scope.raw.fetchval("select count(*) from weft.find_user('bob@acme.example')") == 0


async def test_seeds_may_have_short_passwords(database: Database) -> None:
    await tenants.create(database, **NEW, owner_password="demo123", check_password=False)
    await sessions.sign_in(database, email=NEW["owner_email"], password="demo123", tenant=None, facts=FACTS)


async def test_sign_ins_and_refusals_are_written_down_with_where_they_came_from(
    database: Database, acme: Person
) -> None:
    made = await sessions.sign_in(database, email=acme.email, password=acme.password, tenant=None, facts=FACTS)
    with pytest.raises(SignInRefused):
        await sessions.sign_in(database, email=acme.email, password="wrong", tenant="acme", facts=FACTS)
    async with enter(database, system_actor(acme.tenant_id), read_only=True) as scope:
        rows = await scope.raw.fetch("select * from weft.audit_logs where action like 'session.%' order by at")
        log = await scope.raw.fetchval("select string_agg(audit_logs::text, '') from weft.audit_logs")
    assert [row["action"] for row in rows] == ["session.created", "session.refused"]
    assert rows[0]["resource_id"] == str(made.session_id)
    assert rows[0]["actor_id"] == str(acme.user_id)
    for row in rows:
        assert (row["ip"], row["user_agent"], row["correlation_id"]) == (FACTS.ip, FACTS.user_agent, "correlation-2")
    assert made.token not in log
    assert "argon2" not in log


async def test_an_old_hash_is_renewed_at_sign_in(database: Database, acme: Person) -> None:
    from argon2 import PasswordHasher

    old = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1).hash("the old password")
    async with enter(database, system_actor(acme.tenant_id)) as scope:
        await scope.raw.execute("select weft.set_password($1, $2)", acme.user_id, old)
    for _ in range(2):
        await sessions.sign_in(database, email=acme.email, password="the old password", tenant=None, facts=FACTS)
    async with enter(database, system_actor(acme.tenant_id), read_only=True) as scope:
        stored = await scope.raw.fetchval("select password_hash from weft.find_user($1)", acme.email)
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


async def test_without_a_tenant_the_oldest_active_membership_is_taken(
    database: Database, acme: Person, globex: Person
) -> None:
    await identity.member(database, globex, email=acme.email)
    signed_in = await sessions.sign_in(database, email=acme.email, password=acme.password, tenant=None, facts=FACTS)
    assert signed_in.tenant_slug == "acme"
    async with enter(database, system_actor(acme.tenant_id)) as scope:
        await scope.raw.execute(
            "update weft.tenant_users set status = 'INACTIVE' where tenant_id = $1 and user_id = $2",
            acme.tenant_id,
            acme.user_id,
        )
    signed_in = await sessions.sign_in(database, email=acme.email, password=acme.password, tenant=None, facts=FACTS)
    assert signed_in.tenant_slug == "globex"
