"""What may come in and what goes out of the workflows room."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints, ValidationInfo, field_validator

from weft.domain.events.rules import MAX_CORRELATION, MAX_TYPES
from weft.domain.events.schemas import Type as EventType
from weft.domain.workflows.kinds import StepKind
from weft.domain.workflows.models import TriggerKind, WorkflowStatus
from weft.domain.workflows.rules import MAX_DESCRIPTION, MAX_NAME, MAX_TAG, MAX_TAGS
from weft.domain.workflows.schedule_schemas import ScheduleConfig
from weft.http.bodies import Input, Output
from weft.interpreter.durations import parse_duration

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NAME)]
Description = Annotated[str, StringConstraints(max_length=MAX_DESCRIPTION)]
Tag = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TAG)]
Tags = Annotated[list[Tag], Field(max_length=MAX_TAGS)]
Note = Annotated[str, StringConstraints(max_length=2_000)]
Document = Annotated[
    dict[str, Any],
    Field(description="A workflow definition; its JSON Schema is at `/v1/workflows/definition-schema`."),
]


class WorkflowCreate(Input):
    """A workflow from a definition, or an empty one by its name alone."""

    name: Name | None = Field(default=None, description="Needed when there is no definition.")
    description: Description | None = None
    client_id: UUID | None = None
    tags: Tags | None = None
    definition: Document | None = None


class WorkflowUpdate(Input):
    """Only the fields that are sent are changed. The draft's own name, description and tags follow."""

    name: Name | None = None
    description: Description | None = None
    client_id: UUID | None = None
    tags: Tags | None = None


class WorkflowSummary(Output):
    id: UUID
    name: str
    description: str | None
    client_id: UUID | None
    status: WorkflowStatus
    version: int = Field(description="The number of the current version, 0 before the first.")
    current_version_id: UUID | None
    tags: list[str]
    created_by: UUID | None
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    row_version: int = Field(description="Also the `ETag`; send it back as `If-Match` to change what you have seen.")


class WorkflowRead(WorkflowSummary):
    draft_differs: bool = Field(description="Whether the draft has changes that are in no version yet.")


class DraftRead(Output):
    definition: Document
    row_version: int
    differs: bool = Field(description="Whether it has changes that are not in the current version.")


class VersionCreate(Input):
    note: Note = ""


class RollbackTo(Input):
    number: Annotated[int, Field(ge=1, le=2**31 - 1)]
    note: Note = ""


class VersionSummary(Output):
    id: UUID
    workflow_id: UUID
    number: int
    content_hash: str
    note: str
    created_by: UUID | None
    created_at: datetime


class VersionRead(VersionSummary):
    definition: Document


class VersionSaved(Output):
    """`created` is false when the draft equals the current version: nothing was written then."""

    created: bool
    version: VersionSummary
    warnings: list[IssueRead] = Field(default_factory=list)


class IssueRead(Output):
    """One thing that is wrong with a definition, and where: `path` leads into the document."""

    model_config = ConfigDict(extra="allow")

    message: str
    path: list[str | int]
    code: str


class CheckStats(Output):
    steps: int
    transitions: int
    simple: int = Field(description="Expressions that are evaluated in the worker itself.")
    guarded: int = Field(description="Expressions that need the guard process, with its limits on time and memory.")


class CheckResult(Output):
    sound: bool
    errors: list[IssueRead]
    warnings: list[IssueRead]
    stats: CheckStats


class StepKindRead(Output):
    """A step kind as an editor needs it."""

    name: str
    description: str
    config_schema: dict[str, Any]
    outputs_schema: dict[str, Any] | None
    split: str
    join: str

    @classmethod
    def of(cls, kind: StepKind) -> StepKindRead:
        outputs = kind.outputs_schema
        return cls(
            name=kind.name,
            description=kind.description,
            config_schema=dict(kind.config_schema),
            outputs_schema=dict(outputs) if outputs is not None else None,
            split=kind.split.value,
            join=kind.join.kind.value,
        )


class StepRead(Output):
    id: UUID
    key: str = Field(description="In the body of a for-each: `<for-each>.<step>`.")
    name: str
    description: str | None
    step_type: str
    order: int
    config: dict[str, Any]
    is_required: bool
    position: dict[str, Any] | None


class TransitionRead(Output):
    id: UUID
    from_step_id: UUID
    to_step_id: UUID
    from_key: str
    to_key: str
    condition: Any | None
    is_default: bool
    order: int


class DiffRead(Output):
    """What changed, for programs (`changes`) and for people (`lines`)."""

    old: str
    new: str
    same: bool
    changes: list[ChangeRead]
    lines: list[str]


class ChangeRead(Output):
    what: Literal["workflow", "step", "transition"]
    how: Literal["added", "removed", "changed", "renamed"]
    name: str = Field(description="The step's path, or `from -> to`, or the field of the workflow.")
    before: Any | None = None
    after: Any | None = None
    patch: list[dict[str, Any]] = Field(default_factory=list, description="JSON Patch (RFC 6902) of the part.")


class ImportResult(Output):
    """`outcome`: a new workflow, a new version of one that exists, or nothing because nothing differs."""

    outcome: Literal["created", "updated", "unchanged"]
    workflow: WorkflowSummary
    version: VersionSummary
    changes: list[str]
    warnings: list[IssueRead]


class WebhookConfig(Input):
    """How a webhook is answered and what it must prove."""

    verify: Literal["none", "standard", "github"] = Field(
        default="standard",
        description="`standard`: Standard Webhooks signature; `github`: `X-Hub-Signature-256`; "
        "`none`: whoever knows the address may call.",
    )
    respond: Literal["async", "sync"] = Field(
        default="async", description="`sync` waits for the execution's output, up to `wait_seconds`."
    )
    wait_seconds: Annotated[float, Field(ge=0, le=30)] = 10
    tolerance: Annotated[str, StringConstraints(max_length=40)] | Annotated[float, Field(ge=1)] = Field(
        default="5m",
        description="How old a signed message may be, and how far ahead its sender's clock: `1s` to `1h`.",
    )
    keep_body: bool = Field(
        default=False,
        description="Keep the body byte for byte in the execution's metadata, at most 256 KB.",
    )
    input: Any | None = Field(
        default=None,
        description="A mapping with expressions over `body`, `headers`, `query` and `trigger` that makes the input; "
        "without it the body is the input.",
    )

    @field_validator("tolerance", mode="after")
    @classmethod
    def _tolerable(cls, value: str | float) -> str | float:
        """A duration from a second to an hour: whoever needs more has a wrong clock."""
        if not 1 <= parse_duration(value) <= 3_600:
            raise ValueError("the tolerance must be from 1s to 1h")
        return value


class EventConfig(Input):
    """Which events start the workflow, and with what."""

    event: EventType | Annotated[list[EventType], Field(min_length=1, max_length=MAX_TYPES)] = Field(
        description="The type of event, or a list; also `workflow.completed`, `workflow.failed`, `workflow.cancelled`."
    )
    correlation: Annotated[str, StringConstraints(min_length=1, max_length=MAX_CORRELATION)] | None = Field(
        default=None, description="Only events with this correlation."
    )
    filter: Any | None = Field(default=None, description="A condition over `event`: others start nothing.")
    input: Any | None = Field(
        default=None,
        description="A mapping with expressions over `event` that makes the input; without it the payload is.",
    )


TriggerConfig = WebhookConfig | ScheduleConfig | EventConfig

_KINDS_OF_CONFIG: Final[Mapping[TriggerKind, type[Input]]] = {
    TriggerKind.schedule: ScheduleConfig,
    TriggerKind.event: EventConfig,
}
"""Kinds with a config of their own; any other has a webhook's."""


class TriggerCreate(Input):
    kind: TriggerKind = TriggerKind.webhook
    name: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)] = ""
    enabled: bool = True
    config: TriggerConfig = Field(default_factory=WebhookConfig, description="By kind.", validate_default=True)

    @field_validator("config", mode="before")
    @classmethod
    def _by_kind(cls, value: Any, info: ValidationInfo) -> Any:
        """Read the config as one of its kind, so that what is wrong with it is said in that kind's words."""
        wanted = _KINDS_OF_CONFIG.get(info.data.get("kind", TriggerKind.webhook), WebhookConfig)
        if isinstance(value, Input):
            return wanted() if value == WebhookConfig() else value  # the default is a webhook's
        return wanted.model_validate(value)


class TriggerUpdate(Input):
    name: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)] | None = None
    enabled: bool | None = None
    config: TriggerConfig | None = Field(default=None, description="A whole config of the trigger's kind.")

    @field_validator("config", mode="before")
    @classmethod
    def _by_content(cls, value: Any) -> Any:
        """The kind is known only later; schedules and event triggers are known by what they must have."""
        if not isinstance(value, dict):
            return value
        if "event" in value:
            return EventConfig.model_validate(value)
        return (ScheduleConfig if value.keys() & {"cron", "every", "rrule"} else WebhookConfig).model_validate(value)


class Rotate(Input):
    """How long what is replaced goes on working."""

    grace: Annotated[str, StringConstraints(max_length=40)] | Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="A duration of at most 30 days, such as `1h`; without it the old one stops at once."
    )

    @field_validator("grace", mode="after")
    @classmethod
    def _bounded(cls, value: str | float | None) -> str | float | None:
        if value is not None and parse_duration(value) > 30 * 86_400:
            raise ValueError("the grace must be at most 30d")
        return value


class TriggerRead(Output):
    id: UUID
    workflow_id: UUID
    kind: TriggerKind
    name: str
    config: dict[str, Any]
    enabled: bool
    created_by: UUID | None
    created_at: datetime
    updated_at: datetime
    row_version: int
    next_run_at: datetime | None = Field(default=None, description="Of a schedule: when it is due next.")
    last_run_at: datetime | None = Field(default=None, description="Of a schedule: the last due time that it ran.")
    token_grace_until: datetime | None = Field(default=None, description="The address before works until then.")
    signing_grace_until: datetime | None = Field(default=None, description="The secret before works until then.")


class TriggerSecrets(TriggerRead):
    """What is shown once and never again: note it now."""

    token: str | None = Field(default=None, description="Shown once. The address is `/hooks/<token>`.")
    path: str | None = Field(default=None, description="The path to send to, with the token in it.")
    signing_secret: str | None = Field(default=None, description="Shown once: `whsec_…`.")


VersionSaved.model_rebuild()
DiffRead.model_rebuild()
