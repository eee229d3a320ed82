"""The overview of the API, from its routers: `python -m weft.api.addresses_reference > docs/reference/api.md`.

What each address takes and answers stands in the OpenAPI document, which the API itself shows at `/docs`.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from weft.api import openapi
from weft.api.app import create_app
from weft.api.routers import ROUTERS, UNVERSIONED
from weft.domain.identity.access import open_scope
from weft.http.paging import MAX_LIMIT
from weft.http.scope import Access, AccessKind
from weft.http.state import SESSION_COOKIE, TENANT_HEADER, Services

_HEAD: Final = f"""\
# The HTTP API

<!-- Written by `python -m weft.api.addresses_reference`; a test fails when it is out of date. -->

JSON over HTTP under `/v1`. A running weft describes itself: `/docs` is a page for people, `/openapi.json` the OpenAPI
3.1 document that it is made from.

**Who asks.** `Authorization: Bearer` with an API key (`weft_sk_...`) or a session token (`weft_ss_...`); browsers send
the cookie `{SESSION_COOKIE}` instead, and then a change must come from weft's own pages. A key belongs to one tenant.
Somebody with several memberships names another tenant by `{TENANT_HEADER}` (slug or id).

**Lists** come in pages: `?limit=` (at most {MAX_LIMIT}), `?order=asc` or `desc`, and `next_cursor` sent back as
`?cursor=`. A cursor is signed and belongs to its list, its filters and its tenant.

**Changes** to things that have a `row_version` show it as `ETag`; send it back as `If-Match`, and a change by somebody
else in between is refused with 412 instead of overwritten.

**Starting** takes an `Idempotency-Key`: the same key starts nothing again, and the same execution answers
(`Idempotency-Replayed: true`). `?wait=5s`, at most `30s`, holds the answer back until the execution has ended.

**Refusals** are problem documents (RFC 9457) with a stable `type`, a sentence that says what to do, and the path of
each wrong field: [errors](errors.md). `X-Correlation-Id` is taken or made, returned, and found again in logs, audit log
and journal.
"""

_UNDOCUMENTED: Final = {
    "GET /healthz": "The process lives.",
    "GET /readyz": "It may be sent requests: the database answers, and its schema works with this version. 503 if not.",
    "GET /healthz/recovery": "Backups are proved, and the WAL is taken in: 503 if not. For alarms, not for balancers.",
    "GET /docs": "The reference for people.",
    "GET /openapi.json": "The OpenAPI document.",
    "GET /errors/{code}": "What an error code means.",
    "POST /hooks/{token}": "A webhook; signed as its trigger says, needs no sign-in.",
}
"""Outside `/v1`. Metrics are on a port of their own."""


def reference() -> str:
    """The page, `docs/reference/api.md`."""
    # The routes do not depend on a database; only answering does.
    app = create_app(Services(None, open_scope, b""), ROUTERS, unversioned=UNVERSIONED)  # type: ignore[arg-type]  # never asked
    document = app.openapi()
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for context, access in openapi.operations(app):
        if not context.include_in_schema:
            continue
        for method in sorted(context.methods or ()):
            operation = document["paths"][context.path_format][method.lower()]
            row = f"| `{method} {context.path_format}` | {_sentence(operation)} | {_needed(access)} |"
            groups[operation["tags"][0]].append(row)
    lines = [_HEAD]
    for tag, rows in groups.items():
        lines += [f"## {tag.capitalize()}", "", "| address | what it does | needs |", "|---|---|---|", *rows, ""]
    lines += ["## Without sign-in", "", "| address | what it does |", "|---|---|"]
    lines += [f"| `{address}` | {sentence} |" for address, sentence in _UNDOCUMENTED.items()]
    return "\n".join(lines) + "\n"


def _sentence(operation: Mapping[str, Any]) -> str:
    """The first sentence of what the document says, else the operation's name."""
    text = " ".join(operation.get("description", "").partition("\n\n")[0].split())
    if not text or text.startswith("Needs the permission"):
        return f"{operation['summary'].capitalize()}."
    return text.replace("|", "\\|")


def _needed(access: Access) -> str:
    if access.permission is not None:
        return f"`{access.permission}`"
    return "a sign-in" if access.kind is AccessKind.signed_in else "nothing"


if __name__ == "__main__":
    sys.stdout.write(reference())
