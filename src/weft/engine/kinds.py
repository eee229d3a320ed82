"""What a step kind is. One file per kind in `engine/steps/`; others add theirs by the entry point `weft.step_kinds`.

An *instant* kind is a function of values: it is answered in memory, many in one transaction. An *errand* touches
the outside world: it becomes a job in the same transaction as the state that ordered it, and runs with no
transaction open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

from weft.core.errors import Issue
from weft.core.ports import CodeRunner, HttpClient, Mailer, MessageTemplates, SecretStore
from weft.engine.outcomes import Outcome


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt of one visit. `config` is evaluated: no `{{ }}` is left in it, but secrets may be."""

    tenant_id: UUID
    execution_id: UUID
    step: str
    visit: int
    attempt: int
    config: Mapping[str, Any] = field(repr=False)
    now: datetime
    timeout: float | None
    correlation_id: str

    @property
    def idempotency_key(self) -> str:
        """The same for every delivery of this attempt, so that the other side recognises a repetition."""
        return f"{self.execution_id}:{self.step}:{self.visit}:{self.attempt}"


@dataclass(frozen=True, slots=True)
class Ports:
    """The outside world, as the process that runs errands chose it. None: this process has no such thing."""

    http: HttpClient
    secrets: SecretStore | None = None
    code: CodeRunner | None = None
    mail: Mailer | None = None
    templates: MessageTemplates | None = None


@runtime_checkable
class StepKind(Protocol):
    """What every kind says of itself.

    `config_schema` is a JSON Schema (2020-12) of `config` as written, expressions included: a property that may
    be an expression must also admit a string. `expressions` are places in the config where a string is an expression
    even without braces. `check` finds what a schema cannot say; paths are relative to `config`.
    """

    name: str
    title: str
    config_schema: Mapping[str, Any]
    expressions: tuple[tuple[str, ...], ...]

    def check(self, config: Mapping[str, Any]) -> list[Issue]: ...


@runtime_checkable
class Instant(StepKind, Protocol):
    def run(self, call: Call) -> Outcome: ...


@runtime_checkable
class Errand(StepKind, Protocol):
    """`idempotent`: may an attempt whose worker died be delivered again under the same key? If not, it counts as
    failed (`interrupted`) and follows the step's retry policy."""

    def idempotent(self, config: Mapping[str, Any]) -> bool: ...

    async def perform(self, call: Call, ports: Ports) -> Outcome: ...


@runtime_checkable
class Calling(Protocol):
    """An errand that calls a host may say so: rate limits go by it. `config` is evaluated; None for no host."""

    def host(self, config: Mapping[str, Any]) -> str | None: ...
