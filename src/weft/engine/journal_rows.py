"""What a turn writes into the journal: a row for each attempt, begun and settled by whichever turns do so."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from weft.core.ids import new_id
from weft.engine.collect import forget_items
from weft.engine.endings import REASONS
from weft.engine.events import hearing
from weft.engine.outcomes import Done, Failed
from weft.engine.plans import StepPlan
from weft.engine.records import LogRow
from weft.engine.run import Result, Run, error_of
from weft.interpreter.commands import RunStep, Settle, Settlement
from weft.interpreter.state import Phase

_UNBEGUN = frozenset({Phase.retrying, Phase.queued, Phase.held})
"""Phases in which the attempt's journal row is not there: the last one has its own, the next one has not begun."""


class JournalRows:
    """The part of a turn that keeps the journal."""

    run: Run
    now: datetime

    def _begin_row(self, command: RunStep, step: StepPlan, data: Any = None) -> None:
        """The row of an attempt that outlives this turn."""
        key = (command.visit, command.attempt)
        stored = key in self.run.resumed or self._was_live(*key)
        row = LogRow(
            execution_id=self.run.id,
            id=new_id(),
            step_id=step.step_id,
            step_key=step.step.path,
            frame=command.frame,
            visit=command.visit,
            attempt=command.attempt,
            status="RUNNING",
            started_at=self.now,
            data=data,
        )
        if stored:  # the step goes on after an earlier turn had no time for it
            row.started_at = self.run.before.visits[command.visit].entered_at
            self.run.resumed[key] = row
            self.run.settled.append(row)
        else:
            self.run.rows[key] = row

    def _settle(self, command: Settle) -> None:
        run = self.run
        key = (command.visit, command.attempt)
        row = run.rows.get(key) or run.resumed.get(key)
        if row is None:
            step = run.plan.steps[command.step]
            row = LogRow(
                execution_id=run.id,
                id=new_id(),
                step_id=step.step_id,
                step_key=step.step.path,
                frame=command.frame,
                visit=command.visit,
                attempt=command.attempt,
                status="RUNNING",
                started_at=command.entered_at,
            )
            if self._was_stored(command):
                run.settled.append(row)
            else:
                run.rows[key] = row
        row.status = command.how.value
        row.completed_at = command.at
        row.message = run.messages.get(command.visit) or REASONS.get(command.reason, command.reason) or None
        self._fill(row, command)
        if run.plan.hears and run.plan.steps[command.step].hears:
            hearing.settle(run, *key, run.outcomes.get(key))
        forget_items(run, command.visit, command.attempt)
        if command.how is Settlement.skipped:
            run.results[command.visit] = Result("SKIPPED", None, row.error)

    def _was_stored(self, command: Settle) -> bool:
        """Whether an earlier turn has written this attempt's row: then it was live, and not between attempts."""
        return self._was_live(command.visit, command.attempt)

    def _was_live(self, number: int, attempt: int) -> bool:
        visit = self.run.before.visits.get(number)
        return visit is not None and visit.attempt == attempt and visit.phase not in _UNBEGUN

    def _fill(self, row: LogRow, command: Settle) -> None:
        outcome = self.run.outcomes.get((command.visit, command.attempt))
        match outcome:
            case Done(output=output, message=message):
                row.data = self.run.stored.get((command.visit, command.attempt), output)
                row.message = row.message or message
            case Failed():
                row.error = error_of(outcome)
                row.data = None
            case _ if command.how in (Settlement.failed, Settlement.skipped):
                row.error = {"kind": command.reason or "failed", "message": REASONS.get(command.reason, command.reason)}
                self.run.results[command.visit] = Result("FAILED", None, row.error)
            case _:
                pass
        if command.retry_at is not None:
            row.message = f"Tried again at {command.retry_at.isoformat(timespec='milliseconds')}."
