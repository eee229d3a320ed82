"""Small decisions about executions: what may be done with one, and what its stored state says. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from weft.domain.executions.errors import (
    EventIdUnclear,
    ExecutionCompensated,
    ExecutionFinal,
    ExecutionNotFailed,
    ExecutionNotPausable,
    ExecutionNotPaused,
    JournalGone,
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


def require_retriable(status: str, *, compensated: bool = False, journal_gone: bool = False) -> None:
    """Raise `ExecutionNotFailed` for anything but a failed execution, `ExecutionCompensated` for one that is undone.

    And `JournalGone` for one of which nobody knows any more what its steps had found.
    """
    if status != Status.failed.value:
        raise ExecutionNotFailed(status)
    if compensated:
        raise ExecutionCompensated
    if journal_gone:
        raise JournalGone


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
    is_loop = visit.phase in (Phase.iterating, Phase.collecting, Phase.judging)
    return LiveStep(
        step=_path(state, visit),
        visit=visit.number,
        attempt=visit.attempt,
        phase=visit.phase.value,
        since=visit.entered_at,
        item=item_of(visit.frame)[1] if visit.frame != ROOT else None,
        items=visit.count or None if is_loop else None,
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


_LAST: Final = UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True)
class Position:
    """How far somebody has followed an execution: everything of the saves before `version`, and of that save all, or
    the journal rows up to `row`. `ended`: they were told of the end. Written as the id of an event.
    """

    version: int
    row: UUID | None = None
    ended: bool = False

    @property
    def last_row(self) -> UUID:
        return self.row or _LAST

    def __str__(self) -> str:
        if self.ended:
            return f"{self.version}.end"
        return f"{self.version}.{self.row.hex}" if self.row is not None else str(self.version)


def position_of(event_id: str) -> Position:
    """The position that an event's id names. Raises `EventIdUnclear` for what was never one."""
    version, dot, rest = event_id.partition(".")
    if not (version.isascii() and version.isdigit() and len(version) < 10) or (dot and not rest):
        raise EventIdUnclear(event_id)
    if rest in ("", "end"):
        return Position(int(version), ended=rest == "end")
    try:
        return Position(int(version), UUID(hex=rest))
    except ValueError:
        raise EventIdUnclear(event_id) from None
