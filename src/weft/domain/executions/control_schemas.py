"""What comes in and goes out with the commands that pause, replay and move executions."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from weft.domain.executions.schemas import ExecutionStarted
from weft.http.bodies import Input, Output
from weft.interpreter.state import Status

Path = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, max_length=1_000)]
Number = Annotated[int, Field(ge=1, le=2**31 - 1)]


class ExecutionPause(Input):
    reason: Reason = Field(default="", description="Why; shown in the journal.")


class ExecutionReplay(Input):
    """Run an execution again, as a new one: from a step on, or from the start."""

    step: Path = Field(alias="from", description="The step at which the new execution begins.")
    before: Literal["keep", "recompute"] = Field(
        default="keep",
        description="`keep`: what does not come after the step keeps its results. `recompute`: all runs again.",
    )
    version: Number | None = Field(
        default=None, description="Another version of the workflow; by default that of the execution."
    )
    input: Any | None = Field(default=None, description="Another input; without it that of the execution.")
    reason: Reason = Field(default="", description="Why; kept in the audit log.")


class ExecutionReplayed(ExecutionStarted):
    not_undone: list[str] = Field(
        description="Kept steps that can be undone: by the executions that did them, and not by this one."
    )


class MigrationRequest(Input):
    """Move executions from one version to another, or only see what would become of them."""

    from_version: Number
    to_version: Number
    mapping: dict[Path, Path | None] = Field(
        default_factory=dict,
        max_length=1_000,
        description="Old step path to new step path; null leaves a step out. A step that is not named keeps its path.",
    )
    executions: list[UUID] | None = Field(
        default=None, min_length=1, max_length=200, description="Only these; by default all of the version."
    )
    status: list[Literal["PENDING", "RUNNING", "WAITING", "PAUSED", "FAILED"]] = Field(
        default=["PENDING", "RUNNING", "WAITING", "PAUSED"],
        min_length=1,
        description="Without `executions`: those with one of these. A FAILED one that is moved is retried there.",
    )
    dry_run: bool = Field(default=True, description="Only look. Nothing is moved unless this is false.")
    limit: Annotated[int, Field(ge=1, le=200)] = Field(default=100, description="Executions of one request.")
    after: UUID | None = Field(default=None, description="Go on after this execution: `next` of the answer before.")


class PlaceRead(Output):
    """A step at which executions stand, and what it becomes."""

    step: str
    target: str | None = Field(description="The step in the new version; null when there is none to move to.")


class MoveRead(PlaceRead):
    """What becomes of the tokens that stand at one step."""

    tokens: int


class MigrationItem(Output):
    execution_id: UUID
    number: int
    status: Status
    moves: list[MoveRead]
    problems: list[str] = Field(description="Why it cannot be moved; empty when it can.")
    moved: bool = Field(description="It runs the new version now; always false in a dry run.")


class MigrationGroup(Output):
    """Executions of this answer to which the same happens."""

    executions: int
    steps: list[PlaceRead] = Field(description="Where each of them stands.")
    problems: list[str]


class MigrationRead(Output):
    dry_run: bool
    from_version: int
    to_version: int
    movable: int = Field(description="Of the executions in this answer.")
    refused: int
    moved: int
    groups: list[MigrationGroup]
    items: list[MigrationItem]
    next: UUID | None = Field(description="Send it as `after` for the executions that follow; null after the last.")
