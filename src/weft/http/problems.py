"""Every no as `application/problem+json` (RFC 9457).

`install(app)` maps what a handler may raise: weft's own errors by kind, validation of requests, Starlette's 404
and 405, and what the database refuses (`weft.http.refusals`). Anything else is a bug: `internal_problem` shows
nothing of it, and the middleware that calls it logs it whole under the same correlation id.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, ConfigDict, Field
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from weft.core.errors import Invalid, Kind, NotFound, WeftError
from weft.db.database import dumps
from weft.http.refusals import DATABASE_ERRORS, refusal
from weft.http.state import correlation_of
from weft.http.validation import issues_of

log = structlog.get_logger("weft.http")

MEDIA_TYPE: Final = "application/problem+json"
INTERNAL_ERROR: Final = "internal_error"

STATUS: Final[Mapping[Kind, int]] = {
    Kind.invalid: 422,
    Kind.unauthenticated: 401,
    Kind.forbidden: 403,
    Kind.not_found: 404,
    Kind.conflict: 409,
    Kind.stale: 412,
    Kind.exhausted: 429,
    Kind.unavailable: 503,
}
MOST_ISSUES: Final = 50
"""Of a request that is wrong in more places, the first of them are listed: an answer is no larger for it."""
_SECRET_PATH: Final = re.compile(r"/hooks/.*", re.IGNORECASE | re.DOTALL)
"""The address of a webhook is its credential: no answer repeats it, whoever gives it."""
RETRY_AFTER: Final = 1.0
"""Seconds, for errors that do not know better."""


class ProblemIssue(BaseModel):
    """One thing that is wrong with the request, and where."""

    model_config = ConfigDict(extra="allow", title="ProblemIssue")

    message: str = Field(description="What is wrong and how to mend it.")
    path: list[str | int] = Field(description="Where, as names and indexes into what was sent.")
    code: str
    location: str = Field("body", description="`body`, `query`, `path`, `header` or `cookie`.")


class Problem(BaseModel):
    """What every refusal looks like (RFC 9457, `application/problem+json`)."""

    model_config = ConfigDict(title="Problem")

    type: str = Field(description="Stable per kind of problem: `/errors/<code>`, where it is explained.")
    title: str
    status: int
    detail: str = Field(description="What happened and what to do next.")
    instance: str = Field(description="The path that was asked.")
    correlation_id: str = Field(description="Find it again in logs, audit and journal.")
    errors: list[ProblemIssue] = Field(default_factory=list)


class RequestInvalid(Invalid):
    """A parameter or body that does not have the documented shape."""

    code = "request_invalid"


class BodyMalformed(Invalid):
    """A body that is no JSON at all: HTTP says 400, not 422."""

    code = "body_malformed"


class AddressUnknown(NotFound):
    code = "address_unknown"

    def __init__(self) -> None:
        super().__init__("There is nothing at this address. /docs lists every address that weft answers.")


PROTOCOL: Final[Mapping[str, tuple[int, str]]] = {
    BodyMalformed.code: (400, "The request could not be read. Send valid JSON in UTF-8, not nested too deeply."),
    "address_malformed": (
        400,
        "The address contains NUL or bytes that are no UTF-8. Encode it as UTF-8 and percent-encode that.",
    ),
    AddressUnknown.code: (404, AddressUnknown().message),
    "method_refused": (405, "This address does not answer that method. The `Allow` header lists those it does."),
    "body_oversized": (413, "The body is larger than this address takes. Send less at once."),
    "media_type_refused": (415, "This address takes JSON. Send it as `Content-Type: application/json`."),
    "request_refused": (400, "weft does not answer this request."),
    INTERNAL_ERROR: (
        500,
        "weft made a mistake, and nothing was changed. Tell whoever runs it the correlation id of this answer.",
    ),
}
"""Code to status and sentence, for what HTTP itself gives rise to."""

_BY_STATUS: Final = {
    400: BodyMalformed.code,
    404: AddressUnknown.code,
    405: "method_refused",
    413: "body_oversized",
    415: "media_type_refused",
}


def type_of(code: str) -> str:
    return f"/errors/{code}"


def title_of(code: str) -> str:
    return code.replace("_", " ").capitalize()


def problem(
    request: HTTPConnection,
    status: int,
    code: str,
    detail: str,
    *,
    errors: Sequence[Mapping[str, Any]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """One problem document as a response."""
    correlation_id = correlation_of(request)
    document = {
        "type": type_of(code),
        "title": title_of(code),
        "status": status,
        "detail": detail,
        "instance": _SECRET_PATH.sub("/hooks", request.url.path),
        "correlation_id": correlation_id,
        "errors": list(errors),
    }
    return Response(dumps(document), status_code=status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def of_error(request: HTTPConnection, error: WeftError) -> Response:
    """What weft refuses on purpose."""
    status = 400 if isinstance(error, BodyMalformed) else STATUS[error.kind]
    headers: dict[str, str] = {}
    if error.kind is Kind.unauthenticated:
        headers["WWW-Authenticate"] = 'Bearer realm="weft"'
    if error.kind in (Kind.exhausted, Kind.unavailable) or error.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after if error.retry_after is not None else RETRY_AFTER))
    if status >= 500:
        log.warning("unavailable", code=error.code, correlation_id=correlation_of(request), exc_info=error)
    issues = [{"location": "body", **issue.as_json()} for issue in error.issues]
    return problem(request, status, error.code, error.message, errors=issues, headers=headers)


def of_protocol(
    request: HTTPConnection, code: str, *, status: int | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """One of `PROTOCOL`."""
    usual, sentence = PROTOCOL[code]
    return problem(request, status or usual, code, sentence, headers=headers)


def internal_problem(request: HTTPConnection) -> Response:
    """A bug of ours: nothing of it is shown but the id under which it was logged."""
    return of_protocol(request, INTERNAL_ERROR)


def invalid_request(errors: Sequence[Mapping[str, Any]], body: object = None) -> WeftError:
    """FastAPI's list of validation errors as one error of ours. What was sent is never repeated."""
    issues = issues_of(errors[:MOST_ISSUES], body)
    count = len(issues) + len(errors[MOST_ISSUES:])
    if any(issue.code == "json_invalid" for issue in issues):
        return BodyMalformed(PROTOCOL[BodyMalformed.code][1], issues=issues)
    head = issues[0].message
    more = count - 1
    if more:
        shown = "see `errors`" if count <= MOST_ISSUES else f"the first {MOST_ISSUES} are in `errors`"
        head += f" {more} more {'thing is' if more == 1 else 'things are'} wrong; {shown}."
    return RequestInvalid(head, issues=issues)


def install(app: Starlette) -> None:
    """Make every error of the application a problem document."""
    app.add_exception_handler(WeftError, _weft_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    for database_error in DATABASE_ERRORS:
        app.add_exception_handler(database_error, _database_error)


async def _weft_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, WeftError)  # noqa: S101 - narrows what Starlette types as Exception
    return of_error(request, error)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - likewise
    if isinstance(error.body, bytes) and any(tuple(part["loc"]) == ("body",) for part in error.errors()):
        # FastAPI hands over the bytes as they are when they are not declared as JSON.
        return of_protocol(request, "media_type_refused")
    return of_error(request, invalid_request(error.errors(), error.body))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - likewise
    return of_http(request, error)


def of_http(request: Request, error: HTTPException) -> Response:
    """What Starlette, FastAPI and the limits of bodies refuse."""
    code = _BY_STATUS.get(error.status_code, "request_refused")
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(sorted(_answered(request)))
    return of_protocol(request, code, status=error.status_code, headers=headers)


def _answered(request: Request) -> set[str]:
    """The methods of all routes at this path; the router itself only names those of the first."""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    methods: set[str] = set()
    for context in iter_route_contexts(request.app.routes):
        pattern = getattr(context, "path_regex", None)
        if pattern is not None and pattern.match(path):
            methods |= set(context.methods or ())
    return methods


async def _database_error(request: Request, error: Exception) -> Response:
    refused = refusal(error)
    if refused is None:
        raise error
    return of_error(request, refused)
