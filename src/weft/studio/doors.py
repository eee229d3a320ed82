"""Who gets in: a one-time token in the address that the command prints, a cookie after that; nobody through a page of
another site.

The studio listens on this machine only, but so does everything that other users and other pages' scripts can reach.
Plain ASGI, around everything else.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from html import escape
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final
from urllib.parse import parse_qs
from uuid import UUID

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from weft.http.origin import SAFE_METHODS, origin

IDLE: Final = timedelta(hours=12)
MOST_SESSIONS: Final = 100
MOST_BODY: Final = 4_000_000
_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1rem;color:#1f2937}"
    "@media(prefers-color-scheme:dark){body{background:#151f2c;color:#dce1e7}}h1{font-size:1.3rem}"
)


@dataclass(frozen=True, slots=True)
class TenantFacts:
    id: UUID
    slug: str
    name: str


@dataclass(slots=True)
class Session:
    """One browser. `tenant` is what it has chosen; `token` is weft's own session, where people sign in."""

    id: str = field(repr=False)
    used_at: datetime
    tenant: TenantFacts | None = None
    token: str | None = field(default=None, repr=False)


class Doors:
    """The tokens and cookies of one running studio; they are kept in memory and end with it."""

    def __init__(
        self, host: str, port: int, now: Callable[[], datetime], announce: Callable[[str], None] = lambda _: None
    ) -> None:
        self._now = now
        self._announce = announce
        self._sessions: dict[str, Session] = {}
        self._token = secrets.token_urlsafe(32)
        shown = f"[{host}]" if ":" in host else host
        names = (shown, "localhost", "127.0.0.1", "[::1]")
        self.hosts = frozenset(names if port == 80 else (f"{name}:{port}" for name in names))
        self.cookie = f"weft_studio_{port}"
        self._base = f"http://{shown}:{port}"

    @property
    def address(self) -> str:
        """The address to open, once."""
        return f"{self._base}/?token={self._token}"

    def admit(self, token: str) -> Session | None:
        """A session for whoever shows the token, which is then used up: the next address is announced."""
        if not secrets.compare_digest(token.encode(), self._token.encode()):
            return None
        self._token = secrets.token_urlsafe(32)
        self._forget()
        session = Session(secrets.token_urlsafe(32), self._now())
        self._sessions[session.id] = session
        self._announce(self.address)
        return session

    def session(self, name: str | None) -> Session | None:
        found = self._sessions.get(name or "")
        if found is None or self._now() - found.used_at > IDLE:
            return None
        found.used_at = self._now()
        return found

    def _forget(self) -> None:
        """Those that are idle, and the oldest when there are too many."""
        alive = sorted(self._sessions.values(), key=lambda s: s.used_at)[-(MOST_SESSIONS - 1) :]
        self._sessions = {s.id: s for s in alive if self._now() - s.used_at <= IDLE}


class Gate:
    """Host header, token or cookie, origin of changes, size; then security headers on what comes back."""

    def __init__(self, app: ASGIApp, doors: Doors) -> None:
        self.app = app
        self.doors = doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        nonce = secrets.token_urlsafe(16)
        refusal = self._refusal(scope, headers)
        if refusal is None:
            refusal = self._entrance(scope, headers)
        scope.setdefault("state", {})["nonce"] = nonce
        await (refusal or self.app)(scope, receive, _protecting(send, nonce, scope["path"]))

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        if headers.get("host", "") not in self.doors.hosts:
            # A page of another site can point a name of its own at 127.0.0.1 (DNS rebinding); its Host gives it away.
            return _page(421, "Not this address", "Open the studio by the address that the command printed.")
        if scope["method"] in SAFE_METHODS:
            return None
        site, source = headers.get("sec-fetch-site"), headers.get("origin")
        own = origin(f"http://{headers['host']}")
        if (site or "same-origin") != "same-origin" or (source is not None and origin(source) != own):
            return _page(403, "Refused", "This change came from another page. Repeat it in the studio itself.")
        length = headers.get("content-length", "")
        if not length.isdigit() or int(length) > MOST_BODY:
            return _page(413, "Too large", f"What you sent is larger than {MOST_BODY // 1_000_000} MB.")
        return None

    def _entrance(self, scope: Scope, headers: Headers) -> Response | None:
        session = self.doors.session(_cookie(headers, self.doors.cookie))
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token")
        if session is None and given and scope["path"] == "/":
            session = self.doors.admit(given[0])
            if session is not None:
                response = RedirectResponse("/", status_code=303)
                response.set_cookie(self.doors.cookie, session.id, httponly=True, samesite="strict", path="/")
                return response
        if session is None:
            return _page(
                401,
                "This address does not open the studio",
                "Each address that `weft db studio` prints works once. The newest one is in its terminal: open that.",
            )
        if given:
            return RedirectResponse("/", status_code=303)
        scope["studio.session"] = session
        return None


def session_of(scope: Any) -> Session:
    """The session of a request that the gate let through."""
    session: Session = scope["studio.session"]
    return session


def _cookie(headers: Headers, name: str) -> str | None:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return None
    return found.value if found else None


def _page(status: int, title: str, sentence: str) -> HTMLResponse:
    return HTMLResponse(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)} · weft studio</title>"
        f"<style>{_STYLE}</style><h1>{escape(title)}</h1><p>{escape(sentence)}</p></html>",
        status_code=status,
    )


def _protecting(send: Send, nonce: str, path: str) -> Send:
    """Nothing from elsewhere is loaded, nobody frames us, nothing is kept in the browser but our own files."""
    policy = (
        f"default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'unsafe-inline';"
        " img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'"
    )

    async def send_protected(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Content-Security-Policy"] = policy
            headers["X-Content-Type-Options"] = "nosniff"
            headers["X-Frame-Options"] = "DENY"
            headers["Referrer-Policy"] = "same-origin"  # with "no-referrer" forms would say `Origin: null`
            headers["Cross-Origin-Opener-Policy"] = "same-origin"
            headers["Cross-Origin-Resource-Policy"] = "same-origin"
            headers["Cache-Control"] = "max-age=3600" if path.startswith("/static/") else "no-store"
        await send(message)

    return send_protected
