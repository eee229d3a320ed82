"""Definitions out of weft and into it: files under version control, and copies between tenants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from weft.db.scope import Scope
from weft.domain.workflows import diff, queries, rules
from weft.domain.workflows import document as documents
from weft.domain.workflows.check import Report
from weft.domain.workflows.errors import VersionNotFound
from weft.domain.workflows.kinds import KindRegistry
from weft.domain.workflows.parsing import Format
from weft.domain.workflows.schemas import WorkflowCreate
from weft.domain.workflows.service import drafts, lifecycle, publishing, rows, versions
from weft.domain.workflows.service.versions import Saved


@dataclass(frozen=True, slots=True)
class Imported:
    """`created`: a new workflow. `updated`: a new version of an existing one. `unchanged`: nothing differed."""

    outcome: Literal["created", "updated", "unchanged"]
    saved: Saved
    changes: tuple[diff.Change, ...] = ()


async def export(scope: Scope, workflow_id: UUID, *, number: int | None = None, format: Format = "yaml") -> str:  # noqa: A002
    """The current version as text, or version `number`; the draft of a workflow that has no version yet.

    The order of keys is always the same and reading it back gives the same definition, so that exports can be kept
    under version control.
    """
    workflow = await rows.find(scope, workflow_id)
    wanted = number if number is not None else workflow.version
    if wanted:
        document: Mapping[str, Any] = (await versions.version(scope, workflow_id, wanted)).definition
    else:
        document = (await drafts.draft_of(scope, workflow_id)).definition
    return documents.write(document, format)


@dataclass(frozen=True, slots=True)
class Sound:
    """A document that can become a version."""

    document: dict[str, Any]
    name: str
    report: Report


async def examine(document: Mapping[str, Any], kinds: KindRegistry | None = None) -> Sound:
    """Check a document that is to be imported; takes a while, and needs no transaction.

    Raises `NameMissing` and `DefinitionUnsound`.
    """
    accepted = documents.accept(document)
    name = rules.require_name(accepted.get("name"))
    report = await drafts.check_document(accepted, kinds)
    versions.refuse_unsound(report)
    return Sound(accepted, name, report)


async def import_definition(
    scope: Scope, sound: Sound, *, workflow_id: UUID | None = None, client_id: UUID | None = None, note: str = ""
) -> Imported:
    """Make the document the current version: of `workflow_id`, else of the workflow of that name, else of a new one.

    The draft becomes the document too, so work that was only in the draft is replaced: the history keeps versions, not
    drafts.
    """
    if workflow_id is None:
        known = await scope.maybe(queries.by_name_key(scope.tenant_id, rules.name_key(sound.name)))
        workflow_id = known.id if known is not None else None
    if workflow_id is None:
        made = await lifecycle.create(scope, WorkflowCreate(definition=sound.document, client_id=client_id))
        saved = await versions.append(scope, made, sound.document, note=note, report=sound.report)
        return Imported("created", saved)
    return await _renew(scope, workflow_id, sound.document, sound.report, note=note, client_id=client_id)


async def _renew(
    scope: Scope, workflow_id: UUID, document: dict[str, Any], report: Report, *, note: str, client_id: UUID | None
) -> Imported:
    workflow = await rows.lock(scope, workflow_id)
    before: Mapping[str, Any] = {}
    if workflow.current_version_id is not None:
        before = await scope.one(
            queries.definition_of(scope.tenant_id, workflow.current_version_id),
            missing=VersionNotFound(workflow.version),
        )
    if client_id is not None:
        await rows.require_client(scope, client_id)
        workflow.client_id = client_id
    workflow.draft = document
    publishing.take_over(scope, workflow, document)
    async with rows.unique_name(workflow.name):
        await scope.flush()
    saved = await versions.append(scope, workflow, document, note=note, report=report)
    if not saved.created:
        return Imported("unchanged", saved)
    return Imported("updated", saved, tuple(diff.compare(before, document)))
