"""Indexes on tables that are in use, built and dropped without a lock that stops writes.

Such a statement cannot be in a transaction, so a failure leaves something behind: an index that is not valid, which
every write has to keep and no query uses. Both functions may be repeated: what is not valid is removed first, what is
there is left. A revision that calls them says `concurrently = True` and does nothing else.
"""

from __future__ import annotations

from typing import Any

from weft.db.base import SCHEMA

_STATE = """
select c.relkind::text, coalesce(i.indisvalid, true) from pg_class c left join pg_index i on i.indexrelid = c.oid
 where c.oid = to_regclass('{name}')"""

_PARTITIONS = """
select c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid
 where i.inhparent = '{table}'::regclass order by 1"""

_ATTACHED = """
select count(*) from pg_inherits where inhparent = to_regclass('{parent}') and inhrelid = to_regclass('{child}')"""


def build_index(name: str, table: str, definition: str, *, unique: bool = False) -> None:
    """`build_index("clients_region_idx", "clients", "(tenant_id, region) where region is not null")`, in `upgrade`.

    On a partitioned table it is built partition by partition; partitions that are made meanwhile get it by themselves.
    """
    from alembic import op

    context = op.get_context()
    kind = "unique index" if unique else "index"
    with context.autocommit_block():
        if context.as_sql:
            op.execute(f"create {kind} concurrently if not exists {name} on {SCHEMA}.{table} {definition}")
        elif _one(f"select relkind::text from pg_class where oid = '{SCHEMA}.{table}'::regclass") == "p":
            op.execute(f"create {kind} if not exists {name} on only {SCHEMA}.{table} {definition}")
            for partition in _column(_PARTITIONS.format(table=f"{SCHEMA}.{table}")):
                child = _child_name(name, partition)
                _build(kind, child, partition, definition)
                if not _one(_ATTACHED.format(parent=f"{SCHEMA}.{name}", child=f"{SCHEMA}.{child}")):
                    op.execute(f"alter index {SCHEMA}.{name} attach partition {SCHEMA}.{child}")
        else:
            _build(kind, name, table, definition)


def drop_index(name: str) -> None:
    """Drop it without stopping writes; in `downgrade`, or where a contract revision no longer needs it."""
    from alembic import op

    context = op.get_context()
    with context.autocommit_block():
        partitioned = not context.as_sql and _one(_STATE.format(name=f"{SCHEMA}.{name}")) == "I"
        # An index with partitions cannot be dropped concurrently: it takes the lock, for a moment.
        op.execute(f"drop index {'' if partitioned else 'concurrently '}if exists {SCHEMA}.{name}")


def _build(kind: str, name: str, table: str, definition: str) -> None:
    from alembic import op

    found = _row(_STATE.format(name=f"{SCHEMA}.{name}"))
    if found is not None and not found[1]:
        op.execute(f"drop index concurrently {SCHEMA}.{name}")
    op.execute(f"create {kind} concurrently if not exists {name} on {SCHEMA}.{table} {definition}")


def _child_name(name: str, partition: str) -> str:
    """A name of its own for each partition, within the server's 63 bytes."""
    return f"{partition[:28]}_{name}"[:63]


def _row(query: str) -> Any:
    from alembic import op

    return op.get_bind().exec_driver_sql(query).first()


def _one(query: str) -> Any:
    found = _row(query)
    return None if found is None else found[0]


def _column(query: str) -> list[Any]:
    from alembic import op

    return [row[0] for row in op.get_bind().exec_driver_sql(query).all()]
