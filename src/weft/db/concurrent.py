"""Revisions that build or drop an index while everybody goes on working: each statement alone, outside a transaction.

Such a revision does nothing else, and can be run again after it failed half-way: what stands there is left alone, and
an index that a failed attempt left invalid is dropped first.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from weft.db.base import SCHEMA
from weft.db.script import statements

if TYPE_CHECKING:
    from sqlalchemy import Connection

_CREATES = re.compile(r"create (?:unique )?index concurrently (?:if not exists )?\"?(?P<name>\w+)\"?", re.IGNORECASE)
_INVALID = """
select not i.indisvalid from pg_index i join pg_class c on c.oid = i.indexrelid
 where c.relnamespace = $1::regnamespace and c.relname = $2"""


def run_concurrently(sql: str) -> None:
    """Run (or print) the statements of a revision, one after the other, each in a transaction of its own."""
    from alembic import op

    context = op.get_context()
    with context.autocommit_block():
        if context.as_sql:
            context.impl.static_output(sql)
            return
        for statement in statements(sql):
            _run(op.get_bind(), statement.text)


def _run(bind: Connection, statement: str) -> None:
    connection: Any = bind.connection.dbapi_connection
    if match := _CREATES.match(statement):
        name = match["name"]
        if connection.run_async(lambda raw: raw.fetchval(_INVALID, SCHEMA, name)):
            connection.run_async(lambda raw: raw.execute(f'drop index concurrently {SCHEMA}."{name}"'))
    connection.run_async(lambda raw: raw.execute(statement))
