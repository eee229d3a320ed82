"""What a migration would do, before it does it: revisions, statements with their locks, findings, sizes, obstacles."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from weft.core.errors import WeftError
from weft.db import data_definitions
from weft.db.history import version_number
from weft.db.migrate import Options
from weft.db.revisions import Chain, Revision
from weft.ops.connections import TableHeld, connect, reading
from weft.ops.migrating.instances import Instance, listed
from weft.ops.migrating.locks import Taken, is_bookkeeping, taken
from weft.ops.schema.lint import Finding, LinterMissing, review
from weft.ops.schema.script import statements

MOST_SHOWN = 30
"""Statements of one revision that people are shown; `--sql` and `--json` have all of them."""

_SIZES = """
select c.relname::text,
       (select coalesce(sum(greatest(p.reltuples, 0)), 0) from pg_class p
         where (p.oid = c.oid and p.relkind <> 'p')
            or p.oid in (select inhrelid from pg_inherits where inhparent = c.oid))::bigint,
       pg_total_relation_size(c.oid) + coalesce((select sum(pg_total_relation_size(inhrelid)) from pg_inherits
                                                  where inhparent = c.oid), 0)::bigint
  from pg_class c where c.relnamespace = to_regnamespace('weft') and c.relname = any($1::text[])"""

_SIZES_NOTED = re.sub(
    r"pg_total_relation_size\((.+?)\)",
    r"""(select coalesce(sum(greatest(s.relpages, 0)), 0) * 8192
         from pg_class s where s.oid = \1 or s.oid in (select indexrelid from pg_index where indrelid = \1))""",
    _SIZES,
)
"""As the last vacuum noted them: measuring wants a lock, and somebody may hold the table for themselves."""


@dataclass(frozen=True, slots=True)
class Step:
    """One statement of a revision."""

    sql: str
    locks: tuple[Taken, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "sql": self.sql,
            "locks": [{"table": t.table, "lock": t.lock.value, "new": t.new} for t in self.locks],
        }


@dataclass(frozen=True, slots=True)
class Size:
    """A table as the server estimates it, its partitions included."""

    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class PlannedRevision:
    """`problem` says why its SQL cannot be shown, when it looks at the database to know what to do."""

    revision: Revision
    steps: tuple[Step, ...]
    findings: tuple[Finding, ...]
    limit: float
    problem: str | None = None

    def as_json(self) -> dict[str, Any]:
        r = self.revision
        return {
            "revision": r.id,
            "title": r.title,
            "kind": r.kind,
            "needs": r.needs,
            "requires_data": list(r.requires_data),
            "concurrently": r.concurrently,
            "statement_seconds": self.limit,
            "statements": [step.as_json() for step in self.steps],
            "findings": [finding.as_json() for finding in self.findings],
            "problem": self.problem,
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """`obstacles` are what would refuse it now, in words; `clear_to` is the last revision before the first of them."""

    at: str | None
    target: str
    revisions: tuple[PlannedRevision, ...]
    sizes: dict[str, Size] = field(default_factory=dict)
    obstacles: tuple[str, ...] = ()
    clear_to: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "at": self.at,
            "target": self.target,
            "revisions": [planned.as_json() for planned in self.revisions],
            "tables": {name: {"rows": s.rows, "bytes": s.bytes} for name, s in self.sizes.items()},
            "obstacles": list(self.obstacles),
            "clear_to": self.clear_to,
        }


async def make(dsn: str, target: str, directories: Sequence[Path] = (), options: Options | None = None) -> Plan:
    """The plan for the database as it is now. Changes nothing. Raises `RevisionUnknown`."""
    from weft.db import migrate

    chain, options = Chain(directories), options or Options()
    at = await migrate.current(dsn)
    pending = chain.upwards(at, target)
    new: set[str] = set()
    planned = await asyncio.to_thread(lambda: [_planned(chain, revision, options, new) for revision in pending])
    touched = {t.table for p in planned for step in p.steps for t in step.locks if not t.new}
    connection = await connect(dsn, application="weft db migrate")
    try:
        sizes = await _sizes(connection, sorted(touched))
        obstacles = await _obstacles(connection, pending, directories) if at is not None else []
    finally:
        await connection.close()
    hindered = {revision for revision, _ in obstacles}
    clear = list(itertools.takewhile(lambda revision: revision.id not in hindered, pending))
    said = tuple(sentence for _, sentence in obstacles)
    return Plan(at, target, tuple(planned), sizes, said, clear[-1].id if clear and obstacles else None)


async def _sizes(connection: asyncpg.Connection, tables: list[str]) -> dict[str, Size]:
    try:
        async with reading(connection):
            rows = await connection.fetch(_SIZES, tables)
    except TableHeld:
        rows = await connection.fetch(_SIZES_NOTED, tables)
    return {row[0]: Size(row[1], int(row[2])) for row in rows}


def _planned(chain: Chain, revision: Revision, options: Options, new: set[str]) -> PlannedRevision:
    limit = options.statement_limit(revision)
    try:
        sql = chain.sql(revision)
    except WeftError:
        raise
    except Exception as error:  # whatever a revision's own code raises when there is no database to look at
        return PlannedRevision(revision, (), (), limit, f"{type(error).__name__}: {error}")
    steps = tuple(
        Step(statement.text, tuple(locks))
        for statement, locks in taken(list(statements(sql)), new)
        if not is_bookkeeping(statement.plain())
    )
    problem = None
    found: list[Finding] = []
    try:
        # The first revision makes everything anew: what would be said of it is said by its own tests.
        found = [] if revision.before is None else review(sql)
    except LinterMissing as error:
        problem = error.message
    return PlannedRevision(revision, steps, tuple(found), limit, problem)


async def _obstacles(
    connection: asyncpg.Connection, pending: Sequence[Revision], directories: Sequence[Path]
) -> list[tuple[str, str]]:
    """What the checks before each revision would refuse, as far as it can be known before the first is applied."""
    found = []
    contracts = [revision for revision in pending if revision.needs is not None]
    if contracts:
        live = [one for one in await listed(connection) if one.is_live]
        found += [(revision.id, sentence) for revision in contracts for sentence in _too_old(revision, live)]
    known = data_definitions.load(directories) if any(r.requires_data for r in pending) else {}
    ahead = {revision.id for revision in pending}
    for revision in pending:
        for name in revision.requires_data:
            if name not in known:
                found.append((revision.id, f"{revision.id} needs the data migration '{name}', which is not here"))
            elif known[name].after not in ahead and (left := await _left(connection, known[name])):
                sentence = f"{revision.id} needs the data migration '{name}', which has {left} rows left"
                found.append((revision.id, sentence))
    return found


def _too_old(revision: Revision, live: Sequence[Instance]) -> list[str]:
    return [
        f"{revision.id} needs weft {revision.needs}, and the {one.kind} on {one.host} is {one.version}"
        for one in live
        if version_number(one.version) < version_number(revision.needs or "")
    ]


async def _left(connection: asyncpg.Connection, migration: data_definitions.DataMigration) -> int:
    async with connection.transaction():
        await connection.execute("set local app.maintenance = 'on'")
        try:
            return sum(row[1] for row in await connection.fetch(migration.pending))
        except asyncpg.UndefinedColumnError:
            return 0  # its column comes with a revision that is not applied yet
