"""What may come in and go out about dead jobs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from weft.http.bodies import Input, Moment, Output
from weft.interpreter.state import Status


class DeadJobSummary(Output):
    id: UUID
    kind: str = Field(description="start, retry, step, delay, timer, child, child_done or cancel_child.")
    reason: str = Field(description="Why it was set aside.")
    last_error: str | None = Field(description="What the last try said before.")
    execution_id: UUID | None
    execution_status: Status | None
    workflow_id: UUID | None
    workflow_name: str | None
    visit: int
    attempt: int
    claims: int = Field(description="How often it was delivered, the last time to be set aside.")
    lapses: int = Field(description="How many of them ended with a worker that died or stood still.")
    created_at: datetime
    died_at: datetime


class DeadJobRead(DeadJobSummary):
    explanation: str = Field(description="What it was to do, what happened, and what a retry would do, in words.")


Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1_000)]


class DeadJobDrop(Input):
    reason: Reason = Field(description="Why; kept in the audit log.")


class DeadJobsSelected(Input):
    """Which dead jobs; what is left out is any."""

    kind: Annotated[str, StringConstraints(min_length=1, max_length=50)] | None = None
    execution_id: UUID | None = None
    workflow_id: UUID | None = None
    died_from: Moment | None = Field(default=None, description="Died at this time or later.")
    died_to: Moment | None = Field(default=None, description="Died before this time.")
    dry_run: bool = Field(default=False, description="Only tell how many there are.")
    limit: Annotated[int, Field(ge=1, le=1_000)] = Field(
        default=200, description="The oldest so many; call it again for the others."
    )


class DeadJobsDrop(DeadJobsSelected):
    reason: Reason = Field(description="Why; kept in the audit log.")


class DeadJobsDone(Output):
    matched: int = Field(description="How many were found, at most `limit`.")
    done: int = Field(description="How many were retried or dropped; 0 on a dry run.")
    more: bool = Field(description="Whether there are others.")
    refused: list[DeadJobRefused] = Field(default_factory=list, description="Those that could not be retried.")


class DeadJobRefused(Output):
    id: UUID
    message: str


DeadJobsDone.model_rebuild()
