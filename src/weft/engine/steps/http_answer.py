"""From an HTTP answer to what came of the step: its output, or a failure that says whether to try again."""

from __future__ import annotations

import base64
import codecs
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from weft.core.ports import HttpRequest, HttpResponse
from weft.engine.kinds import Call
from weft.engine.outcomes import Done, Failed, Outcome
from weft.engine.steps.values import text, wrong

MODES: Final = ("auto", "json", "text", "base64", "none")
PATTERN_OF_STATUS: Final = "^[2-5](xx|XX|[0-9]{2})$"

SHOWN: Final = 2048
"""Bytes of a refused answer's body that the error keeps."""
PATIENCE: Final = 3600.0
"""Seconds; a longer `Retry-After` is cut to this, so that a mistake elsewhere does not park an execution."""

WORTH_RETRYING: Final = frozenset({408, 425, 429})

_WITHHELD: Final = frozenset(
    {"authentication-info", "authorization", "connection", "keep-alive", "set-cookie", "set-cookie2", "trailer"}
    | {"transfer-encoding", "upgrade", "www-authenticate"}
)
_MAX_HEADERS: Final = 64
_MAX_HEADER: Final = 4096


class _Unreadable(Exception):
    """The body is not what `response` asks for."""


def judge(call: Call, request: HttpRequest, response: HttpResponse) -> Outcome:
    """Raises `ConfigWrong` when `expect` or `response` is not what it should be."""
    mode = text(call.config, "response", "auto")
    if mode not in MODES:
        raise wrong("response", f"one of {', '.join(MODES)}", mode)
    if not _expected(call.config, response.status):
        return _failed(call, request, response)
    try:
        body = _read(mode, response)
    except _Unreadable as reason:
        return Failed(
            kind="response_invalid",
            message=f"{_called(request)} answered {response.status}, but its body is no JSON: {reason}.",
            retryable=False,
            data={"status": response.status, "body": _excerpt(response)},
        )
    output = {"status": response.status, "headers": _headers(response.headers), "body": body}
    message = f"{_called(request)} answered {response.status}"
    if body is None and response.body and mode == "auto":
        kind = _media_type(response) or "unknown type"
        message += f"; its body ({len(response.body):,} bytes, {kind}) is neither JSON nor text and was left out"
    return Done(output=output, message=message)


def retry_after(value: str | None, now: datetime) -> float | None:
    """`Retry-After` (RFC 9110, section 10.2.3), a number of seconds or a date, as seconds from now; an hour at most."""
    if value is None:
        return None
    written = value.strip()
    if written.isascii() and written.isdigit():
        return min(float(written[:9]), PATIENCE)
    try:
        at = parsedate_to_datetime(written)
    except (TypeError, ValueError, OverflowError):
        return None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return min(max((at - now).total_seconds(), 0.0), PATIENCE)


def _expected(config: Mapping[str, Any], status: int) -> bool:
    expect = config.get("expect")
    if expect is None:
        return 200 <= status <= 299
    if not isinstance(expect, (list, tuple)):
        raise wrong("expect", "a list of statuses", expect)
    return any(_matches(one, status) for one in expect)


def first_expected(config: Mapping[str, Any]) -> int:
    """The lowest status that the first entry of `expect` admits: what a plausible answer has."""
    expect = config.get("expect")
    first = expect[0] if isinstance(expect, (list, tuple)) and expect else 200
    status = next((status for status in range(200, 600) if _matches(first, status)), None)
    if status is None:
        raise wrong("expect", "a list of statuses such as 200 or 2xx", first)
    return status


def _matches(expected: object, status: int) -> bool:
    if isinstance(expected, str):
        written = expected.strip().lower()
        if len(written) == 3 and written[0] in "2345" and written[1:] == "xx":
            return status // 100 == int(written[0])
        if len(written) == 3 and written.isascii() and written.isdigit():
            return status == int(written)
    elif isinstance(expected, (int, float)) and not isinstance(expected, bool):
        return status == expected
    raise wrong("expect", "a list of statuses such as 200 or 2xx", expected)


def _failed(call: Call, request: HttpRequest, response: HttpResponse) -> Failed:
    status = response.status
    again = status in WORTH_RETRYING or status >= 500
    return Failed(
        kind=_kind(status),
        message=f"{_called(request)} answered {status}, which the step does not expect.",
        retryable=again,
        retry_after=retry_after(response.headers.get("retry-after"), call.now) if again else None,
        data={"status": status, "body": _excerpt(response)},
    )


def _kind(status: int) -> str:
    if status == 429:
        return "rate_limit"
    if status == 408:
        return "timeout"
    return f"http_{status // 100}xx"


def _called(request: HttpRequest) -> str:
    """The call in words. Path and query stay out: tokens stand in them."""
    parts = urlsplit(request.url)
    host = parts.hostname or ""
    return f"{request.method} {f'[{host}]' if ':' in host else host}{f':{parts.port}' if parts.port else ''}"


def _headers(headers: Mapping[str, str]) -> dict[str, str]:
    kept = {
        name.lower(): storable(value[:_MAX_HEADER])
        for name, value in headers.items()
        if name.lower() not in _WITHHELD and not name.lower().startswith("proxy-")
    }
    return dict(sorted(kept.items())[:_MAX_HEADERS])


def _read(mode: str, response: HttpResponse) -> Any:
    if mode == "none" or not response.body:
        if mode == "json" and response.status not in (204, 205, 304):
            raise _Unreadable("it is empty")
        return None
    if mode == "base64":
        return base64.b64encode(response.body).decode("ascii")
    if mode == "text":
        return _text(response, errors="replace")
    if mode == "json":
        return parse_json(response.body)
    if _is_json(_media_type(response)):
        try:
            return parse_json(response.body)
        except _Unreadable:
            return _text(response, errors="replace")
    return _text(response, errors="strict")


def parse_json(body: bytes) -> Any:
    """The value, as PostgreSQL can store it: no number without end, no half of a surrogate pair, no NUL in text."""
    try:
        value = msgspec.json.decode(body.removeprefix(codecs.BOM_UTF8))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _Unreadable(str(error).rstrip(".")) from error
    return _without_nul(value) if rb"\u0000" in body else value


def _without_nul(value: Any) -> Any:
    match value:
        case str():
            return storable(value)
        case list():
            return [_without_nul(item) for item in value]
        case dict():
            return {storable(name): _without_nul(item) for name, item in value.items()}
        case _:
            return value


def storable(value: str) -> str:
    """PostgreSQL has no NUL character in text; its place is marked instead."""
    return value.replace("\x00", "\N{REPLACEMENT CHARACTER}")


def _text(response: HttpResponse, *, errors: str) -> str | None:
    """None when the bytes are no text in the charset that they claim."""
    try:
        decoded = response.body.decode(_charset(response), errors)
    except UnicodeDecodeError:
        return None
    if errors == "strict" and "\x00" in decoded:
        return None
    return storable(decoded).encode("utf-8", "replace").decode("utf-8")


def _media_type(response: HttpResponse) -> str:
    return response.headers.get("content-type", "").split(";")[0].strip().lower()


def _is_json(kind: str) -> bool:
    return kind in ("application/json", "text/json") or kind.endswith("+json")


def _charset(response: HttpResponse) -> str:
    for parameter in response.headers.get("content-type", "").split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return _TEXT_CODECS.get(value.strip().strip("\"'").lower(), "utf-8")
    return "utf-8-sig"


_TEXT_CODECS: Final = {"utf8": "utf-8", "latin1": "iso-8859-1", "ascii": "us-ascii"} | {
    name: name
    for name in (
        "utf-8", "utf-16", "utf-16le", "utf-16be", "us-ascii", "iso-8859-1", "iso-8859-2", "iso-8859-15",
        "windows-1250", "windows-1251", "windows-1252", "shift_jis", "euc-jp", "euc-kr", "gbk", "gb18030", "big5",
    )
}  # fmt: skip
"""Charsets that are read by their name: Python's codecs also include things that are no charsets at all."""


def _excerpt(response: HttpResponse) -> str:
    return storable(response.body[:SHOWN].decode("utf-8", "replace"))
