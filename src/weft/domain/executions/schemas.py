"""What may come in and what goes out of the executions room."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, StringConstraints, computed_field

from weft.core.forms import form
from weft.domain.executions.models import LogStatus
from weft.domain.executions.rules import milliseconds
from weft.domain.limits.schemas import Priority
from weft.http.bodies import Input, Output
from weft.interpreter.state import Phase, Status

Document = Annotated[Any, Field(description="Any JSON.")]
Metadata = Annotated[dict[str, Any], Field(max_length=100)]
_CORRELATION = form(r"^[A-Za-z0-9._:-]{1,100}$", "1 to 100 letters, digits and any of . _ : -")


class ExecutionStart(Input):
    """What a start may say, besides which workflow."""

    input: Any | None = Field(default=None, description="The input, as the workflow's `input` schema wants it.")
    version: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = Field(
        default=None, description="Run this version; by default the current one."
    )
    metadata: Metadata = Field(
        default_factory=dict,
        description="Kept with the execution, and readable in expressions. `simulation: true` "
        "runs it without any effect, on a clock of its own; `script` then says what its steps answer.",
    )
    client_id: UUID | None = Field(default=None, description="The client it is for; by default the workflow's own.")
    priority: Priority | None = Field(default=None, description="By itself the workflow's.")
    correlation_id: Annotated[str, StringConstraints(pattern=_CORRELATION)] | None = Field(
        default=None, description="Ties it to something of yours; by default the request's `X-Correlation-Id`."
    )


class ExecutionCreate(ExecutionStart):
    workflow: UUID | Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(
        description="The workflow's id or name."
    )


class ExecutionCancel(Input):
    reason: Annotated[str, StringConstraints(strip_whitespace=True, max_length=1_000)] = Field(
        default="", description="Why; shown in the journal."
    )


class ExecutionStarted(Output):
    """How far it came by now. `output` and `error` are set when it has ended."""

    id: UUID
    number: int = Field(description="Counts the workflow's executions from 1.")
    workflow_id: UUID
    version_id: UUID
    status: Status
    output: Any | None
    error: dict[str, Any] | None


class ExecutionSummary(Output):
    id: UUID
    number: int = Field(description="Counts the workflow's executions from 1.")
    workflow_id: UUID
    workflow_name: str
    version_id: UUID
    version: int = Field(description="The number of the version that it runs.")
    client_id: UUID | None
    status: Status
    trigger: str = Field(description="What started it: MANUAL, WEBHOOK, SCHEDULE, EVENT, WORKFLOW or REPLAY.")
    correlation_id: str | None
    parent_id: UUID | None = Field(description="The execution whose sub-workflow this is.")
    simulation: bool = Field(description="It was simulated: nothing outside was reached, and its clock was its own.")
    error_message: str | None = Field(description="The beginning of the error's sentence, when it failed.")
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None

    @computed_field(description="From being taken up to the end, in milliseconds; null while it runs.")  # type: ignore[prop-decorator]  # pydantic documents this order
    @property
    def duration_ms(self) -> int | None:
        return milliseconds(self.started_at, self.completed_at)


class LiveStepRead(Output):
    """A step at which the execution stands now."""

    step: str = Field(description="The step's path in the definition.")
    visit: int
    attempt: int
    phase: Phase
    since: datetime = Field(description="When this attempt began.")
    resumes_at: datetime | None = Field(description="When a delay ends, it is tried again, or it is its turn.")
    times_out_at: datetime | None
    item: int | None = Field(description="The index of the for-each's item that it belongs to.")
    items: int | None = Field(description="Of a for-each: how many items it has.")
    items_done: int | None = Field(description="Of a for-each or a loop: how many are done.")


class PayloadRead(Output):
    """A value that is too large to be shown among others."""

    id: UUID
    size: int = Field(description="Bytes of its JSON.")
    href: str = Field(description="The address that gives it whole.")


class ExecutionRead(ExecutionSummary):
    input: Any | None = Field(description="Null, and in `payloads`, when it is larger than a megabyte.")
    output: Any | None = Field(description="Likewise.")
    payloads: dict[str, PayloadRead] = Field(
        description="Of `input` and `output`, those that are too large to be shown here, and where they are."
    )
    journal_gone: bool = Field(
        description="Retention has taken its journal: it cannot be retried, nor replayed from a step."
    )
    error: dict[str, Any] | None
    metadata: dict[str, Any]
    trigger_id: UUID | None
    started_by: UUID | None = Field(description="The user, also behind an API key.")
    idempotency_key: str | None
    parent_visit: int | None
    priority: int = Field(description="Within the tenant, higher ones go first.")
    waits_for: str | None = Field(description="What keeps it from going on, when a limit does.")
    depth: int = Field(description="How many executions it is nested in.")
    cost: Decimal
    updated_at: datetime
    steps: list[LiveStepRead] = Field(description="Where it stands, oldest visit first; 200 at most.")
    live_steps: int = Field(description="At how many steps it stands in all.")
    retry_resumes: list[str] = Field(description="The steps from which a retry would go on.")

    @computed_field(description="From being created to being taken up, in milliseconds.")  # type: ignore[prop-decorator]  # likewise
    @property
    def queued_ms(self) -> int | None:
        return milliseconds(self.created_at, self.started_at)


class LogRead(Output):
    """One attempt of one visit of a step, or (without a step) an event of the execution itself."""

    id: UUID
    execution_id: UUID
    step_id: UUID | None
    step: str | None = Field(validation_alias="step_key", description="The step's path in the definition.")
    frame: str = Field(description="`12.0` is item 0 of the for-each that is visit 12; empty outside of any.")
    visit: int
    attempt: int
    status: LogStatus
    message: str | None
    data: Any | None = Field(description="What the step gave; null, and in `payload`, when it is too large for a page.")
    payload: PayloadRead | None = Field(description="Where it is, when it is not shown here.")
    error: dict[str, Any] | None
    started_at: datetime
    completed_at: datetime | None

    @computed_field(description="In milliseconds; null while it runs.")  # type: ignore[prop-decorator]  # likewise
    @property
    def duration_ms(self) -> int | None:
        return milliseconds(self.started_at, self.completed_at)


class ExecutionCounts(Output):
    """How many executions were created in a period, by the status that they have now."""

    created_from: datetime
    created_to: datetime
    total: int
    by_status: dict[Status, int]


class StepEvent(Output):
    """`event: step`. A row of the journal was begun or settled: as it is now, by `id`."""

    id: UUID = Field(description="The journal row's id: a later event with the same one replaces it.")
    step: str | None = Field(description="The step's path in the definition; null: an event of the execution itself.")
    frame: str
    visit: int
    attempt: int
    status: LogStatus
    message: str | None
    error: dict[str, Any] | None
    started_at: datetime
    completed_at: datetime | None
    data_bytes: int | None = Field(description="The stored size of what the step gave.")
    data: Any | None = Field(description="What the step gave: only with `data=true`, and up to 64 KB.")

    @computed_field(description="In milliseconds; null while it runs.")  # type: ignore[prop-decorator]  # pydantic documents this order
    @property
    def duration_ms(self) -> int | None:
        return milliseconds(self.started_at, self.completed_at)


class ExecutionEvent(Output):
    """`event: execution`. Where the execution stands after the steps that were told before."""

    id: UUID
    number: int
    workflow_id: UUID
    workflow_name: str
    status: Status
    row_version: int
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    steps: list[LiveStepRead] = Field(description="Where it stands, oldest visit first; 200 at most.")
    live_steps: int = Field(description="At how many steps it stands in all.")
    earlier: bool = Field(description="The journal is long and was told from its newest 500 rows on.")


class EndEvent(Output):
    """`event: end`. The last event: the execution is over, and the stream with it."""

    id: UUID
    status: Status
    error: dict[str, Any] | None
    output: Any | None = Field(description="Only with `data=true`.")
    started_at: datetime | None
    completed_at: datetime | None

    @computed_field(description="From being taken up to the end, in milliseconds.")  # type: ignore[prop-decorator]  # likewise
    @property
    def duration_ms(self) -> int | None:
        return milliseconds(self.started_at, self.completed_at)
