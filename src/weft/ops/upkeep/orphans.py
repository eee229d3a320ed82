"""Values without an execution, and counters of values that are wrong.

References make both impossible, but a restore that switched the triggers off, or a hand-made change, can leave them. A
value that is being written is never seen: it commits together with its execution, and the server shows us either both
or none. Found values go a few at a time; the counters follow by their own trigger.
"""

from __future__ import annotations

from typing import Any, Final

from weft.ops.upkeep.tasks import Means, Step, counted

AT_ONCE: Final = 500
TABLES: Final = ("payloads", "item_chunks", "item_results")

_FIND: Final = """/* weft:upkeep.orphans */
select count(*) from weft.{table} v
 where not exists (select from weft.workflow_executions e where e.tenant_id = v.tenant_id and e.id = v.execution_id)
"""
_DELETE: Final = """/* weft:upkeep.delete_orphans */
delete from weft.{table} where ctid = any(array(
  select v.ctid from weft.{table} v
   where not exists (select from weft.workflow_executions e where e.tenant_id = v.tenant_id and e.id = v.execution_id)
   limit {at_once} for update skip locked))
"""
_COUNTED: Final = """
select u.tenant_id, coalesce(p.payloads, 0) as payloads, coalesce(p.size, 0) as size,
       coalesce(p.stored_size, 0) as stored_size
  from weft.payload_usage u
  left join (select tenant_id, count(*) as payloads, sum(size)::bigint as size, sum(stored_size)::bigint as stored_size
               from weft.payloads group by tenant_id) p on p.tenant_id = u.tenant_id
 where (u.payloads, u.size, u.stored_size)
       is distinct from (coalesce(p.payloads, 0), coalesce(p.size, 0), coalesce(p.stored_size, 0))
"""
_WRONG: Final = f"/* weft:upkeep.wrong_usage */ select count(*) from ({_COUNTED}) w"
_MEND: Final = f"""/* weft:upkeep.mend_usage */
update weft.payload_usage u set payloads = w.payloads, size = w.size, stored_size = w.stored_size
  from ({_COUNTED}) w where u.tenant_id = w.tenant_id
"""


async def orphans(means: Means) -> list[Step]:
    found = {table: await _maintaining(means, _FIND.format(table=table)) for table in TABLES}
    steps = [
        Step(table, f"{counted(count, 'value')} without an execution", _delete(means, table))
        for table, count in found.items()
        if count
    ]
    if wrong := await _maintaining(means, _WRONG):
        steps.append(Step("payload_usage", f"{counted(wrong, 'counter')} of a tenant is not the sum", _mend(means)))
    return steps


async def _maintaining(means: Means, query: str) -> Any:
    async with means.owner.transaction():
        await means.owner.execute("set local app.maintenance = 'on'")
        return await means.owner.fetchval(query)


def _delete(means: Means, table: str) -> Any:
    async def act() -> str:
        gone = 0
        while True:
            async with means.owner.transaction():
                await means.owner.execute("set local app.maintenance = 'on'")
                said = await means.owner.execute(_DELETE.format(table=table, at_once=AT_ONCE))
            now = int(said.rpartition(" ")[2])
            gone += now
            if now < AT_ONCE:
                return f"{counted(gone, 'value')} deleted"

    return act


def _mend(means: Means) -> Any:
    async def act() -> str:
        async with means.owner.transaction():
            await means.owner.execute("set local app.maintenance = 'on'")
            # Saves of large values wait for as long as the sums take: otherwise what they add would be lost.
            await means.owner.execute("lock table weft.payload_usage in share row exclusive mode")
            said = await means.owner.execute(_MEND)
        return f"{counted(int(said.rpartition(' ')[2]), 'counter')} set right"

    return act
