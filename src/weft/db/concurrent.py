"""Revisions that build or drop an index while everybody goes on working: each statement alone, outside a transaction.

Such a revision does nothing else, and can be run again after it failed half-way: what stands there is left alone, and
an index that a failed attempt left invalid is dropped first. PostgreSQL builds no index of a partitioned table in this
way; here it is built on each partition, and the table's own becomes valid when all of them are there.

An index that is being built is never believed: a statement that cannot be read is refused before anything runs, and
afterwards the index must be there, of this table, and valid.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from weft.core.errors import Conflict, Invalid
from weft.db.script import Statement, statements

_NAME = r'"(?:[^"]|"")+"|[^\W\d][\w$]*'
_BUILDS = re.compile(r"create\s+(?:unique\s+)?index\s+concurrently\b", re.IGNORECASE)
_CREATES = re.compile(
    rf"create\s+(?P<unique>unique\s+)?index\s+concurrently\s+(?:if\s+not\s+exists\s+)?(?P<name>{_NAME})"
    rf"\s*\bon\s+(?:only\s+)?(?P<table>(?:(?:{_NAME})\s*\.\s*)?(?:{_NAME}))\s*(?P<rest>(?:\(|using\b).*)",
    re.IGNORECASE | re.DOTALL,
)
_FOLDED: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_LONGEST_NAME: Final = 63

_TABLE = """
select c.oid, n.nspname::text as schema, c.relname::text as name, c.relkind = 'p' as is_partitioned
  from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = to_regclass($1)
 /* weft:concurrent.table */"""

_IS_VALID = """
select i.indisvalid from pg_index i where i.indexrelid = to_regclass($1) and i.indrelid = $2
 /* weft:concurrent.is_valid */"""

_WITHOUT_IT = """
select c.oid, n.nspname::text as schema, c.relname::text as name, c.relkind = 'p' as is_partitioned
  from pg_inherits h join pg_class c on c.oid = h.inhrelid join pg_namespace n on n.oid = c.relnamespace
 where h.inhparent = $1
   and not exists (select from pg_index i join pg_inherits a on a.inhrelid = i.indexrelid
                    where i.indrelid = c.oid and a.inhparent = to_regclass($2))
 order by 3 /* weft:concurrent.partitions */"""


class IndexNotUnderstood(Invalid):
    code = "index_not_understood"

    def __init__(self, statement: Statement) -> None:
        super().__init__(
            f"This builds an index in a form that weft cannot repeat after a failure: {statement.plain()!r}. Nothing "
            "was run. Write: create [unique] index concurrently if not exists NAME on TABLE (COLUMNS)."
        )


class IndexNotValid(Conflict):
    code = "index_not_valid"

    def __init__(self, index: str, table: str) -> None:
        super().__init__(
            f"{index} was to be built, and is not a valid index of {table}. Look what has that name, drop or rename "
            "it, and run the command again."
        )


@dataclass(frozen=True, slots=True)
class _Table:
    oid: int
    schema: str
    name: str
    is_partitioned: bool

    def beside(self, name: str) -> str:
        """The quoted name of something in the table's schema."""
        return f"{_quoted(self.schema)}.{_quoted(name)}"


def run_concurrently(sql: str) -> None:
    """Run (or print) the statements of a revision, one after the other, each in a transaction of its own."""
    from alembic import op

    _understood(sql)
    context = op.get_context()
    with context.autocommit_block():
        if context.as_sql:
            context.impl.static_output(sql.rstrip().removesuffix(";") + ";")
            return
        connection: Any = op.get_bind().connection.dbapi_connection
        connection.run_async(lambda raw: execute(raw, sql))


async def execute(raw: Any, sql: str) -> None:
    """The same on a connection of the driver, outside a transaction.

    Raises `IndexNotUnderstood` before anything is run, and `IndexNotValid`.
    """
    for statement, match in _understood(sql):
        row = None if match is None else await raw.fetchrow(_TABLE, match["table"])
        if match is None or row is None:
            await raw.execute(statement.text)  # without its table, PostgreSQL says so
        elif (table := _Table(*row)).is_partitioned:
            await _on_partitions(raw, table, match)
        else:
            await _create(raw, table, _folded(match["name"]), statement.text)


def _understood(sql: str) -> Sequence[tuple[Statement, re.Match[str] | None]]:
    """Every statement, with what it says when it builds an index."""
    found = []
    for statement in statements(sql):
        bare = statement.bare()
        match = _CREATES.fullmatch(bare)
        if match is None and _BUILDS.match(bare):
            raise IndexNotUnderstood(statement)
        found.append((statement, match))
    return found


async def _create(raw: Any, table: _Table, name: str, statement: str) -> None:
    index = table.beside(name)
    if await raw.fetchval(_IS_VALID, index, table.oid) is False:
        await raw.execute(f"drop index concurrently {index}")
    await raw.execute(statement)
    await _require_valid(raw, table, name)


async def _on_partitions(raw: Any, table: _Table, match: re.Match[str]) -> None:
    """Partitions that are made meanwhile have it from the beginning, because the table's own index is there first."""
    name, unique, rest = _folded(match["name"]), match["unique"] or "", match["rest"]
    whole, place = table.beside(name), table.beside(table.name)
    await raw.execute(f"create {unique}index if not exists {_quoted(name)} on only {place} {rest}")
    for row in await raw.fetch(_WITHOUT_IT, table.oid, whole):
        partition = _Table(*row)
        part = _cut(f"{partition.name}_{name.removeprefix(f'{table.name}_')}")
        on = partition.beside(partition.name)
        await _create(
            raw, partition, part, f"create {unique}index concurrently if not exists {_quoted(part)} on {on} {rest}"
        )
        await raw.execute(f"alter index {whole} attach partition {partition.beside(part)}")
    await _require_valid(raw, table, name)


async def _require_valid(raw: Any, table: _Table, name: str) -> None:
    if not await raw.fetchval(_IS_VALID, table.beside(name), table.oid):
        raise IndexNotValid(name, f"{table.schema}.{table.name}")


def _folded(name: str) -> str:
    """The name that PostgreSQL gives to what is written so."""
    return _cut(name[1:-1].replace('""', '"') if name.startswith('"') else name.translate(_FOLDED))


def _cut(name: str) -> str:
    return name.encode()[:_LONGEST_NAME].decode(errors="ignore")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
