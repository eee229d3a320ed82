"""What the engine hears about an execution: the answer to a job, or a command of a person or program."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from weft.engine.outcomes import Done, Failed
from weft.engine.records import Fence


@dataclass(frozen=True, slots=True)
class TakenUp:
    """A new execution begins."""


@dataclass(frozen=True, slots=True)
class StepEnded:
    """An attempt has come to an end, or its wait is over."""

    visit: int
    attempt: int
    outcome: Done | Failed


@dataclass(frozen=True, slots=True)
class TimerDue:
    visit: int
    attempt: int
    purpose: str


@dataclass(frozen=True, slots=True)
class Nothing:
    """The job needs no answer any more: it was late, or what it ordered is under way."""


@dataclass(frozen=True, slots=True)
class GivenUp:
    """The job was delivered too often and never answered; it is kept among the dead with this reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class Retried:
    by: str


What = TakenUp | StepEnded | TimerDue | Nothing | GivenUp | Cancelled | Retried


@dataclass(frozen=True, slots=True)
class News:
    """`fence` is the job that this answers; None for a command."""

    execution_id: UUID
    what: What
    fence: Fence | None = None
