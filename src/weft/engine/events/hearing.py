"""What a turn wants written about events: waits that begin and end, events that steps emit, questions.

Everything is written in the transaction of the save that orders it, for the executions which that save wrote, and each
statement is sent only when there is something for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from weft.core.ids import new_id
from weft.db.database import Connection, Packed
from weft.domain.events import rules
from weft.domain.events.models import EventSource
from weft.domain.events.storing import NewEvent, store
from weft.engine.outcomes import Ask, Done, Emit, Failed, Heard, Outcome, WaitForEvent
from weft.engine.run import Run

WAITS = """/* weft:events.waits */
insert into weft.event_waits (tenant_id, id, execution_id, visit, attempt, step, type, correlation, since)
select $1, u.* from unnest($2::uuid[], $3::uuid[], $4::integer[], $5::integer[], $6::text[], $7::text[], $8::text[],
                           $9::timestamptz[])
       as u (id, execution_id, visit, attempt, step, type, correlation, since)
"""

TAKEN = """/* weft:events.taken */
update weft.event_waits w set taken = u.event
  from unnest($2::uuid[], $3::integer[], $4::integer[], $5::uuid[]) as u (execution_id, visit, attempt, event)
 where w.tenant_id = $1 and w.execution_id = u.execution_id and w.visit = u.visit and w.attempt = u.attempt
"""

OVER = """/* weft:events.over */
delete from weft.event_waits w
 using unnest($2::uuid[], $3::integer[], $4::integer[]) as u (execution_id, visit, attempt)
 where w.tenant_id = $1 and w.execution_id = u.execution_id and w.visit = u.visit and w.attempt = u.attempt
   and w.taken is null
"""

FORGET = """/* weft:events.forget */
delete from weft.event_waits w where w.tenant_id = $1 and w.execution_id = any($2::uuid[])
"""

RENAME = """/* weft:events.rename */
with names as (
  select u.* from unnest($2::uuid[], $3::text[], $4::text[]) as u (execution_id, step, becomes)
),
gone as (
  delete from weft.event_waits w using names n
   where w.tenant_id = $1 and w.execution_id = n.execution_id and w.step = n.step and n.becomes is null
)
update weft.event_waits w set step = n.becomes from names n
 where w.tenant_id = $1 and w.execution_id = n.execution_id and w.step = n.step and n.becomes is not null
"""
"""What a step took is known by its name. One that is left out has no successor, and nothing that waits."""

WANTS_ENDS = """/* weft:events.wants_ends */
insert into weft.event_interests as i (tenant_id, version, ends) values ($1, 1, true)
on conflict (tenant_id) do update set version = i.version + 1, ends = true
"""

ASK = """/* weft:events.ask */
insert into weft.questions
  (tenant_id, id, execution_id, visit, attempt, step, question, choices, "to", correlation, asked_at)
select $1, u.id, u.execution_id, u.visit, u.attempt, u.step, u.question,
       (select array_agg(c) from jsonb_array_elements_text(u.choices) c), u.whom, u.correlation, u.asked_at
  from unnest($2::uuid[], $3::uuid[], $4::integer[], $5::integer[], $6::text[], $7::text[], $8::jsonb[], $9::text[],
              $10::text[], $11::timestamptz[])
       as u (id, execution_id, visit, attempt, step, question, choices, whom, correlation, asked_at)
"""

CLOSE = """/* weft:events.close */
update weft.questions q set status = 'CLOSED'
  from unnest($2::uuid[], $3::integer[], $4::integer[]) as u (execution_id, visit, attempt)
 where q.tenant_id = $1 and q.execution_id = u.execution_id and q.visit = u.visit and q.attempt = u.attempt
   and q.status = 'OPEN'
"""

ENDED = """/* weft:events.ended */
insert into weft.dispatch_jobs (tenant_id, id, kind, execution_id, state, run_at)
select $1, u.id, 'ended', u.execution_id, 'ready', $4
  from unnest($2::uuid[], $3::uuid[]) as u (id, execution_id)
returning pg_notify('weft_jobs', 'job')
"""


@dataclass(frozen=True, slots=True)
class Wait:
    execution_id: UUID
    visit: int
    attempt: int
    step: str
    type: str
    correlation: str
    since: datetime
    id: UUID = field(default_factory=new_id)


@dataclass(frozen=True, slots=True)
class NewQuestion:
    id: UUID
    execution_id: UUID
    visit: int
    attempt: int
    step: str
    asked_at: datetime
    ask: Ask


@dataclass(frozen=True, slots=True)
class Over:
    """A visit's attempt waits no longer; `taken` is the event that ended it."""

    execution_id: UUID
    visit: int
    attempt: int
    taken: UUID | None = None


@dataclass(frozen=True, slots=True)
class Renamed:
    """A step that waits, or has waited, has another name since its execution was moved; None when it is left out."""

    execution_id: UUID
    step: str
    becomes: str | None


@dataclass(slots=True)
class Hearing:
    """Of one run, or of all runs of a batch."""

    renamed: list[Renamed] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    over: list[Over] = field(default_factory=list)
    events: list[NewEvent] = field(default_factory=list)
    questions: list[NewQuestion] = field(default_factory=list)
    forgotten: list[UUID] = field(default_factory=list)

    def take(self, other: Hearing) -> None:
        self.renamed += other.renamed
        self.waits += other.waits
        self.over += other.over
        self.events += other.events
        self.questions += other.questions
        self.forgotten += other.forgotten


def of(run: Run) -> Hearing:
    """The run's own, made when it is first needed: most executions never hear of an event, simulated ones never do."""
    if run.facts.simulation:
        return Hearing()
    if run.hearing is None:
        run.hearing = Hearing()
    return run.hearing


# -- what a turn says ----------------------------------------------------------------------------------------


def begin(run: Run, step: str, visit: int, attempt: int, outcome: WaitForEvent | Ask, now: datetime) -> None:
    """The step waits from now on, and a job looks whether what it waits for has come already (`looking.py`)."""
    hearing = of(run)
    if isinstance(outcome, Ask):
        asked = new_id()
        hearing.questions.append(NewQuestion(asked, run.id, visit, attempt, step, now, outcome))
        hearing.waits.append(Wait(run.id, visit, attempt, step, rules.ANSWERED, str(asked), now))
        return  # nobody can answer what was not asked yet: there is nothing to look for
    since = now if outcome.from_now else run.facts.created_at
    for kind in outcome.types:
        hearing.waits.append(Wait(run.id, visit, attempt, step, kind, outcome.correlation, since))
    run.put_job("event_wait", visit=visit, attempt=attempt)


def settle(run: Run, visit: int, attempt: int, outcome: Outcome | None) -> None:
    """The attempt is over: its waits go, or keep the event that they took."""
    hearing = of(run)
    begun = [wait for wait in hearing.waits if (wait.visit, wait.attempt) == (visit, attempt)]
    if begun:  # begun and ended in one turn: nothing was written yet
        hearing.waits = [wait for wait in hearing.waits if wait not in begun]
        hearing.questions = [asked for asked in hearing.questions if (asked.visit, asked.attempt) != (visit, attempt)]
        return
    taken = outcome.event if isinstance(outcome, Heard) else None
    hearing.over.append(Over(run.id, visit, attempt, taken))


def rename(run: Run, names: Mapping[str, str | None]) -> None:
    """The execution was moved: what its steps took was taken by their counterparts, under their new names."""
    if names:
        of(run).renamed += [Renamed(run.id, step, becomes) for step, becomes in names.items()]


def forget(run: Run) -> None:
    """The execution is over for good: nothing waits, and nothing that was taken matters any more."""
    of(run).forgotten.append(run.id)


def emit(run: Run, visit: int, attempt: int, outcome: Emit, now: datetime) -> Done | Failed:
    """Store an event with this turn. A chain of executions that is too long ends here: it is a loop."""
    depth = run.facts.depth + 1
    if depth > rules.DEEPEST:
        loops_refused.count += 1
        return Failed(
            "event_loop",
            f"{rules.DEEPEST} executions have led to one another by events: does a workflow trigger itself? The event "
            f"'{outcome.type}' was not emitted.",
            retryable=False,
        )
    event = NewEvent(
        type=outcome.type,
        received_at=now,
        source=EventSource.step.value,
        correlation=outcome.correlation,
        payload=outcome.payload,
        key=f"step:{run.id}:{visit}:{attempt}",
        execution_id=run.id,
        depth=depth,
    )
    of(run).events.append(event)
    return Done({"id": str(event.id), "type": event.type, "correlation": event.correlation or None})


@dataclass(slots=True)
class Refused:
    """Counts what this process refused, for its metrics."""

    count: int = 0


loops_refused = Refused()


# -- what a save writes --------------------------------------------------------------------------------------


async def write(connection: Connection, tenant_id: UUID, hearing: Hearing, saved: Collection[UUID]) -> None:
    """Write what belongs to executions that were saved, in the same transaction."""
    renamed = [row for row in hearing.renamed if row.execution_id in saved]
    if renamed:
        await connection.execute(RENAME, tenant_id, *_columns(renamed, ("execution_id", "step", "becomes")))
    over = [row for row in hearing.over if row.execution_id in saved]
    await _end(connection, tenant_id, over)
    forgotten = [execution for execution in hearing.forgotten if execution in saved]
    if forgotten:
        await connection.execute(FORGET, tenant_id, forgotten)
    waits = [row for row in hearing.waits if row.execution_id in saved and row.execution_id not in forgotten]
    if waits:
        names = ("id", "execution_id", "visit", "attempt", "step", "type", "correlation", "since")
        await connection.execute(WAITS, tenant_id, *_columns(waits, names))
        if any(row.type in rules.ENDS.values() for row in waits):
            await connection.execute(WANTS_ENDS, tenant_id)
    questions = [row for row in hearing.questions if row.execution_id in saved]
    if questions:
        await _ask(connection, tenant_id, questions)
    events = [event for event in hearing.events if event.execution_id in saved]
    if events:
        await store(connection, tenant_id, events)


async def _end(connection: Connection, tenant_id: UUID, over: list[Over]) -> None:
    attempt = ("execution_id", "visit", "attempt")
    taken = [row for row in over if row.taken is not None]
    if taken:
        await connection.execute(TAKEN, tenant_id, *_columns(taken, (*attempt, "taken")))
    left = [row for row in over if row.taken is None]
    if left:
        await connection.execute(OVER, tenant_id, *_columns(left, attempt))
        await connection.execute(CLOSE, tenant_id, *_columns(left, attempt))


async def _ask(connection: Connection, tenant_id: UUID, rows: list[NewQuestion]) -> None:
    names = ("id", "execution_id", "visit", "attempt", "step")
    await connection.execute(
        ASK,
        tenant_id,
        *_columns(rows, names),
        [row.ask.question for row in rows],
        [None if row.ask.choices is None else Packed(list(row.ask.choices)) for row in rows],
        [row.ask.to for row in rows],
        [row.ask.correlation for row in rows],
        [row.asked_at for row in rows],
    )


async def tell_ends(connection: Connection, tenant_id: UUID, executions: Iterable[UUID], now: datetime) -> None:
    """Somebody in this tenant wants to hear of ends: a job for each, which finds out who."""
    ids = list(executions)
    await connection.execute(ENDED, tenant_id, [new_id() for _ in ids], ids, now)


def _columns(rows: Iterable[Any], names: tuple[str, ...]) -> list[list[Any]]:
    rows = list(rows)
    return [[getattr(row, name) for row in rows] for name in names]
