"""B7: what the promises cost. The queue is drained with row security and audit, and on a schema without them.

The second installation is the first with row security off and every audit trigger dropped: weft refuses to start on
such a schema, so the worker is started here without its preflight (`python -m benches.unguarded`).
"""

from __future__ import annotations

import asyncio
from typing import Any

from benches import lab as labs
from benches.b2 import drain, queue
from benches.lab import Lab, Tenant, middle

WITHOUT = """
do $$
declare
  found record;
begin
  for found in select c.oid::regclass as name from pg_class c
                where c.relnamespace = 'weft'::regnamespace and c.relkind in ('r', 'p') and c.relrowsecurity loop
    execute format('alter table %s disable row level security', found.name);
  end loop;
  for found in select t.tgname as trigger, t.tgrelid::regclass as name from pg_trigger t
                join pg_class c on c.oid = t.tgrelid
                where c.relnamespace = 'weft'::regnamespace and not t.tgisinternal and t.tgname = 'audit'
                  and t.tgparentid = 0 loop
    execute format('drop trigger %I on %s', found.trigger, found.name);
  end loop;
end $$
"""


def run(*, quick: bool) -> dict[str, Any]:
    count, rounds = (2_000, 2) if quick else (10_000, 4)
    with labs.lab() as guarded, labs.lab() as bare:
        places = [
            (guarded, asyncio.run(_tenant(guarded)), "weft"),
            (bare, asyncio.run(_tenant(bare)), "benches.unguarded"),
        ]
        asyncio.run(bare.admin(WITHOUT))
        rates: dict[str, list[float]] = {"weft": [], "benches.unguarded": []}
        for number in range(rounds + 1):
            for lab, tenant, module in places:
                asyncio.run(queue(lab, [tenant], count))
                asyncio.run(lab.settle())
                rate, _ = drain(lab, count, 1, module=module)
                if number:
                    rates[module].append(rate)
    with_promises, without = middle(rates["weft"]), middle(rates["benches.unguarded"])
    return {
        "executions": count,
        "with_per_second": round(with_promises),
        "without_per_second": round(without),
        "ratio": round(with_promises / without, 2),
    }


async def _tenant(lab: Lab) -> Tenant:
    database = await lab.database()
    try:
        return await lab.tenant(database, "one")
    finally:
        await database.close()
