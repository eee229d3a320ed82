"""`http`: call another system. Where it may reach, and how long and large the answer may be, the client decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from weft.core.errors import Issue
from weft.core.ports import HttpError
from weft.domain.workflows.kinds import Where
from weft.engine.kinds import Call, Ports
from weft.engine.outcomes import Done, Failed, Outcome
from weft.engine.steps.base import ErrandStep, config_of, output_of
from weft.engine.steps.http_answer import MODES, PATTERN_OF_STATUS, first_expected, judge
from weft.engine.steps.http_request import METHODS, SCALAR, host_of, request_of, url_fault, why_not_header
from weft.engine.steps.values import DURATION, is_expression, text
from weft.interpreter.durations import DurationUnclear, parse_duration

LONGEST: Final = 300.0
"""Seconds that one call may take at most."""
LARGEST: Final = 10_000_000
"""Bytes of an answer, decompressed, at most."""

_ONE_OR_MORE: Final = {
    "oneOf": [{"type": SCALAR}, {"type": "array", "maxItems": 100, "items": {"type": SCALAR}}],
}


class Http(ErrandStep):
    name = "http"
    title = "HTTP request"
    may_use_secrets = True
    description = "Calls another system over HTTP and puts out its answer: status, headers and body."
    config_schema = config_of(
        {
            "method": {
                "type": "string",
                "enum": list(METHODS),
                "default": "GET",
                "description": "The request method.",
            },
            "url": {
                "type": "string",
                "minLength": 1,
                "maxLength": 8192,
                "description": "Where to: `http://` or `https://`, without user name and password. Addresses of "
                "private networks are refused unless the operator allows them (`WEFT_HTTP_ALLOW`).",
            },
            "headers": {
                "type": "object",
                "maxProperties": 100,
                "additionalProperties": {"type": SCALAR},
                "description": "Request headers; null leaves one out. `Idempotency-Key` and `X-Correlation-Id` are "
                "sent by themselves unless given here.",
            },
            "query": {
                "type": "object",
                "maxProperties": 200,
                "additionalProperties": _ONE_OR_MORE,
                "description": "Added to the address, encoded; a list repeats the name, null leaves it out.",
            },
            "body": {
                "description": "What to send. An object, a list, a number or true/false goes as JSON (an object as a "
                "form when `content_type` says so), a string as it is; nothing is sent for null."
            },
            "content_type": {
                "type": "string",
                "minLength": 1,
                "maxLength": 200,
                "description": "The body's type; by itself `application/json`, for a string `text/plain`.",
            },
            "expect": {
                "type": "array",
                "minItems": 1,
                "maxItems": 50,
                "items": {
                    "oneOf": [
                        {"type": "integer", "minimum": 200, "maximum": 599},
                        {"type": "string", "pattern": PATTERN_OF_STATUS},
                    ]
                },
                "default": ["2xx"],
                "description": "Statuses that count as success, such as `[200, 404]` or `[2xx]`.",
            },
            "response": {
                "type": "string",
                "enum": list(MODES),
                "default": "auto",
                "description": "How to read the answer's body. `auto` goes by its content type and leaves out what is "
                "neither JSON nor text; `json` fails when it is none; `base64` keeps any bytes; `none` drops them.",
            },
            "timeout": {
                **DURATION,
                "description": f"How long the whole call may take; at most {LONGEST:.0f} seconds, by itself 30.",
            },
            "max_bytes": {
                "type": "integer",
                "minimum": 1,
                "maximum": LARGEST,
                "default": 1_000_000,
                "description": "How large the answer's body may be, decompressed; a larger one fails the step.",
            },
            "follow_redirects": {
                "type": "boolean",
                "default": True,
                "description": "Whether to go where a redirect points, five times at most.",
            },
            "idempotent": {
                "type": "boolean",
                "default": True,
                "description": "Whether the call may be sent again, with the same `Idempotency-Key`, when the worker "
                "dies before it has the answer. If not, the attempt fails as `interrupted`.",
            },
        },
        required=("url",),
    )
    outputs_schema = output_of(
        {
            "status": {"type": "integer", "description": "The answer's status."},
            "headers": {
                "type": "object",
                "description": "The answer's headers by lower-case name, without cookies and credentials.",
            },
            "body": {"description": "The answer's body as `response` says."},
        }
    )

    def idempotent(self, config: Mapping[str, Any]) -> bool:
        return config.get("idempotent", True) is True

    def host(self, config: Mapping[str, Any]) -> str | None:
        return host_of(config.get("url"))

    def check(self, config: Mapping[str, Any], where: Where = ()) -> list[Issue]:
        issues: list[Issue] = []
        url = config.get("url")
        fault = url_fault(url) if isinstance(url, str) and not is_expression(url) else None
        if fault is not None:
            issues.append(Issue(f"The address {fault}.", (*where, "url"), "config_invalid"))
        headers = config.get("headers")
        for name, value in headers.items() if isinstance(headers, Mapping) else ():
            fault = why_not_header(name, "" if is_expression(value) else value)
            if fault is not None:
                issues.append(Issue(fault, (*where, "headers", name), "config_invalid"))
        timeout = config.get("timeout")
        if timeout is not None and not is_expression(timeout) and _is_longer(timeout):
            issues.append(
                Issue(f"A call may take at most {LONGEST:.0f} seconds.", (*where, "timeout"), "config_invalid")
            )
        return issues

    async def call(self, call: Call, ports: Ports) -> Outcome:
        request = request_of(call, longest=LONGEST, largest=LARGEST)
        try:
            response = await ports.http.send(request)
        except HttpError as error:
            return Failed(kind=error.kind, message=error.message, retryable=error.retryable)
        return judge(call, request, response)

    def rehearse(self, call: Call, draws: object) -> Done:
        """The first status that is expected, and a body of the sort that `response` gives, with nothing in it."""
        del draws
        body: dict[str, Any] | str | None = {}
        match text(call.config, "response", "auto"):
            case "text" | "base64":
                body = ""
            case "none":
                body = None
        return Done({"status": first_expected(call.config), "headers": {}, "body": body})


def _is_longer(written: object) -> bool:
    try:
        return parse_duration(written) > LONGEST
    except DurationUnclear:
        return False  # the schema has said so


STEP = Http()
