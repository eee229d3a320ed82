"""One turn: news is applied to one execution, and everything that needs no outside world is done at once.

The interpreter decides, this module obeys: it runs instant steps, evaluates conditions and turns the rest into
jobs. Nothing here writes; a turn ends with a `Run` that knows what must be saved. A turn may be thrown away and
done again on newer state (`drive.py`), therefore nothing here reaches the outside world either.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import Any, assert_never

from weft.core.errors import Exhausted, Unavailable, WeftError
from weft.engine import looping
from weft.engine.collect import begin, collect, keep_result
from weft.engine.endings import REASONS, cancelled, unsettled
from weft.engine.evaluate import Evaluator
from weft.engine.events import hearing
from weft.engine.faults import broken
from weft.engine.items import SHORT
from weft.engine.journal_rows import JournalRows
from weft.engine.kinds import Call, Instant
from weft.engine.outcomes import (
    Ask,
    Done,
    Emit,
    Failed,
    Items,
    Outcome,
    Repeat,
    StartChild,
    Undo,
    WaitForEvent,
    Waiting,
    WaitUntil,
)
from weft.engine.payloads import Room, admit, keep_output, result_as_stored
from weft.engine.plans import StepPlan
from weft.engine.run import Run, error_of, result_of
from weft.interpreter.advance import advance
from weft.interpreter.commands import (
    BeginUndo,
    CancelStep,
    Choose,
    Collect,
    Command,
    Conclude,
    Finish,
    HoldStep,
    ItemEnded,
    Judge,
    RunStep,
    Settle,
    StartTimer,
)
from weft.interpreter.events import (
    Event,
    ItemsFound,
    StepFailed,
    StepSucceeded,
    StepWaiting,
    TransitionsChosen,
    TurnDecided,
    UndoRequested,
)
from weft.interpreter.state import Phase, Status, Visit, item_frame

BUDGET = 1_000
"""Steps that one turn runs in memory. Beyond it they become jobs, so that no execution holds up a batch."""

WEIGHT = 32_000_000
"""Bytes that one turn puts out in memory; likewise."""


CANCELLED = "The execution was cancelled."

UNDOES = "undoes"
"""In the data of the note that says how many steps are undone before the end: nobody has done that by hand."""


class Turn(JournalRows):
    """Applies events to one run, and the answers to the commands that come of them."""

    def __init__(self, run: Run, evaluator: Evaluator, now: datetime, room: Room | None = None) -> None:
        self.run = run
        self.now = now
        self.room = room
        self._evaluator = evaluator
        self._queue: deque[Event] = deque()

    async def hear(self, event: Event, outcome: Outcome | None = None) -> bool:
        """Apply one event and all that follows from it. False when it was late or repeated news."""
        if outcome is not None and isinstance(event, (StepSucceeded, StepFailed)):
            self._remember(event.visit, event.attempt, outcome)
        changed = await self._apply(event)
        await self._follow()
        return changed

    async def _follow(self) -> None:
        while self._queue:
            await self._apply(self._queue.popleft())

    async def _apply(self, event: Event) -> bool:
        state, commands = advance(self.run.plan.definition, self.run.state, event)
        if state is self.run.state:
            return False
        self.run.state = state
        for command in commands:
            await self._obey(command)
        return True

    async def _obey(self, command: Command) -> None:
        match command:
            case RunStep():
                await self._run_step(command)
            case Choose():
                await self._choose(command)
            case Collect():
                await self._collect(command)
            case ItemEnded() | Judge() | Conclude() | BeginUndo():
                await self._go_on(command)
            case Settle():
                self._settle(command)
            case StartTimer():
                self.run.put_job(
                    "timer",
                    visit=command.visit,
                    attempt=command.attempt,
                    run_at=command.at,
                    detail={"purpose": command.purpose},
                )
            case CancelStep():
                if self.run.plan.steps[command.step].step.kind == "sub_workflow":
                    self.run.put_job("cancel_child", visit=command.visit, attempt=command.attempt)
            case HoldStep():
                if self.run.plan.steps[command.step].step.kind == "sub_workflow":
                    self.run.put_job("child_pause", visit=command.visit, attempt=command.attempt)
            case Finish():
                await self._finish(command)
            case _:
                assert_never(command)

    async def _run_step(self, command: RunStep) -> None:
        step = self.run.plan.steps[command.step]
        self.run.turns += 1
        if step.instant is None or self.run.turns > BUDGET or self.run.weight > WEIGHT:
            self._begin_row(command, step)
            self.run.put_job("step", visit=command.visit, attempt=command.attempt)
            return
        await self._answer_instant(command, step, step.instant)

    async def _answer_instant(self, command: RunStep, step: StepPlan, instant: Instant) -> None:
        outcome = await self.run_instant(command, step, instant)
        if isinstance(outcome, Done):
            outcome = await self.admit(command.visit, command.attempt, outcome)
        await self.answer(command, step, outcome)

    async def resume(self, visit: int, attempt: int) -> None:
        """Run an instant step that an earlier turn had no time for; its row is there."""
        live = self.run.state.visits.get(visit)
        if live is None or live.attempt != attempt or live.phase is not Phase.running:
            return
        step = self.run.plan.steps[self.run.path_of(live)]
        if step.instant is not None:
            command = RunStep(visit, attempt, step.step.path, live.frame)
            await self._answer_instant(command, step, step.instant)
            await self._follow()

    async def admit(self, visit: int, attempt: int, outcome: Done | Failed) -> Done | Failed:
        """The outcome as it may be kept: an output that is too large, or for which there is no room, is a failure."""
        if self.room is not None and isinstance(outcome, Done) and self.run.awaits(visit, attempt):
            return await admit(self.run, visit, attempt, outcome, self.room)
        return outcome

    async def run_instant(self, command: RunStep, step: StepPlan, instant: Instant) -> Outcome:
        """The outcome of a step that is a function of values."""
        try:
            config = await self._evaluator.config(self.run, command.frame, step, self.now, command.visit)
        except (Exhausted, Unavailable):
            raise  # the guard or the database is away or busy: the turn is done again, the step has not failed
        except WeftError as error:
            return Failed("expression", error.message, retryable=False)
        try:
            return instant.run(self.call(command.visit, command.attempt, step, config))
        except BaseException as error:  # nothing is awaited here, so none of them is for our task
            return broken(step.step.kind, error)

    def call(self, visit: int, attempt: int, step: StepPlan, config: Any) -> Call:
        facts = self.run.facts
        return Call(
            tenant_id=facts.tenant_id,
            execution_id=facts.id,
            step=step.step.path,
            visit=visit,
            attempt=attempt,
            config=config,
            now=self.now,
            timeout=step.step.timeout,
            correlation_id=facts.correlation_id,
        )

    async def answer(self, command: RunStep, step: StepPlan, outcome: Outcome) -> None:
        """Turn what came of a step into news for the interpreter, and into a row or a job where it goes on."""
        visit, attempt = command.visit, command.attempt
        match outcome:
            case Done() | Failed():
                self._queue.append(self.news_of(visit, attempt, outcome))
                self._remember(visit, attempt, outcome)
            case WaitUntil(at=at):
                self._begin_row(command, step, data=outcome.output)
                self.run.put_job("delay", visit=visit, attempt=attempt, run_at=at)
                self._queue.append(StepWaiting(self.now, visit, attempt))
            case Items():
                begun = begin(self.run, visit, attempt, outcome, self.room)
                if isinstance(begun, Failed):
                    await self.answer(command, step, begun)
                    return
                self._begin_row(command, step, data=begun)
                self._queue.append(ItemsFound(self.now, visit, attempt, len(outcome.items)))
            case StartChild():
                self._begin_row(command, step, data={"workflow": outcome.workflow})
                self.run.put_job("child", visit=visit, attempt=attempt)
                self._queue.append(StepWaiting(self.now, visit, attempt))
            case Emit():
                await self.answer(command, step, hearing.emit(self.run, visit, attempt, outcome, self.now))
            case WaitForEvent() | Ask():
                self._begin_row(command, step)
                hearing.begin(self.run, step.step.path, visit, attempt, outcome, self.now)
                self._queue.append(StepWaiting(self.now, visit, attempt))
            case Repeat():
                self._begin_row(command, step)
                await self._enter_loop(self.run.state.visits[visit], step)
            case Undo():
                self._begin_row(command, step)
                self._queue.append(UndoRequested(self.now, visit, attempt))
            case Waiting():
                self._begin_row(command, step)
                self._queue.append(StepWaiting(self.now, visit, attempt))
            case _:
                assert_never(outcome)

    def news_of(self, visit: int, attempt: int, outcome: Done | Failed) -> StepSucceeded | StepFailed:
        if isinstance(outcome, Done):
            return StepSucceeded(self.now, visit, attempt)
        return StepFailed(
            self.now,
            visit,
            attempt,
            kind=outcome.kind,
            retryable=outcome.retryable,
            retry_after=outcome.retry_after,
        )

    def _remember(self, visit: int, attempt: int, outcome: Outcome) -> None:
        if not self.run.awaits(visit, attempt):
            return
        self.run.outcomes[visit, attempt] = outcome
        self.run.results[visit] = result_of(outcome)
        if isinstance(outcome, Done) and outcome.variables:
            self.run.variables.update(outcome.variables)

    async def _choose(self, command: Choose) -> None:
        step = self.run.plan.steps[command.step]
        holding, said = await self._evaluator.choose(self.run, command.frame, step, command.visit, self.now)
        if said:
            self.run.messages[command.visit] = "Conditions: " + "; ".join(dict.fromkeys(said)) + "."
        self._queue.append(TransitionsChosen(self.now, command.visit, holding))

    async def _collect(self, command: Collect) -> None:
        step = self.run.plan.steps[command.step]
        collected = await self.admit(
            command.visit, command.attempt, await collect(self.run, command, step, self._evaluator, self.room)
        )
        if isinstance(collected, Done) and command.count > SHORT:
            self.run.gone_results.append(command.origin)
        self._queue.append(self.news_of(command.visit, command.attempt, collected))
        self._remember(command.visit, command.attempt, collected)

    # -- loops and undoing -------------------------------------------------------------------------------------

    async def _enter_loop(self, visit: Visit, step: StepPlan) -> None:
        """Before the first turn `while` is asked, `until` is not; an interrupted loop goes on where it was."""
        again = visit.resumes > 0 or not step.step.asks_first
        if not again:
            again = await looping.asks(self._evaluator, self.run, visit.number, visit.frame, step, self.now)
        self._queue.append(TurnDecided(self.now, visit.number, visit.attempt, visit.done, again))

    async def _go_on(self, command: ItemEnded | Judge | Conclude | BeginUndo) -> None:
        match command:
            case ItemEnded():
                keep_result(self.run, command)
            case Judge():
                await self._judge(command)
            case Conclude():
                await self._conclude(command)
            case BeginUndo():
                await self._begin_undo(command)

    async def _judge(self, command: Judge) -> None:
        step = self.run.plan.steps[command.step]
        frame = item_frame(command.visit, command.turn - 1)
        again = await looping.asks(
            self._evaluator, self.run, command.visit, frame, step, self.now, command.turn, command.last
        )
        self._queue.append(TurnDecided(self.now, command.visit, command.attempt, command.turn, again))

    async def _conclude(self, command: Conclude) -> None:
        step = self.run.plan.steps[command.step]
        outcome = await looping.conclusion(self._evaluator, self.run, command, step)
        outcome = await self.admit(command.visit, command.attempt, outcome)
        self._queue.append(self.news_of(command.visit, command.attempt, outcome))
        self._remember(command.visit, command.attempt, outcome)

    async def _begin_undo(self, command: BeginUndo) -> None:
        """Why the execution will end is kept from now on: its steps may take long to undo."""
        if command.status is Status.failed:
            self.run.error = self._failure(command)
        else:
            self.run.error = cancelled(command)
        many = f"{command.steps} steps are" if command.steps > 1 else "1 step is"
        said = f"It will end as {command.status.value}; before that {many} undone."
        self.run.note("RUNNING", said, self.now, {UNDOES: command.steps})

    # -- the end -------------------------------------------------------------------------------------------

    async def _finish(self, command: Finish) -> None:
        run = self.run
        run.completed_at = command.at
        match command.status:
            case Status.completed:
                await self._complete(command)
            case _ if run.before.ending is not None or run.state.compensated:
                run.error = unsettled(run.error or {}, command.unsettled)
            case Status.failed:
                run.error = self._failure(command)
            case _:
                run.error = cancelled(command)
        if run.plan.hears and command.status is not Status.failed:
            hearing.forget(run)
        if run.facts.parent_id is not None:
            run.put_job(
                "child_done",
                about=run.facts.parent_id,
                visit=run.facts.parent_visit or 0,
                attempt=int(run.facts.metadata.get("parent_attempt", 1)),
            )

    async def _complete(self, command: Finish) -> None:
        run = self.run
        run.error = None
        if run.plan.output is not None:
            try:
                output = await self._evaluator.value(run, "", run.plan.output, self.now)
                kept = await keep_output(run, output, self.room)
                if isinstance(kept, Failed):
                    run.error = error_of(kept)
                else:
                    run.output = kept
            except (Exhausted, Unavailable):
                raise
            except WeftError as error:
                run.error = {"kind": "expression", "message": f"The workflow's output: {error.message}"}
        elif command.result is not None:
            await self._evaluator.fetch_missing(run, [command.result])
            run.output = result_as_stored(run, command.result)

    def _failure(self, command: Finish | BeginUndo) -> dict[str, Any]:
        result = self.run.results.get(command.visit) if command.visit is not None else None
        if result is not None and result.error:
            error = dict(result.error)
        else:
            message = REASONS.get(command.reason, command.reason or "The execution failed.")
            error = {"kind": command.reason or "failed", "message": message}
        rows = (*self.run.settled, *self.run.rows.values())
        key = command.step or next((row.step_key for row in rows if row.visit == command.visit), None)
        return {"step": key, **error} if key else error
