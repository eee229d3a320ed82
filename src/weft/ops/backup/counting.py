"""What a database holds, in numbers that two servers agree on: rows and checksums by table, and the schema's hash.

A checksum is the sum of the hashes of rows as text, so no order changes it and partitions add up. How a value looks as
text depends on settings, which are therefore fixed here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from weft.db import fingerprint
from weft.db.fingerprint import Fingerprint
from weft.ops.backup.errors import NothingToBackUp, RowsHidden
from weft.ops.backup.manifest import Count
from weft.ops.connections import ServerUnreachable, connect, database_of, with_database
from weft.ops.installation import Addresses

if TYPE_CHECKING:
    import asyncpg

TEXT_SETTINGS: Final = (
    "set local timezone = 'UTC'; set local datestyle = 'ISO, MDY'; set local intervalstyle = 'postgres'; "
    "set local bytea_output = 'hex'; set local extra_float_digits = 1; set local search_path = weft, pg_temp; "
    "set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0"
)
"""Also the names in a fingerprint depend on them (`search_path`)."""

SNAPSHOT: Final = "begin isolation level repeatable read read only"

_TABLES: Final = """/* weft:backup.tables */
select c.relname::text as relation, coalesce(p.relname, c.relname)::text as "table"
  from pg_class c
  left join pg_inherits i on i.inhrelid = c.oid
  left join pg_class p on p.oid = i.inhparent
 where c.relnamespace = 'weft'::regnamespace and c.relkind = 'r'
 order by 2, 1
"""
_PARTITIONED: Final = """/* weft:backup.partitioned */
select c.relname::text from pg_class c where c.relnamespace = 'weft'::regnamespace and c.relkind = 'p' order by 1
"""
SUM: Final = "coalesce(sum(hashtextextended((counted.*)::text, 0)::numeric), 0)::text"


@dataclass(frozen=True, slots=True)
class Access:
    """A login that sees every row of every tenant. `as_owner`: by the owner's maintenance policy, not by rank."""

    dsn: str
    as_owner: bool

    @property
    def options(self) -> str:
        """For PostgreSQL's own programs."""
        return "-c app.maintenance=on" if self.as_owner else ""


async def full_access(addresses: Addresses) -> Access:
    """The administrator where row security does not bind it, else the owner, who has a policy for maintenance."""
    if addresses.admin is not None:
        dsn = with_database(addresses.admin, database_of(addresses.app))
        try:
            connection = await connect(dsn, application="weft db backup")
        except ServerUnreachable as error:
            # The administrator who made roles and database need not be let in: the owner is.
            if addresses.owner is None or not error.is_refused:
                raise
            return Access(addresses.owner, as_owner=True)
        try:
            if await connection.fetchval(
                "select rolsuper or (rolbypassrls and pg_has_role('pg_read_all_data', 'usage'))"
                "  from pg_roles where rolname = current_user"
            ):
                return Access(dsn, as_owner=False)
        finally:
            await connection.close()
    return Access(addresses.require_owner(), as_owner=True)


async def open_snapshot(connection: asyncpg.Connection, *, as_owner: bool) -> None:
    """Begin the transaction in which everything is read as of one moment."""
    await connection.execute(f"{SNAPSHOT}; {TEXT_SETTINGS}")
    if as_owner:
        await connection.execute("set local app.maintenance = 'on'")


async def count_tables(
    connection: asyncpg.Connection, told: Callable[[int, int], None] = lambda _done, _total: None
) -> dict[str, Count]:
    """Rows and checksum of every table, read partition by partition as pg_dump does. Raises `RowsHidden`.

    A role from which row security hides rows gets none, and no error: hence the second look, from above.
    """
    relations = [(row["relation"], row["table"]) for row in await connection.fetch(_TABLES)]
    sums: dict[str, tuple[int, int]] = {row[0]: (0, 0) for row in await connection.fetch(_PARTITIONED)}
    partitioned = list(sums)
    for done, (relation, table) in enumerate(relations):
        told(done, len(relations))
        row = await connection.fetchrow(
            f'/* weft:backup.count */ select count(*) as rows, {SUM} as checksum from only weft."{relation}" counted'
        )
        rows, checksum = sums.get(table, (0, 0))
        sums[table] = (rows + row["rows"], checksum + int(row["checksum"]))
    told(len(relations), len(relations))
    for table in partitioned:
        there = await connection.fetchval(f'/* weft:backup.whole */ select count(*) from weft."{table}"')
        if there != sums[table][0]:
            raise RowsHidden(table, sums[table][0], there)
    if not sums.get("permissions", (0, 0))[0]:
        raise RowsHidden("permissions", 0, 1)  # the migration fills it: it is never empty
    return {table: Count(rows, str(checksum)) for table, (rows, checksum) in sorted(sums.items())}


def differing(expected: Mapping[str, Count], found: Mapping[str, Count]) -> list[str]:
    """What does not agree, a sentence each."""
    said = []
    for table in sorted(expected.keys() | found.keys()):
        was, is_ = expected.get(table), found.get(table)
        if was is None or is_ is None:
            said.append(f"the table {table} is {'missing' if is_ is None else 'not in the backup'}")
        elif was.rows != is_.rows:
            said.append(f"{table} has {is_.rows} rows and should have {was.rows}")
        elif was.checksum != is_.checksum:
            said.append(f"rows of {table} differ")
    return said


def hash_of(found: Fingerprint) -> str:
    """One value for a whole schema. Roles and their like are in no dump: `weft.ops.roles` makes them."""
    lines = sorted([kind, name, facts] for (kind, name), facts in fingerprint.without_server(found).items())
    return sha256(json.dumps(lines, ensure_ascii=False).encode()).hexdigest()


async def schema_of(connection: asyncpg.Connection) -> tuple[str, str | None]:
    """The schema's hash and its revision. Raises `NothingToBackUp`."""
    if await connection.fetchval("select to_regclass('weft.alembic_version')") is None:
        raise NothingToBackUp(await connection.fetchval("select current_database()"))
    revision: Any = await connection.fetchval("select version_num from weft.alembic_version")
    if revision is None:  # every revision was taken back
        raise NothingToBackUp(await connection.fetchval("select current_database()"))
    return hash_of(await fingerprint.take(connection)), revision
