"""Indexes: what a broken-off REINDEX left behind goes, what is invalid or bloated is built anew, beside traffic."""

from __future__ import annotations

from typing import Final

from weft.ops.upkeep.bloat import estimate
from weft.ops.upkeep.tasks import Means, Step, quoted, sql

_INVALID: Final = """/* weft:upkeep.invalid_indexes */
select x.relname::text as name, x.relname ~ '_cc(new|old)[0-9]*$' as is_left_over
  from pg_index i join pg_class x on x.oid = i.indexrelid
 where x.relnamespace = 'weft'::regnamespace and x.relkind = 'i' and not i.indisvalid
   and not exists (select from pg_stat_progress_create_index b where b.index_relid = x.oid)
 order by 2 desc, 1
"""


async def reindex(means: Means) -> list[Step]:
    """One that is being built by somebody holds a lock that our statement waits for, and gives up: it is left alone."""
    steps = []
    for row in await means.owner.fetch(_INVALID):
        name = row["name"]
        if row["is_left_over"]:
            steps.append(
                Step(name, "left by a reindex that broke off", sql(means, f"drop index concurrently {quoted(name)}"))
            )
        else:
            steps.append(
                Step(name, "it is invalid: no query uses it", sql(means, f"reindex index concurrently {quoted(name)}"))
            )
    for one in await estimate(means.owner, means.thresholds):
        if one.index is not None and one.is_worth(means.thresholds):
            statement = f"reindex index concurrently {quoted(one.index)}"
            steps.append(Step(one.index, one.sentence(), sql(means, statement)))
    return steps
