"""The OpenAPI 3.1 document: FastAPI's, with what it cannot know: problems, permissions, and how to sign in."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from weft.engine.event_routes import EVENTS
from weft.http.problems import MEDIA_TYPE, Problem, ProblemIssue
from weft.http.scope import Access, AccessKind, access_of
from weft.http.state import SESSION_COOKIE, TENANT_HEADER

VERSION: Final = "3.1.0"
_REFERENCE: Final = "#/components/schemas/{model}"
_MODELS: Final[tuple[type[BaseModel], ...]] = (Problem, ProblemIssue, *EVENTS.values())
"""Schemas that no route's signature names."""
_PROBLEMS: Final = {
    400: "The request cannot be read.",
    401: "Nobody is signed in, or the credential is not valid.",
    403: "The permission is missing, or the change came from another site.",
    404: "It does not exist, or not in this tenant.",
    409: "It is not in a state that allows this, or somebody else is changing it.",
    412: "Somebody changed it first: `If-Match` names an older version.",
    413: "The body is too large.",
    415: "The body is not declared as a media type that this address takes.",
    422: "A value is missing or wrong; `errors` says where.",
    429: "A limit is reached; `Retry-After` says when to come back.",
    500: "A bug in weft; quote the correlation id.",
    503: "Something weft needs does not answer; `Retry-After` says when to come back.",
}
_RETRY_HEADER: Final = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}},
}
_SECURITY_SCHEMES: Final = {
    "apiKey": {"type": "http", "scheme": "bearer", "description": "An API key, `weft_sk_...`, or a session token."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": SESSION_COOKIE,
        "description": "A browser's session. Changes must come from weft's own pages.",
    },
}
DESCRIPTION: Final = f"""Workflows for systems, people and AI agents.

Sign in with an API key (`Authorization: Bearer`) or a session cookie; somebody who belongs to several tenants names one
in `{TENANT_HEADER}`. Errors are problem documents (RFC 9457). Lists come in pages: send `next_cursor` back as `cursor`.
"""


def operations(app: FastAPI) -> list[tuple[RouteContext, Access]]:
    """Every API route with what it demands. Raises `LookupError` for a route that does not say."""
    found = []
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, APIRoute):
            try:
                found.append((context, access_of(context.dependant)))
            except LookupError as error:
                raise LookupError(f"{sorted(context.methods or ())} {context.path}: {error}") from None
    return found


def describe(app: FastAPI) -> dict[str, Any]:
    """The whole document."""
    document: dict[str, Any] = get_openapi(
        title=app.title, version=app.version, openapi_version=VERSION, description=DESCRIPTION, routes=app.routes
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for replaced in ("HTTPValidationError", "ValidationError"):
        schemas.pop(replaced, None)
    _, ours = models_json_schema([(model, "serialization") for model in _MODELS], ref_template=_REFERENCE)
    schemas.update(ours["$defs"])
    components["securitySchemes"] = _SECURITY_SCHEMES
    components["responses"] = {f"Problem{status}": _problem_response(status) for status in _PROBLEMS}
    for context, access in operations(app):
        if not context.include_in_schema:
            continue
        for method in context.methods or ():
            _complete(document["paths"][context.path_format][method.lower()], access, method)
    return document


def _problem_response(status: int) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": _PROBLEMS[status],
        "content": {MEDIA_TYPE: {"schema": {"$ref": _REFERENCE.format(model="Problem")}}},
    }
    if status in (429, 503):
        response["headers"] = _RETRY_HEADER
    return response


def _complete(operation: dict[str, Any], access: Access, method: str) -> None:
    if access.kind is AccessKind.public:
        operation["security"] = []
    else:
        operation["security"] = [{name: []} for name in _SECURITY_SCHEMES]
        operation["x-permission"] = access.permission
    if access.permission is not None:
        text = operation.get("description", "")
        operation["description"] = f"{text}\n\nNeeds the permission `{access.permission}`.".strip()
    responses = operation["responses"]
    generated = responses.get("422", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if generated.get("$ref", "").endswith("/HTTPValidationError"):
        del responses["422"]
    for status in _statuses(operation, access, method):
        responses.setdefault(str(status), {"$ref": f"#/components/responses/Problem{status}"})


def _statuses(operation: dict[str, Any], access: Access, method: str) -> list[int]:
    """Which problems an operation may answer with."""
    open_reading = access.kind is AccessKind.public and method == "GET"
    statuses = {400, 404, 422, 429, 500, 503} if open_reading else {400, 401, 403, 404, 409, 422, 429, 500, 503}
    if "requestBody" in operation:
        statuses |= {413, 415}
    headers = {
        parameter["name"].lower() for parameter in operation.get("parameters", ()) if parameter["in"] == "header"
    }
    if "if-match" in headers:
        statuses.add(412)
    return sorted(statuses)
