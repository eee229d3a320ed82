"""What the kinds of this folder have in common, and what a plug-in may build on.

A kind is one object that serves two readers: the check at save (`weft.domain.workflows.kinds.StepKind`: schema,
description, outputs) and the engine (`weft.engine.kinds`: `run` or `perform`). Subclass `InstantStep` or
`ErrandStep`, write `answer` or `call`, and raise `ConfigWrong` for a value that turned out to be of the wrong sort.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Final

from weft.core.errors import Issue
from weft.domain.workflows.kinds import StepKind, Where
from weft.engine.kinds import Call, Ports
from weft.engine.outcomes import Failed, Outcome


class ConfigWrong(Exception):
    """A value in the evaluated config is not what the step needs; trying again would change nothing."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.failed = Failed(kind="invalid", message=message, retryable=False)


class Step(StepKind):
    """One step kind. Instances hold no state: one of them serves every tenant."""

    title: str
    """What people see in the palette: one or two words."""

    verbatim: tuple[str, ...] = ()
    """Fields of the config that are taken as they are written, braces and all: program text, for example."""

    condition_names: tuple[str, ...] = ()
    """What its conditions may read besides what every expression may: `event`."""

    hears: bool = False
    """Whether a step of this kind waits for events."""

    def check(self, config: Mapping[str, Any], where: Where = ()) -> list[Issue]:
        """Faults of a config as written that its schema cannot name; their paths begin with `where`."""
        del config, where
        return []


class InstantStep(Step):
    """A step that is a function of its config: answered in memory, many in one transaction."""

    @abstractmethod
    def answer(self, call: Call) -> Outcome:
        """May raise `ConfigWrong`."""

    def run(self, call: Call) -> Outcome:
        try:
            return self.answer(call)
        except ConfigWrong as wrong:
            return wrong.failed


class ErrandStep(Step):
    """A step that touches the outside world: it becomes a job and runs with no transaction open."""

    @abstractmethod
    async def call(self, call: Call, ports: Ports) -> Outcome:
        """May raise `ConfigWrong`."""

    def idempotent(self, config: Mapping[str, Any]) -> bool:
        """Whether an attempt whose worker died may be delivered again under the same key."""
        del config
        return False

    async def perform(self, call: Call, ports: Ports) -> Outcome:
        try:
            return await self.call(call, ports)
        except ConfigWrong as wrong:
            return wrong.failed


def config_of(properties: Mapping[str, Any] | None = None, *, required: tuple[str, ...] = ()) -> dict[str, Any]:
    """The schema of a config with these fields and no others."""
    schema: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": dict(properties or {})}
    if required:
        schema["required"] = list(required)
    return schema


NOTHING: Final[Mapping[str, Any]] = {"type": "null"}
"""The output of steps that put nothing out."""


def output_of(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of an output with exactly these fields, each of them always there."""
    return config_of(properties, required=tuple(properties))
