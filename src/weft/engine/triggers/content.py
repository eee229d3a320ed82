"""From the bytes of a webhook's request to an execution's input, and to the key under which it is started once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from starlette.requests import Request

from weft.core.errors import Invalid
from weft.engine.triggers import bodies
from weft.engine.triggers.lookup import Hook
from weft.expressions.guard import Guard
from weft.http.bodies import unstorable
from weft.http.problems import BodyMalformed

LARGEST: Final = 1_000_000
"""Bytes of a webhook's body."""

LARGEST_KEPT: Final = 256_000
"""Bytes of a body that is kept with its execution, which is read at each of its turns."""

_PRIVATE: Final = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})
"""Headers that carry somebody's credentials: they are not for a journal."""

_KEY: Final = re.compile(r"[\x21-\x7e]{1,200}")
_KEY_HEADERS: Final[Mapping[str, tuple[str, ...]]] = {
    "standard": ("webhook-id",),
    "github": ("x-github-delivery",),
    "none": ("webhook-id", "x-github-delivery", "idempotency-key"),
}
"""Where each sort of sender says which delivery this is. Of `standard`, the header is signed."""


class BodyTooLarge(Exception):
    """The body has more bytes than `LARGEST`."""


class DeliveryUnclear(Invalid):
    code = "delivery_unclear"

    def __init__(self, header: str) -> None:
        super().__init__(f"The header `{header}` must have 1 to 200 visible ASCII characters.")


class BodyTooLargeToKeep(Invalid):
    code = "body_too_large_to_keep"

    def __init__(self) -> None:
        super().__init__(
            f"This webhook keeps bodies, and keeps at most {LARGEST_KEPT:,} bytes of one. Send less, or set its "
            "`keep_body` to false."
        )


async def read_body(request: Request) -> bytes:
    """The whole body, byte for byte. Raises `BodyTooLarge` as soon as it is too long."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > LARGEST:
        raise BodyTooLarge
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST:
            raise BodyTooLarge
    return bytes(body)


def delivery_key(hook: Hook, headers: Mapping[str, str]) -> str | None:
    """The idempotency key of this delivery, apart from those of other triggers and of the API; None: has none."""
    for name in _KEY_HEADERS.get(hook.verify, _KEY_HEADERS["none"]):
        value = headers.get(name)
        if value is not None:
            if _KEY.fullmatch(value) is None:
                raise DeliveryUnclear(name)
            return f"hook:{hook.id}:{value}"
    return None


async def input_of(hook: Hook, request: Request, body: bytes, guard: Guard, now: datetime) -> Any:
    """What the execution gets: the body, the whole request, or what the trigger's mapping makes of them.

    Raises `BodyMalformed`, and what the mapping's expressions raise.
    """
    content_type = request.headers.get("content-type", "")
    if hook.whole_request:
        return _storable({**bodies.verbatim(content_type, body), **_around(request)})
    document = _storable(bodies.document(content_type, body, github=hook.verify == "github"))
    if hook.mapping is None:
        return document
    seen = {"body": document, **_around(request), "now": now.isoformat()}
    if any(path.partition(".")[0] == "trigger" for path in hook.mapping.paths):
        raw, encoding = bodies.raw(body)
        seen["trigger"] = {
            "id": str(hook.id), "name": hook.name, "kind": "WEBHOOK", "content_type": content_type,
            "body_raw": raw, "body_encoding": encoding,
        }  # fmt: skip
    return _storable(await guard.value(hook.mapping, seen, tenant=hook.tenant_id))


def kept(hook: Hook, request: Request, body: bytes) -> dict[str, Any]:
    """The execution's metadata: the body as it came, where the webhook keeps it. Raises `BodyTooLargeToKeep`."""
    if not hook.keep_body:
        return {}
    if len(body) > LARGEST_KEPT:
        raise BodyTooLargeToKeep
    raw, encoding = bodies.raw(body)
    content_type = request.headers.get("content-type", "")
    return {"webhook": {"body": raw, "encoding": encoding, "content_type": content_type}}


def _around(request: Request) -> dict[str, Any]:
    """Headers by lower-case name, repeated ones joined as HTTP allows, and query parameters; repeated ones as lists."""
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        if name not in _PRIVATE:
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
    query: dict[str, Any] = {}
    for name in request.query_params:
        values = request.query_params.getlist(name)
        query[name] = values[0] if len(values) == 1 else values
    return {"headers": headers, "query": query}


def _storable(value: Any) -> Any:
    found = unstorable(value)
    if found is not None:
        path, sentence = found
        where = ".".join(str(part) for part in path)
        raise BodyMalformed(f"The body cannot be stored: {where + ': ' if where else ''}{sentence}")
    return value
