"""From what the revisions make to what the models say, as a series of revisions that each can be applied to a living
database: what is added, then what is validated, then indexes without a lock, then what narrows.

Nothing here is believed: every script is run on a draft, taken back, and run again, and the draft must be what it
was, and at the end what the models make.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import asyncpg

from weft.core.errors import Conflict
from weft.db import concurrent, fingerprint
from weft.db.fingerprint import Fingerprint, Key
from weft.ops.schema import lint, sql
from weft.ops.schema.finding import Finding
from weft.ops.schema.step import Stage, Step
from weft.ops.schema.words import Sides, report

_MOST_STAGES = 8
_NOT_OURS = "Roles, and who owns what, are not part of revisions: `weft db init` sees to them."
_TITLES = {Stage.validate: "validate", Stage.index: "indexes", Stage.contract: "contract"}


class SchemaChangeUnsupported(Conflict):
    code = "schema_change_unsupported"

    def __init__(self, warnings: Sequence[str]) -> None:
        super().__init__("No revision was written: this cannot be generated. " + " ".join(warnings))


class GeneratedWrong(Conflict):
    code = "generated_wrong"

    def __init__(self, what: str, said: Sequence[str]) -> None:
        super().__init__(
            f"No revision was written: {what}. Write this one by hand, or change the models in smaller steps. "
            + " ".join(said)
        )


@dataclass(frozen=True, slots=True)
class Draft:
    """One revision to be: what it does, what takes it back, and what a reviewer has to look at."""

    title: str
    kind: str
    up: str
    down: str
    concurrently: bool
    patient: bool = False
    """Reads whole tables, without keeping anybody from writing: no statement of it is stopped for taking long."""
    warnings: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = field(default=())


async def drafts(connection: Any, wanted: Fingerprint, title: str) -> list[Draft]:
    """The revisions that lead from the draft database to `wanted`; afterwards the draft is there. Empty: it is already.

    `connection` is the owner's, to a database that is thrown away. Raises `SchemaChangeUnsupported` and
    `GeneratedWrong`, with nothing written.
    """
    made: list[Draft] = []
    narrowed: set[Key] = set()
    found = since = await fingerprint.take(connection)
    for _ in range(_MOST_STAGES):
        steps = sql.steps(wanted, found, careful=True, since=since)
        if refused := [step.warning or _NOT_OURS for step in steps if not step.sql or step.admin]:
            raise SchemaChangeUnsupported(list(dict.fromkeys(refused)))
        if not steps:
            break
        stage, now = _next(steps)
        if stage is Stage.contract:
            narrowed |= {step.key for step in now}
        draft, found = await _proved(connection, found, now, stage, _title(title, stage, made), narrowed)
        made.append(draft)
    if left := fingerprint.compare(wanted, found):
        raise GeneratedWrong("the statements do not lead to what the models say", report(left, _SIDES))
    if made:
        # What a script leaves out is seen in what it made.
        made[-1] = replace(made[-1], findings=(*made[-1].findings, *await lint.inspect(connection)))
    return made


_SIDES = Sides("the draft", "the models")


def _next(steps: Sequence[Step]) -> tuple[Stage, list[Step]]:
    """The statements of the earliest stage. Indexes that narrow, or go, are a revision apart from those that come."""
    stage, narrows = min((step.stage, _is_apart(step)) for step in steps)
    return stage, [step for step in steps if (step.stage, _is_apart(step)) == (stage, narrows)]


def _is_apart(step: Step) -> bool:
    return step.stage is Stage.index and step.narrows


def _title(title: str, stage: Stage, before: Sequence[Draft]) -> str:
    if stage is Stage.expand or (stage is Stage.contract and not before):
        return title
    named = f"{title}: {_TITLES[stage]}"
    return named if named not in {draft.title for draft in before} else f"{named} {len(before) + 1}"


async def _proved(
    connection: Any, before: Fingerprint, now: Sequence[Step], stage: Stage, title: str, narrowed: set[Key]
) -> tuple[Draft, Fingerprint]:
    """Up, down and up again on the draft: the reverse is whatever leads back, and it must lead back exactly."""
    concurrently = stage is Stage.index
    up = sql.script(now)
    await _tried(connection, up, "the revision", concurrently)
    after = await fingerprint.take(connection)
    down = _reverse(before, after, concurrently)
    await _tried(connection, down, "what takes the revision back", concurrently)
    if left := fingerprint.compare(before, await fingerprint.take(connection)):
        raise GeneratedWrong("what takes the revision back does not lead back", report(left, _SIDES))
    await _tried(connection, up, "the revision", concurrently)
    if left := fingerprint.compare(after, await fingerprint.take(connection)):
        raise GeneratedWrong("the revision does not do the same a second time", report(left, _SIDES))
    contracts = any(step.narrows or (stage is Stage.validate and step.key in narrowed) for step in now)
    draft = Draft(
        title=title, kind="contract" if contracts else "expand", up=up, down=down, concurrently=concurrently,
        patient=stage is Stage.validate,
        warnings=tuple(dict.fromkeys(step.warning for step in now if step.warning)),
        # As it will be run: in a transaction, or each statement alone.
        findings=tuple(lint.review(up if concurrently else f"begin;\n{up}commit;\n")),
    )  # fmt: skip
    return draft, after


async def _tried(connection: Any, script: str, what: str, concurrently: bool) -> None:
    try:
        await run(connection, script, concurrently=concurrently)
    except asyncpg.PostgresError as error:
        raise GeneratedWrong(f"PostgreSQL refuses {what}", [f"It says: {error}", f"The SQL was:\n{script}"]) from error


def _reverse(before: Fingerprint, after: Fingerprint, concurrently: bool) -> str:
    steps = sql.steps(before, after, careful=concurrently)
    return sql.script([step for step in steps if step.sql])


async def run(connection: Any, script: str, *, concurrently: bool = False) -> None:
    """A script as a migration runs it: in one transaction, or statement by statement."""
    if concurrently:
        await concurrent.execute(connection, script)
        return
    async with connection.transaction():
        await connection.execute(script or "select")


__all__ = ["Draft", "GeneratedWrong", "SchemaChangeUnsupported", "drafts", "run"]
