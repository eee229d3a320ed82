"""What a request handler may reach: the process's services, and the facts of the request that it answers.

`create_app` puts one `Services` into `app.state.weft`. Whoever stands above this floor and wants to hand its own
object to its own routes declares a `Slot`, attaches the object once and reads it back with its type:

    STARTER = Slot[Starter]("execution starter")
    STARTER.attach(app, starter)                          # where the process is put together
    starter: Annotated[Starter, Depends(STARTER.wanted)]      # in a route
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Annotated, Final, Generic, Protocol, TypeVar, cast

from fastapi import Depends
from starlette.applications import Starlette
from starlette.requests import HTTPConnection

from weft.core.clock import Clock, utc_now
from weft.core.ids import new_id
from weft.db.database import Database
from weft.db.scope import Scope

SESSION_COOKIE: Final = "weft_session"
TENANT_HEADER: Final = "Weft-Tenant"
CORRELATION_HEADER: Final = "X-Correlation-Id"
CORRELATION_KEY: Final = "weft.correlation_id"
"""Where the correlation middleware leaves its id in the ASGI scope."""

Attached = TypeVar("Attached")


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """Where a request came from. It travels into the audit log."""

    ip: str | None
    user_agent: str | None
    correlation_id: str


@dataclass(frozen=True, slots=True)
class Credential:
    """What somebody showed at the door: a session or API key token, and the tenant they ask for, if they say one."""

    token: str
    tenant: str | None
    from_cookie: bool = False

    def __repr__(self) -> str:
        """Tracebacks and logs must not carry the token."""
        return f"Credential(tenant={self.tenant!r}, from_cookie={self.from_cookie})"


class Authenticator(Protocol):
    """Turns a credential into a transaction in the right tenant, as the right actor.

    Raises `Unauthenticated` for a token that is unknown, expired or revoked, and `Forbidden` for a tenant that the
    token does not open.
    """

    def __call__(
        self, database: Database, credential: Credential, facts: RequestFacts, *, read_only: bool
    ) -> AbstractAsyncContextManager[Scope]: ...


@dataclass(frozen=True, slots=True)
class Services:
    """What one API process has: made once at start, never changed."""

    database: Database
    authenticate: Authenticator
    cursor_key: bytes
    """Signs page cursors: 32 bytes, the same in every process of an installation."""
    clock: Clock = utc_now
    public_url: str = "http://127.0.0.1:8080"
    """The address that browsers use; its origin passes the same-origin check."""
    profile: str = "production"


class Slot(Generic[Attached]):
    """A typed place for one object of a higher floor; see the module's head."""

    def __init__(self, name: str) -> None:
        self.name = name

    def attach(self, app: Starlette, value: Attached) -> None:
        _slots(app)[self] = value

    async def wanted(self, request: HTTPConnection) -> Attached:
        """`of`, as a dependency of a route: FastAPI would run one that is not async in another thread."""
        return self.of(request)

    def of(self, request: HTTPConnection) -> Attached:
        """The attached object. A route that asks for what nobody attached is a mistake in how the process was built."""
        slots = _slots(request.app)
        if self not in slots:
            raise RuntimeError(f"nothing is attached as {self.name}: call Slot.attach() where the application is made")
        return cast("Attached", slots[self])


def _slots(app: Starlette) -> dict[object, object]:
    if not hasattr(app.state, "weft_slots"):
        app.state.weft_slots = {}
    return cast("dict[object, object]", app.state.weft_slots)


def before_leaving(app: Starlette, call: Callable[[], None]) -> None:
    """Have something called when the process is told to stop, before running requests are waited for."""
    if not hasattr(app.state, "weft_leaving"):
        app.state.weft_leaving = []
    app.state.weft_leaving.append(call)


def leave(app: Starlette) -> None:
    """The process was told to stop."""
    for call in getattr(app.state, "weft_leaving", ()):
        call()


def services_of(request: HTTPConnection) -> Services:
    return cast("Services", request.app.state.weft)


def correlation_of(request: HTTPConnection) -> str:
    """The id that the response, the log lines and the audit rows of this request share."""
    known = request.scope.get(CORRELATION_KEY)
    if known is None:
        known = request.scope[CORRELATION_KEY] = str(new_id())
    return cast("str", known)


def facts_of(request: HTTPConnection) -> RequestFacts:
    return RequestFacts(
        ip=request.client.host if request.client else None,
        user_agent=request.headers.get("user-agent"),
        correlation_id=correlation_of(request),
    )


def credential_of(request: HTTPConnection) -> Credential | None:
    """The bearer token if there is one, else the session cookie."""
    tenant = request.headers.get(TENANT_HEADER, "").strip() or None
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return Credential(token=token.strip(), tenant=tenant)
    session = request.cookies.get(SESSION_COOKIE)
    if session:
        return Credential(token=session, tenant=tenant, from_cookie=True)
    return None


async def _services(request: HTTPConnection) -> Services:
    return services_of(request)


async def _facts(request: HTTPConnection) -> RequestFacts:
    return facts_of(request)


RequestServices = Annotated[Services, Depends(_services)]
Facts = Annotated[RequestFacts, Depends(_facts)]
