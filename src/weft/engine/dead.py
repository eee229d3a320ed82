"""Retrying dead jobs over HTTP: `POST` only; looking at them and dropping them is `weft.domain.dead_jobs`.

When the execution failed, it is retried and the dead job goes in the same transaction. Else the job is queued again.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import structlog
from fastapi import APIRouter

from weft.core.actor import Actor
from weft.core.errors import WeftError
from weft.db.database import Connection
from weft.db.hot import AWAY
from weft.db.scope import enter
from weft.domain.dead_jobs import queries
from weft.domain.dead_jobs import service as dead_jobs
from weft.domain.dead_jobs.errors import DeadJobNotFound, ExecutionUnreadable
from weft.domain.dead_jobs.schemas import DeadJobRead, DeadJobRefused, DeadJobsDone, DeadJobsSelected
from weft.engine.news import News, Retried
from weft.engine.process import EngineProcess
from weft.engine.routes import Engine, Manager

log = structlog.get_logger("weft.api")

router = APIRouter(prefix="/dead-jobs", tags=["dead jobs"])


@router.post("/{job_id}/retry", status_code=204)
async def retry_dead_job(engine: Engine, actor: Manager, job_id: UUID) -> None:
    """Let it be tried again. A failed execution goes on from where it failed, in the same transaction."""
    async with enter(engine.database, actor) as scope:
        job = await dead_jobs.get(scope, job_id)
        await scope.record("dead_job.retry", "dispatch_dead", job_id, _details(job))
    await _retry(engine, actor, job)


@router.post("/retry", response_model=DeadJobsDone)
async def retry_dead_jobs(engine: Engine, actor: Manager, wanted: DeadJobsSelected) -> DeadJobsDone:
    """Let all that are meant be tried again; `dry_run` only counts them. What cannot be retried is named."""
    async with enter(engine.database, actor) as scope:
        rows, more = await dead_jobs.selected(scope, wanted)
        for row in rows if not wanted.dry_run else ():
            await scope.record("dead_job.retry", "dispatch_dead", row.id, _details(row))
    if wanted.dry_run:
        return DeadJobsDone(matched=len(rows), done=0, more=more)
    refused: list[DeadJobRefused] = []
    for row in rows:
        try:
            await _retry(engine, actor, row)
        except DeadJobNotFound:
            continue  # its execution had another dead job, which took this one along
        except WeftError as error:
            refused.append(DeadJobRefused(id=row.id, message=error.message))
    return DeadJobsDone(matched=len(rows), done=len(rows) - len(refused), more=more, refused=refused)


def _details(job: Any) -> dict[str, Any]:
    return {"kind": job.kind, "execution_id": str(job.execution_id)}


async def _retry(engine: EngineProcess, actor: Actor, job: DeadJobRead | Any) -> None:
    tenant_id, execution_id = actor.tenant_id, job.execution_id
    if execution_id is not None and job.execution_status == "FAILED":
        gone: list[UUID] = []

        async def take_out(connection: Connection, saved: set[UUID]) -> None:
            if execution_id in saved:
                rows = await connection.fetch(queries.TAKE_OUT, tenant_id, execution_id)
                gone.extend(row["id"] for row in rows)

        news = News(execution_id, Retried(actor.name))
        try:
            await engine.driver.deliver(tenant_id, [news], actor=actor, within=take_out)
        except (WeftError, *AWAY):
            raise
        except Exception as error:
            log.exception("a dead job cannot be retried", execution=str(execution_id))
            raise ExecutionUnreadable(execution_id, error) from error
        if job.id in gone:
            return
    # It did not fail, or somebody else has retried it meanwhile: the job itself is queued again.
    async with enter(engine.database, actor) as scope:
        if await scope.raw.fetchval(queries.REQUEUE, tenant_id, [job.id], scope.now()) == 0:
            raise DeadJobNotFound(job.id)
