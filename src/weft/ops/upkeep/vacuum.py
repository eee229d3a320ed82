"""VACUUM and ANALYZE where the server's counters say that they are worth it.

Autovacuum does the same all the time; it is woken at 20 % by default, never analyzes a partitioned table, and may be
switched off. VACUUM runs with autovacuum's pauses, so that it does not take the disk from anybody.
"""

from __future__ import annotations

from typing import Any, Final

from weft.ops.upkeep.tasks import Means, Step, Thresholds, counted, quoted, sql

_TABLES: Final = """/* weft:upkeep.tables */
select c.relname::text as name, c.relkind::text as kind, s.n_live_tup as live, s.n_dead_tup as dead,
       s.n_ins_since_vacuum as inserted, s.n_mod_since_analyze as changed,
       greatest(s.last_analyze, s.last_autoanalyze) as analyzed, age(c.relfrozenxid) as frozen_age
  from pg_stat_user_tables s join pg_class c on c.oid = s.relid
 where s.schemaname = 'weft' and c.relkind = 'r' order by s.n_dead_tup desc, c.relname
"""
_PARENTS: Final = """/* weft:upkeep.parents */
select p.relname::text as name, s.last_analyze as analyzed,
       max(greatest(k.last_analyze, k.last_autoanalyze)) as parts_analyzed,
       coalesce(sum(k.n_live_tup), 0)::bigint as live,
       coalesce(sum(k.n_mod_since_analyze), 0)::bigint as changed
  from pg_class p
  left join pg_stat_user_tables s on s.relid = p.oid
  join pg_inherits i on i.inhparent = p.oid
  join pg_stat_user_tables k on k.relid = i.inhrelid
 where p.relnamespace = 'weft'::regnamespace and p.relkind = 'p' group by p.relname, s.last_analyze order by 1
"""


async def vacuum(means: Means) -> list[Step]:
    """Tables with dead rows, with many new rows, or whose oldest row is very old."""
    steps = []
    for row in await means.owner.fetch(_TABLES):
        why = _why_vacuum(row, means.thresholds)
        if why is not None:
            reason, freeze = why
            options = "parallel 0, freeze" if freeze else "parallel 0"
            steps.append(Step(row["name"], reason, sql(means, f"vacuum ({options}) {quoted(row['name'])}")))
    return steps


def _why_vacuum(row: Any, limits: Thresholds) -> tuple[str, bool] | None:
    live, dead, inserted = row["live"], row["dead"], row["inserted"]
    if row["frozen_age"] >= limits.freeze_age:
        return f"its oldest row is {row['frozen_age']:,} transactions old", True
    if dead >= limits.dead_rows and dead >= limits.dead_share * live:
        return f"{counted(dead, 'dead row')} beside {live:,}", False
    if inserted >= limits.inserted_rows and inserted >= limits.inserted_share * live:
        return f"{counted(inserted, 'row')} came since the last time", False
    return None


async def analyze(means: Means) -> list[Step]:
    """Tables whose statistics are old or missing; partitioned ones too, which nobody else analyzes."""
    limits = means.thresholds
    steps = []
    for row in await means.owner.fetch(_TABLES):
        live, changed = row["live"], row["changed"]
        if row["analyzed"] is None and live > 0:
            why = "it was never analyzed"
        elif changed >= limits.changed_rows and changed >= limits.changed_share * live:
            why = f"{counted(changed, 'row')} changed since the last time"
        else:
            continue
        steps.append(Step(row["name"], why, sql(means, f"analyze {quoted(row['name'])}")))
    only = "only " if means.owner.get_server_version().major >= 18 else ""
    for row in await means.owner.fetch(_PARENTS):
        newer = row["parts_analyzed"] is not None and (row["analyzed"] or row["parts_analyzed"]) < row["parts_analyzed"]
        if row["live"] and (row["analyzed"] is None or newer or row["changed"] >= limits.changed_share * row["live"]):
            why = "a partitioned table, which autovacuum never analyzes"
            steps.append(Step(row["name"], why, sql(means, f"analyze {only}{quoted(row['name'])}")))
    return steps
