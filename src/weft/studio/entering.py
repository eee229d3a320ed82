"""Pages before the rows: signing in as a member, choosing a tenant as an operator."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from weft.core.errors import WeftError
from weft.studio.doors import session_of
from weft.studio.errors import NoChoice
from weft.studio.frame import STATUS, Frame, ip_of

_LONGEST = 300


async def sign_in(frame: Frame, request: Request) -> Response:
    """Only where the studio has no owner's address; elsewhere nobody signs in."""
    session = session_of(request.scope)
    if not frame.viewers.signs_in:
        return RedirectResponse("/", status_code=303)
    email, refusal, status = frame.viewers.email or "", None, 200
    if request.method == "POST":
        form = await request.form()
        email = _typed(form.get("email", ""))
        try:
            await frame.viewers.sign_in(session, email, str(form.get("password", "")), ip_of(request))
        except WeftError as error:
            refusal, status = error.message, STATUS[error.kind]
        else:
            return RedirectResponse("/", status_code=303)
    return frame.draw(request, "studio/sign_in.html", status, title="Sign in", email=email, refusal=refusal)


async def sign_out(frame: Frame, request: Request) -> Response:
    await frame.viewers.sign_out(session_of(request.scope), ip_of(request))
    return RedirectResponse("/sign-in", status_code=303)


async def tenants(frame: Frame, request: Request) -> Response:
    """The tenants of this installation, to look into one of them."""
    if not frame.viewers.may_switch:
        raise NoChoice
    if request.method == "POST":
        form = await request.form()
        await frame.viewers.choose(session_of(request.scope), _typed(form.get("tenant", "")))
        return RedirectResponse("/", status_code=303)
    search = _typed(request.query_params.get("q", ""))
    found = await frame.viewers.tenants(search)
    return frame.draw(request, "studio/tenants.html", title="Choose a tenant", found=found, search=search)


def _typed(text: object) -> str:
    """What somebody typed, as far as PostgreSQL can be asked for it."""
    return str(text).replace("\0", "").strip()[:_LONGEST]
