"""Are the revisions sound? What CI asks, and whoever writes one: no database of an installation is looked at."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

import weft
from weft.core.errors import Conflict
from weft.db import data_definitions, emit, fingerprint, migrate
from weft.db.fingerprint import Fingerprint
from weft.db.history import version_number
from weft.db.operation_tables import RevisionKind
from weft.db.revisions import Chain, ChainBroken, Revision
from weft.migrations.freeze import permission_rows
from weft.migrations.models import METADATA
from weft.ops.migrating.locks import is_bookkeeping
from weft.ops.postgres import ConnectionFacts, ephemeral_cluster
from weft.ops.roles import OWNER, bootstrap
from weft.ops.schema.lint import review
from weft.ops.schema.script import statements

_WALK, _MODELS = "weft_walk", "weft_models"
_LEFT = ("table alembic_version", "column alembic_version.version_num", "constraint alembic_version.")
"""What Alembic keeps when everything is taken back."""


class RevisionsInvalid(Conflict):
    code = "revisions_invalid"

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"The revisions are not sound: {', '.join(names)}; see above.")


@dataclass(frozen=True, slots=True)
class Check:
    """One question and what it found. Warnings are for reviewers and fail nothing."""

    name: str
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "check": self.name,
            "ok": not self.problems,
            "problems": list(self.problems),
            "warnings": list(self.warnings),
        }

    def text(self) -> str:
        lines = [f"{'fail' if self.problems else 'ok':<5} {self.name}"]
        lines += [f"      {problem}" for problem in self.problems]
        lines += [f"      warning: {warning}" for warning in self.warnings]
        return "\n".join(lines)


def validate(directories: Sequence[Path] = (), *, tell: Callable[[str], None] = lambda _: None) -> list[Check]:
    """Every check. Blocking; starts a throw-away server. The later ones are left out when the chain is broken."""
    try:
        chain = Chain(directories)
        problems = () if len(chain.heads) == 1 else (f"there are {len(chain.heads)} heads: {', '.join(chain.heads)}",)
    except ChainBroken as error:
        return [Check("one chain of revisions", (error.message,))]
    if problems:
        return [Check("one chain of revisions", problems)]
    found = [Check("one chain of revisions"), _contents(chain), _lint(chain)]
    if any(check.problems for check in found):
        return found
    tell(f"every one of {len(chain.revisions)} revisions goes up, down and up again on a throw-away server")
    with tempfile.TemporaryDirectory(prefix="weft-validate-") as place, ephemeral_cluster(Path(place)) as facts:
        found += asyncio.run(_on(facts, chain))
    return found


def _contents(chain: Chain) -> Check:
    problems: list[str] = []
    try:
        known = data_definitions.load(chain.directories)
    except data_definitions.DataMigrationInvalid as error:
        return Check("every revision says what it must", (error.message,))
    for revision in chain.revisions:
        problems += [f"{revision.id}: {problem}" for problem in _missing(chain, revision, set(known))]
    ids = {revision.id for revision in chain.revisions}
    problems += [
        f"the data migration '{migration.name}' comes after '{migration.after}', which does not exist"
        for migration in known.values()
        if migration.after is not None and migration.after not in ids
    ]
    return Check("every revision says what it must", tuple(problems))


def _missing(chain: Chain, revision: Revision, data: set[str]) -> Iterator[str]:
    if revision.kind not in RevisionKind.__members__:
        yield f"its kind is '{revision.kind}', not expand, backfill or contract"
    if revision.kind == RevisionKind.contract and revision.needs is None:
        yield 'a contract revision names the oldest version of weft that works after it: needs = "x.y"'
    if revision.needs is not None and version_number(weft.__version__) < version_number(revision.needs):
        yield f"it needs weft {revision.needs}, but it is part of {weft.__version__}"
    for name in revision.requires_data:
        if name not in data:
            yield f"it requires the data migration '{name}', which does not exist"
    for down in (False, True):
        way = "down" if down else "up"
        try:
            sql = chain.sql(revision, down=down)
        except Exception as error:  # whatever a revision's own code raises without a database
            yield f"its way {way} cannot be written as SQL ({type(error).__name__}: {error})"
            continue
        if not [s for s in statements(sql) if not is_bookkeeping(s.plain())]:
            yield f"its way {way} does nothing"
        elif ("concurrently" in sql.lower()) and not revision.concurrently:
            yield f"its way {way} works concurrently, so it must say concurrently = True and do nothing else"


def _lint(chain: Chain) -> Check:
    """Ways up only: ways down drop things, which is what they are for. The foundation has tests of its own."""
    problems, warnings = [], []
    for revision in chain.revisions:
        if revision.before is None:
            continue
        for finding in review(chain.sql(revision)):
            line = f"{revision.id}: {finding.sentence()}"
            # Removing is what a contract revision is for; everything else must be safe beside older versions.
            if finding.level == "error" and revision.kind != RevisionKind.contract:
                problems.append(line)
            else:
                warnings.append(line)
    return Check("the SQL has no known risk", tuple(problems), tuple(warnings))


async def _on(facts: ConnectionFacts, chain: Chain) -> list[Check]:
    for database in (_WALK, _MODELS):
        await bootstrap(facts.superuser_dsn, database)
    walked = await _walk(facts.dsn(OWNER, None, _WALK), chain)
    return [walked, await _models(facts, chain)]


async def _walk(dsn: str, chain: Chain) -> Check:
    """Up, down and up again, one revision at a time."""
    problems = []
    before: Fingerprint = {}
    options = migrate.Options(pause=0.01)
    try:
        for revision in chain.revisions:
            await migrate.upgrade(dsn, revision.id, directories=chain.directories, options=options)
            first = await _fingerprint(dsn)
            await migrate.downgrade(dsn, revision.before or "base", directories=chain.directories, options=options)
            down = await _fingerprint(dsn)
            await migrate.upgrade(dsn, revision.id, directories=chain.directories, options=options)
            again = await _fingerprint(dsn)
            problems += [
                f"{revision.id}, taken back: {difference.sentence()}"
                for difference in fingerprint.compare(before, down)
                if not f"{difference.kind} {difference.name}".startswith(_LEFT) or before
            ]
            problems += [
                f"{revision.id}, applied again: {difference.sentence()}"
                for difference in fingerprint.compare(first, again)
            ]
            before = again
    except (migrate.MigrationFailed, migrate.SchemaLocked, Conflict) as error:
        problems.append(error.message)
    return Check("up, down and up again gives the same schema", tuple(problems))


async def _models(facts: ConnectionFacts, chain: Chain) -> Check:
    """The schema that the models emit, beside the one that weft's own revisions make."""
    name = "the models say what the revisions make"
    if chain.directories:
        return Check(name, warnings=("not asked: more revisions than weft's own were given",))
    connection = await asyncpg.connect(facts.dsn(OWNER, None, _MODELS))
    try:
        await connection.execute("create schema weft")
        await connection.execute(
            "create table weft.alembic_version"
            " (version_num varchar(32) not null constraint alembic_version_pkc primary key)"
        )
        async with connection.transaction():
            for statement in [*emit.create_all(METADATA), permission_rows()]:
                await connection.execute(statement)
        models = await fingerprint.take(connection)
    finally:
        await connection.close()
    made = await _fingerprint(facts.dsn(OWNER, None, _WALK))
    return Check(name, tuple(difference.sentence() for difference in fingerprint.compare(models, made)))


async def _fingerprint(dsn: str) -> Fingerprint:
    connection = await asyncpg.connect(dsn)
    try:
        found = await fingerprint.take(connection)
    finally:
        await connection.close()
    return found
