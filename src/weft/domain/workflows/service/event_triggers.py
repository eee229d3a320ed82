"""Event triggers: which events start a workflow. Processes know a tenant's by a version that every change counts up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

from weft.core.errors import Issue
from weft.db.scope import Scope
from weft.domain.events import rules as events
from weft.domain.events.queries import INTEREST
from weft.domain.workflows.errors import TriggerConfigInvalid
from weft.domain.workflows.models import TriggerKind, Workflow, WorkflowTrigger
from weft.domain.workflows.schemas import EventConfig, TriggerCreate
from weft.domain.workflows.service import rows
from weft.expressions.compile import compile_condition, compile_value
from weft.expressions.errors import ExpressionInvalid
from weft.interpreter.conditions import check_condition, condition_expressions, condition_fields

ROOT: Final = "event"
"""All that a filter or a mapping may read."""


async def create(scope: Scope, workflow: Workflow, trigger_id: UUID, new: TriggerCreate) -> WorkflowTrigger:
    config = checked(new.config)
    trigger = await scope.add(
        WorkflowTrigger(
            id=trigger_id,
            workflow_id=workflow.id,
            kind=TriggerKind.event.value,
            name=new.name,
            config=config,
            enabled=new.enabled,
            created_by=rows.author(scope),
        )
    )
    await changed(scope, trigger)
    return trigger


async def replace(scope: Scope, trigger: WorkflowTrigger, config: object) -> None:
    """Give the trigger another config; what it followed before, it follows no more."""
    trigger.config = checked(config)
    await changed(scope, trigger)


async def changed(scope: Scope, trigger: WorkflowTrigger) -> None:
    """Say that an event trigger was made, changed, switched or taken away. Nothing is said of other kinds."""
    if trigger.kind == TriggerKind.event.value:
        await scope.raw.execute(INTEREST, scope.tenant_id, events.tells_of_ends(trigger.config["event"]))


def checked(config: object) -> dict[str, Any]:
    """The config as it is kept, types in a list. Raises `TriggerConfigInvalid` for what cannot work."""
    if not isinstance(config, EventConfig):
        raise TriggerConfigInvalid("An event trigger needs a config with `event`: the type of event that it follows.")
    types = [config.event] if isinstance(config.event, str) else list(dict.fromkeys(config.event))
    fault = events.unlike(types)
    issues = [Issue(fault, ("config", "event"), "event_type_invalid")] if fault else []
    issues += [*_filter_issues(config.filter), *_mapping_issues(config.input)]
    if issues:
        raise TriggerConfigInvalid(f"The trigger's config cannot be used: {issues[0].message}", issues=issues)
    return {**config.model_dump(mode="json", exclude_none=True), "event": types}


def _filter_issues(condition: Any) -> Iterator[Issue]:
    where = ("config", "filter")
    if condition is None:
        return
    if not isinstance(condition, str):
        faults = check_condition(condition)
        yield from (Issue(fault.message, (*where, *fault.path), fault.code) for fault in faults)
        if faults:
            return
    texts = [condition] if isinstance(condition, str) else list(condition_expressions(condition))
    paths = set() if isinstance(condition, str) else set(condition_fields(condition))
    for text in texts:
        try:
            paths |= compile_condition(text).paths
        except ExpressionInvalid as refused:
            yield from (Issue(issue.message, where, issue.code) for issue in refused.issues)
    yield from _unknown(frozenset(paths), where)


def _mapping_issues(mapping: Any) -> Iterator[Issue]:
    if mapping is not None:
        compiled = compile_value(mapping, ("config", "input"), refuse=False)
        yield from compiled.issues or _unknown(compiled.paths, ("config", "input"))


def _unknown(paths: frozenset[str], where: tuple[str, ...]) -> Iterator[Issue]:
    for path in sorted(paths):
        if path.partition(".")[0] != ROOT:
            sentence = f"An event trigger can read `event` only, not `{path}`. Write `event.payload` for what was sent."
            yield Issue(sentence, where, "reference_unknown", {"reference": path})
