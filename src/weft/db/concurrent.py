"""Revisions that build or drop an index while everybody goes on working: each statement alone, outside a transaction.

Such a revision does nothing else, and can be run again after it failed half-way: what stands there is left alone, and
an index that a failed attempt left invalid is dropped first. PostgreSQL builds no index of a partitioned table in this
way; here it is built on each partition, and the table's own becomes valid when all of them are there.
"""

from __future__ import annotations

import re
from typing import Any

from weft.db.base import SCHEMA
from weft.db.script import statements

_CREATES = re.compile(
    r"create (?P<unique>unique )?index concurrently (?:if not exists )?\"?(?P<name>\w+)\"?"
    r" on (?:\w+\.)?\"?(?P<table>\w+)\"? (?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_LONGEST_NAME = 63

_INVALID = """
select not i.indisvalid from pg_index i join pg_class c on c.oid = i.indexrelid
 where c.relnamespace = $1::regnamespace and c.relname = $2 /* weft:concurrent.invalid */"""

_PARTITIONED = """
select c.relkind = 'p' from pg_class c
 where c.relnamespace = $1::regnamespace and c.relname = $2 /* weft:concurrent.partitioned */"""

_WITHOUT_IT = """
select c.relname::text from pg_inherits h join pg_class c on c.oid = h.inhrelid join pg_class p on p.oid = h.inhparent
 where p.relnamespace = $1::regnamespace and p.relname = $2
   and not exists (select from pg_index i join pg_inherits a on a.inhrelid = i.indexrelid
                     join pg_class x on x.oid = a.inhparent
                    where i.indrelid = c.oid and x.relname = $3 and x.relnamespace = p.relnamespace)
 order by 1 /* weft:concurrent.partitions */"""


def run_concurrently(sql: str) -> None:
    """Run (or print) the statements of a revision, one after the other, each in a transaction of its own."""
    from alembic import op

    context = op.get_context()
    with context.autocommit_block():
        if context.as_sql:
            context.impl.static_output(sql.rstrip().removesuffix(";") + ";")
            return
        connection: Any = op.get_bind().connection.dbapi_connection
        connection.run_async(lambda raw: execute(raw, sql))


async def execute(raw: Any, sql: str) -> None:
    """The same on a connection of the driver, outside a transaction."""
    for statement in statements(sql):
        match = _CREATES.match(statement.text)
        if match is None:
            await raw.execute(statement.text)
        elif await raw.fetchval(_PARTITIONED, SCHEMA, match["table"]):
            await _on_partitions(raw, match)
        else:
            await _create(raw, match["name"], statement.text)


async def _create(raw: Any, name: str, statement: str) -> None:
    if await raw.fetchval(_INVALID, SCHEMA, name):
        await raw.execute(f'drop index concurrently {SCHEMA}."{name}"')
    await raw.execute(statement)


async def _on_partitions(raw: Any, match: re.Match[str]) -> None:
    """Partitions that are made meanwhile have it from the beginning, because the table's own index is there first."""
    name, table, unique, rest = match["name"], match["table"], match["unique"] or "", match["rest"]
    await raw.execute(f'create {unique}index if not exists "{name}" on only {SCHEMA}."{table}" {rest}')
    for (partition,) in await raw.fetch(_WITHOUT_IT, SCHEMA, table, name):
        part = f"{partition}_{name.removeprefix(f'{table}_')}"[:_LONGEST_NAME]
        await _create(
            raw, part, f'create {unique}index concurrently if not exists "{part}" on {SCHEMA}."{partition}" {rest}'
        )
        await raw.execute(f'alter index {SCHEMA}."{name}" attach partition {SCHEMA}."{part}"')
