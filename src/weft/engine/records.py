"""What a turn wants written: plain rows, gathered in memory and saved in sets."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from weft.engine.limits import USUAL

if TYPE_CHECKING:
    from weft.engine.events.hearing import Hearing
    from weft.engine.run import Run


@dataclass(frozen=True, slots=True)
class Fence:
    """A job that is held under a lease. What it ordered is saved only while the lease's epoch still stands."""

    job_id: UUID
    epoch: int
    execution_id: UUID


@dataclass(slots=True)
class LogRow:
    """One attempt of one visit. `started_at` places it in its partition."""

    execution_id: UUID
    id: UUID
    step_id: UUID | None
    step_key: str | None
    frame: str
    visit: int
    attempt: int
    status: str
    started_at: datetime
    completed_at: datetime | None = None
    message: str | None = None
    data: Any = None
    error: dict[str, Any] | None = None


@dataclass(slots=True)
class JobRow:
    """A job to put. `owner` is the execution whose save it belongs to; `execution_id` the one it is about."""

    owner: UUID
    kind: str
    execution_id: UUID
    id: UUID
    visit: int = 0
    attempt: int = 0
    detail: dict[str, Any] | None = None
    run_at: datetime | None = None
    priority: int = 0
    parked: bool = False  # until its execution has a place


@dataclass(slots=True)
class ExecutionRow:
    """What changes of an execution. `base` is the row version that was read; None for a new execution."""

    id: UUID
    base: int | None
    status: str
    state: dict[str, Any] | None
    output: Any
    error: dict[str, Any] | None
    started_at: datetime | None
    completed_at: datetime | None
    version_id: UUID | None = None  # the version that it moves to; None when it keeps its own


@dataclass(frozen=True, slots=True)
class AuditRow:
    """An audit event that is written with the save of its execution, or not at all."""

    execution_id: UUID
    action: str
    details: dict[str, Any]


@dataclass(slots=True)
class NewExecution:
    """What a start adds to `ExecutionRow`: it is inserted, and numbered, by the statement that saves it."""

    workflow_id: UUID
    version_id: UUID
    client_id: UUID | None
    input: Any
    metadata: dict[str, Any]
    trigger: str
    trigger_id: UUID | None
    trigger_version: int | None
    started_by: UUID | None
    idempotency_key: str | None
    correlation_id: str
    parent_id: UUID | None
    parent_visit: int | None
    depth: int
    awaited: bool
    created_at: datetime
    at_version: bool = False  # a version was asked for: it need not be the current one
    simulation: bool = False
    priority: int = 0
    place_key: str | None = None  # set when it needs a place to run, see `places.py`
    settings: int = 0  # what the process knew of the workflow's limits, see `WorkflowCounter`


@dataclass(slots=True)
class Batch:
    """Everything that one save writes, for one tenant."""

    fences: list[Fence] = field(default_factory=list)
    executions: list[ExecutionRow] = field(default_factory=list)
    starts: list[NewExecution] = field(default_factory=list)  # parallel to `executions`, or empty
    logs: list[LogRow] = field(default_factory=list)
    settled: list[LogRow] = field(default_factory=list)  # rows that exist as RUNNING
    jobs: list[JobRow] = field(default_factory=list)
    audits: list[AuditRow] = field(default_factory=list)
    ended: list[UUID] = field(default_factory=list)  # executions that come to their end in this save
    hearing: Hearing | None = None  # of events; None when no run of the batch has to do with any
    bulk: list[Run] = field(default_factory=list)  # those that have more to write than rows (`bulk.py`)
    payload_quota: int = USUAL.payloads
