"""Lists and sums that a replica answers: how new they must be, and what happens when it breaks off.

Without a word they are never older than the request, so everybody sees what they did. A request that can do with less
says so in the words of HTTP: `Cache-Control: max-stale=10` for ten seconds, `no-cache` for the primary itself.

The credential is always looked up on the primary: what was revoked a moment ago does not open a list.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as AsgiScope

from weft.core.actor import Actor
from weft.core.errors import Conflict, Unavailable
from weft.db.replica import POSITION, Freshness, Replica
from weft.db.scope import Scope, enter
from weft.http.refusals import QueryTimeout, refusal
from weft.http.state import services_of

READING: Final = frozenset({"GET", "HEAD"})
_ATTEMPT: Final = "weft.replica"


@dataclass(slots=True)
class Attempt:
    """One request's way: to the replica first or, `on_primary`, not there (again)."""

    on_primary: bool = False
    broke_off: bool = False


def _replica_of(request: Request) -> Replica | None:
    return services_of(request).database.replica


def are_asked(request: Request) -> bool:
    """Whether this request may be answered by a replica."""
    if _replica_of(request) is None or request.method not in READING:
        return False
    attempt = request.scope.get(_ATTEMPT)
    return attempt is None or not attempt.on_primary


async def freshness(request: Request, scope: Scope) -> Freshness:
    """What the request wants. `scope` is one on the primary, which knows how far the log goes."""
    replica = _replica_of(request)
    assert replica is not None  # noqa: S101 - `are_asked` said so
    stale = _max_stale(request.headers.get("cache-control", ""), replica.stale, replica.max_lag)
    if stale is None:
        return Freshness()
    return Freshness(stale) if stale > 0 else Freshness(position=await scope.raw.fetchval(POSITION))


@asynccontextmanager
async def scope_there(request: Request, actor: Actor, wanted: Freshness) -> AsyncIterator[Scope]:
    """A scope on the replica if it knows enough, else on the primary."""
    is_there = False
    try:
        async with enter(services_of(request).database, actor, read_only=True, freshness=wanted) as scope:
            is_there = scope.from_replica
            yield scope
    except Exception as error:
        if is_there and _is_its_own(error):
            replica = _replica_of(request)
            if replica is not None:
                replica.lost()
            attempt = request.scope.get(_ATTEMPT)
            if attempt is not None:
                attempt.broke_off = True
        raise


def _is_its_own(error: Exception) -> bool:
    """Whether the primary would not say the same: the replica went away, or had to end the read to go on replaying."""
    if isinstance(error, TimeoutError):
        return True  # it stands still: its own limit for a statement is shorter
    refused = refusal(error)
    return isinstance(refused, Unavailable | Conflict) and not isinstance(refused, QueryTimeout)


def _max_stale(header: str, usual: float, longest: float) -> float | None:
    """Seconds; None for `no-cache`."""
    stale = usual
    for part in header.lower().split(","):
        name, _, value = part.strip().partition("=")
        if name in ("no-cache", "no-store"):
            return None
        if name == "max-stale":
            stale = float(value) if value.isdecimal() and len(value) < 10 else (longest if not value else usual)
    return stale


class Replicas:
    """Asks once more, on the primary, where the replica broke off in the middle of a read.

    Nothing of the answer was sent by then: an error becomes a response only after its transaction is over.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in READING:
            await self.app(scope, receive, send)
            return
        attempt = Attempt()
        is_withheld = False

        async def careful(message: Message) -> None:
            nonlocal is_withheld
            if message["type"] == "http.response.start" and attempt.broke_off:
                is_withheld = True
            if not is_withheld:
                await send(message)

        scope[_ATTEMPT] = attempt
        await self.app(scope, receive, careful)
        if is_withheld:
            scope[_ATTEMPT] = Attempt(on_primary=True)
            await self.app(scope, receive, send)
