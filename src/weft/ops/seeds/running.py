"""Executions: started once, by the engine itself. What needs the outside world is left to the workers."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from weft.core.actor import Actor
from weft.db.scope import enter
from weft.domain.clients.models import name_key as client_key
from weft.domain.workflows.rules import name_key
from weft.engine.process import EngineProcess
from weft.engine.start_requests import StartRequest
from weft.expressions.guard import Guard
from weft.ops.seeds.document import ExecutionSeed
from weft.ops.seeds.ground import Ground, user_of

PREFIX: Final = "seed:"
"""Of the idempotency keys, by which executions are found again."""

_STARTED: Final = """/* weft:seed.started */
select w.name_key || E'\\n' || e.idempotency_key from weft.workflow_executions e
  join weft.workflows w on w.tenant_id = e.tenant_id and w.id = e.workflow_id
 where e.tenant_id = $1 and w.name_key || E'\\n' || e.idempotency_key = any($2::text[])"""
_TARGET: Final = """/* weft:seed.target */
select w.id, w.status, w.deleted_at is not null as is_deleted,
       (select c.id from weft.clients c
         where c.tenant_id = $1 and c.name_key = $3 and c.deleted_at is null order by c.created_at limit 1) as client_id
  from weft.workflows w where w.tenant_id = $1 and w.name_key = $2 order by w.deleted_at is null desc limit 1"""
_NAMES: Final = """/* weft:seed.names */
select name_key from weft.workflows where tenant_id = $1 and name_key = any($2::text[])"""


async def executions(ground: Ground) -> None:
    wanted = ground.tenant.executions
    if ground.run.dry:
        await _require_workflows(ground)
    present = await ground.present(_STARTED, [_key(one) for one in wanted])
    for execution in wanted:
        label = ground.named(f"execution {execution.key} of workflow {execution.workflow}")
        if _key(execution) in present:
            ground.report.add(label, made=False)
        elif ground.run.dry:
            ground.report.add(label, made=True)
        else:
            await _start(ground, execution, label)


async def _start(ground: Ground, execution: ExecutionSeed, label: str) -> None:
    actor, target, status, client_id = await _look(ground, execution)
    if target is None:
        ground.report.skip(label, f"its workflow is {status}")
        return
    engine = await _engine(ground)
    started = await engine.starter.submit(
        actor,
        StartRequest(
            workflow=target,
            input=execution.input,
            metadata=execution.metadata,
            client_id=client_id,
            idempotency_key=PREFIX + execution.key,
            inline=True,
        ),
    )
    ground.report.add(label, made=started.created)


async def _look(ground: Ground, execution: ExecutionSeed) -> tuple[Actor, UUID | None, str, UUID | None]:
    """Who starts it, and what. Somebody may have stopped or deleted the workflow: then it is left alone."""
    async with enter(ground.run.database, ground.system, read_only=True) as scope:
        if execution.by is None:
            await ground.as_author(scope)
        else:
            await ground.as_user(scope, await user_of(scope, execution.by))
        client = None if execution.client is None else client_key(execution.client)
        row = await scope.raw.fetchrow(_TARGET, scope.tenant_id, name_key(execution.workflow), client)
        if row is None or row["is_deleted"]:
            return scope.actor, None, "deleted", None
        return scope.actor, row["id"] if row["status"] == "ACTIVE" else None, row["status"], row["client_id"]


async def _engine(ground: Ground) -> EngineProcess:
    """One for the whole run, and only when something is to be started."""
    run = ground.run
    if run.engine is None:
        process = EngineProcess(run.database, answers=False, guard=Guard(children=1))
        run.engine = await run.closing.enter_async_context(process)
    return run.engine


async def _require_workflows(ground: Ground) -> None:
    own = {name_key(found.name) for path, found in ground.loaded.definitions.items() if path[:2] == ground.path}
    asked = {name_key(one.workflow) for one in ground.tenant.executions} - own
    unknown = asked - await ground.present(_NAMES, sorted(asked))
    for place, one in enumerate(ground.tenant.executions):
        if name_key(one.workflow) in unknown:
            said = f"There is no workflow '{one.workflow}', neither in this file nor in the tenant."
            ground.loaded.wrong(said, (*ground.path, "executions", place, "workflow"), "workflow_unknown")


def _key(execution: ExecutionSeed) -> str:
    return f"{name_key(execution.workflow)}\n{PREFIX}{execution.key}"
