"""Alembic's environment. `weft.db.migrate` calls it with an open connection in `config.attributes`."""

from __future__ import annotations

from alembic import context
from sqlalchemy import text

from weft.db.base import SCHEMA
from weft.migrations.models import METADATA

config = context.config


def run_offline() -> None:
    context.configure(
        dialect_name="postgresql",
        target_metadata=METADATA,
        literal_binds=True,
        version_table_schema=SCHEMA,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def run_online() -> None:
    connection = config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=METADATA,
        version_table_schema=SCHEMA,
        include_schemas=True,
        transaction_per_migration=True,
        compare_type=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        # Two deployments at once take turns; a waiting lock gives up soon and is tried again.
        connection.execute(text("select pg_advisory_xact_lock(hashtext('weft.migrate'))"))
        context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    run_online()
