"""`weft db stats`: how large the database is, how it is used, and what holds it up."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from weft.db.measure import label_of
from weft.ops.connections import connect, reading
from weft.ops.insight import widest
from weft.ops.installation import Addresses
from weft.ops.monitoring import facts

if TYPE_CHECKING:
    from weft.db.database import Connection

_SERVER: Final = """/* weft:insight.server */
select current_setting('server_version') as version, current_database() as name,
       pg_database_size(current_database()) as bytes, pg_postmaster_start_time() as started_at,
       coalesce(d.stats_reset, pg_postmaster_start_time()) as counted_since, d.deadlocks, d.temp_bytes,
       d.xact_commit as commits, d.xact_rollback as rollbacks
  from pg_stat_database d where d.datname = current_database()
"""
_TABLES: Final = """/* weft:insight.tables */
select coalesce(p.relname, c.relname)::text as "table", count(*) filter (where i.inhrelid is not null) as partitions,
       sum(greatest(c.reltuples, s.n_live_tup, 0))::bigint as rows, sum(s.n_dead_tup)::bigint as dead_rows,
       sum(pg_table_size(c.oid))::bigint as bytes, sum(pg_indexes_size(c.oid))::bigint as index_bytes,
       sum(s.seq_scan)::bigint as whole_reads, sum(coalesce(s.idx_scan, 0))::bigint as index_reads,
       min(greatest(s.last_vacuum, s.last_autovacuum)) as vacuumed_at,
       min(greatest(s.last_analyze, s.last_autoanalyze)) as analyzed_at
  from pg_class c
  join pg_stat_user_tables s on s.relid = c.oid
  left join pg_inherits i on i.inhrelid = c.oid
  left join pg_class p on p.oid = i.inhparent
 where c.relnamespace = 'weft'::regnamespace and c.relkind = 'r'
 group by 1 order by sum(pg_total_relation_size(c.oid)) desc, 1
"""
_INDEXES: Final = """/* weft:insight.indexes */
select x.relname::text as index, t.relname::text as "table", pg_relation_size(x.oid)::bigint as bytes,
       coalesce(s.idx_scan, 0)::bigint as scans, i.indisvalid as is_valid, i.indisunique as is_unique
  from pg_index i
  join pg_class x on x.oid = i.indexrelid
  join pg_class t on t.oid = i.indrelid
  left join pg_stat_user_indexes s on s.indexrelid = x.oid
 where x.relnamespace = 'weft'::regnamespace and x.relkind = 'i' order by 3 desc, 1
"""
_CACHE: Final = """/* weft:insight.cache */
select sum(hits)::float8 as hits, sum(reads)::float8 as reads from pg_stat_io
 where object = 'relation' and backend_type = 'client backend'
"""
_CACHE_BEFORE_16: Final = """/* weft:insight.cache */
select sum(heap_blks_hit + coalesce(idx_blks_hit, 0))::float8 as hits,
       sum(heap_blks_read + coalesce(idx_blks_read, 0))::float8 as reads from pg_statio_user_tables
"""
_TRANSACTIONS: Final = """/* weft:insight.transactions */
select a.pid, a.usename::text as role, a.application_name as application, a.state,
       extract(epoch from clock_timestamp() - a.xact_start)::float8 as seconds, a.wait_event_type as waits_for, a.query
  from pg_stat_activity a
 where a.datname = current_database() and a.xact_start is not null and a.pid <> pg_backend_pid()
 order by a.xact_start limit 5
"""
_CONNECTIONS: Final = """/* weft:insight.connections */
select a.application_name as application, coalesce(a.state, 'hidden') as state, count(*) as connections
  from pg_stat_activity a where a.datname = current_database() group by 1, 2 order by 3 desc, 1, 2
"""


async def stats(addresses: Addresses) -> dict[str, Any]:
    """Everything, as JSON has it. Asked as the role that sees most; counters are the server's, rows its estimate."""
    application = await connect(addresses.app, application="weft db stats")
    try:
        seen = await facts.look(application)
    finally:
        await application.close()
    connection = await connect(widest(addresses), application="weft db stats")
    try:
        server = dict(await connection.fetchrow(_SERVER))
        return {
            "server": server,
            "cache_hit_ratio": await _cache(connection),
            "xid_age": seen.xid_age,
            "transactions": [_transaction(row) for row in await connection.fetch(_TRANSACTIONS)],
            "connections_allowed": seen.connections_allowed,
            "connections": [dict(row) for row in await connection.fetch(_CONNECTIONS)],
            "slots": [asdict(slot) for slot in seen.slots],
            "partition_runway_days": {table: round(days, 1) for table, days in seen.runway.items()},
            "queue": {
                state: {"jobs": jobs, "oldest_seconds": round(age, 1)} for state, (jobs, age) in seen.queue.items()
            },
            **await _sizes(connection),
        }
    finally:
        await connection.close()


async def _sizes(connection: Connection) -> dict[str, Any]:
    async with reading(connection):
        return {
            "tables": [dict(row) for row in await connection.fetch(_TABLES)],
            "indexes": [dict(row) for row in await connection.fetch(_INDEXES)],
        }


async def _cache(connection: Connection) -> float | None:
    """The share of pages that were found in memory; None before anything was read."""
    query = _CACHE if connection.get_server_version().major >= 16 else _CACHE_BEFORE_16
    row = await connection.fetchrow(query)
    total = (row["hits"] or 0) + (row["reads"] or 0)
    return round(row["hits"] / total, 4) if total else None


def _transaction(row: Any) -> dict[str, Any]:
    """Without the text of its statement, which may hold what somebody typed: its label says what it is."""
    found = dict(row)
    found["statement"] = label_of(found.pop("query") or "")
    found["seconds"] = round(found["seconds"], 3)
    return found
