"""Making the schema on a distributed PostgreSQL: what is refused before anything happens, then one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from weft.core.errors import Conflict, Invalid
from weft.ops.connections import connect
from weft.ops.scale.distribution import Section, statements_of

EXTENSION: Final = "select extversion from pg_extension where extname = 'citus'"
OLDEST_SERVER: Final = 160_000
"""Citus dropped PostgreSQL 15 with its version 13."""

PRESENT: Final = "select to_regclass('weft.alembic_version') is not null"


class CitusMissing(Conflict):
    code = "citus_missing"

    def __init__(self) -> None:
        super().__init__(
            "This database has no extension 'citus', so nothing was changed. Name a coordinator with Citus in "
            "WEFT_DATABASE_OWNER_URL and run `create extension citus` in the database there; `--sql` prints the plan."
        )


class SchemaPresent(Conflict):
    code = "schema_present"

    def __init__(self) -> None:
        super().__init__(
            "This database has weft's schema already, and nothing was changed: tables are placed when they are made. "
            "Make an empty database (`weft db init --database ...`), distribute it, and bring the rows over."
        )


class AdministratorMissing(Invalid):
    code = "administrator_missing"

    def __init__(self) -> None:
        super().__init__(
            "Settings of nodes and roles need a superuser of the coordinator. Set WEFT_DATABASE_ADMIN_URL."
        )


async def refuse_what_cannot_be(owner_dsn: str) -> str:
    """The version of Citus there. Raises `CitusMissing` or `SchemaPresent`."""
    connection = await connect(owner_dsn, application="weft db distribute")
    try:
        version: str | None = await connection.fetchval(EXTENSION)
        if version is None or int(await connection.fetchval("show server_version_num")) < OLDEST_SERVER:
            raise CitusMissing
        if await connection.fetchval(PRESENT):
            raise SchemaPresent
        return version
    finally:
        await connection.close()


async def run(
    owner_dsn: str, admin_dsn: str, sections: Sequence[Section], say: Callable[[str], None] = lambda _: None
) -> int:
    """Carry out a plan; how many statements it took. The owner's part happens whole, or not at all."""
    administration = statements_of(sections, administrator=True)
    say(f"settings of nodes and roles: {len(administration)} statements")
    admin = await connect(admin_dsn, application="weft db distribute")
    try:
        for statement in administration:
            await admin.execute(statement)
    finally:
        await admin.close()
    owner = await connect(owner_dsn, application="weft db distribute")
    done = len(administration)
    try:
        async with owner.transaction():
            for section in sections:
                statements = statements_of([section], administrator=False)
                if statements:
                    say(f"{section.name}: {len(statements)} statements")
                for statement in statements:
                    await owner.execute(statement)
                done += len(statements)
    finally:
        await owner.close()
    return done
