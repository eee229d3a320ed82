"""Which workflow a command means."""

from __future__ import annotations

from typing import Any

from weft.cli.client import Client
from weft.cli.common import ReferenceAmbiguous, ReferenceMissing, is_id


def find(api: Client, which: str, *, deleted: bool = False, whole: bool = False) -> dict[str, Any]:
    """A workflow by its id or name; `whole` asks for more than lists tell. A name that only begins so is not meant."""
    if is_id(which):
        return dict(api.get(f"/workflows/{which}"))
    key = _key(which)
    same = [row for row in api.listed("/workflows", name=which, deleted=deleted or None) if _key(row["name"]) == key]
    if not same:
        if deleted:
            raise ReferenceMissing("deleted workflow", which, listing="weft workflow list --deleted")
        raise ReferenceMissing("workflow", which)
    if len(same) > 1:  # only among deleted ones
        raise ReferenceAmbiguous("workflow", which, [row["id"] for row in same])
    return dict(api.get(f"/workflows/{same[0]['id']}")) if whole else same[0]


def _key(name: str) -> str:
    from weft.domain.workflows.rules import name_key

    return name_key(name)
