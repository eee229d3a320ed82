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
from weft.core.errors import Conflict, WeftError
from weft.db import data_definitions, emit, fingerprint, migrate
from weft.db.base import SCHEMA
from weft.db.fingerprint import Fingerprint
from weft.db.history import version_number
from weft.db.operation_tables import RevisionKind
from weft.db.revisions import Chain, ChainBroken, Revision
from weft.migrations.freeze import permission_rows
from weft.migrations.models import METADATA
from weft.ops.migrating.locks import is_bookkeeping
from weft.ops.postgres import ConnectionFacts, ephemeral_cluster
from weft.ops.preflight import newest_revision
from weft.ops.roles import OWNER, bootstrap
from weft.ops.schema.lint import inspect, review
from weft.ops.schema.script import statements

_WALK, _MODELS = "weft_walk", "weft_models"
_ALEMBICS = "alembic_version"
"""What Alembic keeps when everything is taken back."""


_REMOVING = ("ban-drop", "renaming")
"""Rules of the linter about what a contract revision is for."""


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
        try:
            sql = chain.sql(revision)
        except Exception:  # noqa: S112  whatever its code raises; `_missing` has said it
            continue
        for finding in review(sql):
            line = f"{revision.id}: {finding.sentence()}"
            removes = revision.kind == RevisionKind.contract and finding.rule.startswith(_REMOVING)
            if removes or finding.rule in revision.accepts:
                warnings.append(f"{line} {revision.accepts.get(finding.rule, '')}".rstrip())
            else:
                problems.append(line)
    return Check("the SQL has no known risk", tuple(problems), tuple(warnings))


async def _on(facts: ConnectionFacts, chain: Chain) -> list[Check]:
    for database in (_WALK, _MODELS):
        await bootstrap(facts.superuser_dsn, database)
    walked, made = await _walk(facts.dsn(OWNER, None, _WALK), chain)
    return [walked, *await _models(facts.dsn(OWNER, None, _MODELS), made)]


async def _walk(dsn: str, chain: Chain) -> tuple[Check, Fingerprint]:
    """Up, down and up again, one revision at a time; and the schema that weft's own revisions made."""
    problems: list[str] = []
    before = own = await _fingerprint(dsn)
    at = ""
    try:
        for revision in chain.revisions:
            at = revision.id
            first = await _moved(dsn, chain, revision.id)
            down = await _moved(dsn, chain, revision.before or "base", up=False)
            problems += [
                f"{revision.id}, taken back: {difference.sentence()}"
                for difference in fingerprint.compare(before, down)
                if revision.before is not None or _ALEMBICS not in difference.name
            ]
            if problems:
                break  # what was left behind would be in the way up
            before = await _moved(dsn, chain, revision.id)
            problems += [
                f"{revision.id}, applied again: {difference.sentence()}"
                for difference in fingerprint.compare(first, before)
            ]
            if revision.id == newest_revision():
                own = before
    except WeftError as error:
        problems.append(error.message)
    except Exception as error:  # whatever a revision's own code raises
        problems.append(f"{at}: {type(error).__name__}: {error}")
    return Check("up, down and up again gives the same schema", tuple(problems)), own


async def _moved(dsn: str, chain: Chain, target: str, *, up: bool = True) -> Fingerprint:
    move = migrate.upgrade if up else migrate.downgrade
    await move(dsn, target, directories=chain.directories)
    return await _fingerprint(dsn)


async def _models(dsn: str, made: Fingerprint) -> list[Check]:
    """The schema that the models emit, beside the one that weft's own revisions make."""
    connection = await asyncpg.connect(dsn)
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
        broken = await inspect(connection)
    finally:
        await connection.close()
    found = tuple(difference.sentence() for difference in fingerprint.compare(models, made))
    return [
        Check("the models say what the revisions make", found),
        Check("the schema keeps our rules", tuple(finding.sentence() for finding in broken)),
    ]


async def _fingerprint(dsn: str) -> Fingerprint:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f"create schema if not exists {SCHEMA}")
        found = await fingerprint.take(connection)
    finally:
        await connection.close()
    return found
