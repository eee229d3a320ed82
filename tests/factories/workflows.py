"""Definitions and workflows with defaults that make sense alone.

workflow = await workflows.workflow(scope)                    # a draft of two steps
saved = await workflows.saved(scope)                          # with version 1
document = workflows.definition(steps=[...], transitions=[...])
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from weft.core.errors import Issue
from weft.db.scope import Scope
from weft.domain.workflows import service
from weft.domain.workflows.kinds import KindRegistry, StepKind, Where
from weft.domain.workflows.models import Workflow
from weft.domain.workflows.schemas import WorkflowCreate
from weft.domain.workflows.service import Saved
from weft.interpreter.definition import Join, JoinKind, Split

_numbers = itertools.count(1)


class Note(StepKind):
    """A kind that does nothing: enough for whoever checks and stores definitions."""

    name = "note"
    config_schema: Mapping[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "text": {"type": "string"},
            "amount": {"type": "integer", "minimum": 0},
            "data": True,
            "when": True,
            "rule": {"type": "string"},
        },
    }
    conditions = (("when",),)
    expressions = (("rule",),)

    def check(self, config: Mapping[str, Any], where: Where) -> list[Issue]:
        if config.get("text") == "forbidden":
            return [Issue("This text is forbidden.", (*where, "text"), "text_forbidden")]
        return []


class Call(StepKind):
    """A kind with a known output that may read secrets."""

    name = "call"
    config_schema: Mapping[str, Any] = {"type": "object", "properties": {"url": {"type": "string"}}}
    outputs_schema: Mapping[str, Any] | None = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"status": {"type": "integer"}, "body": {}},
    }
    may_use_secrets = True


class Control(StepKind):
    """Kinds that the interpreter knows by name."""

    config_schema: Mapping[str, Any] = {"type": "object"}

    def __init__(self, name: str, *, split: Split = Split.one, join: Join | None = None) -> None:
        self.name = name
        self.split = split
        self.join = join or Join()


class ForEach(StepKind):
    name = "for_each"
    config_schema: Mapping[str, Any] = {"type": "object"}
    expressions = (("items",),)


def kinds() -> KindRegistry:
    """A registry of its own for each test: the process's registry is left alone."""
    return KindRegistry(
        [
            Note(),
            Call(),
            ForEach(),
            Control("parallel", split=Split.all),
            Control("condition"),
            Control("join", join=Join(JoinKind.all)),
            Control("set"),
            Control("end"),
            Control("fail"),
        ]
    )


KINDS = kinds()


def step(key: str, type: str = "note", **more: Any) -> dict[str, Any]:  # noqa: A002  the word of the document
    return {"key": key, "type": type, **more}


def chain(*keys: str) -> list[dict[str, Any]]:
    """Transitions from each step to the next."""
    return [{"from": source, "to": target} for source, target in itertools.pairwise(keys)]


def definition(
    *,
    name: str | None = None,
    steps: Sequence[Mapping[str, Any]] | None = None,
    transitions: Sequence[Mapping[str, Any]] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A sound definition: `first`, then `second`, unless told otherwise. Without transitions the steps follow."""
    written = [dict(one) for one in steps] if steps is not None else [step("first"), step("second")]
    arrows = list(transitions) if transitions is not None else chain(*(one["key"] for one in written))
    return {"name": name or f"workflow {next(_numbers)}", **more, "steps": written, "transitions": arrows}


async def workflow(scope: Scope, **more: Any) -> Workflow:
    """A workflow in status DRAFT; what is given goes into its definition."""
    return await service.create(scope, WorkflowCreate(definition=definition(**more)))


async def saved(scope: Scope, **more: Any) -> Saved:
    """A workflow with version 1, not yet active."""
    made = await workflow(scope, **more)
    return await service.save_version(scope, made.id, kinds=KINDS)


async def active(scope: Scope, **more: Any) -> Workflow:
    """A workflow that can be started."""
    made = await saved(scope, **more)
    return await service.change_status(scope, made.workflow.id, "activate")
