"""Starting, cancelling and retrying executions over HTTP: `POST` only; looking at them is `domain/executions/routes`.

No transaction is open while an execution is started or waited for: `acting` finds out who asks and ends its own, and
the starter, which serves many requests in one transaction, opens the next.
"""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from starlette.applications import Starlette

from weft.core.actor import Actor
from weft.core.forms import VISIBLE_KEY
from weft.db.scope import enter
from weft.domain.executions import rules
from weft.domain.executions import service as executions
from weft.domain.executions.errors import WaitUnclear
from weft.domain.executions.schemas import (
    ExecutionCancel,
    ExecutionCreate,
    ExecutionRead,
    ExecutionStart,
    ExecutionStarted,
)
from weft.domain.limits.rules import priority_of
from weft.engine.news import Cancelled, News, Retried
from weft.engine.process import EngineProcess
from weft.engine.start_requests import StartRequest, StartResult
from weft.engine.waiting import FINAL, LONGEST, start_and_wait
from weft.http.scope import acting
from weft.http.state import Slot
from weft.interpreter.durations import DurationUnclear, parse_duration

ENGINE = Slot[EngineProcess]("engine")

router = APIRouter(tags=["executions"])

Engine = Annotated[EngineProcess, Depends(ENGINE.wanted)]
Beginner = Annotated[Actor, acting("executions:start")]
Manager = Annotated[Actor, acting("executions:manage")]


def attach(app: Starlette, engine: EngineProcess) -> None:
    """Hand the process's engine to these routes and to the webhooks."""
    ENGINE.attach(app, engine)


# -- starting ------------------------------------------------------------------------------------------------


async def _seconds(
    wait: Annotated[
        str | None,
        Query(
            max_length=20,
            description="Answer when the execution has ended, but no later than this: `5s`, `500ms`; at most `30s`.",
            examples=["5s"],
        ),
    ] = None,
) -> float | None:
    if wait is None:
        return None
    try:
        seconds = parse_duration(float(wait) if wait.replace(".", "", 1).isdecimal() else wait)
    except (DurationUnclear, ValueError) as error:
        raise WaitUnclear(str(error)) from error
    if seconds > LONGEST:
        raise WaitUnclear(f"at most {LONGEST:g} seconds; start without it, and ask `GET /v1/executions/{{id}}` later")
    return seconds


Wait = Annotated[float | None, Depends(_seconds)]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=VISIBLE_KEY,
        description="Repeat a request under the same key, and it starts nothing again: the same execution answers.",
    ),
]
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "It has ended, or the key was used before: `Idempotency-Replayed` is `true` then."},
    202: {
        "model": ExecutionStarted,
        "description": "It was started and goes on. `Location` is where to look.",
        "headers": {"Location": {"schema": {"type": "string"}}},
    },
}


@router.post("/executions", response_model=ExecutionStarted, responses=_RESPONSES)
async def start_execution(
    request: Request, response: Response, engine: Engine, actor: Beginner, new: ExecutionCreate, wait: Wait,
    key: Key = None,
) -> StartResult:  # fmt: skip
    """Start an execution of a workflow that is named in the body. With `wait` the answer may hold its output."""
    return await _start(request, response, engine, actor, new.workflow, new, wait, key)


@router.post("/workflows/{workflow}/executions", response_model=ExecutionStarted, responses=_RESPONSES)
async def start_workflow_execution(
    request: Request, response: Response, engine: Engine, actor: Beginner,
    workflow: Annotated[str, Path(min_length=1, max_length=200, description="The workflow's id or name.")],
    new: ExecutionStart, wait: Wait, key: Key = None,
) -> StartResult:  # fmt: skip
    """Start an execution of this workflow. With `wait` the answer may hold its output."""
    return await _start(request, response, engine, actor, workflow, new, wait, key)


async def _start(
    request: Request,
    response: Response,
    engine: EngineProcess,
    actor: Actor,
    workflow: UUID | str,
    new: ExecutionStart,
    wait: float | None,
    key: str | None,
) -> StartResult:
    if new.client_id is not None:
        async with enter(engine.database, actor, read_only=True) as scope:
            await executions.require_client(scope, new.client_id)
    if new.correlation_id is not None:
        actor = actor.correlated(new.correlation_id)
    wanted = StartRequest(
        workflow=id_or_name(workflow),
        input=new.input,
        metadata=new.metadata,
        version=new.version,
        client_id=new.client_id,
        idempotency_key=key,
        priority=priority_of(new.priority),
    )
    if wait is None:
        result = await engine.starter.submit(actor, wanted)
    else:
        result = await start_and_wait(
            engine.starter,
            engine.waiters,
            engine.database,
            actor,
            wanted,
            seconds=wait,
            left=lambda: until_left(request),
        )
    response.status_code = 200 if result.status in FINAL or not result.created else 202
    response.headers["Location"] = f"/v1/executions/{result.id}"
    if not result.created:
        response.headers["Idempotency-Replayed"] = "true"
    return result


def id_or_name(workflow: UUID | str) -> UUID | str:
    """A workflow as people write it: its id, or its name with whatever blanks and letter case."""
    if isinstance(workflow, UUID):
        return workflow
    try:
        return UUID(workflow)
    except ValueError:
        return " ".join(workflow.split())


async def until_left(request: Request) -> None:
    """Returns when the client has gone away. Call it once the body has been read."""
    message = await request.receive()
    while message["type"] != "http.disconnect":
        message = await request.receive()


# -- commands ------------------------------------------------------------------------------------------------


@router.post("/executions/{execution_id}/cancel", response_model=ExecutionRead)
async def cancel_execution(
    engine: Engine, actor: Manager, execution_id: UUID, cancel: ExecutionCancel | None = None
) -> ExecutionRead:
    """End an execution where it stands. What the outside world has been asked to do is not undone."""
    # The audit log hears of a command before it is carried out: one that lost a race is better than one unrecorded.
    reason = cancel.reason if cancel is not None else ""
    async with enter(engine.database, actor) as scope:
        status = await executions.status_of(scope, execution_id)
        rules.require_cancellable(status)
        await scope.record(
            "execution.cancel", "workflow_executions", execution_id, {"reason": reason, "status": status}
        )
    if not await _deliver(engine, actor, News(execution_id, Cancelled(reason, actor.name))):
        # It ended between our look at it and the command.
        rules.require_cancellable((await _read(engine, actor, execution_id)).status)
    return await _read(engine, actor, execution_id)


@router.post("/executions/{execution_id}/retry", response_model=ExecutionRead)
async def retry_execution(engine: Engine, actor: Manager, execution_id: UUID) -> ExecutionRead:
    """Let a failed execution go on from where it failed. Completed steps stay completed; it keeps its version."""
    async with enter(engine.database, actor) as scope:
        await executions.require_retriable(scope, execution_id)
        await scope.record("execution.retry", "workflow_executions", execution_id)
    if not await _deliver(engine, actor, News(execution_id, Retried(actor.name))):
        # Somebody else retried it first.
        rules.require_retriable((await _read(engine, actor, execution_id)).status)
    return await _read(engine, actor, execution_id)


async def _deliver(engine: EngineProcess, actor: Actor, news: News) -> bool:
    """Whether the command changed anything."""
    return news.execution_id in await engine.driver.deliver(actor.tenant_id, [news], actor=actor)


async def _read(engine: EngineProcess, actor: Actor, execution_id: UUID) -> ExecutionRead:
    async with enter(engine.database, actor, read_only=True) as scope:
        return await executions.get(scope, execution_id)
