"""Where a schema comes from: a live database, the models of this code, or its revisions."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import MetaData

from weft.core.errors import Invalid
from weft.db import emit, fingerprint, migrate
from weft.db.base import SCHEMA
from weft.db.fingerprint import Fingerprint
from weft.migrations.freeze import permission_rows
from weft.migrations.models import METADATA
from weft.ops.connections import connect, reading
from weft.ops.postgres import ConnectionFacts, ephemeral_cluster
from weft.ops.roles import OWNER, bootstrap

_VERSIONS = f"""
create table {SCHEMA}.alembic_version (
  version_num varchar(32) not null, constraint alembic_version_pkc primary key (version_num))"""


class ModelsRefused(Invalid):
    code = "models_refused"

    def __init__(self, said: str) -> None:
        super().__init__(
            f"PostgreSQL refuses what the models and `src/weft/db/sql` make: {said}. Mend them and run it again."
        )


def models_sql(metadata: MetaData = METADATA) -> str:
    """What the models emit, as one script for the owner of an empty database."""
    script = [*emit.create_all(metadata), permission_rows()]
    return ";\n\n".join(statement.strip().rstrip(";") for statement in script) + ";\n"


async def create_models(connection: Any, sql: str | None = None) -> None:
    """Make the models' schema (or what `sql` makes) in an empty database, as the migrations would have done."""
    async with connection.transaction():
        await connection.execute(f"create schema if not exists {SCHEMA}")
        await connection.execute(_VERSIONS)
        await connection.execute(models_sql() if sql is None else sql)


@dataclass(frozen=True, slots=True)
class Throwaway:
    """A server of its own for drafts, with the roles of weft."""

    facts: ConnectionFacts

    def owner(self, database: str) -> str:
        return self.facts.dsn(OWNER, None, database)

    async def models(self, database: str = "weft_models", sql: str | None = None) -> str:
        """A database with the models' schema; the owner's address."""
        await bootstrap(self.facts.superuser_dsn, database)
        connection = await asyncpg.connect(self.owner(database))
        try:
            await create_models(connection, sql)
        except asyncpg.PostgresError as error:
            raise ModelsRefused(str(error)) from error
        finally:
            await connection.close()
        return self.owner(database)

    async def migrations(self, revision: str = "head", database: str = "weft_migrations") -> str:
        """A database migrated to a revision; the owner's address."""
        await bootstrap(self.facts.superuser_dsn, database)
        await migrate.upgrade(self.owner(database), revision)
        return self.owner(database)


@contextlib.contextmanager
def throwaway() -> Iterator[Throwaway]:
    """A server in a temporary directory, some two seconds; not inside an event loop."""
    with tempfile.TemporaryDirectory(prefix="weft-schema-") as directory, ephemeral_cluster(Path(directory)) as facts:
        yield Throwaway(facts)


async def read(dsn: str) -> Fingerprint:
    """The schema of a database, whoever signs in."""
    connection = await connect(dsn, application="weft db schema")
    try:
        async with reading(connection):
            return await fingerprint.take(connection)
    finally:
        await connection.close()


_HOLDING = """/* weft:schema.holding */
select c.relname::text from pg_class c
 where c.relnamespace = to_regnamespace($1) and c.relname = any ($2) and (
       c.relkind = 'f' or pg_relation_size(c.oid) > 0
       or exists (select from pg_partition_tree(c.oid) t where pg_relation_size(t.relid) > 0))"""
"""Tables that have rows, or had them: their size is told to every login, and their rows are not."""


async def holding(dsn: str, tables: Collection[str]) -> frozenset[str]:
    """Which of these tables have rows; whoever signs in."""
    if not tables:
        return frozenset()
    connection = await connect(dsn, application="weft db schema")
    try:
        return await holding_of(connection, tables)
    finally:
        await connection.close()


async def holding_of(connection: Any, tables: Collection[str]) -> frozenset[str]:
    """The same, on a connection that is open."""
    return frozenset(row[0] for row in await connection.fetch(_HOLDING, SCHEMA, sorted(tables)))
