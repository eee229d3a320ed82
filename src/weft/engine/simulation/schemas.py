"""What may come in and what goes out of simulations and backtests."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from weft.domain.workflows.schemas import Document
from weft.engine.simulation.runs import EPOCH
from weft.http.bodies import Input, Output

MOST_RUNS = 1_000
Assertion = Annotated[str, StringConstraints(min_length=1, max_length=4_000)]
Number = Annotated[int, Field(ge=1, le=2**31 - 1)]
Script = Annotated[
    dict[str, Any] | None,
    Field(description="What the steps answer: `steps`, `kinds`, `workflows`; without one they answer by their kind."),
]


class SimulationRequest(Input):
    """How often to play, with what, and what must hold of the result."""

    runs: Annotated[int, Field(ge=1, le=MOST_RUNS)] = 100
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = Field(default=1, description="The same seed, the same runs.")
    inputs: Annotated[list[Any], Field(max_length=MOST_RUNS)] = Field(
        default_factory=list, description="Used in turn; without any they are made up from the workflow's input schema."
    )
    script: Script = None
    assertions: Annotated[list[Assertion], Field(max_length=50)] = Field(
        default_factory=list, alias="assert", description="Conditions over the result."
    )
    now: datetime = Field(default=EPOCH, description="When the runs begin, on their own clock.")


class DefinitionSimulation(SimulationRequest):
    definition: Document


class VersionSimulation(SimulationRequest):
    version: Number | None = Field(default=None, description="By default the current one.")


class BacktestRequest(Input):
    """Which past executions to send through which version."""

    to_version: Number | None = Field(default=None, description="A version of the workflow.")
    definition: Document | None = Field(default=None, description="Or a definition that is not stored.")
    last: Annotated[int, Field(ge=1, le=MOST_RUNS)] = Field(default=100, description="So many, the newest first.")
    executions: Annotated[list[UUID], Field(max_length=MOST_RUNS)] = Field(
        default_factory=list, description="Just these instead."
    )
    from_version: Number | None = Field(default=None, description="Only executions of this version.")
    status: Literal["COMPLETED", "FAILED"] | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    script: Script = None

    @model_validator(mode="after")
    def _one_target(self) -> BacktestRequest:
        if (self.to_version is None) == (self.definition is None):
            raise ValueError("give either `to_version` or `definition`")
        return self


class Verdict(Output):
    assertion: str
    holds: bool


class SimulationResult(Output):
    """Shares are of 1, times in seconds. Percentiles are exact, by nearest rank."""

    workflow: str
    runs: int
    seed: int
    completed: float
    failed: float
    cancelled: float
    unfinished: float = Field(description="Runs in which something waited for ever, or that a limit stopped.")
    statuses: dict[str, int]
    ends: dict[str, int] = Field(description="How many runs ended at which step.")
    errors: list[dict[str, Any]]
    duration: dict[str, Any]
    cost: dict[str, Any]
    coverage: dict[str, Any]
    steps: dict[str, dict[str, Any]]
    answered_by_default: list[str]
    script_unused: list[str] = Field(description="Names of the script that fit no step.")
    assertions: list[Verdict]
    passed: bool


class BacktestRow(Output):
    id: UUID
    number: int
    verdict: Literal["same", "different", "skipped"]
    reason: str | None = Field(description="Why it could not be compared.")
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    changes: list[dict[str, Any]] = Field(description="Where status, error and output differ, by path.")
    parts_at: dict[str, Any] | None = Field(description="The first attempt of a step that differs.")
    not_recorded: list[str] = Field(description="Steps that had no recorded answer.")


class BacktestResult(Output):
    workflow: str
    to: str
    executions: int
    same: int
    different: int
    skipped: int
    statuses: dict[str, int] = Field(description="How often which status became which: `COMPLETED -> FAILED`.")
    parts_at: dict[str, int] = Field(description="At which steps they part, and how many.")
    duration: dict[str, Any]
    cost: dict[str, Any]
    not_recorded: dict[str, int]
    rows: list[BacktestRow]
