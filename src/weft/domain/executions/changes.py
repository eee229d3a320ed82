"""What changed of one execution since somebody last looked: the content of its stream of events.

A save raises the execution's `row_version` and writes that number into each journal row it touches (`saved_in`), all
in one transaction. So the journal in the order of `(saved_in, id)` is a list that only grows at its end: a row that is
written again leaves its place and joins the end. A position in it is all that has to be remembered to go on exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, Select, case, func, null, select, tuple_

from weft.db.scope import Scope
from weft.domain.executions import queries, rules, service
from weft.domain.executions.errors import ExecutionNotFound
from weft.domain.executions.models import ExecutionLog
from weft.domain.executions.payloads import Reference, unpacked
from weft.domain.executions.rules import Position
from weft.domain.executions.schemas import EndEvent, ExecutionEvent, StepEvent
from weft.interpreter.state import Status

PAGE: Final = 200
"""Journal rows that are read at once."""
PAGE_WITH_DATA: Final = 25
SNAPSHOT: Final = 500
"""Journal rows that somebody gets who has no position yet: the newest."""
LARGEST_DATA: Final = 65_536
"""Bytes of one step's output in an event, as stored; what is larger is told by its size only."""


@dataclass(frozen=True, slots=True)
class Changes:
    """`steps` in order; `position` is where they end. With `is_all` nothing is left, and the rest is said too."""

    steps: list[tuple[Position, StepEvent]]
    position: Position
    is_all: bool
    execution: ExecutionEvent
    end: EndEvent | None


async def since(scope: Scope, execution_id: UUID, after: Position | None, *, data: bool = False) -> Changes:
    """The next changes after a position; None begins with a snapshot. Raises `ExecutionNotFound`.

    The execution is read first. Journal rows of a save that came in between are left for the next time.
    """
    found = (await scope.session.execute(queries.watched(scope.tenant_id, execution_id))).one_or_none()
    if found is None:
        raise ExecutionNotFound(execution_id)
    period = rules.journal_period(found.created_at, found.completed_at, found.status, scope.now())
    earlier = False
    if after is None or after.version > found.row_version:
        after = await _before_the_newest(scope, execution_id, period)
        earlier = after is not None
    start = after or Position(0, UUID(int=0))
    page = PAGE_WITH_DATA if data else PAGE
    statement = _journal(scope.tenant_id, execution_id, period, start, found.row_version, data=data)
    rows = (await scope.session.execute(statement.limit(page + 1))).all()
    steps = [(Position(row.saved_in, row.id), _step(row, data=data)) for row in rows[:page]]
    is_all = len(rows) <= page
    over = is_all and Status(found.status).is_final
    return Changes(
        steps=steps,
        position=Position(found.row_version) if is_all else steps[-1][0],
        is_all=is_all,
        execution=await _execution(scope, found, earlier=earlier),
        end=_end(found, data=data) if over else None,
    )


async def _before_the_newest(scope: Scope, execution_id: UUID, period: tuple[datetime, datetime]) -> Position | None:
    """The row that the snapshot begins after; None when the whole journal is small enough for it."""
    statement = (
        _rows(scope.tenant_id, execution_id, period)
        .with_only_columns(ExecutionLog.saved_in, ExecutionLog.id)
        .order_by(ExecutionLog.saved_in.desc(), ExecutionLog.id.desc())
        .offset(SNAPSHOT)
        .limit(1)
    )
    row = (await scope.session.execute(statement)).one_or_none()
    return Position(row[0], row[1]) if row is not None else None


_COLUMNS: Final = (
    ExecutionLog.id, ExecutionLog.step_key, ExecutionLog.frame, ExecutionLog.visit, ExecutionLog.attempt,
    ExecutionLog.status, ExecutionLog.message, ExecutionLog.error, ExecutionLog.started_at, ExecutionLog.completed_at,
    ExecutionLog.saved_in,
)  # fmt: skip


def _rows(tenant_id: UUID, execution_id: UUID, period: tuple[datetime, datetime]) -> Select[Any]:
    size = func.pg_column_size(ExecutionLog.data)
    return select(*_COLUMNS, size.label("data_bytes")).where(
        ExecutionLog.tenant_id == tenant_id,
        ExecutionLog.execution_id == execution_id,
        ExecutionLog.started_at >= period[0],
        ExecutionLog.started_at <= period[1],
    )


def _journal(
    tenant_id: UUID,
    execution_id: UUID,
    period: tuple[datetime, datetime],
    after: Position,
    until: int,
    *,
    data: bool,
) -> Select[Any]:
    """Rows after a position, up to those of one save. Found by their execution; there is no index on `saved_in`,
    which each save would have to keep, watched or not.
    """
    place = tuple_(ExecutionLog.saved_in, ExecutionLog.id)
    query = _rows(tenant_id, execution_id, period).where(
        place > tuple_(after.version, after.last_row), ExecutionLog.saved_in <= until
    )
    if data:
        small = func.pg_column_size(ExecutionLog.data) <= LARGEST_DATA
        query = query.add_columns(case((small, ExecutionLog.data), else_=null()).label("data"))
    return query.order_by(ExecutionLog.saved_in, ExecutionLog.id)


def _step(row: Row[Any], *, data: bool) -> StepEvent:
    return StepEvent(
        id=row.id,
        step=row.step_key,
        frame=row.frame,
        visit=row.visit,
        attempt=row.attempt,
        status=row.status,
        message=row.message,
        error=row.error,
        started_at=row.started_at,
        completed_at=row.completed_at,
        data_bytes=row.data_bytes,
        data=_here(row.data) if data else None,
    )


async def _execution(scope: Scope, row: Row[Any], *, earlier: bool) -> ExecutionEvent:
    now = rules.standing(row.state)
    waits = await service.timers(scope, row.id) if now.live else {}
    return ExecutionEvent(
        id=row.id,
        number=row.number,
        workflow_id=row.workflow_id,
        workflow_name=row.workflow_name,
        status=row.status,
        row_version=row.row_version,
        created_at=row.created_at,
        started_at=row.started_at,
        completed_at=row.completed_at,
        steps=[service.live_step(step, waits) for step in now.live],
        live_steps=now.count,
        earlier=earlier,
    )


def _here(stored: Any) -> Any:
    """The value, unless it is so large that it lies elsewhere: then whoever wants it asks for the execution."""
    value = unpacked(stored)
    return None if isinstance(value, Reference) else value


def _end(row: Row[Any], *, data: bool) -> EndEvent:
    return EndEvent(
        id=row.id,
        status=row.status,
        error=row.error,
        output=_here(row.output) if data else None,
        started_at=row.started_at,
        completed_at=row.completed_at,
    )
