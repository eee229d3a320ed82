"""Optimistic locking over HTTP: `ETag` shows a row's `row_version`, `If-Match` says which one was read.

    @router.patch("/{workflow_id}")
    async def update(scope: Writer, workflow_id: UUID, change: WorkflowUpdate, expected: IfMatch, tag: Tag) -> Workflow:
        workflow = await workflows.update(scope, workflow_id, change, expected=expected)
        tag(workflow.row_version)
        return workflow

A service calls `check(expected, row.row_version)` once it holds the row. Without `If-Match` the last writer wins.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Final

from fastapi import Depends, Header, Response

from weft.core.errors import Invalid, Stale

_ETAG: Final = re.compile(r'(?:W/)?"([0-9]{1,18})"')
_BARE: Final = re.compile(r"[0-9]{1,18}")


class VersionStale(Stale):
    code = "version_stale"

    def __init__(self, expected: int, actual: int) -> None:
        super().__init__(
            f"You read version {expected}, but somebody has changed it since: it is at version {actual}. "
            "Read it again, apply your change to that, and send the new version in `If-Match`."
        )
        self.expected = expected
        self.actual = actual


class PreconditionMalformed(Invalid):
    code = "precondition_malformed"

    def __init__(self) -> None:
        super().__init__('`If-Match` is one version as the `ETag` header showed it, such as "7", or *.')


def etag(row_version: int) -> str:
    """`7` as the header shows it: `"7"`."""
    return f'"{row_version}"'


def expected_version(if_match: str | None) -> int | None:
    """The version in an `If-Match` header; None for no header and for `*`, which any version satisfies.

    A weak tag counts like a strong one: compressing proxies weaken tags on their way, and ours name versions.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    found = _ETAG.fullmatch(if_match.strip())
    if found is not None:
        return int(found[1])
    if _BARE.fullmatch(if_match.strip()):
        return int(if_match)
    raise PreconditionMalformed


def check(expected: int | None, actual: int) -> None:
    """Raise `VersionStale` unless the row is still as it was read."""
    if expected is not None and expected != actual:
        raise VersionStale(expected, actual)


# Async, all of these: FastAPI runs a dependency that is not in another thread, and the hop costs more than the request.
async def _if_match(
    if_match: Annotated[
        str | None,
        Header(description='The `ETag` that you read, such as `"7"`: refuse the change if it is no longer that.'),
    ] = None,
) -> int | None:
    return expected_version(if_match)


async def _tag(response: Response) -> Callable[[int], None]:
    def show(row_version: int) -> None:
        response.headers["ETag"] = etag(row_version)

    return show


IfMatch = Annotated[int | None, Depends(_if_match)]
Tag = Annotated[Callable[[int], None], Depends(_tag)]
