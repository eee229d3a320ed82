"""Small decisions about executions: what may be done with one, and what its stored state says. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from weft.domain.executions.errors import (
    ExecutionFinal,
    ExecutionNotFailed,
    ExecutionNotPausable,
    ExecutionNotPaused,
)
from weft.interpreter.codec import load_state
from weft.interpreter.state import ROOT, Phase, State, Status, Visit, item_of

SKEW: Final = timedelta(days=1)
"""Clocks of two machines differ: the journal is looked for this much before the start and after the end."""

MOST_LIVE: Final = 200
"""Live steps that are shown of one execution; a for-each may have thousands."""


def require_cancellable(status: str) -> None:
    """Raise `ExecutionFinal` for an execution that has ended."""
    if Status(status).is_final:
        raise ExecutionFinal(status)


def require_retriable(status: str) -> None:
    """Raise `ExecutionNotFailed` for anything but a failed execution."""
    if status != Status.failed.value:
        raise ExecutionNotFailed(status)


def require_pausable(status: str) -> None:
    """Raise `ExecutionNotPausable` for an execution that has ended; one that is paused already may be paused again."""
    if Status(status).is_final:
        raise ExecutionNotPausable(status)


def require_paused(status: str) -> None:
    """Raise `ExecutionNotPaused` for anything but a paused execution."""
    if status != Status.paused.value:
        raise ExecutionNotPaused(status)


def journal_period(
    created_at: datetime, completed_at: datetime | None, status: str, now: datetime
) -> tuple[datetime, datetime]:
    """Between which times the rows of an execution's journal lie: the partitions that must be read."""
    is_over = completed_at is not None and Status(status).is_final
    return created_at - SKEW, (completed_at if is_over and completed_at is not None else now) + SKEW


@dataclass(frozen=True, slots=True)
class LiveStep:
    """A step at which the execution stands. `since`: when this attempt began.

    `item` is the index of the innermost for-each's item that it belongs to; `items` and `items_done` are set for a
    for-each itself.
    """

    step: str
    visit: int
    attempt: int
    phase: str
    since: datetime
    item: int | None = None
    items: int | None = None
    items_done: int | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an execution stands: `live` steps, how many there are in all, and the steps that a retry goes on from."""

    live: tuple[LiveStep, ...] = ()
    count: int = 0
    resumes: tuple[str, ...] = ()


def standing(stored: Mapping[str, Any] | None) -> Standing:
    """What `workflow_executions.state` says. An execution that nobody has taken up, or that is over, has none."""
    if not stored or "i" not in stored:
        return Standing()
    state = load_state(stored["i"])
    visits = sorted(state.visits.values(), key=lambda visit: visit.number)
    return Standing(
        live=tuple(_live(state, visit) for visit in visits[:MOST_LIVE]),
        count=len(visits),
        resumes=tuple(dict.fromkeys(_path(state, visit) for visit in state.interrupted)),
    )


def _live(state: State, visit: Visit) -> LiveStep:
    is_loop = visit.phase in (Phase.iterating, Phase.collecting)
    return LiveStep(
        step=_path(state, visit),
        visit=visit.number,
        attempt=visit.attempt,
        phase=visit.phase.value,
        since=visit.entered_at,
        item=item_of(visit.frame)[1] if visit.frame != ROOT else None,
        items=visit.count if is_loop else None,
        items_done=visit.done if is_loop else None,
    )


def _path(state: State, visit: Visit) -> str:
    frame = state.frames.get(visit.frame)
    return f"{frame.graph}.{visit.step}" if frame is not None and frame.graph else visit.step


def milliseconds(begin: datetime | None, end: datetime | None) -> int | None:
    """How long something took; None while it is not over, never negative (clocks of two machines differ)."""
    if begin is None or end is None:
        return None
    return max(0, round((end - begin) / timedelta(milliseconds=1)))
