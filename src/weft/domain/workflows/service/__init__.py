"""Use cases of workflows: `from weft.domain.workflows import service as workflows`."""

from weft.domain.workflows.service import triggers
from weft.domain.workflows.service.drafts import Draft, check_document, differs, draft_of, store_draft
from weft.domain.workflows.service.lifecycle import change_status, create, delete, get, listed, restore, update
from weft.domain.workflows.service.transfer import Imported, examine, export, import_definition
from weft.domain.workflows.service.versions import (
    Compared,
    PlacedTransition,
    Saved,
    compare,
    history,
    rollback,
    save_version,
    steps,
    transitions,
    version,
)

__all__ = [
    "Compared",
    "Draft",
    "Imported",
    "PlacedTransition",
    "Saved",
    "change_status",
    "check_document",
    "compare",
    "create",
    "delete",
    "differs",
    "draft_of",
    "examine",
    "export",
    "get",
    "history",
    "import_definition",
    "listed",
    "restore",
    "rollback",
    "save_version",
    "steps",
    "store_draft",
    "transitions",
    "triggers",
    "update",
    "version",
]
