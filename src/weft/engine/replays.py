"""Replaying: a new execution that repeats an older one, from a step on or from the start. History is never rewritten.

With `keep` the results of everything that does not come after the step are copied into the new execution's journal by
one statement, under their old visit numbers, so that expressions find them as ever. The execution is stored with its
first visit held, and taken up by a worker like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from weft.core.actor import Actor
from weft.core.ids import new_id
from weft.db.database import Connection
from weft.db.hot import transaction
from weft.domain.executions import rules
from weft.domain.executions.errors import (
    ExecutionNotFound,
    JournalGone,
    PayloadQuotaReached,
    ReplayInputsMissing,
    ReplayStepUnknown,
)
from weft.domain.executions.payloads import Reference, unpacked
from weft.domain.workflows.certainty import Fact, analyse
from weft.engine import control, payloads, places, store, versions
from weft.engine.drive import Driver, ExecutionBusy, gather
from weft.engine.events.loops import CHAIN
from weft.engine.kept_effects import Effect, effects_of
from weft.engine.plans import Plan
from weft.engine.records import AuditRow, NewExecution
from weft.engine.run import Run, from_start
from weft.engine.simulation.errors import SimulationUnavailable
from weft.engine.start_errors import IdempotencyKeyReused, WorkflowNotActive
from weft.engine.start_requests import StartResult
from weft.interpreter.begin_at import begin_at, downstream
from weft.interpreter.definition import Graph

TRIGGER: Final = "REPLAY"
_OWN: Final = frozenset({"replay", "parent_attempt", CHAIN})
"""Metadata that is the older execution's own."""

_NAMED: Final = 10
"""Kept steps that the journal's note names one by one."""

ORIGINAL: Final = """/* weft:engine.replayed */
select e.id, e.workflow_id, e.version_id, e.number, e.client_id, e.status, e.state, e.input, e.metadata, e.created_at,
       e.completed_at, e.journal_gone, w.name, w.status as workflow_status
  from weft.workflow_executions e
  join weft.workflows w on w.tenant_id = $1 and w.id = e.workflow_id
 where e.tenant_id = $1 and e.id = $2
"""

NEWEST: Final = """/* weft:engine.newest */
select distinct on (l.step_key) l.step_key, l.visit, l.attempt, l.status,
       case when l.step_key = any($5::text[]) then l.data end as variables
  from weft.execution_logs l
 where l.tenant_id = $1 and l.execution_id = $2 and l.frame = '' and l.step_key is not null
   and l.status in ('COMPLETED', 'SKIPPED', 'FAILED') and l.started_at >= $3 and l.started_at <= $4
 order by l.step_key, l.visit desc, l.attempt desc
"""

KEEP: Final = """/* weft:engine.keep */
insert into weft.execution_logs
  (tenant_id, execution_id, id, step_id, step_key, frame, visit, attempt, status, started_at, completed_at, message,
   data, error)
select $1, $3, gen_random_uuid(), s.id, l.step_key, l.frame, l.visit, l.attempt, l.status, $4, $4,
       'Kept from execution ' || $5::text || coalesce(': ' || l.message, '.'), l.data, l.error
  from unnest($6::text[], $7::integer[], $8::integer[]) as k (step_key, visit, attempt)
  join weft.execution_logs l
    on l.tenant_id = $1 and l.execution_id = $2 and l.visit = k.visit and l.attempt = k.attempt
   and l.step_key = k.step_key and l.started_at >= $9 and l.started_at <= $10
  left join weft.workflow_steps s on s.tenant_id = $1 and s.version_id = $11 and s.key = l.step_key
returning data
"""

EARLIER: Final = f"""/* weft:engine.replayed_earlier */
select e.id, e.number, e.status, e.input, e.output, e.error, e.metadata, e.workflow_id, e.version_id,
       {payloads.SAME_INPUT}
  from weft.workflow_executions e
 where e.tenant_id = $1 and e.workflow_id = $2 and e.idempotency_key = $3
"""


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """`keeps`: the results before the step are kept. `has_input`: `input` stands in for the older execution's."""

    execution_id: UUID
    step: str
    keeps: bool = True
    version: int | None = None
    input: Any = None
    has_input: bool = False
    reason: str = ""
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class _Kept:
    """Newest results of the older execution's own steps. `copied` are those whose journal rows are taken over."""

    copied: Mapping[str, Any]
    done: frozenset[str]
    variables: Mapping[str, Any]
    effects: tuple[Effect, ...] = ()  # what the older executions did, and undo if anybody does


@dataclass(frozen=True, slots=True)
class ReplayResult(StartResult):
    """`not_undone`: kept steps that the new execution will not undo, as it has not done them."""

    not_undone: tuple[str, ...] = ()


async def replay(driver: Driver, actor: Actor, request: ReplayRequest) -> ReplayResult:
    """Store a new execution that repeats an older one. Raises what is wrong; then nothing is stored."""
    async with transaction(driver.database, actor, read_only=True) as connection:
        found = await connection.fetchrow(ORIGINAL, actor.tenant_id, request.execution_id)
        if found is None:
            raise ExecutionNotFound(request.execution_id)
        original = {
            **found,
            **await payloads.opened(connection, actor.tenant_id, found["id"], {"input": found["input"]}),
        }
        plan = await _plan(driver, connection, actor, original, request)
        earlier = await _earlier(connection, actor, original, request, plan)
        if earlier is not None:
            return earlier
        if request.keeps and found["journal_gone"]:
            raise JournalGone
        period = rules.journal_period(
            original["created_at"], original["completed_at"], original["status"], driver.clock()
        )
        kept = await _kept(driver, connection, actor, original, plan, request, period) if request.keeps else None
        limits = await places.limits_now(connection, actor.tenant_id, original["workflow_id"])
    new = _new_execution(driver, actor, original, plan, request, kept)
    new.settings, new.priority = limits.settings, limits.priority
    new.place_key = await places.scope_of(driver.evaluator, original["name"], limits, new.input, actor.tenant_id)
    run = _laid_out(actor, original, plan, request, new, kept)
    room = payloads.Room(driver.database, actor.tenant_id, driver.limits)
    new.input = await payloads.keep_input(run, room)
    try:
        stored = await _store(driver, actor, original, request, run, new, kept, period)
    except payloads.RoomLost as lost:
        await room.take(0)
        raise PayloadQuotaReached(lost.size, room.quota) from lost
    return stored or await _not_stored(driver, actor, original, request, plan)


async def _store(
    driver: Driver,
    actor: Actor,
    original: Mapping[str, Any],
    request: ReplayRequest,
    run: Run,
    new: NewExecution,
    kept: _Kept | None,
    period: tuple[datetime, datetime],
) -> ReplayResult | None:
    """Write it all in one transaction; None when there is such an execution already, or may be none."""
    batch = gather([run])
    batch.starts = [new]
    batch.payload_quota = driver.limits.payloads
    async with transaction(driver.database, actor) as connection:
        if new.place_key is not None:
            await places.lock(connection, actor.tenant_id, [new.workflow_id])
        saved = await store.save(connection, actor.tenant_id, batch, driver.clock(), wake=True)
        if run.id in saved:
            if new.place_key is not None:  # a repetition waits, even where new starts are refused
                await places.take(connection, actor.tenant_id, [places.asking_of(run)])
            if kept is not None:
                await _copy(connection, original, run, kept, period, driver.limits.payloads)
            await control.record(connection, [_audit(request, run)])
            return ReplayResult(
                run.id, saved[run.id], run.facts.workflow_id, run.plan.version_id, run.state.status.value, None, None,
                True, _not_undone(run.facts.metadata["replay"]),
            )  # fmt: skip
    return None


async def _plan(
    driver: Driver, connection: Connection, actor: Actor, original: Mapping[str, Any], request: ReplayRequest
) -> Plan:
    """The version that the new execution runs, known to have the step, and to take the input."""
    if original["metadata"].get("simulation"):
        raise SimulationUnavailable
    version_id = original["version_id"]
    if request.version is not None:
        version_id = await versions.find_published(
            connection, actor.tenant_id, original["workflow_id"], request.version
        )
    plan = await driver.plans.get(connection, actor.tenant_id, version_id)
    if request.step not in plan.definition.graph.steps:
        around = request.step.partition(".")[0] if request.step in plan.steps else None
        raise ReplayStepUnknown(request.step, plan.number, around)
    plan.check_input(_input(original, request))
    return plan


def _input(original: Mapping[str, Any], request: ReplayRequest) -> Any:
    return request.input if request.has_input else original["input"]


async def _kept(
    driver: Driver,
    connection: Connection,
    actor: Actor,
    original: Mapping[str, Any],
    plan: Plan,
    request: ReplayRequest,
    period: tuple[datetime, datetime],
) -> _Kept:
    graph = plan.definition.graph
    setting = [key for key, step in graph.steps.items() if step.kind == "set"]
    found = await connection.fetch(NEWEST, actor.tenant_id, original["id"], *period, setting)
    written = {row["step_key"]: row["variables"] for row in found}
    variables = await payloads.opened(connection, actor.tenant_id, original["id"], written)
    rows = {row["step_key"]: {**row, "variables": variables[row["step_key"]]} for row in found}
    after = downstream(graph, request.step)
    # Handlers are of the execution that has undone something: what they undid is done anew, or was not undone.
    copied = {
        key: row for key, row in rows.items() if key in graph.steps and key not in after and key not in graph.handlers
    }
    missing = _missing(graph, request.step, copied)
    if missing:
        raise ReplayInputsMissing(request.step, missing)
    effects = await effects_of(driver, connection, actor, original, plan, copied)
    done = frozenset(key for key, row in rows.items() if row["status"] in ("COMPLETED", "SKIPPED"))
    return _Kept(copied, done, _variables(original, rows, copied), effects)


def _missing(graph: Graph, step: str, copied: Mapping[str, Any]) -> list[str]:
    """Steps that are over whenever this one begins, and have no such end among what is kept."""
    certainty = analyse(graph)
    facts = certainty.before[step]
    missing = []
    for key in graph.steps:
        if not certainty.knows(facts, key, Fact.ran):
            continue
        row = copied.get(key)
        passed = row is not None and row["status"] in ("COMPLETED", "SKIPPED")
        if row is None or (certainty.knows(facts, key, Fact.passed) and not passed):
            missing.append(key)
    return missing


def _variables(original: Mapping[str, Any], rows: Mapping[str, Any], copied: Mapping[str, Any]) -> dict[str, Any]:
    """`vars` as they were: what kept steps have set, and what is known besides and was not set by later steps."""
    later = {name for key, row in rows.items() if key not in copied for name in row["variables"] or ()}
    known = (original["state"] or {}).get("v") or {}
    found = {name: value for name, value in known.items() if name not in later}
    for row in sorted(copied.values(), key=lambda row: row["visit"]):
        found |= row["variables"] or {}
    return found


def _new_execution(
    driver: Driver,
    actor: Actor,
    original: Mapping[str, Any],
    plan: Plan,
    request: ReplayRequest,
    kept: _Kept | None,
) -> NewExecution:
    """What a start would say of it: nobody's sub-workflow, with the older one's client and metadata."""
    metadata = {key: value for key, value in original["metadata"].items() if key not in _OWN}
    return NewExecution(
        workflow_id=original["workflow_id"],
        version_id=plan.version_id,
        client_id=original["client_id"],
        input=_input(original, request),
        metadata={**metadata, "replay": _link(original, request, kept)},
        trigger=TRIGGER,
        trigger_id=None,
        trigger_version=None,
        started_by=actor.user_id,
        idempotency_key=request.idempotency_key,
        correlation_id=actor.correlation_id,
        parent_id=None,
        parent_visit=None,
        depth=0,
        awaited=False,
        created_at=driver.clock(),
        at_version=True,
    )


def _laid_out(
    actor: Actor, original: Mapping[str, Any], plan: Plan, request: ReplayRequest, new: NewExecution, kept: _Kept | None
) -> Run:
    """The run as it is stored: at its step, if something is kept, and with a job that has it taken up."""
    run = from_start(new, new_id(), actor.tenant_id, plan, None)
    now, number, step = new.created_at, original["number"], request.step
    if kept is None:
        run.note("PENDING", f"Repeats execution {number} from the start, because of step '{step}'.", now)
    else:
        visits = {key: row["visit"] for key, row in kept.copied.items()}
        run.state = begin_at(plan.definition, step, visits, done=kept.done, at=now, seed=run.id.int & 0x7FFFFFFF)
        run.variables = dict(kept.variables)
        said = f"Repeats execution {number} from step '{step}'. Kept: {_few(list(kept.copied))}."
        if kept.effects:
            theirs = _few([effect.step for effect in kept.effects])
            said += f" What was done by {theirs} is not undone by this execution, but by the one that did it."
        run.note("PENDING", said, now)
    run.put_job("start", parked=new.place_key is not None)
    return run


def _few(names: Sequence[str]) -> str:
    return (", ".join(names) or "nothing") if len(names) <= _NAMED else f"{len(names)} steps"


def _link(original: Mapping[str, Any], request: ReplayRequest, kept: _Kept | None) -> dict[str, Any]:
    before = "keep" if request.keeps else "recompute"
    link = {"of": str(original["id"]), "number": original["number"], "from": request.step, "before": before}
    if kept is not None and kept.effects:
        link["not_undone"] = [effect.written() for effect in kept.effects]
    return link


def _not_undone(link: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(effect["step"] for effect in link.get("not_undone", ()))


async def _copy(
    connection: Connection,
    original: Mapping[str, Any],
    run: Run,
    kept: _Kept,
    period: tuple[datetime, datetime],
    quota: int,
) -> None:
    """Take over the kept steps' journal rows, and the large values that they refer to."""
    rows: Sequence[Any] = list(kept.copied.values())
    if not rows:
        return
    copied = await connection.fetch(
        KEEP, run.facts.tenant_id, original["id"], run.id, run.facts.created_at, str(original["number"]),
        [row["step_key"] for row in rows], [row["visit"] for row in rows], [row["attempt"] for row in rows],
        *period, run.plan.version_id,
    )  # fmt: skip
    if len(copied) != len(rows):
        raise store.JournalIncomplete(len(rows), f"INSERT 0 {len(copied)}")
    large = [value.id for row in copied if isinstance(value := unpacked(row["data"]), Reference)]
    if large:
        await payloads.copy(connection, run.facts.tenant_id, original["id"], run.id, large, quota)


def _audit(request: ReplayRequest, run: Run) -> AuditRow:
    details = {
        "execution_id": str(run.id),
        "from": request.step,
        "before": "keep" if request.keeps else "recompute",
        "version": run.plan.number,
        "reason": request.reason,
    }
    return AuditRow(request.execution_id, "execution.replay", details)


async def _earlier(
    connection: Connection, actor: Actor, original: Mapping[str, Any], request: ReplayRequest, plan: Plan
) -> ReplayResult | None:
    """The execution that this key stored before, however the older one has gone on since; None for a new key."""
    if request.idempotency_key is None:
        return None
    given, key = _input(original, request), request.idempotency_key
    row = await connection.fetchrow(EARLIER, actor.tenant_id, original["workflow_id"], key, given)
    if row is None:
        return None
    documents = {"input": row["input"], "output": row["output"]}
    documents = await payloads.opened(connection, actor.tenant_id, row["id"], documents)
    same = row["same_input"] or documents["input"] == given
    link = row["metadata"].get("replay", {})
    asked = {key: value for key, value in link.items() if key != "not_undone"}
    if not same or row["version_id"] != plan.version_id or asked != _link(original, request, None):
        raise IdempotencyKeyReused
    return ReplayResult(
        row["id"], row["number"], row["workflow_id"], row["version_id"], row["status"],
        documents["output"], row["error"], created=False, not_undone=_not_undone(link),
    )  # fmt: skip


async def _not_stored(
    driver: Driver, actor: Actor, original: Mapping[str, Any], request: ReplayRequest, plan: Plan
) -> ReplayResult:
    """The key was used a moment before, or the workflow does not take new executions."""
    async with transaction(driver.database, actor, read_only=True) as connection:
        earlier = await _earlier(connection, actor, original, request, plan)
    if earlier is not None:
        return earlier
    if original["workflow_status"] != "ACTIVE":
        raise WorkflowNotActive(original["name"], original["workflow_status"])
    raise ExecutionBusy
