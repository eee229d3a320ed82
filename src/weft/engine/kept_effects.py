"""What the kept steps of a replay had done outside: whose it is, and whether it has been undone since.

What a step did is undone by the execution that did it, and by no other: a replay that fails undoes its own steps, while
the older execution's stay what they are to it, such as the bookings of an order that was completed. So a replay names
the kept steps that it will not undo, with the visit and the execution that did each. By that a replay of a replay finds
who did what, however often its result was handed on; it builds on nothing that was undone by then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self
from uuid import UUID

from weft.core.actor import Actor
from weft.db.database import Connection
from weft.domain.executions import rules
from weft.domain.executions.errors import ReplayUndone
from weft.engine.drive import Driver
from weft.engine.plans import Plan
from weft.interpreter.codec import load_state
from weft.interpreter.state import State
from weft.interpreter.undone import can_be_undone, is_being_undone

OWNERS: Final = """/* weft:engine.kept_owners */
select e.id, e.version_id, e.status, e.state, e.created_at, e.completed_at, e.journal_gone
  from weft.workflow_executions e
 where e.tenant_id = $1 and e.id = any($2::uuid[])
"""

UNDOING: Final = """/* weft:engine.kept_undoing */
select l.execution_id, l.step_key, max(l.visit) as visit
  from unnest($2::uuid[], $3::text[]) as h (execution_id, step_key)
  join weft.execution_logs l
    on l.tenant_id = $1 and l.execution_id = h.execution_id and l.step_key = h.step_key and l.frame = ''
   and l.started_at >= $4 and l.started_at <= $5
 group by l.execution_id, l.step_key
"""


@dataclass(frozen=True, slots=True)
class Effect:
    """A completed visit that can be undone by the execution that made it."""

    step: str
    visit: int
    execution: UUID

    @classmethod
    def read(cls, written: Mapping[str, Any]) -> Self:
        return cls(written["step"], written["visit"], UUID(written["execution"]))

    def written(self) -> dict[str, Any]:
        return {"step": self.step, "visit": self.visit, "execution": str(self.execution)}


@dataclass(frozen=True, slots=True)
class _Owner:
    """An execution that did what is kept. `state` is gone when it has completed or was cancelled."""

    row: Mapping[str, Any]
    plan: Plan
    state: State | None

    def handler_of(self, effect: Effect, plan: Plan) -> str | None:
        """The step that undoes it; `plan` knows it by the name that it had before this execution was moved."""
        graph = self.plan.definition.graph
        step = graph.steps.get(effect.step) or plan.definition.graph.steps[effect.step]
        return step.compensate

    def lists(self, effect: Effect) -> bool:
        return self.state is not None and can_be_undone(self.state, effect.visit)

    def has_undone(self, effect: Effect, last_handler: int) -> bool:
        """Whether it was undone, or is about to be. A handler that began after it has been its own."""
        if self.state is not None and self.lists(effect):
            return is_being_undone(self.plan.definition, self.state, effect.visit)
        return last_handler > effect.visit


async def effects_of(
    driver: Driver,
    connection: Connection,
    actor: Actor,
    original: Mapping[str, Any],
    plan: Plan,
    kept: Mapping[str, Any],
) -> tuple[Effect, ...]:
    """Of the kept rows those that their execution can undo. Raises `ReplayUndone` where it has, or nobody knows."""
    done_elsewhere = [Effect.read(one) for one in original["metadata"].get("replay", {}).get("not_undone", ())]
    owner_of = {(one.step, one.visit): one.execution for one in done_elsewhere}
    done = [
        Effect(key, row["visit"], owner_of.get((key, row["visit"]), original["id"]))
        for key, row in kept.items()
        if row["status"] == "COMPLETED"
    ]
    owners = await _owners(driver, connection, actor, done)
    gone = [one.step for one in done if one.execution not in owners]
    known = [one for one in done if one.execution in owners]
    handlers = {one: handler for one in known if (handler := owners[one.execution].handler_of(one, plan)) is not None}
    last = await _last_handlers(driver, connection, actor, owners, handlers)
    undone = [
        one.step
        for one, handler in handlers.items()
        if owners[one.execution].has_undone(one, last.get((one.execution, handler), 0))
    ]
    if undone or gone:
        raise ReplayUndone(undone, gone)
    return tuple(one for one in known if one in handlers or owners[one.execution].lists(one))


async def _owners(driver: Driver, connection: Connection, actor: Actor, done: Sequence[Effect]) -> dict[UUID, _Owner]:
    """The executions that did these, as far as their journals are there."""
    rows = await connection.fetch(OWNERS, actor.tenant_id, list({one.execution for one in done}))
    owners = {}
    for row in rows:
        if not row["journal_gone"]:
            plan = await driver.plans.get(connection, actor.tenant_id, row["version_id"])
            stored = row["state"] or {}
            owners[row["id"]] = _Owner(row, plan, load_state(stored["i"]) if "i" in stored else None)
    return owners


async def _last_handlers(
    driver: Driver,
    connection: Connection,
    actor: Actor,
    owners: Mapping[UUID, _Owner],
    handlers: Mapping[Effect, str],
) -> dict[tuple[UUID, str], int]:
    """The newest visit of each handler, by execution and step."""
    pairs = list({(one.execution, handler) for one, handler in handlers.items()})
    if not pairs:
        return {}
    periods: list[tuple[datetime, datetime]] = [
        rules.journal_period(row["created_at"], row["completed_at"], row["status"], driver.clock())
        for row in (owners[execution].row for execution, _ in pairs)
    ]
    rows = await connection.fetch(
        UNDOING, actor.tenant_id, [execution for execution, _ in pairs], [handler for _, handler in pairs],
        min(since for since, _ in periods), max(until for _, until in periods),
    )  # fmt: skip
    return {(row["execution_id"], row["step_key"]): row["visit"] for row in rows}
