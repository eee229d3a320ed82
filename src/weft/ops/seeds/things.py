"""Clients, secrets, templates, limits, retention, workflows and their triggers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from weft.db.scope import Scope, enter
from weft.domain.clients import service as clients
from weft.domain.clients.models import name_key as client_key
from weft.domain.clients.schemas import ClientCreate
from weft.domain.identity.service import tenants
from weft.domain.limits import rules as limits
from weft.domain.limits.schemas import RateLimitWrite
from weft.domain.limits.service import rates
from weft.domain.limits.service import tenants as tenant_limits
from weft.domain.limits.service import workflows as workflow_limits
from weft.domain.retention import service as retention
from weft.domain.retention.rules import Bounds
from weft.domain.secrets import rules as secret_rules
from weft.domain.secrets import service as secrets
from weft.domain.secrets.schemas import SecretPut
from weft.domain.templates import service as templates
from weft.domain.templates.schemas import TemplatePut
from weft.domain.workflows import queries as workflow_queries
from weft.domain.workflows import service as workflows
from weft.domain.workflows.errors import WorkflowNotFound
from weft.domain.workflows.models import Workflow
from weft.domain.workflows.rules import name_key
from weft.domain.workflows.schemas import TriggerCreate, WorkflowCreate
from weft.ops.seeds.document import SecretSeed, TemplateSeed, TriggerSeed, WorkflowSeed
from weft.ops.seeds.ground import Ground, Thing, take_turns
from weft.ops.seeds.reading import Definition, Path_

_CLIENTS: Final = """/* weft:seed.clients */
select distinct name_key from weft.clients where tenant_id = $1 and name_key = any($2::text[])"""
_CLIENT: Final = """/* weft:seed.client */
select id from weft.clients where tenant_id = $1 and name_key = $2 and deleted_at is null order by created_at limit 1"""
_SECRETS: Final = """/* weft:seed.secrets */
select name from weft.secrets where tenant_id = $1 and name = any($2::text[])"""
_TEMPLATES: Final = """/* weft:seed.templates */
select distinct name from weft.message_templates where tenant_id = $1 and name = any($2::text[])"""
_RATES: Final = """/* weft:seed.rates */
select target from weft.rate_limits where tenant_id = $1 and target = any($2::text[])"""
_WORKFLOWS: Final = """/* weft:seed.workflows */
select distinct name_key from weft.workflows where tenant_id = $1 and name_key = any($2::text[])"""
_LIVING: Final = """/* weft:seed.living */
select name_key from weft.workflows where tenant_id = $1 and name_key = any($2::text[]) and deleted_at is null"""
_LIMITED: Final = """/* weft:seed.limited */
select w.name_key from weft.workflow_limits l
  join weft.workflows w on w.tenant_id = l.tenant_id and w.id = l.workflow_id and w.deleted_at is null
 where l.tenant_id = $1 and w.name_key = any($2::text[])"""
_TRIGGERS: Final = """/* weft:seed.triggers */
select w.name_key || E'\\n' || t.name from weft.workflow_triggers t
  join weft.workflows w on w.tenant_id = t.tenant_id and w.id = t.workflow_id and w.deleted_at is null
 where t.tenant_id = $1 and w.name_key || E'\\n' || t.name = any($2::text[])"""


async def tenant_clients(ground: Ground) -> None:
    """Known by their names, although two clients may have one name."""

    def thing(client: ClientCreate) -> Thing:
        return Thing(f"client {client.name}", client_key(client.name), lambda scope: clients.create(scope, client))

    await ground.settle(_CLIENTS, [thing(client) for client in ground.tenant.clients])


async def tenant_secrets(ground: Ground) -> None:
    """A secret that is there keeps its value; of one that is not, the value is read now."""
    present = await ground.present(_SECRETS, [secret.name for secret in ground.tenant.secrets])

    def thing(place: int, secret: SecretSeed) -> Thing:
        path = (*ground.path, "secrets", place, "from")
        value = None if secret.name in present else ground.loaded.value(secret.value_from, path)
        if value is not None and not secret_rules.SHORTEST_VALUE <= len(value) <= secret_rules.LONGEST_VALUE:
            bounds = f"{secret_rules.SHORTEST_VALUE} to {secret_rules.LONGEST_VALUE:,}"
            ground.loaded.wrong(f"The value of a secret has {bounds} characters.", path)
        if not ground.run.dry:
            ground.loaded.require_sound()  # it was there a moment ago

        async def make(scope: Scope) -> None:
            await secrets.put(scope, secret.name, SecretPut(value=value or "", description=secret.description))

        return Thing(f"secret {secret.name}", secret.name, make)

    await ground.settle(_SECRETS, [thing(place, one) for place, one in enumerate(ground.tenant.secrets)])


async def message_templates(ground: Ground) -> None:
    def thing(template: TemplateSeed) -> Thing:
        new = TemplatePut.model_validate(template.model_dump(exclude={"name"}))
        return Thing(f"template {template.name}", template.name, lambda scope: templates.put(scope, template.name, new))

    await ground.settle(_TEMPLATES, [thing(template) for template in ground.tenant.templates])


async def rate_limits(ground: Ground) -> None:
    def thing(rate: RateLimitWrite) -> Thing:
        target = limits.normal_target(rate.target) or rate.target
        return Thing(f"rate limit {target}", target, lambda scope: rates.put(scope, rate))

    await ground.settle(_RATES, [thing(rate) for rate in ground.tenant.rate_limits])


async def policies(ground: Ground) -> None:
    """What the operator allows the tenant, and how long it keeps executions: set where nothing has been said yet."""
    wanted_limits, wanted_retention = ground.tenant.limits, ground.tenant.retention
    if wanted_limits is not None:
        made = await _say_once(ground, "limits", lambda scope: tenant_limits.set_limits(scope, wanted_limits))
        ground.report.add(ground.named("limits of the tenant"), made=made)
    if wanted_retention is not None:
        # The installation's bounds hold whatever a tenant says.
        made = await _say_once(ground, "retention", lambda scope: retention.replace(scope, wanted_retention, Bounds()))
        ground.report.add(ground.named("retention of executions"), made=made)


async def _say_once(ground: Ground, column: str, say: Callable[[Scope], Awaitable[object]]) -> bool:
    """Fill a column of the tenant that is still empty; False if it says something already."""
    if ground.tenant_id is None:
        return True
    async with enter(ground.run.database, ground.system, read_only=ground.run.dry) as scope:
        if not ground.run.dry:
            await take_turns(scope)
        if getattr(await tenants.current(scope), column):
            return False
        if not ground.run.dry:
            await say(scope)
    return True


async def tenant_workflows(ground: Ground) -> None:
    """A workflow that is there is left as it is, deleted or not; so is each of its triggers."""
    placed = [
        (workflow, ground.loaded.definitions[(*ground.path, "workflows", place)])
        for place, workflow in enumerate(ground.tenant.workflows)
    ]
    if ground.run.dry:
        await _require_clients(ground)
    await ground.settle(_WORKFLOWS, [_workflow(ground, workflow, found) for workflow, found in placed])
    names = [name_key(found.name) for _, found in placed]
    living = await ground.present(_LIVING, names)
    there = [one for one in placed if ground.run.dry or name_key(one[1].name) in living]
    await ground.settle(_LIMITED, [_limits(workflow, found) for workflow, found in there if workflow.limits])
    await ground.settle(
        _TRIGGERS, [_trigger(ground, found, trigger) for workflow, found in there for trigger in workflow.triggers]
    )


def _workflow(ground: Ground, workflow: WorkflowSeed, found: Definition) -> Thing:
    async def make(scope: Scope) -> None:
        client_id = None
        if workflow.client is not None:
            client_id = await scope.raw.fetchval(_CLIENT, scope.tenant_id, client_key(workflow.client))
        new = WorkflowCreate(definition=found.document, client_id=client_id)
        made = await workflows.create(scope, new)
        note = "The sample that comes with weft" if ground.loaded.is_system else "Seeded"
        await workflows.save_version(scope, made.id, note=note)
        if workflow.active:
            await workflows.change_status(scope, made.id, "activate")

    return Thing(f"workflow {found.name}", name_key(found.name), make)


def _limits(workflow: WorkflowSeed, found: Definition) -> Thing:
    async def make(scope: Scope) -> None:
        row = await _row(scope, found)
        if workflow.limits is not None:
            await workflow_limits.set_limits(scope, row.id, workflow.limits)

    return Thing(f"limits of workflow {found.name}", name_key(found.name), make)


def _trigger(ground: Ground, found: Definition, trigger: TriggerSeed) -> Thing:
    async def make(scope: Scope) -> None:
        row = await _row(scope, found)
        fields = {name: getattr(trigger, name) for name in TriggerCreate.model_fields}
        made = await workflows.triggers.create(scope, row.id, TriggerCreate.model_construct(**fields))
        what = f"trigger {trigger.name} of {ground.tenant.slug}"
        if made.token is not None:
            ground.report.show(f"address of {what}", f"/hooks/{made.token}")
        if made.signing_secret is not None:
            ground.report.show(f"signing secret of {what}", made.signing_secret)

    return Thing(f"trigger {trigger.name} of workflow {found.name}", f"{name_key(found.name)}\n{trigger.name}", make)


async def _row(scope: Scope, found: Definition) -> Workflow:
    query = workflow_queries.by_name_key(scope.tenant_id, name_key(found.name))
    return await scope.one(query, missing=WorkflowNotFound(found.name))


async def _require_clients(ground: Ground) -> None:
    """Whatever is for a client names one of this file, or of the tenant."""
    named: list[tuple[str | None, Path_]] = [
        (workflow.client, ("workflows", place, "client")) for place, workflow in enumerate(ground.tenant.workflows)
    ]
    named += [(one.client, ("executions", place, "client")) for place, one in enumerate(ground.tenant.executions)]
    own = {client_key(client.name) for client in ground.tenant.clients}
    asked = {client_key(name) for name, _ in named if name is not None} - own
    unknown = asked - await ground.present(_CLIENTS, sorted(asked))
    for name, where in named:
        if name is not None and client_key(name) in unknown:
            said = f"There is no client '{name}', neither in this file nor in the tenant."
            ground.loaded.wrong(said, (*ground.path, *where), "client_unknown")
