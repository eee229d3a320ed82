"""Past executions with their journals, in sets: one statement finds them, one for each 250 reads their journals."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final
from uuid import UUID

from weft.core.actor import Actor
from weft.db.database import Connection
from weft.db.hot import transaction
from weft.engine.drive import Driver
from weft.engine.payloads import opened
from weft.engine.run import Facts
from weft.engine.simulation.backtest import Past
from weft.engine.simulation.recorded import recording_of

TOGETHER: Final = 250
SKEW: Final = timedelta(days=1)

FINISHED = """/* weft:backtest.executions */
select e.id, e.workflow_id, e.version_id, e.number, e.client_id, e.status, e.input, e.output, e.error, e.metadata,
       e.trigger, e.correlation_id, e.parent_id, e.parent_visit, e.depth, e.created_at, e.started_at, e.completed_at,
       e.cost
  from weft.workflow_executions e
 where e.tenant_id = $1 and e.workflow_id = $2 and e.status = any($3::text[]) and not e.simulation
   and e.started_at is not null and e.completed_at is not null
   and not e.journal_gone
   and ($4::uuid[] is null or e.id = any($4)) and ($5::uuid is null or e.version_id = $5)
   and ($6::timestamptz is null or e.created_at >= $6) and ($7::timestamptz is null or e.created_at < $7)
 order by e.created_at desc, e.id desc
 limit $8
"""

JOURNALS = """/* weft:backtest.journals */
select l.execution_id, l.step_key, l.frame, l.visit, l.attempt, l.status, l.message, l.data, l.error, l.started_at,
       l.completed_at
  from weft.execution_logs l
 where l.tenant_id = $1 and l.execution_id = any($2::uuid[]) and l.started_at >= $3 and l.started_at <= $4
 order by l.execution_id, l.visit, l.attempt, l.id
"""


@dataclass(frozen=True, slots=True)
class Which:
    """Which executions; None is any."""

    last: int
    executions: Sequence[UUID] = ()
    version_id: UUID | None = None
    status: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


async def finished(driver: Driver, actor: Actor, workflow_id: UUID, which: Which) -> list[Any]:
    """Their rows, the newest first."""
    async with transaction(driver.database, actor, read_only=True) as connection:
        rows: list[Any] = await connection.fetch(
            FINISHED,
            actor.tenant_id,
            workflow_id,
            [which.status] if which.status else ["COMPLETED", "FAILED"],
            list(which.executions) or None,
            which.version_id,
            which.created_from,
            which.created_to,
            which.last,
        )
    return rows


async def pasts(driver: Driver, actor: Actor, rows: Sequence[Any]) -> AsyncIterator[list[Past]]:
    """The executions with their journals, some hundreds at a time."""
    for first in range(0, len(rows), TOGETHER):
        group = rows[first : first + TOGETHER]
        since = min(row["created_at"] for row in group) - SKEW
        until = max(row["completed_at"] for row in group) + SKEW
        async with transaction(driver.database, actor, read_only=True) as connection:
            plans = {
                version: await driver.plans.get(connection, actor.tenant_id, version)
                for version in {row["version_id"] for row in group}
            }
            ids = [row["id"] for row in group]
            journal = await connection.fetch(JOURNALS, actor.tenant_id, ids, since, until)
            by_execution = {
                key: await _opened(connection, actor, key, list(found))
                for key, found in groupby(journal, key=lambda row: row["execution_id"])
            }
            group = [
                {
                    **row,
                    **await opened(connection, actor.tenant_id, row["id"], {k: row[k] for k in ("input", "output")}),
                }
                for row in group
            ]
        yield [
            Past(
                facts=_facts(actor.tenant_id, row),
                plan=plans[row["version_id"]],
                status=row["status"],
                output=row["output"],
                error=row["error"],
                started_at=row["started_at"],
                completed_at=row["completed_at"],
                cost=float(row["cost"]),
                recording=recording_of(by_execution.get(row["id"], [])),
            )
            for row in group
        ]


async def _opened(connection: Connection, actor: Actor, execution_id: UUID, rows: list[Any]) -> list[dict[str, Any]]:
    """Rows of one journal with what their steps gave, wherever it lies."""
    data = {str(number): row["data"] for number, row in enumerate(rows)}
    whole = await opened(connection, actor.tenant_id, execution_id, data)
    return [{**row, "data": whole[str(number)]} for number, row in enumerate(rows)]


def _facts(tenant_id: UUID, row: Any) -> Facts:
    """As it was; only that nothing may reach the world."""
    return Facts(
        tenant_id=tenant_id,
        id=row["id"],
        workflow_id=row["workflow_id"],
        version_id=row["version_id"],
        client_id=row["client_id"],
        number=row["number"],
        input=row["input"],
        metadata=row["metadata"],
        trigger=row["trigger"],
        correlation_id=row["correlation_id"] or str(row["id"]),
        parent_id=row["parent_id"],
        parent_visit=row["parent_visit"],
        depth=row["depth"],
        created_at=row["created_at"],
        simulation=True,
    )
