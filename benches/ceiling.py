"""What is possible: a minimal ASGI handler that writes the same rows in one transaction, without an engine.

`python -m benches.ceiling` reads its facts from the environment and serves with the same uvicorn as weft.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import uvicorn

from benches.workload import JOURNAL, OUTPUT
from weft.core.actor import Actor, system_actor
from weft.core.ids import new_id
from weft.db.context import opening

EXECUTION = """
insert into weft.workflow_executions
  (tenant_id, id, workflow_id, version_id, number, status, input, output, metadata, trigger, correlation_id,
   created_at, updated_at, started_at, completed_at)
select $1, x.id, $2, $3, x.number, 'COMPLETED', x.input, $4, '{}', 'WEBHOOK', x.id::text, $5, $5, $5, $5
  from unnest($6::uuid[], $7::integer[], $8::jsonb[]) as x (id, number, input)
"""

LOGS = """
insert into weft.execution_logs
  (tenant_id, execution_id, id, step_id, step_key, frame, visit, attempt, status, started_at, completed_at, data)
select $1, l.execution_id, l.id, l.step_id, l.step_key, '', l.visit, 1, 'COMPLETED', $2, $2, l.data
  from unnest($3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::integer[], $8::jsonb[])
    as l (execution_id, id, step_id, step_key, visit, data)
"""


class Writer:
    """Writes executions and their journal rows with two `unnest` statements a transaction."""

    def __init__(self, pool: Any, actor: Actor, workflow_id: UUID, version_id: UUID, steps: dict[str, UUID]) -> None:
        self.pool = pool
        self.opening = opening(actor)
        self.tenant_id = actor.tenant_id
        self.workflow_id = workflow_id
        self.version_id = version_id
        self.steps = steps
        self.number = 0

    async def write(self, inputs: list[Any]) -> None:
        now = datetime.now(UTC)
        ids = [new_id() for _ in inputs]
        numbers = list(range(self.number + 1, self.number + 1 + len(inputs)))
        self.number = numbers[-1]
        logs = [
            (i, new_id(), self.steps[key], key, visit, data)
            for i in ids
            for visit, (key, data) in enumerate(JOURNAL, 1)
        ]
        columns = [list(column) for column in zip(*logs, strict=True)]
        async with self.pool.acquire() as connection:
            await connection.execute(self.opening)
            await connection.execute(
                EXECUTION, self.tenant_id, self.workflow_id, self.version_id, OUTPUT, now, ids, numbers, inputs
            )
            await connection.execute(LOGS, self.tenant_id, now, *columns)
            await connection.execute("COMMIT")


async def json_codec(connection: Any) -> None:
    encode, decode = msgspec.json.encode, msgspec.json.decode
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", format="binary",
        encoder=lambda value: b"\x01" + encode(value), decoder=lambda data: decode(data[1:]),
    )  # fmt: skip


async def open_pool(dsn: str, size: int = 8) -> Any:
    async def keep(_connection: Any) -> None:
        return None

    return await asyncpg.create_pool(dsn, min_size=size, max_size=size, init=json_codec, reset=keep)


class Handler:
    """The whole application: read the body, write, answer."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.facts = facts
        self.writer: Writer | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if scope["method"] == "POST":
            if self.writer is None:
                facts = self.facts
                self.writer = Writer(
                    await open_pool(facts["dsn"]), system_actor(UUID(facts["tenant"])), UUID(facts["workflow"]),
                    UUID(facts["version"]), {key: UUID(value) for key, value in facts["steps"].items()},
                )  # fmt: skip
            await self.writer.write([msgspec.json.decode(body)])
        answer = msgspec.json.encode(OUTPUT)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


if __name__ == "__main__":
    uvicorn.run(
        Handler(json.loads(os.environ["CEILING_FACTS"])), host="127.0.0.1", port=int(os.environ["CEILING_PORT"]),
        log_level="warning", access_log=False, lifespan="off",
    )  # fmt: skip
