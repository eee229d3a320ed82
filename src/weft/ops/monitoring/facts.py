"""What the database says of itself in a few milliseconds, as the application role may ask: no table of ours is read.

Everything here comes from the server's own counters and catalogue. The server shows a role its own sessions, which are
those of API and workers; a role with `pg_monitor`, or a superuser, sees all of them.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import structlog

from weft.ops.monitoring import runs
from weft.ops.monitoring.runs import Run

if TYPE_CHECKING:
    from weft.db.database import Connection, Database

log = structlog.get_logger("weft.monitoring")

PATIENCE: Final = 5.0
"""Seconds that the database has for all of it."""

_SERVER: Final = """/* weft:monitoring.server */
select pg_database_size(current_database()) as bytes,
       (select age(d.datfrozenxid) from pg_database d where d.datname = current_database()) as xid_age,
       (select coalesce(extract(epoch from clock_timestamp() - min(a.xact_start)), 0)::float from pg_stat_activity a
         where a.datname = current_database() and a.pid <> pg_backend_pid()) as oldest_transaction,
       (select coalesce(extract(epoch from clock_timestamp() - max(a.state_change)), -1)::float
          from pg_stat_activity a where a.datname = current_database()
           and a.application_name = 'weft worker') as worker_silence,
       row_security_active('weft.workflows') as is_row_security_active,
       pg_is_in_recovery() as is_replica,
       current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
         as connections_allowed
"""
_CONNECTIONS: Final = """/* weft:monitoring.connections */
select coalesce(a.state, 'hidden') as state, count(*) as connections from pg_stat_activity a
 where a.datid is not null group by 1
"""
_TABLES: Final = """/* weft:monitoring.tables */
select coalesce(p.relname, s.relname)::text as "table",
       sum(s.n_live_tup)::bigint as live, sum(s.n_dead_tup)::bigint as dead
  from pg_stat_user_tables s
  left join pg_inherits i on i.inhrelid = s.relid
  left join pg_class p on p.oid = i.inhparent
 where s.schemaname = 'weft' group by 1 order by 1
"""
_RUNWAY: Final = """/* weft:monitoring.runway */
select p.relname::text as "table",
       extract(epoch from (max(to_date(right(c.relname, 6), 'YYYYMM')) + interval '1 month') - now())::float / 86400
         as days
  from pg_inherits i join pg_class p on p.oid = i.inhparent join pg_class c on c.oid = i.inhrelid
 where p.relnamespace = 'weft'::regnamespace and p.relkind = 'p' and c.relname ~ '_[0-9]{6}$' group by 1 order by 1
"""
_SLOTS: Final = """/* weft:monitoring.slots */
select s.slot_name::text as slot, s.active, coalesce(s.wal_status, 'unknown') as wal_status,
       coalesce(pg_wal_lsn_diff(
         case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, s.restart_lsn), 0
       )::bigint as lag
  from pg_replication_slots s order by 1
"""
_REVISION: Final = "/* weft:monitoring.revision */ select version_num from weft.alembic_version"
_QUEUE: Final = """/* weft:monitoring.queue */
select state, jobs, greatest(0, extract(epoch from clock_timestamp() - oldest))::float as age from weft.queue_depth()
"""


@dataclass(frozen=True, slots=True)
class Slot:
    """A replication slot, and how many bytes of write-ahead log it holds back."""

    name: str
    is_active: bool
    wal_status: str
    lag: int


@dataclass(frozen=True, slots=True)
class Facts:
    """One look. Times in seconds, sizes in bytes, runway in days."""

    bytes: int
    revision: str | None
    is_row_security_active: bool
    is_replica: bool
    xid_age: int
    oldest_transaction: float
    worker_silence: float | None
    """Seconds since a connected worker last spoke; None when none is connected."""
    connections: dict[str, int]
    connections_allowed: int
    dead_rows: dict[str, int]
    live_rows: dict[str, int]
    runway: dict[str, float]
    slots: tuple[Slot, ...]
    queue: dict[str, tuple[int, float]]
    """By state: how many jobs, and how long the oldest has been due."""
    runs: dict[str, Run] = field(default_factory=dict)


async def look(connection: Connection) -> Facts:
    """Ask everything. Raises what the driver raises."""
    server = await connection.fetchrow(_SERVER)
    connections = await connection.fetch(_CONNECTIONS)
    tables = await connection.fetch(_TABLES)
    runway = await connection.fetch(_RUNWAY)
    slots = await connection.fetch(_SLOTS)
    queue = await connection.fetch(_QUEUE)
    return Facts(
        bytes=server["bytes"],
        revision=await connection.fetchval(_REVISION),
        is_row_security_active=server["is_row_security_active"],
        is_replica=server["is_replica"],
        xid_age=server["xid_age"],
        oldest_transaction=server["oldest_transaction"],
        worker_silence=None if server["worker_silence"] < 0 else server["worker_silence"],
        connections={row["state"]: row["connections"] for row in connections},
        connections_allowed=server["connections_allowed"],
        dead_rows={row["table"]: row["dead"] for row in tables},
        live_rows={row["table"]: row["live"] for row in tables},
        runway={row["table"]: row["days"] for row in runway},
        slots=tuple(Slot(row["slot"], row["active"], row["wal_status"], row["lag"]) for row in slots),
        queue={row["state"]: (row["jobs"], row["age"]) for row in queue},
        runs=await runs.read(connection),
    )


AWAY: Final[tuple[type[Exception], ...]] = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


class Sampler:
    """The facts of one process: asked at most every so many seconds, however often somebody wants them."""

    def __init__(self, database: Database, every: float, *, counter: Any = time.monotonic) -> None:
        self.every = every
        self.facts: Facts | None = None
        """The last look; None when none went well yet."""
        self.is_current = False
        """Whether the last look went well."""
        self.seconds = 0.0
        """How long it took."""
        self.database = database
        self._counter = counter
        self._asked: float | None = None
        self._asking = asyncio.Lock()

    async def fresh(self) -> Facts | None:
        """Facts no older than `every`; None when the database cannot be asked. Never raises for a database away."""
        async with self._asking:
            if self._asked is None or self._counter() - self._asked >= self.every:
                await self._ask()
                self._asked = self._counter()
        return self.facts if self.is_current else None

    async def _ask(self) -> None:
        began = self._counter()
        try:
            async with asyncio.timeout(PATIENCE), self.database.pool.acquire() as connection:
                self.facts = await look(connection)
            self.is_current = True
        except AWAY as error:
            self.is_current = False
            log.warning("the database could not be looked at", reason=type(error).__name__)
        self.seconds = self._counter() - began
