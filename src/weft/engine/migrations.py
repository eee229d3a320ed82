"""Moving executions of a version to another one: a preview of a page of them, or the move itself, in one save.

What becomes of an execution is decided by `weft.interpreter.migrate`, on what is stored for the preview and once more
on what is loaded when it is moved: between the two it may have gone on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from weft.core.actor import Actor
from weft.db.database import Connection
from weft.db.hot import transaction
from weft.domain.executions.errors import ExecutionNotFound, MappingInvalid, MigrationToItself
from weft.domain.workflows.errors import WorkflowNotFound
from weft.engine import versions
from weft.engine.drive import Driver, ExecutionBusy
from weft.engine.news import Migrated, News
from weft.engine.plans import Plan
from weft.interpreter.codec import load_state
from weft.interpreter.migrate import Migration, Move, StepMapping, mapping_problems, migrate
from weft.interpreter.state import State, Status

WORKFLOW: Final = """/* weft:engine.migrated_workflow */
select w.id from weft.workflows w where w.tenant_id = $1 and w.id = $2
"""

PAGE: Final = """/* weft:engine.migration_page */
select p.* from unnest($3::text[]) as s (status)
 cross join lateral (
   select e.id, e.number, e.status, e.version_id, e.state, e.created_at
     from weft.workflow_executions e
    where e.tenant_id = $1 and e.status = s.status and e.version_id = $2
      and ($4::uuid is null or (e.created_at, e.id) > (
            select a.created_at, a.id from weft.workflow_executions a where a.tenant_id = $1 and a.id = $4))
    order by e.created_at, e.id
    limit $5
 ) p
 order by p.created_at, p.id
 limit $5
"""

NAMED: Final = """/* weft:engine.migration_named */
select e.id, e.number, e.status, e.version_id, e.state
  from weft.workflow_executions e
 where e.tenant_id = $1 and e.workflow_id = $2 and e.id = any($3::uuid[])
 order by e.created_at, e.id
"""

MOVED: Final = """/* weft:engine.migration_moved */
select e.id from weft.workflow_executions e
 where e.tenant_id = $1 and e.id = any($2::uuid[]) and e.version_id = $3
"""

_BUSY: Final = "It changed faster than it could be moved. Try again."


@dataclass(frozen=True, slots=True)
class Wanted:
    """`executions` names them; without it those with one of `statuses`, `limit` of them, after `after`."""

    workflow_id: UUID
    from_version: int
    to_version: int
    mapping: StepMapping
    executions: Sequence[UUID] | None
    statuses: Sequence[str]
    limit: int
    after: UUID | None
    dry_run: bool


@dataclass(slots=True)
class Considered:
    """One execution: what becomes of its tokens, or why it stays."""

    execution_id: UUID
    number: int
    status: str
    moves: tuple[Move, ...] = ()
    problems: tuple[str, ...] = ()
    moved: bool = False


@dataclass(slots=True)
class Page:
    items: list[Considered] = field(default_factory=list)
    next: UUID | None = None


async def consider(driver: Driver, actor: Actor, wanted: Wanted) -> Page:
    """A page of executions with what becomes of each. Unless it is a dry run, those that can be are moved."""
    async with transaction(driver.database, actor, read_only=True) as connection:
        if await connection.fetchval(WORKFLOW, actor.tenant_id, wanted.workflow_id) is None:
            raise WorkflowNotFound(wanted.workflow_id)
        if wanted.from_version == wanted.to_version:
            raise MigrationToItself
        tenant_id, plans = actor.tenant_id, driver.plans
        old = await versions.find(connection, tenant_id, wanted.workflow_id, wanted.from_version)
        new = await versions.find_published(connection, tenant_id, wanted.workflow_id, wanted.to_version)
        source, target = await plans.get(connection, tenant_id, old), await plans.get(connection, tenant_id, new)
        problems = mapping_problems(source.definition, target.definition, wanted.mapping)
        if problems:
            raise MappingInvalid(problems)
        rows = await _rows(connection, actor, wanted, source)
    page = Page([_considered(row, source, target, wanted.mapping) for row in rows])
    if wanted.executions is None and len(rows) == wanted.limit:
        page.next = rows[-1]["id"]
    if not wanted.dry_run:
        await _move(driver, actor, page, Migrated(source, target, wanted.mapping, actor.name))
    return page


async def _rows(connection: Connection, actor: Actor, wanted: Wanted, source: Plan) -> list[Any]:
    if wanted.executions is None:
        page: list[Any] = await connection.fetch(
            PAGE, actor.tenant_id, source.version_id, list(wanted.statuses), wanted.after, wanted.limit
        )
        return page
    named: list[Any] = await connection.fetch(NAMED, actor.tenant_id, wanted.workflow_id, list(wanted.executions))
    missing = set(wanted.executions) - {row["id"] for row in named}
    if missing:
        raise ExecutionNotFound(min(missing))
    return named


def _considered(row: Mapping[str, Any], source: Plan, target: Plan, mapping: StepMapping) -> Considered:
    found = Considered(row["id"], row["number"], row["status"])
    if row["version_id"] != source.version_id:
        found.problems = (f"It does not run version {source.number}.",)
    else:
        outcome = _outcome(row, source, target, mapping)
        found.moves, found.problems = outcome.moves, outcome.problems
    return found


def _outcome(row: Mapping[str, Any], source: Plan, target: Plan, mapping: StepMapping) -> Migration:
    stored = row["state"] or {}
    state = load_state(stored["i"]) if "i" in stored else State(status=Status(row["status"]))
    return migrate(source.definition, target.definition, state, mapping)


async def _move(driver: Driver, actor: Actor, page: Page, what: Migrated) -> None:
    """Move whatever can be, in one batch; what raced with it is tried again by the driver, and else says so."""
    movable = [item.execution_id for item in page.items if not item.problems]
    if not movable:
        return
    with suppress(ExecutionBusy):  # some are moved then, others not: the rows say which
        await driver.deliver(actor.tenant_id, [News(one, what) for one in movable], actor=actor)
    async with transaction(driver.database, actor, read_only=True) as connection:
        rows = await connection.fetch(MOVED, actor.tenant_id, movable, what.target.version_id)
    moved = {row["id"] for row in rows}
    for item in page.items:
        item.moved = item.execution_id in moved
        if not item.moved and not item.problems:
            item.problems = what.refused.get(item.execution_id, (_BUSY,))
