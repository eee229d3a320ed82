"""News: what happened, in the past tense. Every event carries the time it happened.

`visit` numbers are unique within an execution and never used twice; with `attempt` they make late or
repeated news recognisable, so that delivery may be at least once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Started:
    """The execution was taken up. `seed` makes every jitter of this execution."""

    at: datetime
    seed: int = 0


@dataclass(frozen=True, slots=True)
class StepSucceeded:
    at: datetime
    visit: int
    attempt: int


@dataclass(frozen=True, slots=True)
class StepFailed:
    """`kind` is a word of the retry policy's `on`; `retryable` is the error's own opinion of itself.

    `retry_after` (seconds) is a wish of the other side (HTTP 429/503) and lengthens the back-off.
    """

    at: datetime
    visit: int
    attempt: int
    kind: str
    retryable: bool = True
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class StepWaiting:
    """The step has begun to wait for a time, a person, an event or a child execution."""

    at: datetime
    visit: int
    attempt: int


@dataclass(frozen=True, slots=True)
class ItemsFound:
    """A for-each step knows how many items it has. Its body runs once for each."""

    at: datetime
    visit: int
    attempt: int
    count: int


@dataclass(frozen=True, slots=True)
class TurnDecided:
    """Whether a loop makes another turn. `turn` is how many it has made.

    Answers `RunStep` of a loop that has made none, or that goes on where it was interrupted, and `Judge`.
    """

    at: datetime
    visit: int
    attempt: int
    turn: int
    again: bool


@dataclass(frozen=True, slots=True)
class UndoRequested:
    """Answers `RunStep` of a `compensate` step: its handlers may run."""

    at: datetime
    visit: int
    attempt: int


@dataclass(frozen=True, slots=True)
class TransitionsChosen:
    """Answer to `Choose`: indexes of the outgoing transitions whose condition holds.

    Unconditional transitions count as holding; the default is never listed. May be empty.
    """

    at: datetime
    visit: int
    holding: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer that `StartTimer` ordered is due."""

    at: datetime
    visit: int
    attempt: int
    purpose: str


@dataclass(frozen=True, slots=True)
class CancelRequested:
    at: datetime
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RetryRequested:
    """Somebody wants a failed execution to go on from where it failed. Completed steps stay completed."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The engine could not go on with the execution: it has failed, and may be retried like any failed one."""

    at: datetime
    reason: str = "abandoned"


@dataclass(frozen=True, slots=True)
class PauseRequested:
    """Nothing new is to begin until the execution is resumed. What is under way comes to its end, and is heard.

    `reason` is a word of the engine's, kept in the state: on whose account it is paused.
    """

    at: datetime
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ResumeRequested:
    """Whatever was held while the execution was paused goes on."""

    at: datetime


@dataclass(frozen=True, slots=True)
class VersionChanged:
    """The state was moved to another definition (`migrate`): joins may fire that waited before."""

    at: datetime


Event = (
    Started
    | StepSucceeded
    | StepFailed
    | StepWaiting
    | ItemsFound
    | TurnDecided
    | UndoRequested
    | TransitionsChosen
    | TimerFired
    | CancelRequested
    | RetryRequested
    | Abandoned
    | PauseRequested
    | ResumeRequested
    | VersionChanged
)
