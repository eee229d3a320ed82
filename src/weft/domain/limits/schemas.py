"""What may come in and go out about limits."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from weft.domain.limits.models import WhenFull
from weft.http.bodies import Input, Output

Concurrent = Annotated[int, Field(ge=1, le=10_000)]
PriorityWord = Literal["low", "normal", "high"]
Priority = Annotated[
    Annotated[int, Field(ge=-100, le=100)] | PriorityWord,
    Field(description="-100 to 100; `low` is -50, `normal` 0, `high` 50. Higher ones go first.", examples=["high"]),
]


class WorkflowLimitsWrite(Input):
    """All of a workflow's limits: what is left out is as if it had never been set."""

    concurrent: Concurrent | None = Field(default=None, description="Executions under way; null for any number.")
    key: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1_000)] | None = Field(
        default=None,
        description="An expression over the input. Each value of it has `concurrent` places of its own.",
        examples=["input.customer.id"],
    )
    when_full: WhenFull = Field(
        default=WhenFull.queue,
        description="`queue`: starts wait as PENDING, in order; `refuse`: they are answered with 429.",
    )
    priority: Priority = 0


class WorkflowLimitsRead(Output):
    workflow_id: UUID
    workflow_name: str
    concurrent: int | None
    key: str | None
    when_full: WhenFull
    priority: int
    in_use: int = Field(description="Places in use, of all values of the key.")
    waiting: int = Field(description="Executions that wait for a place; counted up to 10,000.")
    row_version: int = Field(description="0 while nothing was ever set; also the `ETag`.")


class TenantLimitsRead(Output):
    """What the operator allows the tenant. `weft tenant limits` sets it, on the database."""

    concurrent_executions: int | None
    in_use: int
    waiting: int = Field(description="Executions that wait for a place among those of the tenant; up to 10,000.")
    concurrent_jobs: int | None = Field(description="Jobs in workers' hands at once.")
    weight: int = Field(description="The tenant's part of the workers' time, beside the others'.")
    payload_bytes: int | None = Field(description="Bytes of large values, as stored; null: what the setting says.")


class TenantLimitsWrite(Input):
    """Only what is sent changes; null takes a limit away."""

    concurrent_executions: Concurrent | None = None
    concurrent_jobs: Annotated[int, Field(ge=1, le=100_000)] | None = None
    weight: Annotated[int, Field(ge=1, le=100)] = 1
    payload_bytes: Annotated[int, Field(ge=0, le=2**50)] | None = None


class RateLimitWrite(Input):
    target: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)] = Field(
        description="A host, `*.` and a domain, or `*`. The most exact one counts.", examples=["api.example.com"]
    )
    calls: Annotated[int, Field(ge=1, le=1_000_000)]
    seconds: Annotated[int, Field(ge=1, le=86_400)] = Field(default=1, description="`calls` in so many seconds.")
    burst: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=1, description="How many of them may come at once after a quiet time."
    )


class RateLimitRead(Output):
    id: UUID
    target: str
    calls: int
    seconds: int
    burst: int
    created_at: datetime
    updated_at: datetime
    row_version: int
