"""Models from a live database: what sqlacodegen makes of its tables, for those who begin with a database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from weft.core.errors import NotFound
from weft.db import engines
from weft.db.base import SCHEMA
from weft.ops.connections import connect, driver_dsn

if TYPE_CHECKING:
    from sqlalchemy import Connection

_PARTITIONS = """
select c.relname::text from pg_class c
 where c.relispartition and c.relnamespace = (select oid from pg_namespace where nspname = :schema)"""


class NothingToPull(NotFound):
    code = "nothing_to_pull"

    def __init__(self, schema: str) -> None:
        super().__init__(f"The schema '{schema}' has no tables that this login can see. Name another with --schema.")


async def models(dsn: str, schema: str = SCHEMA) -> str:
    """A Python module with a class for each table of the schema. Partitions belong to their table and are left out."""
    from sqlalchemy.pool import NullPool

    await (await connect(dsn, application="weft db pull")).close()  # it says in a sentence why there is none
    engine = engines.make(driver_dsn(dsn), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(_generate, schema)
    finally:
        await engine.dispose()


def _generate(connection: Connection, schema: str) -> str:
    from sqlacodegen.generators import DeclarativeGenerator
    from sqlalchemy import MetaData, text

    partitions = set(connection.execute(text(_PARTITIONS), {"schema": schema}).scalars())
    metadata = MetaData()

    def wanted(name: str, _: Any) -> bool:
        return name not in partitions and name != "alembic_version"

    metadata.reflect(connection, schema=schema, only=wanted)
    if not metadata.tables:
        raise NothingToPull(schema)
    # A key that is a reference too is taken for inheritance by the generator, and SQLAlchemy then refuses the module.
    return str(DeclarativeGenerator(metadata, connection, ("nojoined",)).generate())
