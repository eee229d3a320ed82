"""What is asked of the starter, what it answers, and a request on its way between the two."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from weft.core.actor import Actor
from weft.core.errors import WeftError
from weft.engine import places
from weft.engine.records import NewExecution
from weft.engine.run import Run


@dataclass(frozen=True, slots=True)
class StartRequest:
    """`workflow` is an id or a name. `inline` runs it at once, as far as no outside world is needed."""

    workflow: UUID | str
    input: Any = None
    metadata: dict[str, Any] = field(default_factory=dict)
    version: int | None = None
    client_id: UUID | None = None
    idempotency_key: str | None = None
    trigger: str = "MANUAL"
    trigger_id: UUID | None = None
    trigger_version: int | None = None
    parent_id: UUID | None = None
    parent_visit: int | None = None
    depth: int = 0
    inline: bool = False
    awaited: bool = False
    execution_id: UUID | None = None
    priority: int | None = None  # by itself the workflow's


@dataclass(frozen=True, slots=True)
class StartResult:
    """`created` is False when the idempotency key had been used before: then this is that execution."""

    id: UUID
    number: int
    workflow_id: UUID
    version_id: UUID
    status: str
    output: Any
    error: dict[str, Any] | None
    created: bool


@dataclass(frozen=True, slots=True)
class Target:
    """The workflow that is started, as the database said when it was asked."""

    id: UUID
    name: str
    status: str
    version_id: UUID | None
    client_id: UUID | None
    limits: places.StartLimits


@dataclass(slots=True)
class Waiting:
    """One request on its way through a batch; whoever sent it waits for `answer`."""

    request: StartRequest
    actor: Actor
    answer: asyncio.Future[StartResult]
    run: Run | None = None
    new: NewExecution | None = None
    target: Target | None = None
    full: WeftError | None = None  # there was no place for it
