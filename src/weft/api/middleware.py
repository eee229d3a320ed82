"""What every request passes on its way in, and every response on its way out. Plain ASGI, outermost first:

Correlation   an id for logs, audit and the response
Requests      one log line and one metric each
Protected     headers that tell browsers what not to do
Failures      any exception that nobody expected: logged whole, shown as nothing
Proxies       the client's real address, from proxies that we trust
Bodies        no more than so many bytes
Addresses     no NUL and no broken UTF-8 in path and query
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import structlog
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from weft.api.metrics import Metrics
from weft.core.ids import new_id
from weft.http import sse
from weft.http.problems import internal_problem, of_http, of_protocol
from weft.http.state import CORRELATION_HEADER, CORRELATION_KEY

log = structlog.get_logger("weft.api")

_SANE_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,100}")
_QUIET_PATHS: Final = frozenset({"/healthz", "/healthz/recovery", "/readyz"})
_WORDS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
_HSTS: Final = {"Strict-Transport-Security": "max-age=31536000"}
_CORRELATION: Final = CORRELATION_HEADER.lower().encode()
_STREAM: Final = (b"content-type", f"{sse.MEDIA_TYPE}; charset=utf-8".encode())


def _raw(headers: Mapping[str, str]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.lower().encode(), value.encode()) for name, value in headers.items())


_PROTECTION: Final = _raw(_WORDS)
_PROTECTION_HTTPS: Final = _raw(_WORDS | _HSTS)
UNMATCHED: Final = "(none)"
"""The route of requests that no route answered, for metrics: their paths are as many as there are scanners."""


def header(scope: Scope, name: bytes) -> str:
    """One request header, or nothing. Asked in every request, therefore without building a mapping of all."""
    for found, value in scope["headers"]:
        if found == name:
            return str(value.decode("latin-1"))
    return ""


class Correlation:
    """Takes the caller's `X-Correlation-Id` if it is a sane one, else makes one; gives it back in every case."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        offered = header(scope, _CORRELATION)
        correlation_id = offered if _SANE_ID.fullmatch(offered) else str(new_id())
        scope[CORRELATION_KEY] = correlation_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (_CORRELATION, correlation_id.encode())]
            await send(message)

        with structlog.contextvars.bound_contextvars(correlation_id=correlation_id):
            await self.app(scope, receive, send_with_id)


class Requests:
    """Says what was asked and how it ended: method, route template, status, milliseconds. No queries, no bodies."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 499  # nginx's word for a client that left before the answer
        is_stream = False

        async def send_and_see(message: Message) -> None:
            nonlocal status, is_stream
            if message["type"] == "http.response.start":
                status = message["status"]
                is_stream = _STREAM in message.get("headers", ())
            await send(message)

        began = time.perf_counter()
        with self.metrics.running.track_inprogress():
            try:
                await self.app(scope, receive, send_and_see)
            finally:
                seconds = time.perf_counter() - began
                route = route_template(scope)
                if not is_stream:  # how long somebody watches says nothing about how quick we are
                    self.metrics.observe(scope["method"], route, status, seconds)
                say = log.debug if scope["path"] in _QUIET_PATHS else log.info
                say("request", method=scope["method"], route=route, status=status, ms=round(seconds * 1000, 1))


def route_template(scope: Scope) -> str:
    """`/v1/workflows/{workflow_id}`: bounded in number, and free of ids."""
    included: Any = scope.get("fastapi", {}).get("effective_route_context")
    route: Any = included or scope.get("route")
    return str(getattr(route, "path_format", UNMATCHED))


class Protected:
    """Security headers. HSTS only over https: it would lock people out of a plain local installation."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                said = message.get("headers", ())
                names = {name.lower() for name, _ in said}
                wanted = _PROTECTION_HTTPS if scope.get("scheme") == "https" else _PROTECTION
                message["headers"] = [*said, *(pair for pair in wanted if pair[0] not in names)]
            await send(message)

        await self.app(scope, receive, send_protected if scope["type"] == "http" else send)


class Failures:
    """The last resort. If the response has begun, the connection must break: a cut answer may not look whole."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def send_and_see(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, send_and_see)
        except ClientDisconnect:
            return  # the client left while it was sending; there is nobody to answer, and nothing of ours is wrong
        except Exception:
            self.metrics.failures.inc()
            log.exception("request failed", method=scope["method"], route=route_template(scope))
            if started:
                raise
            await internal_problem(Request(scope))(scope, receive, send)


class Proxies:
    """Believes `X-Forwarded-For` and `X-Forwarded-Proto` from configured addresses, and from nobody else.

    The client is the rightmost address that is not itself a trusted proxy: everything left of it could have been
    written by the client.
    """

    def __init__(self, app: ASGIApp, trusted: Sequence[str]) -> None:
        self.app = app
        self.trusted = [ip_network(part, strict=False) for part in trusted]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        if scope["type"] == "http" and self.trusted and client and self._is_trusted(client[0]):
            headers = Headers(scope=scope)
            chain = [part.strip() for line in headers.getlist("x-forwarded-for") for part in line.split(",")]
            scope["client"] = (self._client(chain, client[0]), 0)
            scheme = headers.get("x-forwarded-proto", "").strip().lower()
            if scheme in ("http", "https"):
                scope["scheme"] = scheme
        await self.app(scope, receive, send)

    def _client(self, chain: Sequence[str], nearest: str) -> str:
        found = nearest
        for claimed in reversed(chain):
            if not _is_address(claimed):
                break
            found = claimed
            if not self._is_trusted(claimed):
                break
        return found

    def _is_trusted(self, host: str) -> bool:
        if not _is_address(host):
            return False
        address = ip_address(host)
        return any(address in network for network in self.trusted)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


class Bodies:
    """Refuses a body that says it is too long, and stops reading one that turns out to be.

    `smaller` are the limits of addresses that begin so: what nobody has signed in for is read before it is known who
    sends it.
    """

    def __init__(self, app: ASGIApp, limit: int, smaller: Mapping[str, int] | None = None) -> None:
        self.app = app
        self.limit = limit
        self.smaller = dict(smaller or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self._limit_of(scope["path"])
        announced = header(scope, b"content-length") or "0"
        if announced.isdecimal() and int(announced) > limit:
            await of_protocol(Request(scope), "body_oversized")(scope, receive, send)
            return
        seen = 0

        async def receive_limited() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise HTTPException(413)
            return message

        await self.app(scope, receive_limited, send)

    def _limit_of(self, path: str) -> int:
        return next((limit for prefix, limit in self.smaller.items() if path.startswith(prefix)), self.limit)


@dataclass(frozen=True, slots=True)
class DirectRoute:
    """An address with one parameter at its end: `/hooks/` and `token` for `/hooks/{token}`."""

    prefix: str
    parameter: str
    answer: Callable[[Request], Awaitable[Response]]

    @property
    def path_format(self) -> str:
        """The template, as logs and metrics show it."""
        return f"{self.prefix}{{{self.parameter}}}"


class Direct:
    """Answers the busiest address without asking the router, which would try every route before it."""

    def __init__(self, app: ASGIApp, routes: Sequence[DirectRoute]) -> None:
        self.app = app
        self.routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            path = scope["path"]
            for route in self.routes:
                rest = path[len(route.prefix) :] if path.startswith(route.prefix) else ""
                if rest and "/" not in rest:
                    scope["path_params"] = {route.parameter: rest}
                    scope["route"] = route
                    request = Request(scope, receive)
                    try:
                        response = await route.answer(request)
                    except HTTPException as error:  # the body was too long; the router would have answered it
                        response = of_http(request, error)
                    await response(scope, receive, send)
                    return
        await self.app(scope, receive, send)


class Addresses:
    """Refuses what no path or query of ours can mean, before it reaches a parser that would guess."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _is_text(scope.get("raw_path") or b"", scope.get("query_string") or b""):
            await of_protocol(Request(scope), "address_malformed")(scope, receive, send)
            return
        await self.app(scope, receive, send)


def _is_text(*parts: bytes) -> bool:
    for part in parts:
        if b"%" not in part and part.isascii():
            continue
        plain = unquote_to_bytes(part)
        if b"\0" in plain:
            return False
        try:
            plain.decode()
        except UnicodeDecodeError:
            return False
    return True
