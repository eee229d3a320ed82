"""Orders: what should be done next, in the imperative. The engine carries them out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from weft.interpreter.state import Status


class Settlement(StrEnum):
    """How one attempt of one step visit ended; the journal's words."""

    completed = "COMPLETED"
    failed = "FAILED"
    skipped = "SKIPPED"
    cancelled = "CANCELLED"


@dataclass(frozen=True, slots=True)
class RunStep:
    """Run this step. Answer with `StepSucceeded`, `StepFailed`, `StepWaiting` or `ItemsFound`."""

    visit: int
    attempt: int
    step: str  # the step's path in the definition
    frame: str


@dataclass(frozen=True, slots=True)
class Choose:
    """Evaluate the conditions on the step's outgoing transitions. Answer with `TransitionsChosen`."""

    visit: int
    step: str
    frame: str


@dataclass(frozen=True, slots=True)
class Collect:
    """All items of a for-each are done: gather their results as its output.

    The results are those that `ItemEnded` named for this `origin`; an item of which none was named failed and was
    passed over, or was left out because enough others were done. Answer with `StepSucceeded` (or `StepFailed`) for
    the for-each's own visit.
    """

    visit: int
    attempt: int
    step: str
    frame: str
    origin: tuple[int, int]
    count: int
    failed: int = 0
    left: int = 0


@dataclass(frozen=True, slots=True)
class ItemEnded:
    """An item of a for-each is done: remember the visit whose output is the item's, until `Collect` asks for it.

    The state knows how many items have ended, not what came of them: so it does not grow with their number.
    """

    step: str
    origin: tuple[int, int]
    index: int
    result: int


@dataclass(frozen=True, slots=True)
class Judge:
    """A loop has made `turn` turns: does it make another? Answer with `TurnDecided`.

    The frame of the last turn is still there, so that the condition sees its steps; `last` has its output.
    """

    visit: int
    attempt: int
    step: str
    frame: str
    turn: int
    last: int | None


@dataclass(frozen=True, slots=True)
class Conclude:
    """A loop makes no more turns, or a `compensate` step has run its handlers. Answer for the step's own visit.

    `count` is how many there were, `failed` how many of the handlers failed, `last` the visit with the last output.
    """

    visit: int
    attempt: int
    step: str
    count: int
    failed: int = 0
    last: int | None = None


@dataclass(frozen=True, slots=True)
class BeginUndo:
    """The execution will end with this status, but first its completed steps are undone: so many."""

    status: Status
    at: datetime
    visit: int | None
    reason: str
    steps: int
    step: str = ""  # as of `Finish`


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Send `TimerFired` at `at`. `purpose` is `retry` or `timeout`. A late timer is ignored, never cancelled."""

    visit: int
    attempt: int
    at: datetime
    purpose: str


@dataclass(frozen=True, slots=True)
class CancelStep:
    """The visit is no longer awaited; stop it if that is possible (a child execution, a running call)."""

    visit: int
    attempt: int
    step: str


@dataclass(frozen=True, slots=True)
class HoldStep:
    """The execution was paused, or (`held` is false) goes on: let what this visit waits for do the same."""

    visit: int
    attempt: int
    step: str
    held: bool


@dataclass(frozen=True, slots=True)
class Settle:
    """An attempt of a step visit has ended: write its journal row.

    `retry_at` is set when another attempt follows. `taken` are the keys of the steps that follow.
    """

    visit: int
    attempt: int
    step: str
    frame: str
    how: Settlement
    entered_at: datetime
    at: datetime
    retry_at: datetime | None = None
    taken: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Finish:
    """The execution has ended. `result` is the visit whose output is the execution's output.

    For a failed execution `visit` is the one that failed and `reason` says why when no step's error does; `step` is the
    path of a step that failed without a visit, as a join does that can no longer be reached.
    """

    status: Status
    at: datetime
    result: int | None = None
    visit: int | None = None
    reason: str = ""
    step: str = ""
    unsettled: tuple[str, ...] = ()  # steps that could not be undone


Command = (
    RunStep
    | Choose
    | Collect
    | ItemEnded
    | Judge
    | Conclude
    | BeginUndo
    | StartTimer
    | CancelStep
    | HoldStep
    | Settle
    | Finish
)
