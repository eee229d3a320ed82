"""What a start is answered whose idempotency key was used before: the execution that was started then.

A trigger's start is answered so only while the trigger stands as it was read. Whoever knows a webhook's address may
repeat a key, and must not be shown an output by an address that was taken away since.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from weft.db.database import Connection, Encoded
from weft.engine.payloads import SAME_INPUT, Payloads
from weft.engine.start_errors import TriggerChanged
from weft.engine.start_requests import StartRequest, StartResult

EARLIER = f"""/* weft:engine.earlier */
select e.id, e.number, e.status, e.input, e.output, e.error, e.workflow_id, e.version_id, {SAME_INPUT},
       $6::integer is null or exists (
         select 1 from weft.workflow_triggers t
          where t.tenant_id = $1 and t.id = $5::uuid and t.enabled and t.row_version = $6) as stands,
       $6::integer is null or exists (
         select 1 from weft.workflows w
          where w.tenant_id = $1 and w.id = $2 and w.status = 'ACTIVE' and w.deleted_at is null) as active
  from weft.workflow_executions e
 where e.tenant_id = $1 and e.workflow_id = $2 and e.idempotency_key = $3
"""


async def earlier(
    connection: Connection, tenant_id: UUID, workflow_id: UUID, request: StartRequest, kept: Encoded | None = None
) -> Any | None:
    """The row of the execution that was started under the request's key; None if it may not be answered with one.

    `kept` is how the request's input would stand in a row: `same_input` says whether it does. Raises `TriggerChanged`
    when the trigger is not any more what the request says of it.
    """
    row = await connection.fetchrow(
        EARLIER,
        tenant_id,
        workflow_id,
        request.idempotency_key,
        kept,
        request.trigger_id,
        request.trigger_version,
    )
    if row is not None and not row["stands"]:
        raise TriggerChanged
    return row if row is not None and row["active"] else None


async def result(payloads: Payloads, tenant_id: UUID, row: Any) -> StartResult:
    """The answer that is made of such a row, with an output that is large read from where it lies."""
    return StartResult(
        id=row["id"],
        number=row["number"],
        workflow_id=row["workflow_id"],
        version_id=row["version_id"],
        status=row["status"],
        output=await payloads.whole(tenant_id, row["id"], row["output"]),
        error=row["error"],
        created=False,
    )
