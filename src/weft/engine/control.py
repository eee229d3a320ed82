"""Commands on executions beside cancel and retry: what they do to a run, and what they leave in journal and audit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, assert_never

from weft.db.database import Connection
from weft.engine import timers
from weft.engine.events import hearing
from weft.engine.news import ChildStarted, Held, Migrated, Paused, Resumed
from weft.engine.records import AuditRow
from weft.engine.turn import Turn
from weft.interpreter.events import PauseRequested, VersionChanged
from weft.interpreter.migrate import counterpart, migrate
from weft.interpreter.state import Status

PARENT: Final = "parent"
"""The reason kept in the state of an execution that was paused because its parent was."""

RECORD: Final = """/* weft:engine.audit */
select weft.audit_event(a.action, 'workflow_executions', a.id::text, a.details)
  from unnest($1::uuid[], $2::text[], $3::jsonb[]) as a (id, action, details)
"""

Control = Paused | Resumed | Held | ChildStarted | Migrated


async def apply(turn: Turn, what: Control) -> None:
    """Do to the run what the command wants; what comes too late changes nothing."""
    match what:
        case Paused():
            await _pause(turn, what)
        case Resumed():
            await _resume(turn, what)
        case Held():
            _hold(turn, what)
        case ChildStarted():
            _child_started(turn, what)
        case Migrated():
            await _migrate(turn, what)
        case _:
            assert_never(what)


async def _pause(turn: Turn, what: Paused) -> None:
    if await turn.hear(PauseRequested(turn.now, PARENT if what.by_parent else "")):
        said = f" {what.reason}" if what.reason else ""
        turn.run.note("PENDING", f"Paused by {what.by}: nothing new begins.{said}", turn.now)


async def _resume(turn: Turn, what: Resumed) -> None:
    run = turn.run
    if what.by_parent and run.state.reason != PARENT:
        return
    if await timers.resume(turn):
        run.note("RUNNING", f"Resumed by {what.by}.", turn.now)
        for kind, visit, attempt in run.held:
            if run.awaits(visit, attempt):
                run.put_job(kind, visit=visit, attempt=attempt)
        run.held = ()


def _hold(turn: Turn, what: Held) -> None:
    """Keep the job in the state instead of the queue. If the execution has gone on meanwhile, put it at once."""
    run = turn.run
    if not run.awaits(what.visit, what.attempt):
        return
    job = (what.kind, what.visit, what.attempt)
    if run.state.status is not Status.paused:
        run.put_job(what.kind, visit=what.visit, attempt=what.attempt)
    elif job not in run.held:
        run.held = (*run.held, job)
        run.is_touched = True


def _child_started(turn: Turn, what: ChildStarted) -> None:
    """The step may have been dropped, or the execution paused, while its sub-workflow was being started."""
    run = turn.run
    if not run.awaits(what.visit, what.attempt):
        run.put_job("cancel_child", visit=what.visit, attempt=what.attempt)
    elif run.state.status is Status.paused:
        run.put_job("child_pause", visit=what.visit, attempt=what.attempt)


async def _migrate(turn: Turn, what: Migrated) -> None:
    run = turn.run
    what.refused.pop(run.id, None)
    if run.facts.version_id != what.source.version_id:
        what.refused[run.id] = (f"It does not run version {what.source.number} any more.",)
        return
    outcome = migrate(what.source.definition, what.target.definition, run.state, what.mapping)
    if outcome.state is None:
        what.refused[run.id] = outcome.problems
        return
    run.state, run.plan, run.moved_to = outcome.state, what.target, what.target.version_id
    hearing.rename(run, _renamed(what))
    versions = {"from_version": what.source.number, "to_version": what.target.number}
    run.note(
        "COMPLETED",
        f"Moved from version {what.source.number} to version {what.target.number} by {what.by}.",
        turn.now,
        {**versions, "mapping": dict(what.mapping)},
    )
    run.audits.append(AuditRow(run.id, "execution.migrate", {**versions, "mapping": dict(what.mapping)}))
    await turn.hear(VersionChanged(turn.now))


def _renamed(what: Migrated) -> dict[str, str | None]:
    """The steps that wait for events and have another name in the new version, with that name."""
    names = {path: counterpart(path, what.mapping) for path, step in what.source.steps.items() if step.hears}
    return {path: name for path, name in names.items() if name != path}


async def record(connection: Connection, rows: Sequence[AuditRow]) -> None:
    """Write audit events, in the transaction of the save that they are about."""
    if rows:
        await connection.execute(
            RECORD, [row.execution_id for row in rows], [row.action for row in rows], [row.details for row in rows]
        )
