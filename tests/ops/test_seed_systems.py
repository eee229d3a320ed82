"""Each system holds what its document lists, in its very words; what comes later is said, and not faked."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest
from tests.conftest import TestDatabase

from weft.db.database import Database
from weft.domain.identity import rules
from weft.domain.identity.service import sessions
from weft.http.state import RequestFacts
from weft.ops import seed
from weft.ops.seeds.errors import PermissionsIncomplete
from weft.ops.seeds.systems import SYSTEMS

FACTS = RequestFacts(ip=None, user_agent=None, correlation_id="seed-test")

MEMBERS = """select t.slug, t.tier, m.email, r.name as role, m.name from weft.tenant_users m
  join weft.tenants t on t.id = m.tenant_id join weft.roles r on r.tenant_id = m.tenant_id and r.id = m.role_id
 order by m.id"""
EXECUTIONS = """select t.slug, w.name, e.status, e.simulation, e.metadata::text as metadata, c.name as client
  from weft.workflow_executions e
  join weft.workflows w on w.id = e.workflow_id join weft.tenants t on t.id = e.tenant_id
  left join weft.clients c on c.id = e.client_id order by t.slug, e.idempotency_key"""


async def seeded(test_database: TestDatabase, *systems: str, **options: Any) -> seed.SeedReport:
    return await seed.run(
        test_database.app, options.pop("profile", "development"), list(systems), master_key=bytes(32), **options
    )


async def rows(test_database: TestDatabase, query: str) -> list[dict[str, Any]]:
    connection = await asyncpg.connect(test_database.admin)
    try:
        return [dict(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def signs_in(database: Database, email: str, password: str) -> bool:
    return bool((await sessions.sign_in(database, email=email, password=password, tenant=None, facts=FACTS)).token)


async def test_stratibreak_has_its_three_users(test_database: TestDatabase, database: Database) -> None:
    report = await seeded(test_database, "stratibreak")
    found = await rows(test_database, MEMBERS)
    assert [(row["email"], row["role"]) for row in found] == [
        ("admin@stratibreak.com", "ADMIN"),
        ("manager@stratibreak.com", "PROJECT_MANAGER"),
        ("user@stratibreak.com", "STAKEHOLDER"),
    ]
    for email, password in (("admin", "admin123"), ("manager", "manager123"), ("user", "user123")):
        assert await signs_in(database, f"{email}@stratibreak.com", password)
    assert report.later == [
        "stratibreak: projects, with their gaps and predictions, with projects",
        "stratibreak: integrations, with integrations",
    ]


async def test_valuecanvas_has_three_organizations_and_five_users(
    test_database: TestDatabase, database: Database
) -> None:
    report = await seeded(test_database, "valuecanvas")
    found = await rows(test_database, MEMBERS)
    assert [(row["slug"], row["tier"], row["email"], row["role"]) for row in found] == [
        ("demo-org", "PRO", "admin@demo-org.com", "ADMIN"),
        ("demo-org", "PRO", "manager@demo-org.com", "MANAGER"),
        ("demo-org", "PRO", "member@demo-org.com", "MEMBER"),
        ("enterprise-org", "ENTERPRISE", "owner@enterprise-org.example", "OWNER"),
        ("startup-org", "FREE", "owner@startup-org.example", "OWNER"),
    ]
    for name in ("admin", "manager", "member"):
        assert await signs_in(database, f"{name}@demo-org.com", "Demo123!@#")
    assert [(row["slug"], row["status"]) for row in await rows(test_database, EXECUTIONS)] == [
        ("demo-org", "COMPLETED"),
        ("demo-org", "FAILED"),
        ("demo-org", "COMPLETED"),
        ("enterprise-org", "COMPLETED"),
    ]
    assert [line.partition(" (")[0] for line in report.later] == [
        "valuecanvas: agents",
        "valuecanvas: canvas models",
        "valuecanvas: canvases",
    ]
    audited = await rows(
        test_database,
        "select resource_type, action, actor_name from weft.audit_logs where resource_type = 'workflows'",
    )
    assert ("insert", "Demo Admin") in {(row["action"].lower(), row["actor_name"]) for row in audited}


async def test_workflow_configuration_has_clients_and_a_simulated_execution(
    test_database: TestDatabase, database: Database
) -> None:
    await seeded(test_database, "workflow-configuration")
    found = await rows(test_database, MEMBERS)
    assert [row["role"] for row in found] == ["ADMIN", "USER"]
    assert await signs_in(database, "user@workflow-configuration.example", "user123")
    clients = await rows(test_database, "select name, is_active from weft.clients order by name")
    assert [(row["name"], row["is_active"]) for row in clients] == [
        ("Ada Brandt", True),
        ("Ines Duarte", False),
        ("Milan Novak", True),
    ]
    executions = await rows(test_database, EXECUTIONS)
    assert [(row["name"], row["status"], row["simulation"], row["client"]) for row in executions] == [
        ("Client intake", "COMPLETED", False, "Milan Novak"),
        ("Client intake", "FAILED", False, "Ines Duarte"),
        ("Document approval", "COMPLETED", True, "Ada Brandt"),
        ("Document approval", "WAITING", False, "Ada Brandt"),
    ]
    assert '"inputData": {"userId": "123", "documentId": "456"}' in executions[2]["metadata"]
    counts = await rows(
        test_database,
        "select (select count(*) from weft.workflow_steps) as steps, "
        "(select count(*) from weft.workflow_transitions) as transitions",
    )
    assert counts == [{"steps": 7, "transitions": 5}]


async def test_all_systems_go_together_and_a_second_run_changes_nothing(test_database: TestDatabase) -> None:
    first = await seeded(test_database, *SYSTEMS, owner=test_database.owner)
    assert first.kept == [f"{len(rules.PERMISSIONS)} system permissions"]
    versions = "select 'x' as x, xmin::text from weft.tenants union all select email, xmin::text from weft.tenant_users"
    executions = "select id, row_version from weft.workflow_executions order by id"
    before = await rows(test_database, versions), await rows(test_database, executions)
    second = await seeded(test_database, *SYSTEMS)
    assert (second.made, second.kept) == ([], [*first.kept, "built-in roles of 6 tenants", *first.made])
    assert (await rows(test_database, versions), await rows(test_database, executions)) == before


async def test_two_at_once_start_each_execution_once(test_database: TestDatabase) -> None:
    one, other = await asyncio.gather(*(seeded(test_database, "valuecanvas") for _ in range(2)))
    assert sorted(one.made + other.made) == sorted(set(one.made + other.made))
    assert len(await rows(test_database, EXECUTIONS)) == 4


class Killed(BaseException):
    """Nothing that is caught."""


@pytest.mark.parametrize("after", [1, 4, 6, 9])
async def test_a_run_that_was_killed_is_gone_on_with(test_database: TestDatabase, after: int) -> None:
    lines: list[str] = []

    def echo(line: str) -> None:
        lines.append(line)
        if sum(one.startswith("made") for one in lines) == after:
            raise Killed

    whole = (await seeded(test_database, "valuecanvas", dry=True)).made
    with pytest.raises(Killed):
        await seeded(test_database, "valuecanvas", echo=echo)
    rest = await seeded(test_database, "valuecanvas")
    assert len(rest.kept) >= after
    assert sorted(rest.made + rest.kept) == sorted(whole)
    assert (await seeded(test_database, "valuecanvas")).made == []
    assert len(await rows(test_database, EXECUTIONS)) == 4


async def test_an_execution_of_a_stopped_workflow_is_not_forced(test_database: TestDatabase) -> None:
    await seeded(test_database, "ai-workflow-platform")
    await seeded(test_database, "workflow-configuration")
    connection = await asyncpg.connect(test_database.admin)
    try:
        await connection.execute("delete from weft.execution_logs")
        await connection.execute("delete from weft.workflow_executions e using weft.workflows w "
                                 "where w.id = e.workflow_id and w.name = 'Client intake'")  # fmt: skip
        await connection.execute("update weft.workflows set status = 'INACTIVE' where name = 'Client intake'")
    finally:
        await connection.close()
    report = await seeded(test_database, "workflow-configuration")
    stopped = "workflow Client intake: its workflow is INACTIVE"
    assert (report.made, report.skipped) == (
        [],
        [f"execution {key}-intake of {stopped}" for key in ("complete", "incomplete")],
    )


async def test_system_permissions_are_completed_by_the_owner_only(test_database: TestDatabase) -> None:
    await seeded(test_database, "ai-workflow-platform")
    connection = await asyncpg.connect(test_database.admin)
    try:
        for table in ("user_permissions", "role_permissions", "permissions"):
            await connection.execute(f"delete from weft.{table} where resource = 'clients'")
        with pytest.raises(PermissionsIncomplete, match="clients:read"):
            await seeded(test_database, "ai-native-orchestration", profile="production")
        report = await seeded(test_database, "ai-native-orchestration", profile="production", owner=test_database.owner)
        assert report.made == ["2 system permissions", "built-in roles of 1 tenant"]
        wanted = sum(("clients", "read") in pairs for _, pairs in rules.ROLES.values())
        assert wanted == await connection.fetchval(
            "select count(*) from weft.role_permissions where resource = 'clients' and action = 'read'"
        )
        described = await connection.fetchval(
            "select description from weft.permissions where resource = 'clients' and action = 'write'"
        )
        assert described == rules.PERMISSIONS["clients", "write"]
    finally:
        await connection.close()
    assert (await seeded(test_database, "ai-native-orchestration", profile="production")).made == []


def test_every_system_says_what_it_makes() -> None:
    assert list(SYSTEMS) == [
        "ai-native-orchestration",
        "ai-workflow-platform",
        "workflow-configuration",
        "valuecanvas",
        "stratibreak",
    ]
    assert [name for name, system in SYSTEMS.items() if "production" in system.profiles] == ["ai-native-orchestration"]
    assert all(system.makes for system in SYSTEMS.values())
