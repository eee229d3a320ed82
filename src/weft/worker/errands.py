"""What the worker does with a claimed job. Nothing here holds a transaction while the outside world is awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from weft.core.actor import system_actor
from weft.core.errors import Exhausted, Unavailable, WeftError
from weft.db.database import dumps
from weft.db.hot import transaction
from weft.engine import with_secrets
from weft.engine.drive import Driver
from weft.engine.events import loops
from weft.engine.faults import broken, is_own_end
from weft.engine.kinds import Call, Calling, Ports
from weft.engine.news import (
    Cancelled,
    ChildStarted,
    GivenUp,
    Held,
    News,
    Nothing,
    PlayOn,
    Retried,
    StepDue,
    StepEnded,
    TakenUp,
    TimerDue,
    What,
)
from weft.engine.outcomes import Done, Failed, Outcome, StartChild
from weft.engine.places import WorkflowFull
from weft.engine.plans import StepPlan
from weft.engine.queue import MOST_LAPSES, Job
from weft.engine.run import Run
from weft.engine.simulation import stored
from weft.engine.start_errors import IdempotencyKeyReused
from weft.engine.start_requests import StartRequest
from weft.engine.starts import Starter
from weft.engine.turn import Turn
from weft.interpreter.commands import RunStep
from weft.interpreter.state import Status
from weft.worker import children
from weft.worker.turnstile import Turnstile

MOST_CLAIMS = 5
"""A job that failed so often in the hands of workers that lived on is given up."""

ERRAND_TIMEOUT = 300.0
"""Seconds an errand may take when its step names no timeout."""

OURS = """/* weft:worker.ours */
select 1 from weft.dispatch_jobs j where j.tenant_id = $1 and j.id = $2 and j.epoch = $3 and j.state = 'leased'
"""

CHILDREN = """/* weft:worker.children */
select c.id, c.parent_id, c.parent_visit, c.status, c.output, c.error, c.metadata, c.simulation,
       c.started_at, c.completed_at
  from weft.workflow_executions c
  join unnest($2::uuid[], $3::integer[]) as p (id, visit) on p.id = c.parent_id and p.visit = c.parent_visit
 where c.tenant_id = $1
"""


def answered_in_memory(job: Job) -> What | None:
    """News that a job is by itself; None for jobs that must be worked on."""
    poisoned = is_poisoned(job)
    match job.kind:
        case "step" if poisoned:
            return StepEnded(job.visit, job.attempt, _interrupted(job, retryable=False))
        case "event" | "ended":
            return None  # they are about no execution, and bury themselves
        case _ if poisoned:
            return GivenUp(reason(job))
        case "start":
            return TakenUp()
        case "retry":
            return Retried(str((job.detail or {}).get("by", "weft")))
        case "delay":
            return StepEnded(job.visit, job.attempt, Done(None))
        case "timer":
            return TimerDue(job.visit, job.attempt, str((job.detail or {}).get("purpose", "")))
        case "step" | "child" | "child_done" | "cancel_child" | "child_pause" | "event_wait":
            return None
        case stored.JOB:
            return PlayOn()
        case _:
            return GivenUp(f"This version of weft does not know jobs of the kind '{job.kind}'.")


def is_poisoned(job: Job) -> bool:
    """Whether to give it up: it failed too often, or it took its worker down when nothing else was in hand."""
    return job.lapses > MOST_LAPSES or job.claims - 1 - job.lapses >= MOST_CLAIMS


def said(error: BaseException) -> str:
    """An error as a sentence that may be kept and shown: its own words only if they were written for people."""
    if isinstance(error, WeftError):
        return f"{type(error).__name__}: {error.message}"[:1000]
    return f"{type(error).__name__}. The worker's log has the whole of it."


def reason(job: Job) -> str:
    return (
        f"The job '{job.kind}' was delivered {job.claims - 1} times and its worker died or gave up each time. "
        "It was set aside; `weft dead show` says more, then retry it."
    )


def _interrupted(job: Job, *, retryable: bool) -> Failed:
    return Failed(
        "interrupted",
        f"The worker died while it ran this step (delivery {job.claims - 1}). Whether the outside world saw it is "
        "not known.",
        retryable=retryable,
    )


async def perform(driver: Driver, ports: Ports, run: Run, job: Job, turnstile: Turnstile | None = None) -> What | None:
    """Run one step of a loaded run and say what came of it; None if it has to wait for its turn, and was put off."""
    if not run.awaits(job.visit, job.attempt):
        return Nothing()
    if run.facts.simulation:  # its errands never become jobs: this is the last wall, not the first
        return StepEnded(job.visit, job.attempt, Failed("internal", "A simulated step is never performed."))
    if _is_held(run, job):
        return Held(job.kind, job.visit, job.attempt)
    visit = run.state.visits[job.visit]
    step = run.plan.steps[run.path_of(visit)]
    turn = Turn(run, driver.evaluator, driver.clock())
    if step.instant is not None:
        return StepDue(job.visit, job.attempt)  # a turn had no time for it: the next one has
    errand = step.errand
    if errand is None:
        return StepEnded(job.visit, job.attempt, Failed("internal", "The step kind can neither run nor be performed."))
    if job.claims > 1 and not errand.idempotent(step.raw):
        return StepEnded(job.visit, job.attempt, _interrupted(job, retryable=True))
    try:
        config = await driver.evaluator.config(run, visit.frame, step, turn.now, job.visit)
    except (Exhausted, Unavailable):
        raise  # not the step's fault: the job is put off
    except WeftError as error:
        return StepEnded(job.visit, job.attempt, Failed("expression", error.message, retryable=False))
    call = turn.call(job.visit, job.attempt, step, config)
    if visit.ordered_as:  # moved to another version since: the outside world knows it under the older key
        call = replace(call, step=visit.ordered_as)
    performer: with_secrets.Performer = errand
    if step.secrets is not None:
        performer = await with_secrets.opened(errand, call, ports, step.secrets)
    if turnstile is None or not job.limits or not isinstance(errand, Calling):
        return _ended(job, await _called(performer, call, ports, step))
    host = errand.host(with_secrets.config_of(performer, config))
    outcome = await _in_turn(turnstile, job, host, _Calling(performer, call, ports, step))
    return None if outcome is None else _ended(job, outcome)


@dataclass(frozen=True, slots=True)
class _Calling:
    """A call that may have to wait for its turn."""

    performer: with_secrets.Performer
    call: Call
    ports: Ports
    step: StepPlan


async def _in_turn(turnstile: Turnstile, job: Job, host: str | None, calling: _Calling) -> Outcome | None:
    """Call when the target's rate allows it; None when it does not, and the job was put off."""
    limit = await turnstile.limit(job, host)
    if limit is not None and await turnstile.pass_(job, limit) is not None:
        return None
    outcome = await _called(calling.performer, calling.call, calling.ports, calling.step)
    if limit is not None and isinstance(outcome, Failed) and outcome.kind == "rate_limit" and outcome.retry_after:
        await turnstile.back_off(job.tenant_id, limit, outcome.retry_after)
    return outcome


async def _called(performer: with_secrets.Performer, call: Call, ports: Ports, step: StepPlan) -> Outcome:
    """What came of the call, whatever the kind does: its faults are the step's, never the worker's."""
    kind = step.step.kind
    try:
        async with asyncio.timeout(step.step.timeout or ERRAND_TIMEOUT):
            outcome = await performer.perform(call, ports)
    except TimeoutError:
        return Failed("timeout", f"The step took longer than {step.step.timeout or ERRAND_TIMEOUT:g} s.")
    except BaseException as error:
        if is_own_end(error):
            raise
        return broken(kind, error)
    if isinstance(outcome, Done) and (fault := unstorable(outcome.output)) is not None:
        return Failed("invalid_output", f"The step kind '{kind}' gave what cannot be stored: {fault}.", retryable=False)
    return outcome


def unstorable(output: Any) -> str | None:
    """Why an output cannot be kept as JSON; None if it can."""
    try:
        text = dumps(output)
    except (TypeError, ValueError, OverflowError, RecursionError, UnicodeError) as error:
        return f"{type(error).__name__}: {error}"[:200]
    escaped = text.replace("\\\\", "")  # a backslash of the text itself begins no escape
    return "text with a NUL character" if "\\u0000" in escaped else None


def _is_held(run: Run, job: Job) -> bool:
    """Whether the execution is paused and nobody has begun this job. What was begun before is brought to its end."""
    return run.state.status is Status.paused and job.claims == 1


def _ended(job: Job, outcome: Outcome) -> What:
    if isinstance(outcome, (Done, Failed)):
        return StepEnded(job.visit, job.attempt, outcome)
    return StepEnded(
        job.visit, job.attempt, Failed("internal", "The step kind answered with what only an instant step may.")
    )


async def start_child(driver: Driver, starter: Starter, run: Run, job: Job) -> What:
    """Start the execution that a sub-workflow step waits for; under its key it is started once.

    An earlier delivery may have started it and told nobody: its worker died, or gave the job back. `claims` does not
    say so, as what is given back was never claimed. So a child that may be there is told what its parent's state means.
    """
    if not run.awaits(job.visit, job.attempt):
        await cancel_children(driver, job.tenant_id, [job])
        return Nothing()
    if _is_held(run, job):
        await children.follow_parents(driver, job.tenant_id, [job])
        return Held(job.kind, job.visit, job.attempt)
    visit = run.state.visits[job.visit]
    step = run.plan.steps[run.path_of(visit)]
    command = RunStep(job.visit, job.attempt, step.step.path, visit.frame)
    if step.instant is None:
        return StepEnded(job.visit, job.attempt, Failed("internal", "Only an instant step starts another workflow."))
    now = stored.now_of(run, driver.clock())
    outcome = await Turn(run, driver.evaluator, now).run_instant(command, step, step.instant)
    if not isinstance(outcome, StartChild):
        return _ended(job, outcome)
    try:
        await starter.submit(
            system_actor(run.facts.tenant_id, correlation_id=run.facts.correlation_id), _request_of(run, job, outcome)
        )
    except WorkflowFull as error:
        return StepEnded(job.visit, job.attempt, Failed("workflow_full", error.message))
    except (Exhausted, Unavailable):
        raise
    except IdempotencyKeyReused:
        pass  # an earlier delivery has started it, with an input that was computed then
    except WeftError as error:
        return StepEnded(job.visit, job.attempt, Failed("sub_workflow", error.message, retryable=False))
    if not await _is_ours(driver, job):
        await _follow_up(driver, job)
    return ChildStarted(job.visit, job.attempt)


def _request_of(run: Run, job: Job, outcome: StartChild) -> StartRequest:
    return StartRequest(
        workflow=_id_or_name(outcome.workflow),
        input=outcome.input,
        version=outcome.version,
        metadata={"parent_attempt": job.attempt, **stored.inherited(run), **loops.inherited(run.facts.metadata)},
        client_id=run.facts.client_id,
        idempotency_key=f"{run.id}:{job.visit}:{job.attempt}",
        trigger="WORKFLOW",
        parent_id=run.id,
        parent_visit=job.visit,
        depth=run.facts.depth + 1,
        priority=run.facts.priority,
    )


async def _is_ours(driver: Driver, job: Job) -> bool:
    """Whether nobody else has had the job meanwhile: whoever takes it over from now on finds the child."""
    async with transaction(driver.database, system_actor(job.tenant_id), read_only=True) as connection:
        return await connection.fetchval(OURS, job.tenant_id, job.id, job.epoch) is not None


async def _follow_up(driver: Driver, job: Job) -> None:
    """We were taken for dead, and nobody will hear what we say: whoever had the job then may have found no child."""
    run = (await driver.load(job.tenant_id, [job.execution_id])).get(job.execution_id)
    if run is None or not run.awaits(job.visit, job.attempt):
        await cancel_children(driver, job.tenant_id, [job])
    else:
        await children.follow_parents(driver, job.tenant_id, [job])


def _id_or_name(workflow: str) -> UUID | str:
    try:
        return UUID(workflow)
    except ValueError:
        return workflow


async def children_of(driver: Driver, tenant_id: UUID, jobs: Sequence[Job]) -> list[Mapping[str, Any]]:
    """The executions that these jobs' steps started."""
    async with transaction(driver.database, system_actor(tenant_id), read_only=True) as connection:
        rows: list[Mapping[str, Any]] = await connection.fetch(
            CHILDREN, tenant_id, [job.execution_id for job in jobs], [job.visit for job in jobs]
        )
    return rows


async def with_output(driver: Driver, tenant_id: UUID, children: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The same, with outputs that are large read from where they lie."""
    whole = driver.evaluator.payloads.whole
    return [{**child, "output": await whole(tenant_id, child["id"], child["output"])} for child in children]


def child_ended(job: Job, family: Sequence[Mapping[str, Any]]) -> What:
    """What a child's end means for the step that waits for it."""
    for child in family:
        same = child["parent_id"] == job.execution_id and child["parent_visit"] == job.visit
        if not same or child["metadata"].get("parent_attempt", 1) != job.attempt:
            continue
        took = _took(child) if child["simulation"] else None
        if child["status"] == "COMPLETED":
            return StepEnded(job.visit, job.attempt, Done(child["output"]), took)
        return StepEnded(job.visit, job.attempt, children.failure_of(child), took)
    return Nothing()


def _took(child: Mapping[str, Any]) -> float:
    """How long a simulated child took, on its own clock."""
    begun, ended = child["started_at"], child["completed_at"]
    return (ended - begun).total_seconds() if begun is not None and ended is not None else 0.0


async def cancel_children(driver: Driver, tenant_id: UUID, jobs: Sequence[Job]) -> None:
    """Cancel what steps that are no longer awaited had started."""
    dropped = {(job.execution_id, job.visit, job.attempt) for job in jobs}
    live = [
        child
        for child in await children_of(driver, tenant_id, jobs)
        if not Status(child["status"]).is_final
        and (child["parent_id"], child["parent_visit"], child["metadata"].get("parent_attempt", 1)) in dropped
    ]
    news = [News(child["id"], Cancelled("The execution that started it ended.", "its parent")) for child in live]
    if news:
        await driver.deliver(tenant_id, news)
