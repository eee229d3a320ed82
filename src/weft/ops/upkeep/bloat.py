"""How much of tables and B-tree indexes is air: an estimate, without an extension and without reading them whole.

What a relation should take is the number of its rows (the server's estimate, made by VACUUM and ANALYZE) times a row's
width, which a sample of some pages tells. What it takes beyond that is bloat. Indexes with many equal keys are
smaller than this expects, because B-trees store those once: their bloat is underestimated, never overestimated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from weft.ops.upkeep.tasks import Means, Step, Thresholds, megabytes, quoted

if TYPE_CHECKING:
    from weft.db.database import Connection

PAGE: Final = 8192
SAMPLED_PAGES: Final = 300
"""Pages of a table that are read for the width of its rows."""

_RELATIONS: Final = """/* weft:upkeep.relations */
select c.oid, c.relname::text as name, coalesce(p.relname, c.relname)::text as unit, c.reltuples::float8 as rows,
       pg_relation_size(c.oid)::bigint as bytes,
       coalesce(substring(array_to_string(c.reloptions, ',') from 'fillfactor=([0-9]+)'), '100')::integer as fill
  from pg_class c
  left join pg_inherits i on i.inhrelid = c.oid
  left join pg_class p on p.oid = i.inhparent
 where c.relnamespace = 'weft'::regnamespace and c.relkind = 'r' and c.reltuples > 0 order by 3, 2
"""
_COLUMNS: Final = """/* weft:upkeep.columns */
select c.relname::text as unit, a.attname::text as name, a.attlen as length
  from pg_attribute a join pg_class c on c.oid = a.attrelid
 where c.relnamespace = 'weft'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
   and a.attnum > 0 and not a.attisdropped order by c.relname, a.attnum
"""
_INDEXES: Final = """/* weft:upkeep.indexes */
select x.relname::text as name, t.relname::text as "table", coalesce(p.relname, t.relname)::text as unit,
       x.reltuples::float8 as rows, pg_relation_size(x.oid)::bigint as bytes,
       coalesce(substring(array_to_string(x.reloptions, ',') from 'fillfactor=([0-9]+)'), '90')::integer as fill,
       (select array_agg(a.attname::text) from unnest(i.indkey) k join pg_attribute a
         on a.attrelid = i.indrelid and a.attnum = k) as columns, 0 = any(i.indkey) as has_expressions
  from pg_index i
  join pg_class x on x.oid = i.indexrelid
  join pg_class t on t.oid = i.indrelid
  join pg_am m on m.oid = x.relam
  left join pg_inherits h on h.inhrelid = t.oid
  left join pg_class p on p.oid = h.inhparent
 where x.relnamespace = 'weft'::regnamespace and x.relkind = 'i' and m.amname = 'btree' and i.indisvalid
   and x.reltuples >= 0
 order by 1
"""


@dataclass(frozen=True, slots=True)
class Bloat:
    """One relation: its size in bytes, and how much of that is not needed. `index` is None for the table itself."""

    table: str
    index: str | None
    bytes: int
    wasted: int

    @property
    def share(self) -> float:
        return self.wasted / self.bytes if self.bytes else 0.0

    def is_worth(self, limits: Thresholds) -> bool:
        return self.wasted >= limits.wasted_bytes and self.share >= limits.wasted_share

    def sentence(self) -> str:
        return f"about {megabytes(self.wasted)} of {megabytes(self.bytes)} ({self.share:.0%}) are not needed"


async def estimate(owner: Connection, limits: Thresholds) -> list[Bloat]:
    """Tables and indexes that are large enough to be looked at, the most wasteful first."""
    relations = await owner.fetch(_RELATIONS)
    indexes = await owner.fetch(_INDEXES)
    least = limits.pages * PAGE
    sizes: dict[str, int] = {}
    for row in relations:
        sizes[row["unit"]] = sizes.get(row["unit"], 0) + row["bytes"]
    looked = {row["unit"] for row in [*relations, *indexes] if row["bytes"] >= least}
    widths = await _widths(owner, {unit: sizes.get(unit, 0) for unit in looked})
    found = []
    for row in relations:
        width = widths.get(row["unit"])
        if width and row["bytes"] >= least:
            needed = _table_bytes(row["rows"], width, row["fill"])
            found.append(Bloat(row["name"], None, row["bytes"], max(0, row["bytes"] - needed)))
    for row in indexes:
        width = widths.get(row["unit"])
        if width and row["bytes"] >= least and not row["has_expressions"]:
            needed = _index_bytes(row["rows"], [width[name] for name in row["columns"]], row["fill"])
            found.append(Bloat(row["table"], row["name"], row["bytes"], max(0, row["bytes"] - needed)))
    return sorted(found, key=lambda one: -one.wasted)


def _table_bytes(rows: float, widths: dict[str, float], fill: int) -> int:
    header = _aligned(23 + (len(widths) + 7) // 8)
    row = header + _aligned(sum(widths.values())) + 4
    return PAGE * int(rows * row / ((PAGE - 24) * fill / 100) + 1)


def _index_bytes(rows: float, widths: Sequence[float], fill: int) -> int:
    entry = 8 + _aligned(sum(widths)) + 4
    leaves = rows * entry / ((PAGE - 40) * fill / 100)
    return PAGE * int(leaves * 1.02 + 2)


def _aligned(size: float) -> float:
    return -(-size // 8) * 8


async def _widths(owner: Connection, units: dict[str, int]) -> dict[str, dict[str, float]]:
    """The mean width of every column, of rows on some pages. A partition's rows are like its parent's."""
    columns: dict[str, list[Any]] = {}
    for row in await owner.fetch(_COLUMNS):
        columns.setdefault(row["unit"], []).append(row)
    found = {}
    for unit, size in units.items():
        share = min(100.0, max(0.001, 100 * SAMPLED_PAGES * PAGE / size)) if size else 100.0
        wanted = ", ".join(_width(row) for row in columns[unit])
        async with owner.transaction():
            await owner.execute("set local app.maintenance = 'on'")
            sampled = await owner.fetchrow(
                f"/* weft:upkeep.widths */ select count(*) as rows, {wanted}"
                f" from {quoted(unit)} tablesample system ({share:.4f}) repeatable (1)"
            )
        if sampled["rows"]:
            found[unit] = {row["name"]: float(sampled[row["name"]]) for row in columns[unit]}
    return found


def _width(column: Any) -> str:
    """What a column takes in its row: a value that lies elsewhere takes 18 bytes, an absent one nothing."""
    name = '"' + column["name"].replace('"', '""') + '"'
    if column["length"] > 0:
        return f"coalesce(avg(case when {name} is null then 0 else {column['length']} end), 0) as {name}"
    size = f"pg_column_size({name})"
    return f"coalesce(avg(case when {name} is null then 0 when {size} > 2000 then 18 else {size} end), 0) as {name}"


async def report(means: Means) -> list[Step]:
    """What is worth knowing. Indexes are the task `reindex`'s; a table needs somebody to decide."""
    return [
        Step(one.index or one.table, _advice(one))
        for one in await estimate(means.owner, means.thresholds)
        if one.is_worth(means.thresholds)
    ]


def _advice(one: Bloat) -> str:
    if one.index is not None:
        return f"{one.sentence()}; the task `reindex` builds it anew"
    advice = f"To have them back, when nothing runs: vacuum full {quoted(one.table)}"
    return f"{one.sentence()}; new rows will use them. {advice}"
