"""Advice about indexes, from the catalogue and the server's counters. Each piece names its reason and its remedy.

Unindexed references make every deletion of a parent read the whole child; duplicate and unused indexes cost every
write and give nothing; an invalid one costs the same and is never read; a large table that is read whole again and
again lacks one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from weft.ops.upkeep.tasks import megabytes

if TYPE_CHECKING:
    from weft.db.database import Connection


@dataclass(frozen=True, slots=True)
class Limits:
    """From when on a table is large, and for how long the counters must have counted."""

    rows: int = 10_000
    whole_reads: int = 10
    unused_bytes: int = 1_000_000
    unused_for: timedelta = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Advice:
    """`kind`: unindexed reference, invalid, duplicate, covered, unused, or read whole."""

    kind: str
    table: str
    index: str | None
    sentence: str
    remedy: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


_REFERENCES: Final = """/* weft:advice.references */
select t.relname::text as "table", k.conname::text as name, t.relkind = 'p' as is_partitioned,
       (select string_agg(quote_ident(a.attname), ', ' order by n.place)
          from unnest(k.conkey) with ordinality n (column_, place)
          join pg_attribute a on a.attrelid = k.conrelid and a.attnum = n.column_) as columns,
       p.relname::text as parent
  from pg_constraint k join pg_class t on t.oid = k.conrelid join pg_class p on p.oid = k.confrelid
 where k.contype = 'f' and t.relnamespace = 'weft'::regnamespace and k.conparentid = 0 and not t.relispartition
   and p.relname not in ('tenants', 'permissions') -- nothing is ever deleted from these
   and not exists (select from pg_index i where i.indrelid = k.conrelid and i.indisvalid
                    and (i.indkey::int2[])[0:array_length(k.conkey, 1) - 1] @> k.conkey)
 order by 1, 2
"""
_INVALID: Final = """/* weft:advice.invalid */
select x.relname::text as index, t.relname::text as "table"
  from pg_index i join pg_class x on x.oid = i.indexrelid join pg_class t on t.oid = i.indrelid
 where x.relnamespace = 'weft'::regnamespace and x.relkind = 'i' and not i.indisvalid order by 1
"""
_SHAPES: Final = """
select i.indexrelid, i.indrelid, i.indisunique, x.relname::text as index, t.relname::text as "table",
       pg_relation_size(x.oid) as bytes, string_to_array(i.indkey::text, ' ') as keys,
       string_to_array(i.indclass::text, ' ') as classes, string_to_array(i.indoption::text, ' ') as options,
       coalesce(pg_get_expr(i.indexprs, i.indrelid), '') as expressions, x.relam,
       coalesce(pg_get_expr(i.indpred, i.indrelid), '') as predicate, i.indnkeyatts, i.indnatts,
       exists (select from pg_constraint k where k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x'))
         as is_constraint
  from pg_index i join pg_class x on x.oid = i.indexrelid join pg_class t on t.oid = i.indrelid
 where x.relnamespace = 'weft'::regnamespace and not t.relispartition and i.indisvalid
"""
_DUPLICATES: Final = f"""/* weft:advice.duplicates */
with shapes as ({_SHAPES})
select a.index, a."table", b.index as other, a.bytes, cardinality(a.keys) = cardinality(b.keys) as is_same
  from shapes a join shapes b on b.indrelid = a.indrelid and b.indexrelid <> a.indexrelid and b.relam = a.relam
   and b.expressions = a.expressions and b.predicate = a.predicate and a.expressions = ''
   and a.indnatts = a.indnkeyatts and b.keys[1:cardinality(a.keys)] = a.keys
   and b.indnkeyatts >= cardinality(a.keys)
   and b.classes[1:cardinality(a.classes)] = a.classes and b.options[1:cardinality(a.options)] = a.options
 where not a.is_constraint and not a.indisunique
   and (cardinality(b.keys) > cardinality(a.keys) or b.is_constraint or b.indisunique or b.indexrelid < a.indexrelid)
 order by a.index, b.index
"""
_UNUSED: Final = f"""/* weft:advice.unused */
with shapes as ({_SHAPES}), used as (
  select coalesce(h.inhparent, s.indexrelid) as indexrelid, sum(s.idx_scan) as scans,
         sum(pg_relation_size(s.indexrelid)) as bytes
    from pg_stat_user_indexes s left join pg_inherits h on h.inhrelid = s.indexrelid group by 1)
select a.index, a."table", u.bytes::bigint as bytes from shapes a join used u on u.indexrelid = a.indexrelid
 where u.scans = 0 and not a.indisunique and not a.is_constraint and u.bytes >= $1
   and not exists (select from pg_constraint k where k.contype = 'f' and k.conrelid = a.indrelid
                    and a.keys[1:cardinality(k.conkey)]::int2[] @> k.conkey)
   and (select coalesce(d.stats_reset, pg_postmaster_start_time()) from pg_stat_database d
         where d.datname = current_database()) < clock_timestamp() - $2::interval
 order by 3 desc, 1
"""
_WHOLE: Final = """/* weft:advice.whole_reads */
select coalesce(p.relname, s.relname)::text as "table", sum(s.seq_scan)::bigint as reads,
       sum(s.seq_tup_read)::bigint as rows_read, sum(s.n_live_tup)::bigint as rows
  from pg_stat_user_tables s
  left join pg_inherits i on i.inhrelid = s.relid
  left join pg_class p on p.oid = i.inhparent
 where s.schemaname = 'weft' group by 1
having sum(s.n_live_tup) >= $1 and sum(s.seq_scan) >= $2 and sum(s.seq_tup_read) >= sum(s.n_live_tup) * $2 / 2
 order by 3 desc, 1
"""


async def advise(connection: Connection, limits: Limits = Limits()) -> list[Advice]:
    """All that is to be said, the surest first. Any role that may read the catalogue will do."""
    return [
        *[_reference(row) for row in await connection.fetch(_REFERENCES)],
        *[_invalid(row) for row in await connection.fetch(_INVALID)],
        *_duplicates(await connection.fetch(_DUPLICATES)),
        *[_unused(row) for row in await connection.fetch(_UNUSED, limits.unused_bytes, limits.unused_for)],
        *[_whole(row) for row in await connection.fetch(_WHOLE, limits.rows, limits.whole_reads)],
    ]


def _reference(row: Any) -> Advice:
    how = "" if row["is_partitioned"] else " concurrently"
    return Advice(
        "unindexed reference",
        row["table"],
        None,
        f"{row['name']} has no index: whatever deletes from {row['parent']} reads all of {row['table']}.",
        f"create index{how} on weft.{row['table']} ({row['columns']})",
    )


def _invalid(row: Any) -> Advice:
    sentence = f"{row['index']} is invalid: every write keeps it, no query uses it."
    return Advice("invalid", row["table"], row["index"], sentence, "weft db maintain --task reindex")


def _duplicates(rows: list[Any]) -> list[Advice]:
    """One piece for each index, however many others do its work."""
    found: dict[str, Advice] = {}
    for row in sorted(rows, key=lambda row: not row["is_same"]):
        index, other = row["index"], row["other"]
        if row["is_same"]:
            kind, sentence = "duplicate", f"{index} has the same columns as {other}"
        else:
            kind, sentence = "covered", f"{other} begins with the columns of {index} and can do its work"
        sentence += f"; it takes {megabytes(row['bytes'])}."
        remedy = f"drop index concurrently weft.{index}"
        found.setdefault(index, Advice(kind, row["table"], index, sentence, remedy))
    return list(found.values())


def _unused(row: Any) -> Advice:
    sentence = f"{row['index']} takes {megabytes(row['bytes'])}, and no query has used it since the counters began."
    advice = f"look whether a rare task or a replica uses it, then: drop index concurrently weft.{row['index']}"
    return Advice("unused", row["table"], row["index"], sentence, advice)


def _whole(row: Any) -> Advice:
    sentence = f"{row['table']} ({row['rows']:,} rows) was read whole {row['reads']:,} times."
    return Advice(
        "read whole", row["table"], None, sentence, "weft db slow, and --explain for the statement that does it"
    )
