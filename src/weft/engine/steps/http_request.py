"""From the evaluated config of an `http` step to the request that is sent."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit, urlunsplit

from weft.core.ports import HttpRequest
from weft.engine.kinds import Call
from weft.engine.steps.base import ConfigWrong
from weft.engine.steps.values import flag, integer, mapping, seconds, text, wrong

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
SCALAR: Final = ["string", "number", "boolean", "null"]
USUAL_TIMEOUT: Final = 30.0
FORM: Final = "application/x-www-form-urlencoded"

OURS: Final = frozenset(
    {"connection", "content-length", "expect", "host", "http2-settings", "keep-alive", "te", "trailer"}
    | {"transfer-encoding", "upgrade", "accept-encoding"}
)
"""Headers that frame the message or name its target: the client writes them, whoever calls may not."""

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}")  # RFC 9110, section 5.6.2
_FIELD_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]{0,8192}")  # RFC 9110, section 5.5


def request_of(call: Call, *, longest: float, largest: int) -> HttpRequest:
    """Raises `ConfigWrong` with the field that is not what it should be. Times in seconds, sizes in bytes."""
    config = call.config
    method = text(config, "method", "GET").upper()
    if method not in METHODS:
        raise wrong("method", f"one of {', '.join(METHODS)}", method)
    body, content_type = _body(config)
    max_bytes = integer(config, "max_bytes", default=1_000_000, low=1, high=largest)
    return HttpRequest(
        method=method,
        url=_url(config),
        headers=_headers(call, content_type),
        body=body,
        timeout=_timeout(call, longest),
        max_bytes=largest if max_bytes is None else max_bytes,
        follow_redirects=flag(config, "follow_redirects", default=True),
    )


def host_of(url: object) -> str | None:
    """The host of an address, in lower case; None for what is none."""
    if not isinstance(url, str) or url_fault(url) is not None:
        return None
    host = urlsplit(url.strip()).hostname
    return host.rstrip(".") if host else None


def url_fault(url: str) -> str | None:
    """Why this cannot be called at all, to be read after 'The address'; where it may reach is the client's question."""
    try:
        parts = urlsplit(url.strip())
        _ = parts.port
    except ValueError:
        return "cannot be read; check its port and its brackets"
    if parts.scheme.lower() not in ("http", "https"):
        return "must begin with http:// or https://"
    if not parts.hostname:
        return "names no host"
    if "@" in parts.netloc:
        return "must not hold a user name or password; send an Authorization header"
    return None


def why_not_header(name: str, value: object) -> str | None:
    """Why this header cannot be sent, as a sentence."""
    if not _TOKEN.fullmatch(name):
        return f"'{name[:60]}' is not a header's name."
    if name.lower() in OURS or name.lower().startswith("proxy-"):
        return f"The header {name} is written by weft itself. Remove it."
    if value is not None and not (isinstance(value, (str, int, float)) and _FIELD_VALUE.fullmatch(_written(value))):
        return f"The header {name} must be one line of text without control or non-Latin-1 characters."
    return None


def _url(config: Mapping[str, Any]) -> str:
    url = text(config, "url").strip()
    fault = url_fault(url)
    if fault is not None:
        raise ConfigWrong(f"config.url {fault}.")
    pairs: list[tuple[str, str]] = []
    for name, value in mapping(config, "query").items():
        for one in value if isinstance(value, (list, tuple)) else (value,):
            if one is None:
                continue
            if not isinstance(one, (str, int, float)):
                raise wrong(f"query.{name}", "text, a number, true or false, or a list of them", one)
            pairs.append((name, _written(one)))
    parts = urlsplit(url)
    query = "&".join(part for part in (parts.query, urlencode(pairs)) if part)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))


def _headers(call: Call, content_type: str | None) -> dict[str, str]:
    """What the author gives wins over what weft adds by itself; a header given as null is not sent at all."""
    headers: dict[str, str] = {}
    given: set[str] = set()
    for name, value in mapping(call.config, "headers").items():
        fault = why_not_header(name, value)
        if fault is not None:
            raise ConfigWrong(f"config.headers: {fault}")
        if name.lower() in given:
            raise ConfigWrong(f"config.headers has {name} twice, in different spellings. Keep one.")
        given.add(name.lower())
        if value is not None:
            headers[name] = _written(value)
    own = {
        "Accept": "application/json" if call.config.get("response") == "json" else "*/*",
        "Content-Type": content_type,
        "Idempotency-Key": call.idempotency_key,
        "X-Correlation-Id": call.correlation_id,
    }
    headers |= {name: value for name, value in own.items() if value and name.lower() not in given}
    return headers


def _body(config: Mapping[str, Any]) -> tuple[bytes | None, str | None]:
    """The bytes and their type."""
    body = config.get("body")
    if body is None:
        return None, None
    declared = text(config, "content_type").strip() if config.get("content_type") is not None else None
    if declared is not None and not _FIELD_VALUE.fullmatch(declared):
        raise wrong("content_type", "a media type such as application/json", declared)
    if isinstance(body, str):
        return body.encode("utf-8", "replace"), declared or "text/plain; charset=utf-8"
    kind = (declared or "application/json").split(";")[0].strip().lower()
    if kind == FORM:
        return _form(body), declared
    if kind != "application/json" and not kind.endswith("+json"):
        raise ConfigWrong(
            f"config.body is not text, so it goes as JSON, but config.content_type is '{kind}'. "
            "Make a string of it (`| tojson` or a template), or give a JSON type."
        )
    try:
        written = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigWrong(f"config.body cannot be written as JSON: {error}.") from error
    return written.encode("utf-8", "replace"), declared or "application/json"


def _form(body: object) -> bytes:
    if not isinstance(body, Mapping):
        raise wrong("body", "an object or a string, to be sent as a form", body)
    pairs: list[tuple[str, str]] = []
    for name, value in body.items():
        for one in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(one, (str, int, float)):
                pairs.append((name, _written(one)))
            elif one is not None:
                raise wrong(f"body.{name}", "text, a number, true or false, or a list of them", one)
    return urlencode(pairs).encode("ascii")


def _timeout(call: Call, longest: float) -> float:
    """The step's own timeout bounds the call too: an answer that comes later would find nobody waiting."""
    limits = [longest]
    if call.timeout is not None:
        limits.append(call.timeout)
    if call.config.get("timeout") is None:
        limits.append(USUAL_TIMEOUT if call.timeout is None else longest)
    else:
        own = seconds(call.config, "timeout")
        if not 0 < own <= longest:
            raise ConfigWrong(
                f"config.timeout must be more than 0 and at most {longest:.0f} seconds, but it is {own:g}."
            )
        limits.append(own)
    return min(limits)


def _written(value: str | float) -> str:
    """A scalar as it stands in a header, a query or a form."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
