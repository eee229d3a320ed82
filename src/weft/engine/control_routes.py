"""Pausing, resuming, replaying and moving executions over HTTP."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from weft.core.actor import Actor
from weft.db.scope import enter
from weft.domain.executions import rules
from weft.domain.executions import service as executions
from weft.domain.executions.control_schemas import (
    ExecutionPause,
    ExecutionReplay,
    ExecutionReplayed,
    MigrationGroup,
    MigrationItem,
    MigrationRead,
    MigrationRequest,
    PlaceRead,
)
from weft.domain.executions.schemas import ExecutionRead
from weft.engine import migrations, replays
from weft.engine.news import News, Paused, Resumed
from weft.engine.process import EngineProcess
from weft.engine.routes import Engine, Key, Manager

router = APIRouter(tags=["executions"])


@router.post("/executions/{execution_id}/pause", response_model=ExecutionRead)
async def pause_execution(
    engine: Engine, actor: Manager, execution_id: UUID, pause: ExecutionPause | None = None
) -> ExecutionRead:
    """Let nothing new begin: no step, no attempt, no sub-workflow. What is under way ends, and its result is kept."""
    reason = pause.reason if pause is not None else ""
    async with enter(engine.database, actor) as scope:
        status = await executions.status_of(scope, execution_id)
        rules.require_pausable(status)
        details = {"reason": reason, "status": status}
        await scope.record("execution.pause", "workflow_executions", execution_id, details)
    await engine.driver.deliver(actor.tenant_id, [News(execution_id, Paused(actor.name, reason))], actor=actor)
    paused = await _read(engine, actor, execution_id)
    rules.require_pausable(paused.status)  # it may have ended between our look at it and the command
    return paused


@router.post("/executions/{execution_id}/resume", response_model=ExecutionRead)
async def resume_execution(engine: Engine, actor: Manager, execution_id: UUID) -> ExecutionRead:
    """Let a paused execution go on with everything that was held."""
    async with enter(engine.database, actor) as scope:
        rules.require_paused(await executions.status_of(scope, execution_id))
        await scope.record("execution.resume", "workflow_executions", execution_id)
    news = News(execution_id, Resumed(actor.name))
    resumed = execution_id in await engine.driver.deliver(actor.tenant_id, [news], actor=actor)
    found = await _read(engine, actor, execution_id)
    if not resumed:  # somebody else resumed or cancelled it first
        rules.require_paused(found.status)
    return found


_STARTED: dict[int | str, dict[str, Any]] = {
    200: {"description": "The key was used before: this is the execution of then."},
    202: {"model": ExecutionReplayed, "description": "The new execution is stored. `Location` is where to look."},
}


@router.post("/executions/{execution_id}/replay", status_code=202, response_model=ExecutionReplayed, responses=_STARTED)
async def replay_execution(
    response: Response, engine: Engine, actor: Manager, execution_id: UUID, replay: ExecutionReplay, key: Key = None
) -> replays.ReplayResult:
    """Run it again as a new execution: from a step on, with the results before it, or from the start.

    The older execution stays as it is. The new one says in `metadata.replay` what it repeats, and undoes nothing that
    it has not done itself: `not_undone` names the steps.
    """
    request = replays.ReplayRequest(
        execution_id=execution_id,
        step=replay.step,
        keeps=replay.before == "keep",
        version=replay.version,
        input=replay.input,
        has_input="input" in replay.model_fields_set,
        reason=replay.reason,
        idempotency_key=key,
    )
    result = await replays.replay(engine.driver, actor, request)
    response.headers["Location"] = f"/v1/executions/{result.id}"
    if not result.created:
        response.status_code = 200
        response.headers["Idempotency-Replayed"] = "true"
    return result


@router.post("/workflows/{workflow_id}/migrations", response_model=MigrationRead)
async def migrate_executions(
    engine: Engine, actor: Manager, workflow_id: UUID, request: MigrationRequest
) -> MigrationRead:
    """What becomes of executions that are moved to another version; with `dry_run: false` they are moved.

    An execution moves as a whole or stays, with every reason in words. A page at a time: go on with `after`.
    """
    page = await migrations.consider(
        engine.driver,
        actor,
        migrations.Wanted(
            workflow_id=workflow_id,
            from_version=request.from_version,
            to_version=request.to_version,
            mapping=request.mapping,
            executions=request.executions,
            statuses=request.status,
            limit=request.limit,
            after=request.after,
            dry_run=request.dry_run,
        ),
    )
    refused = sum(bool(item.problems) for item in page.items)
    return MigrationRead(
        dry_run=request.dry_run,
        from_version=request.from_version,
        to_version=request.to_version,
        movable=len(page.items) - refused,
        refused=refused,
        moved=sum(item.moved for item in page.items),
        groups=_groups(page.items),
        items=[MigrationItem.model_validate(item) for item in page.items],
        next=page.next,
    )


def _groups(items: list[migrations.Considered]) -> list[MigrationGroup]:
    """The same places and the same fate, the most frequent first."""
    counted: dict[tuple[Any, ...], int] = {}
    for item in items:
        key = (tuple(sorted((move.step, move.target or "") for move in item.moves)), item.problems)
        counted[key] = counted.get(key, 0) + 1
    return [
        MigrationGroup(
            executions=count,
            steps=[PlaceRead(step=step, target=target or None) for step, target in places],
            problems=list(problems),
        )
        for (places, problems), count in sorted(counted.items(), key=lambda pair: -pair[1])
    ]


async def _read(engine: EngineProcess, actor: Actor, execution_id: UUID) -> ExecutionRead:
    async with enter(engine.database, actor, read_only=True) as scope:
        return await executions.get(scope, execution_id)
