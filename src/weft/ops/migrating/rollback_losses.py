"""What taking revisions back loses, for people to read before they say yes; and when nobody may say yes at all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from weft.core.errors import Conflict
from weft.ops.connections import connect
from weft.ops.migrating.instances import require_stopped
from weft.ops.migrating.rollback import Way

BASE: Final = "base"
_TABLES: Final = re.compile(r"(?:drop table(?: if exists)?|truncate(?: table)?)\s+(.+)", re.IGNORECASE | re.DOTALL)
_NAME: Final = re.compile(r'[\w".]+')
_AFTER: Final = re.compile(r"\s+(?:cascade|restrict|restart identity|continue identity)\b", re.IGNORECASE)
_ROWS: Final = """/* weft:rollback_losses.rows */
with recursive tree as (
  select c.oid as root, c.oid, c.relname::text as name from pg_class c
   where c.oid = any(array(select to_regclass(n)::oid from unnest($1::text[]) n))
  union all
  select t.root, i.inhrelid, t.name from tree t join pg_inherits i on i.inhparent = t.oid
)
select t.name,
       coalesce(sum(greatest(c.reltuples, s.n_live_tup, 0)) filter (where c.relkind <> 'p'), 0)::bigint as rows
  from tree t join pg_class c on c.oid = t.oid left join pg_stat_all_tables s on s.relid = t.oid
 group by t.root, t.name order by 2 desc, 1"""


class BaseUnnamed(Conflict):
    code = "base_unnamed"

    def __init__(self, revision: str) -> None:
        super().__init__(
            f"Revision {revision} is the first one: taking it back drops the whole schema, with every tenant. Nothing "
            f"was changed. If that is what you want, say so: `weft db rollback --to {BASE}`."
        )


@dataclass(frozen=True, slots=True)
class Loss:
    """A table that goes, and how many rows PostgreSQL thinks it has: counting them would read all of it."""

    table: str
    rows: int


async def losses(owner: str, way: Way) -> list[Loss]:
    """Every table that goes, those with the most rows first. As the owner, who knows sizes and sees no rows."""
    names = [name for one in way.returns for drop in one.drops for name in tables_of(drop)]
    connection = await connect(owner, application="weft db rollback")
    try:
        return [Loss(*row) for row in await connection.fetch(_ROWS, names)]
    finally:
        await connection.close()


async def allow(owner: str, way: Way) -> None:
    """Refuse what nobody meant. Raises `BaseUnnamed` and `InstallationRuns`."""
    if target(way) == BASE and way.target != BASE:
        raise BaseUnnamed(way.returns[-1].revision.id)
    if any(one.drops for one in way.returns):
        connection = await connect(owner, application="weft db rollback")
        try:
            await require_stopped(connection)
        finally:
            await connection.close()


def target(way: Way) -> str:
    """Where it ends, by name: `-1` is said, and a revision or `base` is meant."""
    return way.returns[-1].revision.before or BASE if way.returns else str(way.at or BASE)


def tables_of(drop: str) -> Sequence[str]:
    """The tables that a statement drops or empties."""
    found = _TABLES.match(drop.strip().rstrip(";"))
    if found is None:
        return []
    names = [name.strip() for name in _AFTER.split(found[1])[0].split(",")]
    return [name for name in names if _NAME.fullmatch(name)]
