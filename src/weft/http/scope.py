"""Who may call a route stands in its signature, and nowhere else.

    Writer = Annotated[Scope, allowed("workflows:write")]     # this permission, in a transaction
    Starter = Annotated[Actor, acting("executions:start")]    # this permission, and no transaction
    Member = Annotated[Scope, signed_in()]                    # anybody who is signed in to a tenant
    Guest = Annotated[Visitor, public()]                      # nobody in particular, on purpose

Every route declares exactly one of the four (`access_of` reads it back; `create_app` refuses a route without).
The dependency has function scope: COMMIT happens after the handler returned and before the first byte of the
response, so a client is never told of work that was rolled back. GET and HEAD run in a read-only transaction.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Final

from fastapi import params
from fastapi.dependencies.models import Dependant
from starlette.requests import Request

from weft.core.actor import Actor
from weft.core.errors import Unauthenticated
from weft.db.scope import Scope
from weft.http import replicas
from weft.http.origin import require_same_origin
from weft.http.state import Credential, RequestFacts, Services, credential_of, facts_of, services_of

READING: Final = frozenset({"GET", "HEAD"})
_MARK: Final = "weft_access"
_LAGS: Final = "weft_may_lag"


class CredentialMissing(Unauthenticated):
    code = "credential_missing"

    def __init__(self) -> None:
        super().__init__(
            "Nobody is signed in. Send an API key as `Authorization: Bearer weft_sk_...`, or sign in for a session."
        )


class AccessKind(StrEnum):
    permission = "permission"
    signed_in = "signed_in"
    public = "public"


@dataclass(frozen=True, slots=True)
class Access:
    """What a route demands. `permission` is set for `AccessKind.permission` only."""

    kind: AccessKind
    permission: str | None = None


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who may be anybody: what a public route gets instead of a scope.

    `credential` is what they showed, unchecked: signing out needs it, and nothing may be concluded from it.
    """

    services: Services
    facts: RequestFacts
    credential: Credential | None


@asynccontextmanager
async def _entered(request: Request, access: Access, *, read_only: bool, may_lag: bool = False) -> AsyncIterator[Scope]:
    services = services_of(request)
    credential = credential_of(request)
    if credential is None:
        raise CredentialMissing
    if credential.from_cookie:
        require_same_origin(request, services.public_url)
    opened = services.authenticate(services.database, credential, facts_of(request), read_only=read_only)
    async with opened as scope:
        if access.permission is not None:
            scope.actor.require(access.permission)
        if not (may_lag and replicas.are_asked(request)):
            yield scope
            return
        wanted = await replicas.freshness(request, scope)
    async with replicas.scope_there(request, scope.actor, wanted) as there:
        yield there


def _dependency(access: Access, *, may_lag: bool = False) -> Callable[[Request], AsyncIterator[Scope]]:
    async def enter_scope(request: Request) -> AsyncIterator[Scope]:
        async with _entered(request, access, read_only=request.method in READING, may_lag=may_lag) as scope:
            yield scope

    setattr(enter_scope, _MARK, access)
    setattr(enter_scope, _LAGS, may_lag)
    return enter_scope


def _checked(permission: str) -> Access:
    room, _, action = permission.partition(":")
    if not room or not action:
        raise ValueError(f"a permission is written room:action, not {permission!r}")
    return Access(AccessKind.permission, permission)


@cache
def allowed(permission: str, *, may_lag: bool = False) -> params.Depends:
    """A scope for somebody who has this permission (`room:action`); others get `permission_missing`.

    `may_lag`: a list or a sum that only reads, and which the replica may answer, see `weft.http.replicas`.
    """
    return params.Depends(_dependency(_checked(permission), may_lag=may_lag), scope="function")


@cache
def acting(permission: str) -> params.Depends:
    """Who asks, known to have this permission, when the transaction that found it out is over.

    For a handler that waits, or whose work has transactions of its own: it must not hold a connection meanwhile.
    """
    access = _checked(permission)

    async def find_actor(request: Request) -> Actor:
        async with _entered(request, access, read_only=True) as scope:
            return scope.actor

    setattr(find_actor, _MARK, access)
    return params.Depends(find_actor, scope="function")


async def require_still(request: Request, permission: str) -> None:
    """For an answer that goes on for hours: raises unless the credential is valid and has the permission even now."""
    async with _entered(request, _checked(permission), read_only=True):
        pass


@cache
def signed_in() -> params.Depends:
    """A scope for anybody with a valid credential: their own profile, their own sign-out."""
    return params.Depends(_dependency(Access(AccessKind.signed_in)), scope="function")


@cache
def public(*, same_origin: bool = False) -> params.Depends:
    """No credential asked. `same_origin` refuses other sites' pages: for routes that set a cookie (sign-in)."""

    async def visit(request: Request) -> Visitor:
        services = services_of(request)
        if same_origin and "sec-fetch-site" in request.headers:
            require_same_origin(request, services.public_url)
        return Visitor(services, facts_of(request), credential_of(request))

    setattr(visit, _MARK, Access(AccessKind.public))
    return params.Depends(visit, scope="function")


def declared(dependant: Dependant) -> Iterator[Access]:
    """Every access that a route's dependencies declare, however deep."""
    access = getattr(dependant.call, _MARK, None)
    if access is not None:
        yield access
    for inner in dependant.dependencies:
        yield from declared(inner)


def may_lag(dependant: Dependant) -> bool:
    """Whether the replica may answer a route."""
    return bool(getattr(dependant.call, _LAGS, False)) or any(may_lag(inner) for inner in dependant.dependencies)


def access_of(dependant: Dependant) -> Access:
    """The one access that a route declares. Raises `LookupError` when it declares none, or more than one."""
    found = list(declared(dependant))
    if len(found) != 1:
        names = ", ".join(access.permission or access.kind.value for access in found) or "nothing"
        raise LookupError(
            f"a route declares exactly one of allowed(...), acting(...), signed_in(), public(); found {names}"
        )
    return found[0]
