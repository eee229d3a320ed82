"""What the commands that write schemas do: generate, push, pull, diff. Blocking; each starts what it needs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import asyncpg

from weft.core.errors import Invalid
from weft.db import fingerprint, migrate
from weft.db.fingerprint import Difference, Fingerprint
from weft.db.revisions import RevisionUnknown
from weft.ops.schema import generate, revision, source, sql
from weft.ops.schema.generate import Draft
from weft.ops.schema.source import Throwaway, throwaway
from weft.ops.schema.step import Step
from weft.ops.schema.words import Sides, report

MODELS, MIGRATIONS, LIVE = "models", "migrations", "live"


class SourceUnknown(Invalid):
    code = "source_unknown"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"'{name}' is no schema. Name one of: models, migrations, migrations@REVISION, live (this installation's "
            "database), or an address that begins with postgresql://."
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two schemas, what differs between them, and the SQL that turns the first into the second."""

    differences: list[Difference]
    steps: list[Step]
    sides: Sides

    def sentences(self) -> list[str]:
        return report(self.differences, self.sides)

    def script(self) -> str:
        return sql.repair(self.steps)

    def as_json(self) -> list[dict[str, object]]:
        written = sql.by_object(self.steps)
        return [
            {"kind": d.kind, "name": d.name, "expected": d.expected, "found": d.found, "sql": written.get(d.key, [])}
            for d in self.differences
        ]


def compared(expected: Fingerprint, found: Fingerprint, sides: Sides) -> Comparison:
    return Comparison(fingerprint.compare(expected, found), sql.steps(expected, found), sides)


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


def between(first: str, second: str, live: str | None = None) -> Comparison:
    """What turns the schema `first` into `second`. Names are those that `SourceUnknown` lists; `live` is the address
    that the name "live" stands for."""
    for name in (first, second):
        _check(name)
    with _server_for((first, second)) as server:

        async def both() -> tuple[Fingerprint, Fingerprint]:
            return (
                await source.read(await _address(first, server, live, "first")),
                await source.read(await _address(second, server, live, "second")),
            )

        found, expected = asyncio.run(both())
    return compared(expected, found, Sides(_shown(first), _shown(second)))


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
    """What `weft db push` would run on a database."""
    return between(LIVE, MODELS, live)


async def push(owner_dsn: str, plan: Comparison) -> None:
    """Run it: one transaction, then what has to stand alone. What only an administrator may do is refused before."""
    if refused := [step for step in plan.steps if step.admin or not step.sql]:
        raise generate.SchemaChangeUnsupported(
            [step.warning or f"An administrator has to run: {step.sql};" for step in refused]
        )
    alone = [step for step in plan.steps if sql.stands_alone(step)]
    connection = await asyncpg.connect(owner_dsn)
    try:
        await connection.execute("set lock_timeout = '2s'")
        await generate.run(connection, sql.script([step for step in plan.steps if step not in alone]))
        await generate.run(connection, sql.script(alone), concurrently=True)
    finally:
        await connection.close()
