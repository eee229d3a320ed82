"""What a simulation reads of a tenant: versions, and the sub-workflows that they start. Each in a short transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from weft.core.actor import Actor
from weft.db.hot import transaction
from weft.db.scope import enter
from weft.domain.workflows import service as workflows
from weft.engine.drive import Driver
from weft.engine.plans import Plan
from weft.engine.simulation.play import PlanOf
from weft.engine.simulation.runs import scripted_plans
from weft.engine.simulation.script import Script

CURRENT = """/* weft:simulation.current */
select w.id, w.name,
       (select v.id from weft.workflow_versions v
         where v.tenant_id = $1 and v.workflow_id = w.id and v.number = coalesce($4::integer, w.version)) as version_id
  from weft.workflows w
 where w.tenant_id = $1 and w.deleted_at is null and (w.id = $2::uuid or w.name_key = $3::text)
"""


async def definition_of(driver: Driver, actor: Actor, workflow_id: UUID, number: int | None) -> tuple[int, Plan]:
    """A version of a workflow, compiled; the current one unless it is named.

    Raises `WorkflowNotFound` and `VersionNotFound`; a workflow that was never saved has none.
    """
    async with enter(driver.database, actor, read_only=True) as scope:
        workflow = await workflows.get(scope, workflow_id)
        found = await workflows.version(scope, workflow_id, number if number is not None else workflow.version)
        version_id, version = found.id, found.number
    async with transaction(driver.database, actor, read_only=True) as connection:
        return version, await driver.plans.get(connection, actor.tenant_id, version_id)


def stored_plans(driver: Driver, actor: Actor, script: Script) -> PlanOf:
    """Sub-workflows as the script defines them, else as the tenant has them."""
    scripted = scripted_plans(script)
    known: dict[tuple[str, int | None], Plan | None] = {}

    async def plan_of(workflow: str, version: int | None) -> Plan | None:
        found = await scripted(workflow, version)
        if found is not None:
            return found
        if (workflow, version) not in known:
            known[workflow, version] = await _stored(driver, actor, workflow, version)
        return known[workflow, version]

    return plan_of


async def _stored(driver: Driver, actor: Actor, workflow: str, version: int | None) -> Plan | None:
    identity: UUID | None
    try:
        identity = UUID(workflow)
    except ValueError:
        identity = None
    name = " ".join(workflow.split()).casefold()
    async with transaction(driver.database, actor, read_only=True) as connection:
        row: Mapping[str, Any] | None = await connection.fetchrow(CURRENT, actor.tenant_id, identity, name, version)
        if row is None or row["version_id"] is None:
            return None
        return await driver.plans.get(connection, actor.tenant_id, row["version_id"])
