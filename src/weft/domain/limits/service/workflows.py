"""Limits of workflows: how many executions at once, and how urgent they are."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from weft.db.scope import Scope
from weft.domain.limits import queries, rules
from weft.domain.limits.errors import LimitEmpty, LimitKeyInvalid
from weft.domain.limits.models import WhenFull, WorkflowLimit
from weft.domain.limits.schemas import WorkflowLimitsRead, WorkflowLimitsWrite
from weft.domain.workflows import service as workflows
from weft.expressions.compile import compile_expression
from weft.expressions.errors import ExpressionInvalid
from weft.http.paging import Paged, PageQuery, page
from weft.http.preconditions import check

AT_ONCE = 10_000
"""Places that one call of `weft.admit` gives at most."""


async def get(scope: Scope, workflow_id: UUID) -> WorkflowLimitsRead:
    """A workflow's limits and how much of them is used; one without limits has the defaults."""
    workflow = await workflows.get(scope, workflow_id)
    row = await scope.maybe(queries.of_workflow(scope.tenant_id, workflow_id))
    used = await _used(scope, [workflow_id])
    return _read(row, workflow_id, workflow.name, used)


async def listed(scope: Scope, query: PageQuery) -> Paged[WorkflowLimitsRead]:
    """The workflows that have limits, by the time they were set first."""
    found = await page(
        scope, queries.of_workflows(scope.tenant_id), (WorkflowLimit.created_at, WorkflowLimit.id), query
    )
    ids = [row.workflow_id for row in found.items]
    used = await _used(scope, ids)
    names = await _names(scope, ids)
    return Paged([_read(row, row.workflow_id, names[row.workflow_id], used) for row in found.items], found.next_cursor)


async def set_limits(
    scope: Scope, workflow_id: UUID, wanted: WorkflowLimitsWrite, *, expected: int | None = None
) -> WorkflowLimitsRead:
    """Replace a workflow's limits. They hold for the next start, in every process.

    What runs already counts, but nothing is stopped. With a `key` it does not count: nobody knows its value.
    """
    if wanted.concurrent is None and (wanted.key is not None or wanted.when_full is not WhenFull.queue):
        raise LimitEmpty
    if wanted.key is not None:
        require_key(wanted.key)
    await workflows.get(scope, workflow_id)
    await scope.raw.execute(queries.LOCK, scope.tenant_id, [workflow_id])
    row = await scope.maybe(queries.of_workflow(scope.tenant_id, workflow_id).with_for_update())
    check(expected, 0 if row is None else row.row_version)
    values: dict[str, Any] = {
        "concurrent": wanted.concurrent,
        "key": wanted.key,
        "when_full": wanted.when_full.value,
        "priority": rules.priority_of(wanted.priority) or 0,
    }
    if row is None:
        await scope.add(WorkflowLimit(workflow_id=workflow_id, **values))
    else:
        for column, value in values.items():
            setattr(row, column, value)
        await scope.flush()
    await _apply(scope, workflow_id, adopt=wanted.concurrent is not None and wanted.key is None)
    return await get(scope, workflow_id)


async def clear(scope: Scope, workflow_id: UUID, *, expected: int | None = None) -> None:
    """Take all limits of a workflow away. Whatever waits for a place of its own may go on."""
    await workflows.get(scope, workflow_id)
    await scope.raw.execute(queries.LOCK, scope.tenant_id, [workflow_id])
    row = await scope.maybe(queries.of_workflow(scope.tenant_id, workflow_id).with_for_update())
    check(expected, 0 if row is None else row.row_version)
    if row is not None:
        await scope.session.delete(row)
        await scope.flush()
        await _apply(scope, workflow_id, adopt=False)


async def _apply(scope: Scope, workflow_id: UUID, *, adopt: bool) -> None:
    """Let starts know, count what runs, and give what has become free."""
    await scope.raw.execute(queries.BUMP, scope.tenant_id, [workflow_id])
    if adopt:
        await scope.raw.execute(queries.ADOPT, scope.tenant_id, workflow_id)
    while await scope.raw.fetchval(queries.ADMIT, scope.tenant_id, workflow_id) >= AT_ONCE:
        pass


def require_key(key: str) -> None:
    """Raise `LimitKeyInvalid` unless this is an expression over nothing but the input."""
    try:
        compiled = compile_expression(key)
    except ExpressionInvalid as error:
        raise LimitKeyInvalid(key, list(error.issues)) from error
    if not compiled.paths or any(path.partition(".")[0] != "input" for path in compiled.paths):
        raise LimitKeyInvalid(key, [])


async def _used(scope: Scope, ids: list[UUID]) -> dict[UUID, tuple[int, int]]:
    rows = await scope.raw.fetch(queries.USED, scope.tenant_id, ids)
    return {row["workflow_id"]: (row["in_use"], row["waiting"]) for row in rows}


async def _names(scope: Scope, ids: list[UUID]) -> dict[UUID, str]:
    rows = await scope.raw.fetch(queries.NAMES, scope.tenant_id, ids)
    return {row["id"]: row["name"] for row in rows}


def _read(
    row: WorkflowLimit | None, workflow_id: UUID, name: str, used: dict[UUID, tuple[int, int]]
) -> WorkflowLimitsRead:
    in_use, waiting = used.get(workflow_id, (0, 0))
    return WorkflowLimitsRead(
        workflow_id=workflow_id,
        workflow_name=name,
        concurrent=row.concurrent if row is not None else None,
        key=row.key if row is not None else None,
        when_full=WhenFull(row.when_full) if row is not None else WhenFull.queue,
        priority=row.priority if row is not None else 0,
        in_use=in_use,
        waiting=waiting,
        row_version=row.row_version if row is not None else 0,
    )
