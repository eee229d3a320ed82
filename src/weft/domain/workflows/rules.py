"""The life of a workflow, and small decisions about names. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Final, TypeGuard

from weft.domain.workflows.errors import MoveRefused, NameMissing, WorkflowArchived, WorkflowHasNoVersion

DRAFT, ACTIVE, INACTIVE, ARCHIVED = "DRAFT", "ACTIVE", "INACTIVE", "ARCHIVED"

MAX_NAME: Final = 200
MAX_DESCRIPTION: Final = 10_000
MAX_TAGS: Final = 50
MAX_TAG: Final = 60

# verb -> (states it may start from, the state it leads to)
MOVES: Final[Mapping[str, tuple[frozenset[str], str]]] = {
    "activate": (frozenset({DRAFT, INACTIVE, ACTIVE}), ACTIVE),
    "deactivate": (frozenset({ACTIVE, INACTIVE}), INACTIVE),
    "archive": (frozenset({DRAFT, ACTIVE, INACTIVE, ARCHIVED}), ARCHIVED),
    "unarchive": (frozenset({ARCHIVED}), INACTIVE),
}
_DONE: Final = {
    "activate": "activated",
    "deactivate": "deactivated",
    "archive": "archived",
    "unarchive": "unarchived",
}


def allowed_moves(status: str) -> tuple[str, ...]:
    """The verbs that lead somewhere else from here."""
    return tuple(verb for verb, (sources, target) in MOVES.items() if status in sources and target != status)


def move(status: str, verb: str, *, version: int) -> str:
    """The status after the verb. Repeating a verb is no error: it leads to where it already led."""
    sources, target = MOVES[verb]
    if status not in sources:
        raise MoveRefused(status, _DONE[verb], allowed_moves(status))
    if target == ACTIVE and version == 0:
        raise WorkflowHasNoVersion
    return target


def require_editable(status: str) -> None:
    """An archived workflow is read-only until it is unarchived."""
    if status == ARCHIVED:
        raise WorkflowArchived


def name_key(name: str) -> str:
    """What makes two names the same: case, width of letters, and surrounding or doubled blanks do not count."""
    return " ".join(unicodedata.normalize("NFKC", name).split()).casefold()


def require_name(name: object) -> str:
    """A name that people can see and say. Raises `NameMissing`."""
    if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME:
        raise NameMissing
    return name


def are_tags(value: object) -> TypeGuard[list[str]]:
    return (
        isinstance(value, list)
        and len(value) <= MAX_TAGS
        and all(isinstance(tag, str) and 0 < len(tag) <= MAX_TAG for tag in value)
    )
