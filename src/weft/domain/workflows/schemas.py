"""What may come in and what goes out of the workflows room."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints

from weft.domain.workflows.kinds import StepKind
from weft.domain.workflows.models import TriggerKind, WorkflowStatus
from weft.domain.workflows.rules import MAX_DESCRIPTION, MAX_NAME, MAX_TAG, MAX_TAGS
from weft.http.bodies import Input, Output

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
    input: Any | None = Field(
        default=None,
        description="A mapping with expressions over `body`, `headers` and `query` that makes the input; "
        "without it the body is the input.",
    )


class TriggerCreate(Input):
    kind: TriggerKind = TriggerKind.webhook
    name: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)] = ""
    enabled: bool = True
    config: WebhookConfig = Field(default_factory=WebhookConfig)


class TriggerUpdate(Input):
    name: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)] | None = None
    enabled: bool | None = None
    config: WebhookConfig | None = None


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


class TriggerSecrets(TriggerRead):
    """What is shown once and never again: note it now."""

    token: str | None = Field(default=None, description="Shown once. The address is `/hooks/<token>`.")
    path: str | None = Field(default=None, description="The path to send to, with the token in it.")
    signing_secret: str | None = Field(default=None, description="Shown once: `whsec_…`.")


VersionSaved.model_rebuild()
DiffRead.model_rebuild()
