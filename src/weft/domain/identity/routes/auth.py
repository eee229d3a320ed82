"""Signing in and out, switching tenants, and who one is."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from weft.db.scope import Scope
from weft.domain.identity.errors import CredentialInvalid
from weft.domain.identity.schemas import MeRead, PasswordChange, SessionRead, SignIn, TenantSwitch
from weft.domain.identity.service import profile, sessions
from weft.domain.identity.service.profile import Profile
from weft.domain.identity.service.sessions import SignedIn
from weft.http.scope import CredentialMissing, Visitor, public, signed_in
from weft.http.state import SESSION_COOKIE, Credential, RequestServices, Services, credential_of

router = APIRouter(tags=["auth"])

Somebody = Annotated[Scope, signed_in()]
Guest = Annotated[Visitor, public(same_origin=True)]


async def _credential(request: Request) -> Credential:
    credential = credential_of(request)
    if credential is None:
        raise CredentialMissing
    return credential


Shown = Annotated[Credential, Depends(_credential)]


@router.post("/auth/login", response_model=SessionRead)
async def login(visitor: Guest, request: Request, response: Response, sign_in: SignIn) -> SignedIn:
    """Sign in with e-mail and password. Browsers keep the session as a cookie, programs take the token."""
    made = await sessions.sign_in(
        visitor.services.database,
        email=sign_in.email,
        password=sign_in.password,
        tenant=sign_in.tenant,
        facts=visitor.facts,
    )
    _set_cookie(request, response, visitor.services, made)
    return made


@router.post("/auth/logout", status_code=204)
async def logout(visitor: Guest, response: Response) -> None:
    """End this session. An API key is revoked instead, under `/keys`."""
    credential = visitor.credential
    if credential is None:
        raise CredentialMissing
    response.delete_cookie(SESSION_COOKIE, httponly=True, samesite="lax")
    try:
        await sessions.sign_out(visitor.services.database, credential.token, visitor.facts)
    except CredentialInvalid:
        if not credential.from_cookie:
            raise
        # A browser cannot drop the cookie itself; that the session was over already does not matter to it.


@router.post("/auth/switch", response_model=SessionRead)
async def switch_tenant(
    scope: Somebody,
    services: RequestServices,
    shown: Shown,
    request: Request,
    response: Response,
    target: TenantSwitch,
) -> SignedIn:
    """Exchange this session for one in another tenant of yours. To act there once, send `Weft-Tenant` instead."""
    made = await sessions.switch(scope, shown.token, target.tenant)
    if shown.from_cookie:
        _set_cookie(request, response, services, made)
    return made


@router.get("/me", response_model=MeRead)
async def show_me(scope: Somebody) -> Profile:
    """Who you are here, and what this credential may do."""
    return await profile.read(scope)


@router.post("/me/password", status_code=204)
async def change_my_password(scope: Somebody, shown: Shown, change: PasswordChange) -> None:
    """Change your own password. Your other sessions end, in every tenant."""
    await sessions.change_password(scope, shown.token, change.current_password, change.new_password)


def _set_cookie(request: Request, response: Response, services: Services, made: SignedIn) -> None:
    response.set_cookie(
        SESSION_COOKIE,
        made.token,
        expires=made.expires_at,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https" or services.public_url.startswith("https:"),
    )
    # The body holds a credential: no cache on the way may keep it.
    response.headers["Cache-Control"] = "no-store"
