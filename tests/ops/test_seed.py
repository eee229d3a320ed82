"""Seeding: makes what the system's document lists, once, and only where well-known passwords do no harm."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.conftest import TestDatabase

from weft.core.actor import system_actor
from weft.db.database import Database
from weft.db.scope import enter
from weft.domain.identity import rules
from weft.domain.identity.errors import SignInRefused
from weft.domain.identity.service import sessions, tenants
from weft.http.state import RequestFacts
from weft.ops import seed
from weft.ops.seed import ProfileRefused, ProfileUnknown, SystemUnknown

FACTS = RequestFacts(ip=None, user_agent=None, correlation_id="seed-test")
SYSTEM = "ai-workflow-platform"


async def seeded(test_database: TestDatabase, **options: Any) -> seed.SeedReport:
    return await seed.run(test_database.app, "development", [SYSTEM], master_key=bytes(32), **options)


async def state(database: Database) -> dict[str, list[Any]]:
    """Every row that the seed makes, with its version."""
    tenant_id = await tenants.find(database, "default")
    assert tenant_id is not None
    tables = ("tenants", "tenant_users", "roles", "role_permissions", "user_permissions", "workflows")
    async with enter(database, system_actor(tenant_id), read_only=True) as scope:
        return {
            table: [tuple(row) for row in await scope.raw.fetch(f"select * from weft.{table} order by id")]
            for table in (*tables, "workflow_versions")
        }


async def test_everything_the_document_lists_is_there(test_database: TestDatabase, database: Database) -> None:
    report = await seeded(test_database)
    assert report.kept == []
    assert report.made == [
        "tenant default",
        "member admin@example.com (OWNER)",
        f"{len(rules.PERMISSIONS)} permissions of admin@example.com",
        "member demo@example.com (MEMBER)",
        "4 permissions of demo@example.com",
        "workflow Customer enquiry",
    ]
    tenant_id = await tenants.find(database, "default")
    for email, password in (("admin@example.com", "admin123"), ("demo@example.com", "demo123")):
        signed_in = await sessions.sign_in(database, email=email, password=password, tenant=None, facts=FACTS)
        assert signed_in.tenant_id == tenant_id
    assert tenant_id is not None
    async with enter(database, system_actor(tenant_id), read_only=True) as scope:
        assert await scope.raw.fetchval("select name from weft.tenants") == "Default"
        roles = await scope.raw.fetch(
            "select m.email, m.user_id, r.name from weft.tenant_users m join weft.roles r on r.id = m.role_id"
        )
        granted = await scope.raw.fetch("select user_id, resource, action, effect from weft.user_permissions")
        workflow = await scope.raw.fetchrow("select * from weft.workflows")
    users = {row["email"]: row["user_id"] for row in roles}
    assert {row["email"]: row["name"] for row in roles} == {
        "admin@example.com": "OWNER",
        "demo@example.com": "MEMBER",
    }
    assert {row["user_id"] for row in granted} == set(users.values())
    assert {row["effect"] for row in granted} == {"ALLOW"}
    assert len({tuple(row) for row in granted}) == len(granted)
    assert (workflow["status"], workflow["version"]) == ("ACTIVE", 1)
    assert workflow["created_by"] == users["admin@example.com"]


async def test_a_second_run_changes_nothing(test_database: TestDatabase, database: Database) -> None:
    first = await seeded(test_database)
    before = await state(database)
    lines: list[str] = []
    second = await seeded(test_database, echo=lines.append)
    assert (second.made, second.kept) == ([], first.made)
    assert lines == [f"kept  {thing}" for thing in first.made]
    assert await state(database) == before


async def test_what_people_changed_is_left_alone(test_database: TestDatabase, database: Database) -> None:
    await seeded(test_database)
    tenant_id = await tenants.find(database, "default")
    assert tenant_id is not None
    async with enter(database, system_actor(tenant_id)) as scope:
        await scope.raw.execute("update weft.tenants set name = 'Ours'")
        await scope.raw.execute("update weft.tenant_users set name = 'Somebody', status = 'SUSPENDED'")
        await scope.raw.execute("update weft.user_permissions set effect = 'DENY'")
        await scope.raw.execute("update weft.workflows set deleted_at = now()")
    before = await state(database)
    report = await seeded(test_database)
    assert report.made == []
    assert await state(database) == before


async def test_what_is_missing_is_made_again(test_database: TestDatabase, database: Database) -> None:
    await seeded(test_database)
    tenant_id = await tenants.find(database, "default")
    assert tenant_id is not None
    async with enter(database, system_actor(tenant_id)) as scope:
        await scope.raw.execute("delete from weft.tenant_users where email = 'demo@example.com'")
        await scope.raw.execute("delete from weft.user_permissions where resource = 'clients'")
    report = await seeded(test_database)
    assert report.made == [
        "2 permissions of admin@example.com",
        "member demo@example.com (MEMBER)",
        "4 permissions of demo@example.com",
    ]
    await sessions.sign_in(database, email="demo@example.com", password="demo123", tenant="default", facts=FACTS)


async def test_two_seeds_at_once_make_everything_once(test_database: TestDatabase, database: Database) -> None:
    one, other = await asyncio.gather(seeded(test_database), seeded(test_database))
    assert sorted(one.made + other.made) == sorted(set(one.made + other.made))
    after = await seeded(test_database)
    assert after.made == []
    assert len((await state(database))["workflows"]) == 1


async def test_production_refuses_the_system_by_name_and_makes_no_sign_in_by_itself(
    test_database: TestDatabase, database: Database
) -> None:
    with pytest.raises(ProfileRefused, match="weft tenant create"):
        await seed.run(test_database.app, "production", [SYSTEM])
    report = await seed.run(test_database.app, "production")
    assert (report.systems, report.made) == (["ai-native-orchestration"], [])
    assert report.kept == [f"{len(rules.PERMISSIONS)} system permissions"]
    assert await tenants.find(database, "default") is None


async def test_staging_makes_the_same_with_passwords_that_nobody_knows(
    test_database: TestDatabase, database: Database
) -> None:
    lines: list[str] = []
    report = await seed.run(test_database.app, "staging", [SYSTEM], master_key=bytes(32), echo=lines.append)
    assert [what for what, _ in report.shown] == ["password of admin@example.com", "password of demo@example.com"]
    assert all(f"shown this once  {what}: {value}" in lines for what, value in report.shown)
    for email, known, (_, made_up) in (
        ("admin@example.com", "admin123", report.shown[0]),
        ("demo@example.com", "demo123", report.shown[1]),
    ):
        with pytest.raises(SignInRefused):
            await sessions.sign_in(database, email=email, password=known, tenant=None, facts=FACTS)
        await sessions.sign_in(database, email=email, password=made_up, tenant=None, facts=FACTS)
    again = await seed.run(test_database.app, "staging", [SYSTEM], master_key=bytes(32))
    assert (again.made, again.shown) == ([], [])


async def test_a_dry_run_makes_nothing(test_database: TestDatabase, database: Database) -> None:
    planned = await seeded(test_database, dry=True)
    assert await tenants.find(database, "default") is None
    made = await seeded(test_database)
    assert (planned.made, planned.is_dry) == (made.made, True)
    assert (await seeded(test_database, dry=True)).made == []


@pytest.mark.parametrize("installation", ["staging", "production"])
async def test_a_serious_installation_refuses_the_development_profile(
    test_database: TestDatabase, database: Database, installation: str
) -> None:
    with pytest.raises(ProfileRefused, match=installation):
        await seed.run(test_database.app, "development", installation=installation)
    assert await tenants.find(database, "default") is None


def test_unknown_names_are_refused_with_those_that_exist() -> None:
    with pytest.raises(SystemUnknown, match=SYSTEM):
        seed.choose("development", ["nonsense"], "development")
    with pytest.raises(ProfileUnknown, match="staging"):
        seed.choose("nonsense", None, "development")
    assert seed.choose("development", [SYSTEM, SYSTEM], "development") == [SYSTEM]
