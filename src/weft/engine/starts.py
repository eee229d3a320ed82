"""Starting executions: many requests of one tenant in one transaction, whoever sent them.

`Starter.submit` is what the API, webhooks, sub-workflows and benchmarks call. Requests that arrive while a save is
under way wait for the next one together: the batch is one under low load and grows by itself (group commit).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from weft.core.actor import Actor
from weft.core.errors import WeftError
from weft.core.ids import new_id
from weft.db.hot import transaction
from weft.domain.executions.payloads import Reference
from weft.engine import places, repeated, store, versions
from weft.engine.drive import Driver, gather
from weft.engine.faults import is_own_end
from weft.engine.limited import LimitedStarts
from weft.engine.news import News, TakenUp
from weft.engine.payloads import Room, RoomLost, in_row, keep_input
from weft.engine.plans import Plan
from weft.engine.records import NewExecution
from weft.engine.run import Run, from_start
from weft.engine.simulation import stored
from weft.engine.start_errors import (
    DEEPEST,
    IdempotencyKeyReused,
    StartsTooDeep,
    TriggerChanged,
    WorkflowNotActive,
    WorkflowUnknown,
)
from weft.engine.start_requests import StartRequest, StartResult, Target, Waiting
from weft.engine.turn import Turn
from weft.interpreter.events import Started

TRIES = 5
LARGEST_BATCH = 200
SIDE_BY_SIDE = 2
"""Batches of one tenant at the same time: while one waits for the database, the next is computed."""
WORTH_A_SECOND = 8
"""Requests that must wait before a second batch is begun: smaller ones share the next."""

OF_ONE_REQUEST = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
"""What the database says of a batch when there is something wrong with one of its requests."""

RESOLVE = """/* weft:engine.resolve */
select w.id, w.name, w.name_key, w.status, w.current_version_id, w.client_id,
       coalesce(c.settings, 0) as settings, coalesce(l.priority, 0) as priority, l.concurrent, l.key, l.when_full,
       t.tenant_id is not null as tenant_limited
  from weft.workflows w
  left join weft.workflow_counters c on c.tenant_id = $1 and c.workflow_id = w.id
  left join weft.workflow_limits l on l.tenant_id = $1 and l.workflow_id = w.id
  left join weft.tenant_limits t on t.tenant_id = $1
 where w.tenant_id = $1 and w.deleted_at is null and (w.id = any($2::uuid[]) or w.name_key = any($3::text[]))
"""


class Starter:
    """One per process. `submit` returns when the execution is stored."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._places = LimitedStarts(driver)
        self._queues: dict[UUID, list[Waiting]] = {}
        self._pumps: dict[UUID, set[asyncio.Task[None]]] = {}
        # Which version is current: possibly stale, therefore verified by the statement that stores the start.
        self._targets: OrderedDict[tuple[UUID, UUID | str], Target] = OrderedDict()

    async def submit(self, actor: Actor, request: StartRequest) -> StartResult:
        """Store (and with `inline` run) an execution. Raises what is wrong with the request; then nothing is stored."""
        if request.metadata.get("simulation") is not None and stored.wanted(request.metadata):
            request = _simulated(request)
        if request.depth > DEEPEST:
            raise StartsTooDeep
        waiting = Waiting(request, actor, asyncio.get_running_loop().create_future())
        queue = self._queues.setdefault(actor.tenant_id, [])
        queue.append(waiting)
        pumps = self._pumps.setdefault(actor.tenant_id, set())
        if not pumps or (len(pumps) < SIDE_BY_SIDE and len(queue) >= WORTH_A_SECOND):
            pumps.add(asyncio.create_task(self._pump(actor.tenant_id)))
        return await waiting.answer

    async def close(self) -> None:
        """Let what was submitted come to its end."""
        while self._pumps:
            tasks = [task for pumps in self._pumps.values() for task in pumps]
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _pump(self, tenant_id: UUID) -> None:
        """Serve one tenant's queue until it is empty, a batch at a time."""
        try:
            while queue := self._queues.get(tenant_id):
                batch, self._queues[tenant_id] = queue[:LARGEST_BATCH], queue[LARGEST_BATCH:]
                await self._serve_all(tenant_id, batch)
        finally:
            pumps = self._pumps[tenant_id]
            pumps.discard(asyncio.current_task())
            if not pumps:
                del self._pumps[tenant_id]
                self._queues.pop(tenant_id, None)

    async def _serve_all(self, tenant_id: UUID, batch: Sequence[Waiting]) -> None:
        """Serve a batch; if one of them may be what breaks it, each by itself, so that it does not spoil the others."""
        try:
            await self._serve(tenant_id, batch)
        except BaseException as error:
            if is_own_end(error):
                raise
            if len(batch) == 1 or (isinstance(error, Exception) and not isinstance(error, OF_ONE_REQUEST)):
                for waiting in batch:
                    _refuse(waiting, error)
                return
            for waiting in batch:
                await self._serve_all(tenant_id, [waiting])

    async def _serve(self, tenant_id: UUID, batch: Sequence[Waiting]) -> None:
        pending = [w for w in batch if not w.answer.done()]
        for attempt in range(TRIES):
            await self._resolve(tenant_id, pending, fresh=attempt > 0)
            ready = [w for w in pending if not w.answer.done()]
            await self._prepare(tenant_id, ready)
            ready = [w for w in ready if not w.answer.done()]
            if not ready:
                return
            await self._store(tenant_id, ready)
            pending = [w for w in ready if not w.answer.done()]
            if not pending:
                return
            await self._answer_repeated(tenant_id, pending)
            for waiting in pending:
                if waiting.full is not None:
                    _refuse(waiting, waiting.full)
            pending = [w for w in pending if not w.answer.done()]
        for waiting in pending:
            _refuse(waiting, TriggerChanged())

    # -- what is to be started -----------------------------------------------------------------------------

    async def _resolve(self, tenant_id: UUID, batch: Sequence[Waiting], *, fresh: bool) -> None:
        """Learn the workflows that this process does not know yet, in one statement."""
        wanted = {w.request.workflow for w in batch if fresh or (tenant_id, w.request.workflow) not in self._targets}
        if wanted:
            ids = [w for w in wanted if isinstance(w, UUID)]
            names = [w.casefold() for w in wanted if isinstance(w, str)]
            async with transaction(self._driver.database, batch[0].actor, read_only=True) as connection:
                rows = await connection.fetch(RESOLVE, tenant_id, ids, names)
            found = {row["id"]: row for row in rows} | {row["name_key"]: row for row in rows}
            for workflow in wanted:
                row = found.get(workflow.casefold() if isinstance(workflow, str) else workflow)
                self._remember(tenant_id, workflow, row)
        for waiting in batch:
            target = self._targets.get((tenant_id, waiting.request.workflow))
            if target is None:
                _refuse(waiting, WorkflowUnknown(waiting.request.workflow))
            elif target.status != "ACTIVE" or target.version_id is None:
                self._targets.pop((tenant_id, waiting.request.workflow), None)
                _refuse(waiting, WorkflowNotActive(target.name, target.status))
            else:
                waiting.target = target

    def _remember(self, tenant_id: UUID, workflow: UUID | str, row: Any) -> None:
        key = (tenant_id, workflow)
        if row is None:
            self._targets.pop(key, None)
            return
        self._targets[key] = Target(
            row["id"], row["name"], row["status"], row["current_version_id"], row["client_id"], places.limits_of(row)
        )
        self._targets.move_to_end(key)
        while len(self._targets) > 4096:
            self._targets.popitem(last=False)

    async def _plan(self, tenant_id: UUID, waiting: Waiting, target: Target) -> Plan:
        plans = self._driver.plans
        number = waiting.request.version
        version_id = target.version_id
        plan = plans.known(tenant_id, version_id) if version_id is not None and number is None else None
        if plan is not None:
            return plan
        async with transaction(self._driver.database, waiting.actor, read_only=True) as connection:
            if number is not None:
                version_id = await versions.find_published(connection, tenant_id, target.id, number)
            if version_id is None:
                raise WorkflowNotActive(target.name, target.status)
            return await plans.get(connection, tenant_id, version_id)

    # -- the runs ------------------------------------------------------------------------------------------

    async def _prepare(self, tenant_id: UUID, batch: Sequence[Waiting]) -> None:
        """Check each input and compute what can be computed, outside any transaction.

        Whom a remembered version refuses is held against the one that is current: only a start that is stored finds
        out by itself that the workflow has changed.
        """
        if refused := await self._prepared(tenant_id, batch):
            await self._resolve(tenant_id, [waiting for waiting, _ in refused], fresh=True)
            again = [waiting for waiting, _ in refused if not waiting.answer.done()]
            for waiting, error in await self._prepared(tenant_id, again):
                _refuse(waiting, error)

    async def _prepared(self, tenant_id: UUID, batch: Sequence[Waiting]) -> list[tuple[Waiting, WeftError]]:
        """Prepare each; those that are refused, and why."""
        now = self._driver.clock()
        room = Room(self._driver.database, tenant_id, self._driver.limits)
        refused: list[tuple[Waiting, WeftError]] = []
        for waiting in batch:
            target = waiting.target
            if target is None:
                continue
            try:
                plan = await self._plan(tenant_id, waiting, target)
                plan.check_input(waiting.request.input)
                new = await self._new(waiting, target, plan.version_id, now)
                run = from_start(new, waiting.request.execution_id or new_id(), tenant_id, plan, None)
                new.input = await keep_input(run, room)
            except WeftError as error:
                refused.append((waiting, error))
                continue
            waiting.full, waiting.new = None, new
            if new.place_key is not None:
                run.put_job("start", parked=True)
            elif waiting.request.inline and not plan.reads_number:
                await self._begin(run, now, room)
            else:
                run.put_job("start")
            waiting.run = run
        return refused

    async def _new(self, waiting: Waiting, target: Target, version_id: UUID, now: datetime) -> NewExecution:
        """The row of an execution that is to be. Raises what its limits say of the input."""
        request = waiting.request
        simulation = request.metadata.get("simulation") is True
        limited = target.limits.is_limited and not simulation  # what reaches nothing takes nobody's place
        return NewExecution(
            workflow_id=target.id,
            version_id=version_id,
            client_id=request.client_id or target.client_id,
            input=request.input,
            metadata=request.metadata,
            trigger=request.trigger,
            trigger_id=request.trigger_id,
            trigger_version=request.trigger_version,
            started_by=waiting.actor.user_id,
            idempotency_key=request.idempotency_key,
            correlation_id=waiting.actor.correlation_id,
            parent_id=request.parent_id,
            parent_visit=request.parent_visit,
            depth=request.depth,
            awaited=request.awaited,
            created_at=now,
            at_version=request.version is not None,
            simulation=simulation,
            priority=target.limits.priority if request.priority is None else request.priority,
            place_key=await self._places.key_of(waiting, target) if limited else None,
            settings=target.limits.settings,
        )

    async def _begin(self, run: Run, now: datetime, room: Room) -> None:
        """Run it as far as no outside world is needed."""
        run.started_at = now
        if run.facts.simulation:
            taken_up = [News(run.id, TakenUp())]
            await stored.advance(self._driver.evaluator, run, taken_up, now, self._driver.apply)
        else:
            turn = Turn(run, self._driver.evaluator, now, room)
            await turn.hear(Started(now, seed=run.id.int & 0x7FFFFFFF))

    async def _store(self, tenant_id: UUID, batch: Sequence[Waiting]) -> None:
        """One transaction for everybody who may share it: same actor context, so that nobody acts as another."""
        by_actor: dict[UUID, list[Waiting]] = {}
        for waiting in _first_of_each_key(batch):
            by_actor.setdefault(waiting.actor.id, []).append(waiting)
        for group in by_actor.values():
            limited = any(w.new is not None and w.new.place_key is not None for w in group)
            try:
                async with transaction(self._driver.database, group[0].actor) as connection:
                    if limited:
                        group = await self._places.admitted(connection, tenant_id, group)
                    runs = [w.run for w in group if w.run is not None]
                    records = gather(runs)
                    records.starts = [w.new for w in group if w.new is not None]
                    records.payload_quota = self._driver.limits.payloads
                    saved = await store.save(connection, tenant_id, records, self._driver.clock(), wake=True)
                    if limited:
                        asking = [run for run in runs if run.id in saved and run.facts.place_key is not None]
                        await places.take(connection, tenant_id, [places.asking_of(run) for run in asking])
            except RoomLost:
                continue  # others took the room: who is not answered is prepared anew, and told
            for waiting in group:
                run = waiting.run
                if run is not None and run.id in saved and not waiting.answer.done():
                    waiting.answer.set_result(_result(run, saved[run.id]))

    async def _answer_repeated(self, tenant_id: UUID, batch: Sequence[Waiting]) -> None:
        """Whoever was not stored either repeated an idempotency key, or met a change of the workflow: try again."""
        for waiting in batch:
            if waiting.request.idempotency_key is None or waiting.new is None:
                continue
            kept = waiting.new.input
            try:
                async with transaction(self._driver.database, waiting.actor, read_only=True) as connection:
                    row = await repeated.earlier(
                        connection, tenant_id, waiting.new.workflow_id, waiting.request, in_row(kept)
                    )
            except TriggerChanged as error:
                _refuse(waiting, error)
                continue
            if row is None:
                continue
            payloads = self._driver.evaluator.payloads
            if not await payloads.is_same(tenant_id, row, kept, waiting.request.input):
                _refuse(waiting, IdempotencyKeyReused())
            else:
                waiting.answer.set_result(await repeated.result(payloads, tenant_id, row))


def _first_of_each_key(batch: Sequence[Waiting]) -> list[Waiting]:
    """One request of each idempotency key; the others find it stored in their next try."""
    chosen: list[Waiting] = []
    seen: set[tuple[UUID, str]] = set()
    for waiting in batch:
        key = waiting.request.idempotency_key
        if key is not None and waiting.new is not None:
            if (waiting.new.workflow_id, key) in seen:
                continue
            seen.add((waiting.new.workflow_id, key))
        chosen.append(waiting)
    return chosen


def _simulated(request: StartRequest) -> StartRequest:
    """A simulation's input may also stand in its metadata."""
    if request.input is None and "inputData" in request.metadata:
        return replace(request, input=request.metadata["inputData"])
    return request


def _result(run: Run, number: int) -> StartResult:
    return StartResult(
        id=run.id,
        number=number,
        workflow_id=run.facts.workflow_id,
        version_id=run.facts.version_id,
        status=run.state.status.value,
        output=run.opened[run.output.id] if isinstance(run.output, Reference) else run.output,
        error=run.error,
        created=True,
    )


def _refuse(waiting: Waiting, error: BaseException) -> None:
    if waiting.answer.done():
        return
    if not isinstance(error, Exception):  # whoever waits would take it for a signal to its own task or process
        error = RuntimeError(f"The start broke: {type(error).__name__}.")
    waiting.answer.set_exception(error)
