"""The record of revisions, and what it says to code that is older than the schema.

`record` writes in the revision's own transaction: a revision that is applied has its row, whatever happens after.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import weft
from weft.db.base import SCHEMA
from weft.db.context import literal
from weft.db.operation_tables import Direction

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext, MigrationInfo

LIVE_SECONDS: Final = 60
"""A process that was not heard of for so long counts as gone: four heartbeats missed."""

TABLE = f"{SCHEMA}.migration_history"
_SEES_ALL = "set local app.maintenance = 'on'"


@dataclass(frozen=True, slots=True)
class Note:
    """What else the history keeps of a revision. `began` is a reading of `time.monotonic`."""

    began: float | None = None
    reason: str | None = None
    backup: str | None = None
    restore_point: str | None = None


def record(ctx: MigrationContext, step: MigrationInfo, heads: Any, run_args: Any) -> None:  # noqa: ARG001  Alembic's
    """Alembic calls this after each step, before it commits; with `--sql` the statement is printed."""
    attributes: Mapping[str, Any] = ctx.config.attributes if ctx.config is not None else {}
    note: Note = attributes.get("note") or Note()
    revision = step.up_revision
    if revision is None or step.is_stamp:
        return
    module: Any = getattr(revision, "module", None)
    direction = Direction.up if step.is_upgrade else Direction.down
    if ctx.as_sql:
        if step.is_upgrade or step.down_revision_ids:
            ctx.impl.static_output(f"{_SEES_ALL};")
            ctx.impl.static_output(f"{_statement(revision.revision, module, direction, note)};")
        return
    connection = ctx.connection
    assert connection is not None, "there is a connection unless SQL is printed"  # noqa: S101  for the type checker
    # The first revision makes the table; when it is taken back nothing is left to write to.
    if connection.exec_driver_sql(f"select to_regclass('{TABLE}')").scalar() is not None:
        connection.exec_driver_sql(_SEES_ALL)
        connection.exec_driver_sql(_statement(revision.revision, module, direction, note))


def _statement(revision: str, module: Any, direction: Direction, note: Note) -> str:
    values = {
        "id": "gen_random_uuid()",
        "revision": literal(revision),
        "kind": literal(getattr(module, "kind", "expand")),
        "direction": literal(direction.value),
        "version": literal(weft.__version__),
        "seconds": "null" if note.began is None else f"{time.monotonic() - note.began:.3f}",
        "needs": _or_null(getattr(module, "needs", None)),
        "reason": _or_null(note.reason),
        "backup": _or_null(note.backup),
        "restore_point": _or_null(note.restore_point),
    }
    return f"insert into {TABLE} ({', '.join(values)}) values ({', '.join(values.values())})"


def _or_null(value: str | None) -> str:
    return "null" if value is None else literal(value)


def version_number(version: str) -> tuple[int, int, int]:
    """`0.3`, `0.3.1` and `0.3.0rc1` as numbers that compare; what is no version counts as the oldest."""
    match = re.match(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?", version)
    if match is None:
        return (0, 0, 0)
    major, minor, patch = (int(part or 0) for part in match.groups())
    return (major, minor, patch)
