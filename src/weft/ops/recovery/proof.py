"""Is what was restored really the database? Revision, row security, catalogue, and every table read from its disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from weft.core.errors import Conflict
from weft.db import migrate
from weft.ops import preflight
from weft.ops.connections import ServerUnreachable, connect
from weft.ops.postgres import ConnectionFacts
from weft.ops.postgres_files import SUPERUSER
from weft.ops.recovery.segments import lsn
from weft.ops.roles import APP

if TYPE_CHECKING:
    import asyncpg

TABLES = """
select 'weft.' || quote_ident(c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where n.nspname = 'weft' and c.relkind in ('r', 'p') and not c.relispartition order by 1"""
_SAME_TEXT = (
    "set timezone = 'UTC'; set datestyle = 'ISO, YMD'; set intervalstyle = 'postgres'; set bytea_output = 'hex';"
    " set extra_float_digits = 1"
)
"""A row's text depends on these, and its checksum on its text."""


class ProofFailed(Conflict):
    code = "restore_proof_failed"

    def __init__(self, fact: str) -> None:
        super().__init__(f"What was restored is not a database of weft: {fact}")


@dataclass(frozen=True, slots=True)
class TableSum:
    """A table's rows, and a checksum over all of them in any order."""

    rows: int
    checksum: str


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found in a restored database."""

    revision: str | None
    server_version: str
    last_commit: datetime | None
    replayed: int
    """Where the replay of the log ended."""
    warnings: list[str]
    tables: dict[str, TableSum] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables.values())

    def as_json(self) -> dict[str, Any]:
        facts = asdict(self) | {"rows": self.rows}
        return facts | {"last_commit": self.last_commit.isoformat() if self.last_commit else None}


async def prove(facts: ConnectionFacts, database: str) -> Proof:
    """Look at a server that believes everybody. Raises `ProofFailed`."""
    superuser = await superuser_of(facts)
    try:
        connection = await connect(facts.dsn(superuser, None, database), application="weft proof")
    except ServerUnreachable as error:
        if not error.is_missing:
            raise
        raise ProofFailed(
            f"the cluster has no database '{database}'. Name its own: `weft db wal restore --database NAME`."
        ) from error
    try:
        if await connection.fetchval("select pg_is_in_recovery()"):
            raise ProofFailed("it is still recovering.")
        version = await connection.fetchval("show server_version")
        replayed = lsn(await connection.fetchval("select coalesce(pg_last_wal_replay_lsn(), '0/0')::text"))
        tables = await sums(connection)
        last = (
            await connection.fetchval("select timestamp from pg_last_committed_xact()")
            if (await connection.fetchval("show track_commit_timestamp") == "on")
            else None
        )
    finally:
        await connection.close()
    if not tables:
        raise ProofFailed("it has none of weft's tables. Name the database with --database if it is called otherwise.")
    revision = await migrate.current(facts.dsn(APP, None, database))
    findings = await preflight.check(facts.dsn(APP, None, database))
    # A schema of another version is what an old moment has; unsafe roles or missing row security are not.
    grave = [one for one in findings if not one.warning and not one.code.startswith("schema_")]
    if grave:
        raise ProofFailed(grave[0].sentence)
    return Proof(revision, version, last, replayed, [one.sentence for one in findings], tables)


async def sums(connection: asyncpg.Connection) -> dict[str, TableSum]:
    """Every table of weft, read whole, as somebody whom row security does not bind."""
    await connection.execute(_SAME_TEXT)
    found: dict[str, TableSum] = {}
    for row in await connection.fetch(TABLES):
        count, checksum = await connection.fetchrow(
            f"select count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text from {row[0]} t"
        )
        found[row[0]] = TableSum(count, checksum)
    return found


def differences(before: Mapping[str, TableSum], after: Mapping[str, TableSum]) -> list[str]:
    """Tables that are not the same, in words."""
    said = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if old is None or new is None:
            said.append(f"{name} is {'new' if old is None else 'missing'}")
        elif old.rows != new.rows:
            said.append(f"{name} has {new.rows} rows instead of {old.rows}")
        else:
            said.append(f"{name} has other content in its {new.rows} rows")
    return said


async def superuser_of(facts: ConnectionFacts) -> str:
    """The bootstrap superuser of the cluster, whatever it is called; a server of ours believes any name."""
    try:
        connection = await connect(facts.dsn(SUPERUSER, None, "postgres"))
    except Exception:
        return SUPERUSER
    try:
        name: str = await connection.fetchval("select rolname from pg_roles where oid = 10")
    finally:
        await connection.close()
    return name
