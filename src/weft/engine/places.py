"""Places: how limited executions wait for each other. Nothing here is asked for executions without a limit.

An execution of a limited tenant or workflow is stored PENDING with a parked job, and asks for a place in the same
transaction (`db/sql/places.sql`). The save that ends it gives the place to the next one. So a place is never lost and
never given twice, whoever dies when.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from weft.core.errors import Exhausted, Invalid
from weft.db.database import Connection
from weft.engine.evaluate import Evaluator
from weft.engine.news import News
from weft.engine.run import Run
from weft.expressions.compile import Compiled, compile_expression
from weft.expressions.errors import ExpressionFailed
from weft.interpreter.state import Status

LOCK = "/* weft:places.lock */ select weft.lock_limits($1, $2)"
TAKE = "/* weft:places.take */ select weft.take_places($1, $2, $3, $4, $5, $6)"
FREE = "/* weft:places.free */ select weft.free_places($1, $2, $3)"
IN_USE = """/* weft:places.in_use */
select s.workflow_id, s.key, w.concurrent,
       (select count(*) from weft.execution_places p
         where p.tenant_id = $1 and p.workflow_id = s.workflow_id and p.key = s.key) as in_use
  from unnest($2::uuid[], $3::text[]) as s (workflow_id, key)
  join weft.workflow_limits w on w.tenant_id = $1 and w.workflow_id = s.workflow_id
 where w.concurrent is not null and w.when_full = 'refuse'
"""
KEEP = """/* weft:places.keep */
insert into weft.execution_places (tenant_id, execution_id, workflow_id, key, state, tenant_wide, priority)
select $1, n.execution_id, n.workflow_id, n.key, 'held', n.wide, n.priority
  from unnest($2::uuid[], $3::uuid[], $4::text[], $5::boolean[], $6::integer[])
       as n (execution_id, workflow_id, key, wide, priority)
on conflict do nothing
"""
ANCESTORS = """/* weft:places.ancestors */
with recursive up as (
  select e.workflow_id, e.parent_id from weft.workflow_executions e where e.tenant_id = $1 and e.id = $2
  union all
  select e.workflow_id, e.parent_id from up join weft.workflow_executions e on e.tenant_id = $1 and e.id = up.parent_id
)
select exists (select from up where up.workflow_id = $3)
"""

LIMITS = """/* weft:places.limits */
select c.settings, coalesce(l.priority, 0) as priority, l.concurrent, l.key, l.when_full,
       t.tenant_id is not null as tenant_limited
  from weft.workflow_counters c
  left join weft.workflow_limits l on l.tenant_id = $1 and l.workflow_id = c.workflow_id
  left join weft.tenant_limits t on t.tenant_id = $1
 where c.tenant_id = $1 and c.workflow_id = $2
"""

LONGEST_KEY = 200


class WorkflowFull(Exhausted):
    code = "workflow_full"

    def __init__(self, name: str, places: int) -> None:
        super().__init__(
            f"The workflow '{name}' has as many executions under way as it may ({places} of {places}) and refuses "
            "more. Start it again when one of them has ended; `weft limit show` tells how many there are."
        )


class ConcurrencyKeyUnclear(Invalid):
    code = "concurrency_key_unclear"

    def __init__(self, name: str, expression: str, said: str) -> None:
        super().__init__(
            f"The workflow '{name}' runs one input at a time for each value of '{expression}', which cannot be worked "
            f"out here: {said.rstrip('.')}. Correct the input, or the limit's key (`weft limit set`)."
        )


@dataclass(frozen=True, slots=True)
class StartLimits:
    """What a start must know of its workflow's limits. `settings` says of which day this knowledge is."""

    settings: int = 0
    priority: int = 0
    tenant: bool = False
    concurrent: int | None = None
    key: str | None = None
    compiled: Compiled | None = None
    refuses: bool = False

    @property
    def is_limited(self) -> bool:
        return self.tenant or self.concurrent is not None


def limits_of(row: Mapping[str, Any]) -> StartLimits:
    key = row["key"]
    return StartLimits(
        settings=row["settings"],
        priority=row["priority"],
        tenant=row["tenant_limited"],
        concurrent=row["concurrent"],
        key=key,
        compiled=compile_expression(key) if key else None,
        refuses=row["when_full"] == "refuse",
    )


async def limits_now(connection: Connection, tenant_id: UUID, workflow_id: UUID) -> StartLimits:
    """The limits of one workflow, for whoever stores a start without the starter."""
    row = await connection.fetchrow(LIMITS, tenant_id, workflow_id)
    return StartLimits() if row is None else limits_of(row)


async def scope_of(evaluator: Evaluator, name: str, limits: StartLimits, value: Any, tenant_id: UUID) -> str | None:
    """Where an execution that is nobody's sub-workflow needs a place; None if it needs none."""
    return await key_of(evaluator, name, limits, value, tenant_id) if limits.is_limited else None


async def key_of(evaluator: Evaluator, name: str, limits: StartLimits, value: Any, tenant_id: UUID) -> str:
    """The value of the workflow's key for this input, as text. Raises `ConcurrencyKeyUnclear`."""
    if limits.compiled is None or limits.key is None:
        return ""
    try:
        found = await evaluator.of_input(limits.compiled, value, tenant_id)
    except ExpressionFailed as error:
        raise ConcurrencyKeyUnclear(name, limits.key, error.message) from error
    text = found if isinstance(found, str) else json.dumps(found, sort_keys=True, separators=(",", ":"))
    text = text.replace("\0", "")
    return text if len(text) <= LONGEST_KEY else hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks for a place."""

    execution_id: UUID
    workflow_id: UUID
    key: str
    tenant_wide: bool
    priority: int


async def lock(connection: Connection, tenant_id: UUID, workflows: Sequence[UUID]) -> None:
    """Nobody else gives or takes places of these workflows until the transaction ends. Before any other lock."""
    await connection.execute(LOCK, tenant_id, list(set(workflows)))


async def room(
    connection: Connection, tenant_id: UUID, scopes: Sequence[tuple[UUID, str]]
) -> dict[tuple[UUID, str], int]:
    """How many more may ask in each scope whose workflow refuses when it is full. The caller holds the lock."""
    rows = await connection.fetch(IN_USE, tenant_id, [w for w, _ in scopes], [k for _, k in scopes])
    return {(row["workflow_id"], row["key"]): row["concurrent"] - row["in_use"] for row in rows}


async def take(connection: Connection, tenant_id: UUID, asking: Sequence[Asking]) -> None:
    """Ask for places; whoever gets one has its parked jobs made ready, the others wait in order."""
    if asking:
        await connection.execute(TAKE, tenant_id, *_columns(asking))


def must_wait(run: Run, item: News) -> bool:
    """Whether a retry has to wait for a place: its job brings it back when there is one."""
    return item.fence is None and run.facts.place_key is not None and run.state.status is Status.failed


def ask_again(run: Run, by: str, now: datetime) -> None:
    """Retry as soon as there is a place. The execution stays failed until then."""
    run.put_job("retry", detail={"by": by}, parked=True)
    run.asks_for_place = True
    run.note("PENDING", f"{by} wants it retried: it goes on when there is a free place.", now)


async def settle(connection: Connection, tenant_id: UUID, saved: Sequence[Run]) -> None:
    """After a save, in its transaction: the places of what ended go to the next, retried ones ask."""
    limited = [run for run in saved if run.facts.place_key is not None]
    if not limited:
        return
    ended = [run for run in limited if run.state.status.is_final and not run.before.status.is_final]
    if ended:
        await connection.execute(
            FREE, tenant_id, [run.id for run in ended], list({run.facts.workflow_id for run in ended})
        )
    await take(connection, tenant_id, [asking_of(run) for run in limited if run.asks_for_place])
    revived = [run for run in limited if run.before.status.is_final and not run.state.status.is_final]
    if revived:
        # Whoever brings an execution back without asking takes a place all the same, so that the count is true.
        await connection.execute(KEEP, tenant_id, *_columns([asking_of(run) for run in revived]))


def asking_of(run: Run) -> Asking:
    facts = run.facts
    return Asking(facts.id, facts.workflow_id, facts.place_key or "", facts.parent_id is None, facts.priority)


def _columns(asking: Sequence[Asking]) -> tuple[list[Any], ...]:
    return (
        [one.execution_id for one in asking],
        [one.workflow_id for one in asking],
        [one.key for one in asking],
        [one.tenant_wide for one in asking],
        [one.priority for one in asking],
    )
