"""B11: a million executions with their journal: dumped, proved by a restore, restored for good; and one tenant of them.

Every table is compared by number and checksum on the way, so a figure that is printed is one of equal rows. The ceiling
is a plain copy of the same database on the same server (`create database ... template`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

import asyncpg

from benches import lab as labs
from benches.lab import Lab
from weft.core.actor import system_actor
from weft.ops.backup import making, proving, restoring
from weft.ops.backup.tenants import Wanted, restore_tenant
from weft.ops.connections import with_database
from weft.ops.installation import Addresses
from weft.settings import load_settings

EXECUTIONS, QUICK = 1_000_000, 20_000
AT_ONCE = 100_000
LOGS = 2

FILL = """
with made as (
  insert into weft.workflow_executions
    (tenant_id, id, workflow_id, version_id, number, status, state, input, output, created_at, updated_at, started_at,
     completed_at)
  select $1, gen_random_uuid(), $2, $3, $4 + n, 'COMPLETED', jsonb_build_object('status', 'completed', 'n', n),
         jsonb_build_object('amount', n), jsonb_build_object('total', n * 2), at, at, at, at
    from generate_series(1, $5::integer) n, lateral (select now() - n * interval '1 millisecond' as at) t
  returning id, created_at
)
insert into weft.execution_logs
  (tenant_id, execution_id, id, step_key, visit, attempt, status, started_at, completed_at, data)
select $1, m.id, gen_random_uuid(), 'answer', v, 1, 'COMPLETED', m.created_at, m.created_at,
       jsonb_build_object('said', v)
  from made m, generate_series(1, $6::integer) v
"""

Answer = TypeVar("Answer")


def run(*, quick: bool) -> dict[str, Any]:
    count = QUICK if quick else EXECUTIONS
    with labs.lab() as lab:
        tenant = asyncio.run(_tenant(lab))
        asyncio.run(_fill(lab, tenant, count))
        settings = load_settings({"WEFT_HOME": str(lab.home), "WEFT_MASTER_KEY": labs.MASTER_KEY})
        addresses = Addresses(lab.app_dsn, lab.owner_dsn, lab.admin_dsn, embedded=True)
        ceiling, _ = _timed(lambda: asyncio.run(_copied(lab)))
        making_s, made = _timed(lambda: making.make(settings, addresses))
        proving_s, proof = _timed(lambda: proving.prove(settings, made.id))
        tenant_s, plan = _timed(lambda: restore_tenant(settings, addresses, made.id, Wanted("bench", "twin")))
        whole_s, done = _timed(lambda: restoring.restore(settings, addresses, made.id, replace=True, drop_old=True))
        return {
            "executions": count,
            "rows": made.rows,
            "megabytes": round(made.bytes / 1e6, 1),
            "backup_s": round(making_s, 1),
            "proof_s": round(proving_s, 1),
            "restore_s": round(whole_s, 1),
            "tenant_copy_s": round(tenant_s, 1),
            "copy_of_the_database_s": round(ceiling, 1),
            "equal": proof.ok and plan.done and done.rows == made.rows,
        }


def _timed(work: Callable[[], Answer]) -> tuple[float, Answer]:
    begun = time.monotonic()
    answer = work()
    return time.monotonic() - begun, answer


async def _tenant(lab: Lab) -> tuple[UUID, UUID, UUID]:
    from tests.factories import executions, identity

    database = await lab.database()
    try:
        owner = await identity.tenant(database, "bench")
        workflow_id = await executions.workflow(database, system_actor(owner.tenant_id))
    finally:
        await database.close()
    connection = await _maintenance(lab)
    try:
        version_id = await connection.fetchval(
            "select current_version_id from weft.workflows where id = $1", workflow_id
        )
    finally:
        await connection.close()
    return owner.tenant_id, workflow_id, version_id


async def _fill(lab: Lab, tenant: tuple[UUID, UUID, UUID], count: int) -> None:
    connection = await _maintenance(lab)
    try:
        for start in range(0, count, AT_ONCE):
            await connection.execute(FILL, *tenant, start, min(AT_ONCE, count - start), LOGS)
        await connection.execute("analyze")
    finally:
        await connection.close()


async def _maintenance(lab: Lab) -> asyncpg.Connection:
    connection = await asyncpg.connect(lab.owner_dsn)
    await connection.execute("set app.maintenance = 'on'")
    return connection


async def _copied(lab: Lab) -> None:
    connection = await asyncpg.connect(with_database(lab.admin_dsn, "postgres"))
    try:
        await connection.execute("create database weft_copied template weft strategy file_copy")
        await connection.execute("drop database weft_copied")
    finally:
        await connection.close()
