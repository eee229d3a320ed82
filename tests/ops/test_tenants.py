"""What an operator does to a whole tenant: its tier, deleting and restoring it; and that no other tenant notices."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.conftest import TestDatabase
from tests.factories import executions, identity
from tests.factories.identity import Person

from weft.cli import command_line, output
from weft.core.actor import Actor, system_actor
from weft.db.database import Database
from weft.db.scope import enter
from weft.domain.identity import access
from weft.domain.identity.errors import CredentialInvalid, SignInRefused, SlugTaken, TenantNotFound
from weft.domain.identity.models import Tier
from weft.domain.identity.service import sessions
from weft.domain.workflows import service as workflows
from weft.domain.workflows.models import TriggerKind
from weft.domain.workflows.schemas import TriggerCreate
from weft.engine.start_errors import WorkflowNotActive
from weft.http.state import Credential, RequestFacts
from weft.ops import tenants

FACTS = RequestFacts(ip=None, user_agent=None, correlation_id="test")


async def asked(test_database: TestDatabase, query: str, *values: Any) -> Any:
    connection = await asyncpg.connect(test_database.admin)
    try:
        return await connection.fetchval(query, *values)
    finally:
        await connection.close()


async def scheduled(database: Database, person: Person) -> tuple[Actor, Any]:
    """An active workflow of the tenant, with a schedule."""
    actor = await identity.actor(database, person)
    workflow = await executions.workflow(database, actor)
    async with enter(database, actor) as scope:
        wish = TriggerCreate.model_validate({"kind": TriggerKind.schedule, "name": "n", "config": {"every": "5m"}})
        await workflows.triggers.create(scope, workflow, wish)
    return actor, workflow


async def comes_in(database: Database, token: str) -> bool:
    try:
        async with access.open_scope(database, Credential(token, None), FACTS, read_only=True):
            return True
    except CredentialInvalid:
        return False


STANDING = """select array_agg(w.status || coalesce(s.next_run_at::text, '-') <> 'INACTIVE-') from weft.workflows w
  join weft.workflow_triggers t on t.tenant_id = w.tenant_id and t.workflow_id = w.id
  join weft.workflow_schedules s on s.tenant_id = t.tenant_id and s.trigger_id = t.id where w.tenant_id = $1"""


async def test_nobody_comes_in_and_nothing_starts_in_a_deleted_tenant(
    database: Database, test_database: TestDatabase
) -> None:
    acme, bolt = await identity.tenant(database, "acme"), await identity.tenant(database, "bolt")
    tokens = {one.slug: [await identity.session(database, one), await identity.api_key(database, one)]
              for one in (acme, bolt)}  # fmt: skip
    async with executions.engine(database) as running:
        actor, workflow = await scheduled(database, acme)
        other, others = await scheduled(database, bolt)
        assert (await executions.start(running, actor, workflow, input={"amount": 1})).created

        gone = await tenants.delete(database, "acme")
        assert (gone.tenant_id, gone.workflows) == (acme.tenant_id, 1)
        with pytest.raises(WorkflowNotActive):
            await executions.start(running, actor, workflow, input={"amount": 1})
        assert (await executions.start(running, other, others, input={"amount": 1})).created
    assert [await comes_in(database, token) for token in tokens["acme"]] == [False, False]
    assert [await comes_in(database, token) for token in tokens["bolt"]] == [True, True]
    with pytest.raises(SignInRefused):
        await sessions.sign_in(database, email=acme.email, password=acme.password, tenant=None, facts=FACTS)
    assert await asked(test_database, STANDING, acme.tenant_id) == [False]
    assert await asked(test_database, STANDING, bolt.tenant_id) == [True]
    audit = (
        "select actor_name from weft.audit_logs "
        "where tenant_id = $1 and resource_type = 'tenants' and after ? 'deleted_at' and action = 'update'"
    )
    assert await asked(test_database, audit, acme.tenant_id) == "operator"
    with pytest.raises(TenantNotFound):
        await tenants.delete(database, "acme")


async def test_a_restored_tenant_is_as_it_was_but_starts_nothing(
    database: Database, test_database: TestDatabase
) -> None:
    acme = await identity.tenant(database, "acme")
    token = await identity.session(database, acme)
    await scheduled(database, acme)
    await tenants.delete(database, "acme")
    assert [row["slug"] for row in await tenants.listed(test_database.owner)] == []
    assert [row["slug"] for row in await tenants.listed(test_database.owner, deleted=True)] == ["acme"]
    back = await tenants.restore(database, test_database.owner, "acme")
    assert (back.tenant_id, back.slug) == (acme.tenant_id, "acme")
    assert await comes_in(database, token)
    assert await asked(test_database, STANDING, acme.tenant_id) == [False]
    with pytest.raises(TenantNotFound):
        await tenants.restore(database, test_database.owner, "acme")


async def test_a_slug_that_was_taken_meanwhile_or_deleted_twice(
    database: Database, test_database: TestDatabase
) -> None:
    first = await identity.tenant(database, "acme")
    await tenants.delete(database, "acme")
    second = await identity.tenant(database, "acme")
    with pytest.raises(SlugTaken):
        await tenants.restore(database, test_database.owner, "acme")
    await tenants.delete(database, "acme")
    with pytest.raises(tenants.TenantAmbiguous, match=str(second.tenant_id)):
        await tenants.restore(database, test_database.owner, "acme")
    back = await tenants.restore(database, test_database.owner, str(first.tenant_id))
    assert back.tenant_id == first.tenant_id


async def test_the_tier_is_set_by_the_operator_and_audited(database: Database, test_database: TestDatabase) -> None:
    acme, bolt = await identity.tenant(database, "acme"), await identity.tenant(database, "bolt")
    assert (await tenants.set_tier(database, "acme", Tier.pro)).tier == "PRO"
    tiers = "select tier from weft.tenants where id = $1"
    assert [await asked(test_database, tiers, one.tenant_id) for one in (acme, bolt)] == ["PRO", "FREE"]
    async with enter(database, system_actor(acme.tenant_id), read_only=True) as scope:
        row = await scope.raw.fetchrow("select actor_name, after from weft.audit_logs where action = 'update'")
    assert row["actor_name"] == "operator"
    with pytest.raises(TenantNotFound):
        await tenants.set_tier(database, "nowhere", Tier.pro)


def test_the_commands(
    test_database: TestDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith("WEFT_") and name != "WEFT_TEST_CLUSTER"]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEFT_DATABASE_URL", test_database.app)
    monkeypatch.setenv("WEFT_DATABASE_OWNER_URL", test_database.owner)

    def run(*words: str) -> tuple[int, str, str]:
        code = command_line.run(words)
        output.use_json(False)
        said = capsys.readouterr()
        return code, said.out, said.err

    async def make() -> None:
        database = await Database.open(test_database.app, size=1, hot_size=1)
        await identity.tenant(database, "acme")
        await database.close()

    asyncio.run(make())
    assert run("tenant", "tier", "acme", "enterprise")[:2] == (0, "acme is ENTERPRISE now.\n")
    assert run("tenant", "tier", "acme", "gold")[0] == 2
    assert run("tenant", "delete", "acme")[0] == 2, "it asks first"
    code, said, _ = run("tenant", "delete", "acme", "--yes")
    assert (code, said.startswith("acme is deleted, and 0 of its workflows deactivated")) == (0, True)
    assert "No tenants yet" in run("tenant", "list")[1]
    assert json.loads(run("tenant", "list", "--deleted", "--json")[1])[0]["tier"] == "ENTERPRISE"
    assert run("tenant", "delete", "acme", "--yes")[0] == 5
    assert "acme is back" in run("tenant", "restore", "acme")[1]
    assert "No tenant was deleted" in run("tenant", "list", "--deleted")[1]
    monkeypatch.delenv("WEFT_DATABASE_OWNER_URL")
    code, _, noted = run("tenant", "restore", "acme")
    assert (code, "WEFT_DATABASE_OWNER_URL" in noted) == (2, True)
