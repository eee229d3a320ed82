"""What the commands that write schemas do: generate, push, pull, diff. Blocking; each starts what it needs."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import asyncpg

from weft.core.errors import Conflict, Invalid
from weft.db import fingerprint, migrate
from weft.db.base import SCHEMA
from weft.db.fingerprint import Difference, Fingerprint
from weft.db.revisions import RevisionUnknown
from weft.ops.connections import connect
from weft.ops.schema import generate, revision, source, sql
from weft.ops.schema.generate import Draft
from weft.ops.schema.source import Throwaway, throwaway
from weft.ops.schema.step import Place, Step
from weft.ops.schema.words import Sides, report

MODELS, MIGRATIONS, LIVE = "models", "migrations", "live"

_TABLES = """
select exists (select from pg_class
                where relnamespace = to_regnamespace($1) and relkind in ('r', 'p') and relname <> 'alembic_version')"""


class SourceUnknown(Invalid):
    code = "source_unknown"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"'{name}' is no schema. Name one of: models, migrations, migrations@REVISION, live (this installation's "
            "database), or an address that begins with postgresql://."
        )


class NothingToPushOnto(Conflict):
    code = "nothing_to_push_onto"

    def __init__(self) -> None:
        super().__init__(
            "Nothing was changed: this database has no tables of weft yet, and pushing changes those that are there. "
            "Run `weft db migrate` first."
        )


class PushUnsupported(Conflict):
    code = "push_unsupported"

    def __init__(self, warnings: Sequence[str]) -> None:
        super().__init__(
            "Nothing was changed: the owner of the schema may not do all of this. " + " ".join(dict.fromkeys(warnings))
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two schemas, what differs between them, and the SQL that turns the first into the second."""

    differences: list[Difference]
    steps: list[Step]
    sides: Sides

    def sentences(self) -> list[str]:
        found_out = (Place.roles, Place.rename, Place.attach)  # not what a statement would do, but what the table is
        remarks = {step.key: step.warning for step in self.steps if step.place in found_out and step.warning}
        return report(self.differences, self.sides, remarks)

    def script(self) -> str:
        return sql.repair(self.steps)

    def as_json(self) -> list[dict[str, object]]:
        written = sql.by_object(self.steps)
        return [
            {"kind": d.kind, "name": d.name, "expected": d.expected, "found": d.found, "sql": written.get(d.key, [])}
            for d in self.differences
        ]


def compared(
    expected: Fingerprint, found: Fingerprint, sides: Sides, holding: Collection[str] | None = None
) -> Comparison:
    """`holding`: for a repair, the tables of `found` that have rows (see `weft.ops.schema.sql.steps`)."""
    return Comparison(fingerprint.compare(expected, found), sql.steps(expected, found, holding=holding), sides)


def drafted(title: str) -> list[Draft]:
    """What `weft db generate` would write. Two databases on a server of their own, some five seconds."""
    revision.slug(title)
    with throwaway() as server:
        return asyncio.run(_drafted(server, title))


async def _drafted(server: Throwaway, title: str) -> list[Draft]:
    # One after the other: roles belong to the server, and both make sure of them.
    wanted = await source.read(await server.models())
    connection = await asyncpg.connect(await server.migrations())
    try:
        return await generate.drafts(connection, wanted, title)
    finally:
        await connection.close()


def written(drafts: list[Draft], day: date) -> list[Path]:
    """The drafts as files after the newest revision; hands back the modules."""
    return revision.write(drafts, day=day, after=migrate.head())


@contextmanager
def _server_for(names: tuple[str, ...]) -> Iterator[Throwaway | None]:
    """A server only if one of the schemas has to be made first."""
    if any(name.partition("@")[0] in (MODELS, MIGRATIONS) for name in names):
        with throwaway() as server:
            yield server
    else:
        yield None


def between(first: str, second: str, live: str | None = None, *, keeps: bool = True) -> Comparison:
    """What turns the schema `first` into `second`. Names are those that `SourceUnknown` lists; `live` is the address
    that the name "live" stands for. `keeps`: tables with rows that `second` does not have are left for people to drop,
    for whoever reads the SQL may run it as it stands.
    """
    for name in (first, second):
        _check(name)
    with _server_for((first, second)) as server:

        async def both() -> tuple[Fingerprint, Fingerprint, frozenset[str] | None]:
            address = await _address(first, server, live, "first")
            found = await source.read(address)
            expected = await source.read(await _address(second, server, live, "second"))
            extra = fingerprint.unexpected_tables(expected, found)
            return expected, found, await source.holding(address, extra) if keeps else None

        expected, found, holding = asyncio.run(both())
    return compared(expected, found, Sides(_shown(first), _shown(second)), holding)


def _check(name: str) -> None:
    word, _, at = name.partition("@")
    known = name in (MODELS, LIVE) or word == MIGRATIONS
    if not known and not name.startswith(("postgresql://", "postgres://", "postgresql+asyncpg://")):
        raise SourceUnknown(name)
    if word == MIGRATIONS and at and not migrate.knows(at):
        raise RevisionUnknown(at)


def _shown(name: str) -> str:
    from weft.ops.connections import without_password

    return without_password(name) if "://" in name else f"the {name}" if name != LIVE else "the live database"


async def _address(name: str, server: Throwaway | None, live: str | None, database: str) -> str:
    word, _, at = name.partition("@")
    if name == LIVE and live is not None:
        return live
    if server is not None and name == MODELS:
        return await server.models(database)
    if server is not None and word == MIGRATIONS:
        return await server.migrations(at or "head", database)
    return name


def push_plan(live: str) -> Comparison:
    """What `weft db push` would run on a database. Raises `NothingToPushOnto` for an empty one."""
    if not asyncio.run(_has_tables(live)):
        raise NothingToPushOnto
    return between(LIVE, MODELS, live, keeps=False)


async def _has_tables(dsn: str) -> bool:
    """From roles to rights, an empty database lacks what only migrating brings in its order."""
    connection = await connect(dsn, application="weft db push")
    try:
        return bool(await connection.fetchval(_TABLES, SCHEMA))
    finally:
        await connection.close()


async def push(owner_dsn: str, plan: Comparison) -> None:
    """Run it: one transaction, then what has to stand alone. What only an administrator may do is refused before."""
    if refused := [step for step in plan.steps if step.admin or not step.sql]:
        raise PushUnsupported([step.warning or f"An administrator has to run: {step.sql};" for step in refused])
    alone = [step for step in plan.steps if sql.stands_alone(step)]
    connection = await asyncpg.connect(owner_dsn)
    try:
        await connection.execute("set lock_timeout = '2s'")
        await generate.run(connection, sql.script([step for step in plan.steps if step not in alone]))
        await generate.run(connection, sql.script(alone), concurrently=True)
    finally:
        await connection.close()
