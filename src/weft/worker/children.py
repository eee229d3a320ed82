"""Executions and the sub-workflows that their steps wait for: pausing together, and telling what went wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from weft.core.actor import system_actor
from weft.db.hot import transaction
from weft.engine.control import PARENT
from weft.engine.drive import Driver, ExecutionBusy
from weft.engine.news import News, Paused, Resumed
from weft.engine.outcomes import Failed
from weft.engine.queue import Job
from weft.engine.turn import CANCELLED
from weft.interpreter.state import Status

FAMILY: Final = """/* weft:worker.family */
select p.status as parent_status, c.id, c.status, c.state -> 'i' ->> 'r' as reason
  from unnest($2::uuid[], $3::integer[], $4::integer[]) as j (id, visit, attempt)
  join weft.workflow_executions p on p.tenant_id = $1 and p.id = j.id
  join weft.workflow_executions c
    on c.tenant_id = $1 and c.parent_id = j.id and c.parent_visit = j.visit
   and coalesce((c.metadata ->> 'parent_attempt')::integer, 1) = j.attempt
"""

TRIES: Final = 6
_BY: Final = "the execution that waits for it"


async def follow_parents(driver: Driver, tenant_id: UUID, jobs: Sequence[Job]) -> None:
    """Pause the sub-workflows of paused executions, and let those go on that were paused so and need not be any more.

    Two such jobs may be worked on at once, and in any order. So what was done is looked at again afterwards: whoever
    comes last finds parent and child as they are, and leaves nothing to be done.
    """
    for _ in range(TRIES):
        async with transaction(driver.database, system_actor(tenant_id), read_only=True) as connection:
            rows = await connection.fetch(
                FAMILY,
                tenant_id,
                [job.execution_id for job in jobs],
                [job.visit for job in jobs],
                [job.attempt for job in jobs],
            )
        news = [News(row["id"], what) for row in rows if (what := _wanted(row)) is not None]
        if not news:
            return
        await driver.deliver(tenant_id, news)
    raise ExecutionBusy


def _wanted(row: Mapping[str, Any]) -> Paused | Resumed | None:
    parent, child = Status(row["parent_status"]), Status(row["status"])
    if parent.is_final or child.is_final:
        return None
    if parent is Status.paused:
        return Paused(_BY, by_parent=True) if child is not Status.paused else None
    return Resumed(_BY, by_parent=True) if child is Status.paused and row["reason"] == PARENT else None


def failure_of(child: Mapping[str, Any]) -> Failed:
    """What a child that did not complete means for the step that waits for it.

    The sentence is that of the innermost cause; `data.cause` says where that was, however many levels below. What
    somebody has cancelled is not started again by any level's retry policy: that would undo a decision.
    """
    error = child["error"] or {}
    message = str(error.get("message") or f"The sub-workflow ended as {child['status']}.")
    if child["status"] == Status.cancelled.value:
        message = "The sub-workflow was cancelled" + ("." if message == CANCELLED else f": {message}")
    own = {key: error[key] for key in ("step", "kind", "message") if key in error}
    cause = (error.get("data") or {}).get("cause") if error.get("kind") == "sub_workflow" else None
    if not isinstance(cause, dict):
        cause = {"execution_id": str(child["id"]), **own}
    data = {"execution_id": str(child["id"]), "error": own, "cause": cause}
    return Failed("sub_workflow", message, retryable=cause.get("kind") != "cancelled", data=data)
