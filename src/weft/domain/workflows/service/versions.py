"""Versions: made of a sound draft, never changed, and what can be done with their history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from weft.core.errors import Issue
from weft.core.ids import new_id
from weft.db.database import dumps
from weft.db.scope import Scope
from weft.domain.workflows import diff, queries
from weft.domain.workflows import document as documents
from weft.domain.workflows.check import Report
from weft.domain.workflows.errors import DefinitionUnsound, DraftMissing, VersionNotFound, WorkflowNotFound
from weft.domain.workflows.kinds import KindRegistry
from weft.domain.workflows.models import Workflow, WorkflowStep, WorkflowTransition, WorkflowVersion
from weft.domain.workflows.service import drafts, publishing, rows
from weft.http.paging import Paged, PageQuery, page


@dataclass(frozen=True, slots=True)
class Saved:
    """The version that now is the current one. `created` is false when it already was."""

    workflow: Workflow
    version: WorkflowVersion
    created: bool
    warnings: tuple[Issue, ...] = ()


@dataclass(frozen=True, slots=True)
class PlacedTransition:
    """A transition of a version with the keys of its two ends."""

    id: UUID
    from_step_id: UUID
    to_step_id: UUID
    from_key: str
    to_key: str
    condition: Any
    is_default: bool
    order: int

    @classmethod
    def of(cls, row: WorkflowTransition, from_key: str, to_key: str) -> PlacedTransition:
        return cls(row.id, row.from_step_id, row.to_step_id, from_key, to_key, row.condition, row.is_default, row.order)


async def save_version(
    scope: Scope,
    workflow_id: UUID,
    *,
    note: str = "",
    expected: int | None = None,
    kinds: KindRegistry | None = None,
) -> Saved:
    """Make the draft the next version, in one transaction with the rows of its steps and transitions.

    Raises `DefinitionUnsound` with every fault, and `PublisherNeeded` where the version would run at once. A draft
    that equals the current version makes no new one.
    """
    workflow = await rows.lock(scope, workflow_id, expected=expected)
    if workflow.draft is None:
        raise DraftMissing
    return await append(scope, workflow, workflow.draft, note=note, kinds=kinds)


async def rollback(
    scope: Scope,
    workflow_id: UUID,
    number: int,
    *,
    note: str = "",
    expected: int | None = None,
    kinds: KindRegistry | None = None,
) -> Saved:
    """Make the content of an old version the next version; history only grows.

    The draft follows unless it has changes of its own, which are kept. The old content is checked again: a step
    kind may have been uninstalled since.
    """
    workflow = await rows.lock(scope, workflow_id, expected=expected)
    old = await version(scope, workflow_id, number)
    follows = not await drafts.differs(scope, workflow)
    saved = await append(scope, workflow, old.definition, note=note or f"Rollback to version {number}", kinds=kinds)
    if follows and saved.created:
        workflow.draft = old.definition
        publishing.take_over(scope, workflow, old.definition)
        async with rows.unique_name(workflow.name):
            await scope.flush()
    return saved


async def version(scope: Scope, workflow_id: UUID, number: int) -> WorkflowVersion:
    """One version with its definition. The workflow must still be there for the one who asks."""
    await rows.find(scope, workflow_id)
    return await scope.one(
        queries.version_numbered(scope.tenant_id, workflow_id, number), missing=VersionNotFound(number)
    )


async def history(scope: Scope, workflow_id: UUID, query: PageQuery) -> Paged[WorkflowVersion]:
    """The versions without their definitions, by number."""
    await rows.find(scope, workflow_id)
    return await page(scope, queries.versions(scope.tenant_id, workflow_id), (WorkflowVersion.number,), query)


async def steps(scope: Scope, workflow_id: UUID, number: int, query: PageQuery) -> Paged[WorkflowStep]:
    """A version's steps as rows, in the order of the document; those of bodies after those of the workflow."""
    found = await version(scope, workflow_id, number)
    return await page(scope, queries.steps(scope.tenant_id, found.id), (WorkflowStep.order,), query)


async def transitions(scope: Scope, workflow_id: UUID, number: int, query: PageQuery) -> Paged[PlacedTransition]:
    """A version's transitions as rows, in the order of the document."""
    found = await version(scope, workflow_id, number)
    matching = queries.transitions(scope.tenant_id, found.id)
    paged = await page(scope, matching, (WorkflowTransition.id,), query, key_of=lambda row: (row[0].id,))
    return Paged([PlacedTransition.of(*row) for row in paged.items], paged.next_cursor)


@dataclass(frozen=True, slots=True)
class Compared:
    """`old` and `new` say what was compared: `version 3`, `the draft`."""

    old: str
    new: str
    changes: list[diff.Change]


async def compare(scope: Scope, workflow_id: UUID, old: int | None, new: int | None) -> Compared:
    """What changed from one version to another. None stands for the draft."""
    old_name, before = await _content(scope, workflow_id, old)
    new_name, after = await _content(scope, workflow_id, new)
    return Compared(old_name, new_name, diff.compare(before, after))


async def _content(scope: Scope, workflow_id: UUID, number: int | None) -> tuple[str, Mapping[str, Any]]:
    if number is None:
        return "the draft", (await drafts.draft_of(scope, workflow_id)).definition
    return f"version {number}", (await version(scope, workflow_id, number)).definition


async def append(
    scope: Scope,
    workflow: Workflow,
    document: dict[str, Any],
    *,
    note: str,
    kinds: KindRegistry | None = None,
    report: Report | None = None,
) -> Saved:
    """Make the document the next version of a workflow that is locked. `report` is its check, if made."""
    content_hash = documents.content_hash(document)
    if workflow.current_version_id is not None:
        current = await scope.one(
            queries.version_numbered(scope.tenant_id, workflow.id, workflow.version),
            missing=WorkflowNotFound(workflow.id),
        )
        if current.content_hash == content_hash:
            return Saved(workflow, current, created=False)
    publishing.require_publisher(scope, workflow)
    if report is None:
        report = await drafts.check_document(document, kinds)
    refuse_unsound(report)
    row = await scope.add(
        WorkflowVersion(
            workflow_id=workflow.id,
            number=workflow.version + 1,
            definition=document,
            content_hash=content_hash,
            note=note,
            created_by=rows.author(scope),
        )
    )
    await _write_rows(scope, row.id, document)
    await scope.raw.execute(_COUNTER, scope.tenant_id, workflow.id)
    workflow.version = row.number
    workflow.current_version_id = row.id
    await scope.flush()
    await publishing.follow(scope, workflow)
    return Saved(workflow, row, created=True, warnings=tuple(report.warnings))


def refuse_unsound(report: Report) -> None:
    """Raise `DefinitionUnsound` with every error of the check."""
    if report.errors:
        raise DefinitionUnsound(report.errors)


_COUNTER = """
insert into weft.workflow_counters (tenant_id, workflow_id) values ($1, $2) on conflict do nothing
"""

# One statement for all steps and one for all transitions, however many there are.
_STEPS = """
insert into weft.workflow_steps
       (tenant_id, id, version_id, key, name, description, step_type, "order", config, is_required, position)
select $1, id, $2, key, name, description, step_type, place, config::jsonb, is_required, position::jsonb
from unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::int[], $9::text[], $10::bool[],
            $11::text[])
     as step (id, key, name, description, step_type, place, config, is_required, position)
"""

_TRANSITIONS = """
insert into weft.workflow_transitions
       (tenant_id, id, version_id, from_step_id, to_step_id, condition, is_default, "order")
select $1, id, $2, from_id, to_id, condition::jsonb, is_default, place
from unnest($3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::bool[], $8::int[])
     as transition (id, from_id, to_id, condition, is_default, place)
"""


async def _write_rows(scope: Scope, version_id: UUID, document: Mapping[str, Any]) -> None:
    placed = list(documents.each_step(document))
    ids = {step.path: new_id() for step in placed}
    await scope.raw.execute(
        _STEPS,
        scope.tenant_id,
        version_id,
        [ids[step.path] for step in placed],
        [step.path for step in placed],
        [step.step.get("name") or step.step["key"] for step in placed],
        [step.step.get("description") for step in placed],
        [step.step["type"] for step in placed],
        list(range(1, len(placed) + 1)),
        [dumps(_own_config(step.step)) for step in placed],
        [step.step.get("required", True) for step in placed],
        [dumps(step.step["position"]) if "position" in step.step else None for step in placed],
    )
    arrows = list(documents.each_transition(document))
    if not arrows:
        return
    await scope.raw.execute(
        _TRANSITIONS,
        scope.tenant_id,
        version_id,
        [new_id() for _ in arrows],
        [ids[arrow.end("from")] for arrow in arrows],
        [ids[arrow.end("to")] for arrow in arrows],
        [dumps(arrow.transition["when"]) if "when" in arrow.transition else None for arrow in arrows],
        [arrow.transition.get("default", False) for arrow in arrows],
        [arrow.transition.get("order", arrow.order) for arrow in arrows],
    )


def _own_config(step: Mapping[str, Any]) -> dict[str, Any]:
    """The config without a body: the body's steps are rows of their own."""
    config = dict(step.get("config", {}))
    if documents.body_of(step) is not None:
        config.pop("body", None)
    return config
