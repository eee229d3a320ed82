"""What the engine hears about an execution: the answer to a job, or a command of a person or program."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from weft.engine.outcomes import Done, Failed
from weft.engine.plans import Plan
from weft.engine.records import Fence
from weft.interpreter.migrate import StepMapping


@dataclass(frozen=True, slots=True)
class TakenUp:
    """A new execution begins."""


@dataclass(frozen=True, slots=True)
class StepEnded:
    """An attempt has come to an end, or its wait is over."""

    visit: int
    attempt: int
    outcome: Done | Failed
    took: float | None = None
    """Seconds on the clock of a simulated sub-workflow."""


@dataclass(frozen=True, slots=True)
class TimerDue:
    visit: int
    attempt: int
    purpose: str


@dataclass(frozen=True, slots=True)
class PlayOn:
    """A simulated execution has used up its slice, and goes on."""


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


@dataclass(frozen=True, slots=True)
class Paused:
    """`by_parent`: the execution that waits for this one was paused; going on, it lets this one go on too."""

    by: str
    reason: str = ""
    by_parent: bool = False


@dataclass(frozen=True, slots=True)
class Resumed:
    """`by_parent`: only what the parent has paused goes on."""

    by: str
    by_parent: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """A job was claimed whose execution is paused, and nothing was done: it is put again when that goes on."""

    kind: str
    visit: int
    attempt: int


@dataclass(frozen=True, slots=True)
class ChildStarted:
    """A sub-workflow step's execution is stored."""

    visit: int
    attempt: int


@dataclass(frozen=True, slots=True)
class StepDue:
    """An instant step that a turn had no time for: it runs now."""

    visit: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Noted:
    """Something about the execution that its journal should say."""

    message: str


@dataclass(frozen=True, slots=True)
class Migrated:
    """Move to another version of the workflow. Why one cannot be moved is put into `refused`, by execution."""

    source: Plan
    target: Plan
    mapping: StepMapping
    by: str
    refused: dict[UUID, tuple[str, ...]] = field(default_factory=dict)


What = (
    TakenUp
    | StepEnded
    | TimerDue
    | PlayOn
    | Nothing
    | GivenUp
    | Cancelled
    | Retried
    | Paused
    | Resumed
    | Held
    | ChildStarted
    | Migrated
    | StepDue
    | Noted
)


@dataclass(frozen=True, slots=True)
class News:
    """`fence` is the job that this answers; None for a command."""

    execution_id: UUID
    what: What
    fence: Fence | None = None
