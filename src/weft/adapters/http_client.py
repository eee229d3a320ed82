"""HTTP calls on behalf of tenants: to public places only, bounded in time and size, and without a memory.

What a tenant's workflow calls is the tenant's choice, so nothing here trusts the URL, the name server or the answer.
Redirects are followed here and not by the library, because each of them is a new decision: where to, by which method,
with which headers. No cookies are kept and no proxy, netrc or credential of this machine is used. Connections are
kept for a moment and shared; HTTP/1.1 gives them no state, except for the two schemes that authenticate a connection
(Negotiate and NTLM), whose connections are closed after use.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import httpcore2
import httpx2

from weft import __version__
from weft.adapters.addresses import Allow
from weft.adapters.http_network import GuardedNetwork, Resolver, SystemResolver
from weft.core.ports import HttpError, HttpRequest, HttpResponse

PUBLIC_ONLY: Final = Allow()
MAX_REDIRECTS: Final = 5
KEEP_ALIVE: Final = 3.0
"""Seconds. Shorter than what servers use, so that we hardly ever send into a connection that is being closed."""

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
FRAMING: Final = frozenset(
    {"accept-encoding", "connection", "content-length", "expect", "host", "http2-settings", "keep-alive", "te"}
    | {"trailer", "transfer-encoding", "upgrade", "proxy-authorization", "proxy-connection"}
)
"""Headers that frame the message or name its target: only the client writes them."""

FOLLOW_ELSEWHERE: Final = frozenset(
    {"accept", "accept-language", "cache-control", "content-language", "content-type", "idempotency-key"}
    | {"if-modified-since", "if-none-match", "prefer", "traceparent", "tracestate", "user-agent", "x-correlation-id"}
)
"""Headers that a redirect to another origin takes along. Others may be credentials under any name: `X-Api-Key`."""

_CONTENT: Final = frozenset({"content-type", "content-encoding", "content-language", "content-location", "digest"})
_CODINGS: Final = frozenset({"gzip", "deflate", "identity"})
_CONNECTION_AUTH: Final = re.compile(r"\s*(negotiate|ntlm)\b", re.IGNORECASE)
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_METHOD: Final = re.compile(r"[A-Z]{1,20}")
_PEER_LEFT: Final = ("disconnected", "closed connection")
_SLACK: Final = 65_536


@dataclass(frozen=True, slots=True)
class _Hop:
    """One request of a chain of redirects."""

    method: str
    url: httpx2.URL
    headers: dict[str, str]
    body: bytes | None


class SafeHttpClient:
    """Fulfils `weft.core.ports.HttpClient`. One per process; use it in one event loop and `close` it at the end."""

    def __init__(
        self,
        allow: Allow = PUBLIC_ONLY,
        *,
        resolve: Resolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
        max_connections: int = 200,
    ) -> None:
        self._resolver = SystemResolver()
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=ssl_context or httpcore2.default_ssl_context(),
            max_connections=max_connections,
            max_keepalive_connections=max_connections // 4,
            keepalive_expiry=KEEP_ALIVE,
            http1=True,
            http2=False,
            retries=0,
            network_backend=GuardedNetwork(allow, resolve or self._resolver),
        )

    async def send(self, request: HttpRequest) -> HttpResponse:
        """The answer, whatever its status, read whole. Raises `HttpError`; nothing else but cancellation."""
        try:
            async with asyncio.timeout(request.timeout):
                return await self._follow(request)
        except TimeoutError as error:
            raise HttpError(
                "timeout", f"There was no whole answer within {request.timeout:g} seconds.", retryable=True
            ) from error

    async def close(self) -> None:
        """End all connections. Calls that are under way fail."""
        await self._pool.aclose()
        self._resolver.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _follow(self, request: HttpRequest) -> HttpResponse:
        hop = _Hop(_method(request.method), _url(request.url), _headers(request.headers), request.body)
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._exchange(hop, request)
            if isinstance(response, HttpResponse):
                return response
            hop = response
        raise HttpError("redirect", f"There were more than {MAX_REDIRECTS} redirects in a row.", retryable=False)

    async def _exchange(self, hop: _Hop, request: HttpRequest) -> HttpResponse | _Hop:
        """One request: its answer, or where to go next."""
        try:
            answer = await self._pool.handle_async_request(_raw(hop))
            try:
                response = httpx2.Response(answer.status, headers=answer.headers, stream=_Bounded(answer, request))
                target = _target(response, hop) if request.follow_redirects else None
                return target if target is not None else await _read(response, hop, request)
            finally:
                await answer.aclose()
        except HttpError:
            raise
        except Exception as error:
            translated = _translate(error, hop.url)
            if translated is None:
                raise
            raise translated from error


class _Bounded(httpx2.AsyncByteStream):
    """The body as it arrives. What is compressed is bounded too: an endless stream can decompress to nothing."""

    def __init__(self, answer: httpcore2.Response, request: HttpRequest) -> None:
        self._answer = answer
        self._limit = request.max_bytes + _SLACK

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async with aclosing(self._answer.aiter_stream()) as chunks:
            async for chunk in chunks:
                size += len(chunk)
                if size > self._limit:
                    raise _too_large(self._limit - _SLACK)
                yield chunk


def _method(written: str) -> str:
    if not _METHOD.fullmatch(written) or written in ("CONNECT", "TRACE"):
        raise HttpError("protocol", f"'{written[:20]}' is not a method that can be called.", retryable=False)
    return written


def _url(written: str) -> httpx2.URL:
    """Only what is safe whatever it resolves to; the addresses are checked when the connection is made."""
    try:
        url = httpx2.URL(written.strip())
    except (httpx2.InvalidURL, ValueError) as error:
        raise HttpError("protocol", "The URL cannot be read; check its host and port.", retryable=False) from error
    fault = _fault(url)
    if fault is not None:
        raise HttpError("blocked", f"The URL {fault}.", retryable=False)
    return url


def _fault(url: httpx2.URL) -> str | None:
    if url.scheme not in ("http", "https"):
        return "must begin with http:// or https://"
    if not url.host:
        return "names no host"
    if url.userinfo:
        return "must not hold a user name or password"
    if url.port is not None and not 0 < url.port < 65536:
        return "has a port that does not exist"
    return None


def _headers(given: Mapping[str, str]) -> dict[str, str]:
    """The caller's headers, refused rather than mended when they could change what the message is."""
    for name, value in given.items():
        if not _NAME.fullmatch(name) or name.lower() in FRAMING:
            raise HttpError("protocol", f"The header '{name[:60]}' may not be sent.", retryable=False)
        if not _VALUE.fullmatch(value):
            raise HttpError("protocol", f"The value of the header {name} is not one line of text.", retryable=False)
    return dict(given)


def _raw(hop: _Hop) -> httpcore2.Request:
    headers = {"Host": hop.url.netloc.decode("ascii"), "Accept-Encoding": "gzip, deflate", **hop.headers}
    names = {name.lower() for name in hop.headers}
    if "user-agent" not in names:
        headers["User-Agent"] = f"weft/{__version__}"
    if "accept" not in names:
        headers["Accept"] = "*/*"
    if hop.body is not None or hop.method in ("POST", "PUT", "PATCH"):
        headers["Content-Length"] = str(len(hop.body or b""))
    if any(name.lower() == "authorization" and _CONNECTION_AUTH.match(value) for name, value in hop.headers.items()):
        headers["Connection"] = "close"
    return httpcore2.Request(
        hop.method,
        httpcore2.URL(scheme=hop.url.raw_scheme, host=hop.url.raw_host, port=hop.url.port, target=hop.url.raw_path),
        headers=[(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()],
        content=hop.body,
    )


def _target(response: httpx2.Response, hop: _Hop) -> _Hop | None:
    """Where a redirect leads, by the rules of RFC 9110 section 15.4; None when the answer is none."""
    location = response.headers.get("location")
    if response.status_code not in REDIRECTS or not location:
        return None
    url = _location(hop.url, location)
    headers, method, body = hop.headers, hop.method, hop.body
    becomes_get = response.status_code == 303 and method != "HEAD"
    if becomes_get or (response.status_code in (301, 302) and method == "POST"):
        method, body = "GET", None
        headers = {name: value for name, value in headers.items() if name.lower() not in _CONTENT}
    if url.origin != hop.url.origin:
        headers = {name: value for name, value in headers.items() if name.lower() in FOLLOW_ELSEWHERE}
    return _Hop(method, url, headers, body)


def _location(base: httpx2.URL, location: str) -> httpx2.URL:
    try:
        url = base.join(location.strip())
        fault = _fault(url)
    except (httpx2.InvalidURL, ValueError):
        fault = "cannot be read"
        url = base
    if fault is not None:
        raise HttpError("redirect", f"{_where(base)} redirects to a place that {fault}.", retryable=False)
    if base.scheme == "https" and url.scheme == "http":
        raise HttpError(
            "redirect", f"{_where(base)} redirects from https to unencrypted http, which is not followed.",
            retryable=False,
        )  # fmt: skip
    return url


async def _read(response: httpx2.Response, hop: _Hop, request: HttpRequest) -> HttpResponse:
    codings = [word.strip().lower() for word in response.headers.get("content-encoding", "").split(",") if word.strip()]
    unknown = [word for word in codings if word not in _CODINGS]
    if unknown:
        raise HttpError(
            "protocol", f"{_where(hop.url)} encoded its answer as '{unknown[0][:40]}', which was not asked for.",
            retryable=False,
        )  # fmt: skip
    announced = response.headers.get("content-length", "")
    if hop.method != "HEAD" and announced.isdigit() and int(announced[:18]) > request.max_bytes:
        raise _too_large(request.max_bytes)
    body = bytearray()
    async with aclosing(response.aiter_bytes()) as chunks:
        async for chunk in chunks:
            if len(body) + len(chunk) > request.max_bytes:
                raise _too_large(request.max_bytes)
            body += chunk
    # They describe the body as it was sent, not as it is handed on.
    gone = ("content-encoding", "content-length", "transfer-encoding") if codings else ("transfer-encoding",)
    headers = {name: value for name, value in response.headers.items() if name not in gone}
    return HttpResponse(response.status_code, headers, bytes(body), str(hop.url))


def _too_large(limit: int) -> HttpError:
    return HttpError("too_large", f"The answer's body is larger than {limit:,} bytes.", retryable=False)


def _where(url: httpx2.URL) -> str:
    """A URL as messages may show it: path and query stay out, because tokens stand in them."""
    return url.netloc.decode("ascii", "replace")


def _translate(error: Exception, url: httpx2.URL) -> HttpError | None:
    """What happened, in the words of `HttpError`; None for what is no event of the network but a bug."""
    where = _where(url)
    cause = error.args[0] if error.args else None
    if isinstance(cause, ssl.SSLError) or isinstance(error, ssl.SSLError):
        found = cause if isinstance(cause, ssl.SSLError) else error
        untrusted = isinstance(found, ssl.SSLCertVerificationError)
        reason = found.verify_message if isinstance(found, ssl.SSLCertVerificationError) else "the handshake failed"
        return HttpError("tls", f"No secure connection to {where}: {reason}.", retryable=not untrusted)
    match error:
        case httpcore2.TimeoutException():
            return HttpError("timeout", f"{where} did not answer in time.", retryable=True)
        case httpcore2.ConnectError():
            return HttpError("connection", f"No connection to {where} could be made.", retryable=True)
        case httpcore2.RemoteProtocolError() if any(words in str(error) for words in _PEER_LEFT):
            return HttpError(
                "connection", f"{where} closed the connection before its answer was whole.", retryable=True
            )
        case httpcore2.NetworkError() | OSError():
            return HttpError("connection", f"The connection to {where} broke.", retryable=True)
        case httpcore2.RemoteProtocolError():
            return HttpError("protocol", f"{where} does not speak HTTP/1.1 as it should: {error}.", retryable=True)
        case httpcore2.LocalProtocolError():
            return HttpError("protocol", f"The request to {where} cannot be sent: {error}.", retryable=False)
        case httpx2.DecodingError():
            return HttpError("protocol", f"{where} sent a body that cannot be decompressed.", retryable=False)
        case _:
            return None
