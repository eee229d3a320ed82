"""From the bytes of a webhook's request to an execution's input, and to the key under which it is started once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from starlette.requests import Request

from weft.core.errors import Invalid
from weft.engine.triggers.lookup import Hook
from weft.expressions.guard import Guard
from weft.http.bodies import unstorable
from weft.http.problems import BodyMalformed

LARGEST: Final = 1_000_000
"""Bytes of a webhook's body."""

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
    if hook.whole_request:
        return _storable({"body": _text(body), **_around(request)})
    if hook.mapping is None:
        return _storable(_document(body))
    seen = _seen(request, body) | {"now": now.isoformat()}
    return _storable(await guard.value(hook.mapping, seen, tenant=hook.tenant_id))


def _seen(request: Request, body: bytes) -> dict[str, Any]:
    """What a mapping may read. A body that is no JSON is text."""
    try:
        document = _document(body)
    except BodyMalformed:
        document = _text(body)
    return {"body": _storable(document), **_around(request)}


def _document(body: bytes) -> Any:
    if not body.strip():
        return None
    try:
        document = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise BodyMalformed("The body is not valid JSON in UTF-8. Send a JSON object or list.") from error
    if not isinstance(document, dict | list):
        raise BodyMalformed("The body must be a JSON object or list.")
    return document


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise BodyMalformed("The body is not UTF-8 text. Send it as UTF-8, or encode it (base64) in JSON.") from error


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
