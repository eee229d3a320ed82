"""What a seed file may hold. Things are known by their natural keys: slug, address, name.

The classes are those that the API takes, so that a seed can do what a person could, in the same words.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from weft.domain.clients.schemas import ClientCreate
from weft.domain.executions.schemas import Metadata
from weft.domain.identity.models import Tier
from weft.domain.identity.rules import LONGEST_SLUG
from weft.domain.identity.schemas import Email, KeyCreate, Name, Password, PermissionWord, RoleCreate, RoleName
from weft.domain.limits.schemas import RateLimitWrite, TenantLimitsWrite, WorkflowLimitsWrite
from weft.domain.retention.schemas import RetentionUpdate
from weft.domain.secrets.rules import NAME_PATTERN
from weft.domain.templates.schemas import TemplatePut
from weft.domain.workflows.schemas import TriggerCreate
from weft.http.bodies import Input

ProfileWord = Literal["development", "staging", "production"]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,199}$")]
FilePath = Annotated[str, StringConstraints(min_length=1, max_length=1_000)]
Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,100}$")]


class ValueFrom(Input):
    """Where a secret value is read when it is needed; the value itself never stands in the file."""

    environment: Variable | None = Field(default=None, description="The environment variable that holds it.")
    file: FilePath | None = Field(
        default=None,
        description="The file that holds it, beside the seed file; a last line end is cut.",
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len(self.model_dump(exclude_none=True)) != 1:
            raise ValueError(f"say exactly one of {', '.join(type(self).model_fields)}")
        return self


class PasswordFrom(ValueFrom):
    """A member's password. Left out, one is made up and shown once."""

    well_known: Password | None = Field(
        default=None, description="A password that everybody may know: in the development profile only."
    )


class MemberSeed(Input):
    email: Email
    name: Name
    role: RoleName = "MEMBER"
    password: PasswordFrom | None = None
    status: Literal["ACTIVE", "INACTIVE", "INVITED", "SUSPENDED"] = "ACTIVE"
    permissions: Annotated[list[PermissionWord], Field(max_length=200)] | Literal["all"] = Field(
        default_factory=list, description="Granted directly, beside the role; `all` is the whole catalogue."
    )


class KeySeed(KeyCreate):
    """An API key; it is shown once, when it is made."""

    member: Email = Field(description="The member for whom it acts.")


class SecretSeed(Input):
    name: Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
    value_from: ValueFrom = Field(alias="from", description="Where the value comes from.")
    description: Annotated[str, Field(max_length=500)] = ""


class TemplateSeed(TemplatePut):
    name: Annotated[str, StringConstraints(min_length=1, max_length=100)]


class TriggerSeed(TriggerCreate):
    """Known by its name within the workflow. Address and signing secret of a webhook are shown once."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class WorkflowSeed(Input):
    """A workflow from a definition here, or in a file of its own."""

    definition: dict[str, Any] | None = Field(default=None, description="The definition itself.")
    file: FilePath | None = Field(default=None, description="Or the file that holds it, beside the seed file.")
    client: Name | None = Field(default=None, description="A client of the same tenant, by name.")
    active: bool = Field(default=True, description="False leaves it in status DRAFT: nothing starts it.")
    limits: WorkflowLimitsWrite | None = None
    triggers: Annotated[list[TriggerSeed], Field(max_length=50)] = Field(default_factory=list)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.definition is None) == (self.file is None):
            raise ValueError("say either definition or file")
        return self


class ExecutionSeed(Input):
    """An execution that is started once. It is known by its `key`, which becomes its idempotency key."""

    key: Key
    workflow: Name = Field(description="A workflow of the same tenant, by name.")
    input: Any | None = None
    metadata: Metadata = Field(
        default_factory=dict, description="`simulation: true` plays it without any effect; see the guide to simulation."
    )
    client: Name | None = None
    by: Email | None = Field(default=None, description="The member who starts it; the first one unless given.")


class TenantSeed(Input):
    slug: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_SLUG, pattern=r"^[a-z0-9](-?[a-z0-9])*$")]
    name: Name
    tier: Tier = Tier.free
    roles: Annotated[list[RoleCreate], Field(max_length=200)] = Field(default_factory=list)
    members: Annotated[list[MemberSeed], Field(max_length=2_000)] = Field(default_factory=list)
    keys: Annotated[list[KeySeed], Field(max_length=200)] = Field(default_factory=list)
    clients: Annotated[list[ClientCreate], Field(max_length=5_000)] = Field(default_factory=list)
    secrets: Annotated[list[SecretSeed], Field(max_length=500)] = Field(default_factory=list)
    templates: Annotated[list[TemplateSeed], Field(max_length=500)] = Field(default_factory=list)
    limits: TenantLimitsWrite | None = Field(default=None, description="What the operator allows the tenant.")
    retention: RetentionUpdate | None = None
    rate_limits: Annotated[list[RateLimitWrite], Field(max_length=500)] = Field(default_factory=list)
    workflows: Annotated[list[WorkflowSeed], Field(max_length=500)] = Field(default_factory=list)
    executions: Annotated[list[ExecutionSeed], Field(max_length=1_000)] = Field(default_factory=list)


class SeedFile(Input):
    """A whole seed file."""

    model_config = ConfigDict(title="weft seed file")

    seed: Literal[1] = Field(description="The version of this format.")
    description: Annotated[str, Field(max_length=2_000)] = ""
    profiles: Annotated[list[ProfileWord], Field(min_length=1)] | None = Field(
        default=None, description="The only profiles in which it may be used."
    )
    tenants: Annotated[list[TenantSeed], Field(min_length=1, max_length=100)]
