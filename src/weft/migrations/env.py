"""Alembic's environment. `weft.db.migrate` calls it with an open connection in `config.attributes`."""

from __future__ import annotations

from alembic import context

from weft.db import history
from weft.db.base import SCHEMA
from weft.migrations.models import METADATA

config = context.config


def run_offline() -> None:
    context.configure(
        dialect_name="postgresql",
        dialect_opts={"paramstyle": "named"},  # else every % is printed twice, see weft.db.emit
        target_metadata=METADATA,
        literal_binds=True,
        version_table_schema=SCHEMA,
        transaction_per_migration=True,
        on_version_apply=history.record,
    )
    with context.begin_transaction():
        context.run_migrations()


def run_online() -> None:
    context.configure(
        connection=config.attributes["connection"],
        target_metadata=METADATA,
        version_table_schema=SCHEMA,
        include_schemas=True,
        transaction_per_migration=True,
        compare_type=True,
        compare_server_default=True,
        on_version_apply=history.record,
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    run_online()
