"""Recorded answers: what the world said to a past execution, from its journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from weft.engine.outcomes import Done, Failed
from weft.engine.plans import Plan, StepPlan
from weft.engine.simulation.positions import Position, Positions
from weft.engine.simulation.stage import RECORDED, Answered, Cue, Stage
from weft.engine.turn import UNDOES

_BY_HAND: Final = frozenset({"RUNNING", "FAILED", "COMPLETED"})
"""Statuses of notes that say: resumed, retried, given up or moved, which is more than the definition has decided. The
note that steps are undone has one too, and is the definition's."""
_JUST_AFTER: Final = 0.000001


@dataclass(frozen=True, slots=True)
class Entry:
    """One attempt of a past execution."""

    position: Position
    attempt: int
    status: str
    began: datetime
    ended: datetime | None
    data: Any
    error: Mapping[str, Any] | None


@dataclass(slots=True)
class Recording:
    """The journal of one execution, in the order in which its attempts began. `by_hand` says why it is no example."""

    entries: list[Entry] = field(default_factory=list)
    by_hand: str | None = None


def recording_of(rows: Sequence[Mapping[str, Any]]) -> Recording:
    """From rows of the journal, in the order of visit and attempt."""
    found = Recording()
    positions = Positions()
    for row in rows:
        if row["step_key"] is None:
            if row["status"] in _BY_HAND and UNDOES not in (row["data"] or {}):
                found.by_hand = row["message"]
            continue
        positions.add(row["visit"], row["step_key"], row["frame"])
        found.entries.append(
            Entry(
                positions.of(row["visit"]),
                row["attempt"],
                row["status"],
                row["started_at"],
                row["completed_at"],
                row["data"],
                row["error"],
            )
        )
    return found


class RecordedStage:
    """Answers as the world did, and where nothing is recorded as another stage does. One for each execution."""

    def __init__(self, recording: Recording, plan: Plan, otherwise: Stage) -> None:
        """`plan` is the version that was recorded."""
        self._known = {(entry.position, entry.attempt): entry for entry in recording.entries}
        self._plan = plan
        self._otherwise = otherwise
        self.not_recorded: dict[str, None] = {}

    def knows(self, step: StepPlan) -> bool:
        """Every step is answered here: sub-workflows are not run again."""
        del step
        return True

    def due(self, position: Position, attempt: int, step: StepPlan, at: datetime) -> datetime:
        """A wait ends as late as it did, if it is the same wait."""
        entry = self._known.get((position, attempt))
        before = self._plan.steps.get(position.path)
        if entry is None or entry.ended is None or entry.status != "COMPLETED":
            return at
        same = before is not None and before.raw == step.raw
        return max(at, entry.ended) if same else at

    async def answer(self, cue: Cue) -> Answered:
        entry = self._known.get((cue.position, cue.call.attempt))
        before = self._plan.steps.get(cue.call.step)
        if before is None or before.step.kind != cue.step.step.kind:
            entry = None  # another kind of step under the same key
        if entry is None or entry.ended is None or entry.status == "CANCELLED":
            return await self._unknown(cue, entry)
        seconds = (entry.ended - entry.began).total_seconds()
        outcome = Done(entry.data) if entry.status == "COMPLETED" else self._failed(entry)
        return self._in_time(Answered(outcome, max(0.0, seconds), source=RECORDED), cue)

    async def _unknown(self, cue: Cue, entry: Entry | None) -> Answered:
        """Nothing is recorded, or only that the execution ended before there was an answer."""
        self.not_recorded[cue.call.step] = None
        answered = await self._otherwise.answer(cue)
        if entry is None or entry.ended is None:
            return answered
        least = (entry.ended - entry.began).total_seconds() + _JUST_AFTER
        return Answered(answered.outcome, max(least, answered.seconds), answered.cost, answered.source)

    def _failed(self, entry: Entry) -> Failed:
        """Whether a failure could be retried is not recorded; that it was, is."""
        error = entry.error or {}
        following = self._known.get((entry.position, entry.attempt + 1))
        after = None
        if following is not None and entry.ended is not None:
            after = max(0.0, (following.began - entry.ended).total_seconds())
        before = self._plan.steps.get(entry.position.path)
        last = before is None or entry.attempt >= before.step.retry.attempts
        return Failed(
            kind=str(error.get("kind", "failed")),
            message=str(error.get("message", "")),
            retryable=following is not None or last,
            retry_after=after,
            data=error.get("data"),
        )

    def _in_time(self, answered: Answered, cue: Cue) -> Answered:
        """Another version may have less patience. What was in time under the same timeout stays so."""
        limit = cue.step.step.timeout
        before = self._plan.steps.get(cue.call.step)
        if limit is None or answered.seconds <= limit or (before is not None and before.step.timeout == limit):
            return answered
        failed = Failed("timeout", f"The step took longer than {limit:g} s.")
        return Answered(failed, limit, answered.cost, answered.source)


def offset(moment: datetime, since: datetime) -> float:
    return (moment - since) / timedelta(seconds=1)
