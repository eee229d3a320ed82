"""What came of a step: the words in which a step kind answers the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Done:
    """The step has completed. `variables` are merged into the execution's `vars`."""

    output: Any = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt has failed.

    `kind` is a word for `retry.on` (`timeout`, `connection`, `rate_limit`, `http_4xx`, `http_5xx`, `invalid`,
    `interrupted`, ...). `retryable` says whether trying again could help; `retry_after` is in seconds.
    """

    kind: str
    message: str
    retryable: bool = True
    retry_after: float | None = None
    data: Any = None


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """The step is over when this time has come."""

    at: datetime
    output: Any = None


@dataclass(frozen=True, slots=True)
class Items:
    """A for-each has found its items. A range is so many runs of the body, with the number as the item."""

    items: list[Any] | range


@dataclass(frozen=True, slots=True)
class StartChild:
    """The step is over when an execution of another workflow is. `workflow` is a name or an id."""

    workflow: str
    input: Any = None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something else will tell: nothing holds a process meanwhile. `child` is the execution that is waited for."""

    child: UUID | None = None


@dataclass(frozen=True, slots=True)
class Heard(Done):
    """The step has completed because of an event."""

    event: UUID | None = None


@dataclass(frozen=True, slots=True)
class WaitForEvent:
    """The step is over when an event of one of these types comes, about this (empty: about anything).

    `from_now`: what came before does not count; else whatever came since the execution began does.
    """

    types: tuple[str, ...]
    correlation: str = ""
    from_now: bool = False


@dataclass(frozen=True, slots=True)
class Ask:
    """The step is over when somebody has answered."""

    question: str
    choices: tuple[str, ...] | None = None
    to: str | None = None
    correlation: str = ""


@dataclass(frozen=True, slots=True)
class Emit:
    """The step has completed, and an event is stored with it."""

    type: str
    correlation: str = ""
    payload: Any = None


@dataclass(frozen=True, slots=True)
class Repeat:
    """A loop begins, or goes on where it was interrupted."""


@dataclass(frozen=True, slots=True)
class Undo:
    """Completed steps are undone by their handlers, the last one first."""


Outcome = Done | Failed | WaitUntil | Items | StartChild | Waiting | WaitForEvent | Ask | Emit | Repeat | Undo
