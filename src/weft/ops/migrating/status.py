"""What was applied, when, by which version and how long it took; and what is still to come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg

from weft.core.errors import Conflict
from weft.db.revisions import Chain
from weft.ops.connections import connect

_HISTORY = """
select distinct on (revision) revision, direction, kind, applied_at, seconds, version, needs, reason, backup,
       restore_point
  from weft.migration_history order by revision, applied_at desc"""


class MigrationsPending(Conflict):
    code = "migrations_pending"

    def __init__(self, count: int) -> None:
        super().__init__(
            f"{count} revision{'s are' if count != 1 else ' is'} still to be applied. `weft db migrate --dry-run` "
            "shows what they do, `weft db migrate` applies them."
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """One revision. `is_known` is False for one of a newer version, of which only the database knows."""

    revision: str
    title: str
    kind: str
    is_applied: bool
    is_known: bool = True
    applied_at: datetime | None = None
    seconds: float | None = None
    version: str | None = None
    needs: str | None = None
    reason: str | None = None
    backup: str | None = None
    restore_point: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "revision": self.revision,
            "title": self.title,
            "kind": self.kind,
            "applied": self.is_applied,
            "known": self.is_known,
            "applied_at": self.applied_at,
            "seconds": self.seconds,
            "version": self.version,
            "needs": self.needs,
            "reason": self.reason,
            "backup": self.backup,
            "restore_point": self.restore_point,
        }


async def standings(dsn: str, directories: Sequence[Path] = ()) -> list[Standing]:
    """Every revision that this code or the database knows, oldest first. Any login of weft's will do."""
    chain = Chain(directories)
    connection = await connect(dsn, application="weft db status")
    try:
        async with connection.transaction():
            await connection.execute("set local app.maintenance = 'on'")
            at = await _scalar(connection, "alembic_version", "select version_num from weft.alembic_version")
            rows = await connection.fetch(_HISTORY) if await _has(connection, "migration_history") else []
    finally:
        await connection.close()
    known = {row["revision"]: row for row in rows}
    place = [revision.id for revision in chain.revisions].index(at) + 1 if at and chain.knows(at) else None
    found = []
    for number, revision in enumerate(chain.revisions):
        row = known.pop(revision.id, None)
        up = row is not None and row["direction"] == "up"
        # The revision that the database is at decides; a database of a newer version is told apart by its history.
        applied = number < place if place is not None else at is not None and up
        facts = _facts(row) if applied and up and row is not None else {}
        found.append(
            Standing(revision.id, revision.title, revision.kind, applied, **{"needs": revision.needs, **facts})
        )
    later = sorted((row for row in known.values() if row["direction"] == "up"), key=lambda row: row["applied_at"])
    found += [Standing(row["revision"], "of a newer version", row["kind"], True, False, **_facts(row)) for row in later]
    return found


def pending(found: Sequence[Standing]) -> list[Standing]:
    return [standing for standing in found if not standing.is_applied]


def _facts(row: asyncpg.Record) -> dict[str, Any]:
    names = ("applied_at", "seconds", "version", "needs", "reason", "backup", "restore_point")
    return {name: row[name] for name in names}


async def _has(connection: asyncpg.Connection, table: str) -> bool:
    return bool(await connection.fetchval("select to_regclass($1) is not null", f"weft.{table}"))


async def _scalar(connection: asyncpg.Connection, table: str, query: str) -> str | None:
    found: str | None = await connection.fetchval(query) if await _has(connection, table) else None
    return found
