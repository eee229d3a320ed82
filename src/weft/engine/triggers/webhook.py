"""`POST /hooks/{token}`: what another system sends starts a workflow.

A plain route without sessions, cookies or permissions: the token in the address is the credential, the signature (if
the trigger wants one) proves the content. Wrong, unknown, disabled and foreign tokens get one and the same answer, so
that nobody learns which of them there are. The token itself is never logged and never repeated in an answer: problem
documents leave out what follows `/hooks` (`weft.http.problems`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import msgspec
import structlog
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from weft.core.actor import Actor, system_actor
from weft.core.errors import Conflict, Invalid, WeftError
from weft.db.hot import transaction
from weft.domain.workflows import tokens
from weft.domain.workflows.errors import WebhookUnknown
from weft.engine import repeated
from weft.engine.process import EngineProcess
from weft.engine.routes import ENGINE, until_left
from weft.engine.start_errors import IdempotencyKeyReused, TriggerChanged, WorkflowNotActive, WorkflowUnknown
from weft.engine.start_requests import StartRequest, StartResult
from weft.engine.triggers import content, signatures
from weft.engine.triggers.lookup import Hook
from weft.engine.waiting import FINAL, LONGEST, start_and_wait
from weft.http.problems import of_error, of_protocol, problem
from weft.http.refusals import DATABASE_ERRORS, refusal
from weft.http.state import facts_of
from weft.interpreter.state import Status

log = structlog.get_logger("weft.hooks")

PATH: Final = "/hooks/{token}"
_JSON: Final = "application/json"

_UPSTREAM: Final = frozenset(
    {"timeout", "connection", "dns", "tls", "protocol", "redirect", "rate_limit", "http_4xx", "http_5xx",
     "response_invalid", "interrupted", "sub_workflow"}
)  # fmt: skip
"""Kinds of failure that somebody behind the workflow caused: 502 instead of 422."""


class WorkflowAtRest(Conflict):
    """The same for every workflow: its name is nobody's business."""

    code = "workflow_at_rest"

    def __init__(self) -> None:
        super().__init__("The workflow behind this address is not active, and nothing was started. Try again later.")


class ExecutionFailed(Invalid):
    """What a synchronous caller hears. Somebody else's failure makes it 502 instead of 422.

    Only a `fail` step's words are meant for others; anything else might tell them about the inside.
    """

    code = "execution_failed"

    def __init__(self, result: StartResult) -> None:
        error = result.error or {}
        if error.get("kind") == "fail":
            super().__init__(f"{error.get('message')} (execution {result.id})")
        else:
            how = "was cancelled" if result.status == Status.cancelled else "failed"
            super().__init__(f"The execution {result.id} {how}. Whoever runs the workflow can see why.")


async def receive(request: Request) -> Response:
    """Check, start, answer."""
    try:
        return await _Delivery(ENGINE.of(request), request).answer()
    except content.BodyTooLarge:
        return of_protocol(request, "body_oversized")
    except WeftError as error:
        log.info("webhook refused", code=error.code)
        return of_error(request, error)
    except DATABASE_ERRORS as error:
        refused = refusal(error)
        if refused is None:
            raise
        return of_error(request, refused)


class _Delivery:
    """One request, until it is answered."""

    def __init__(self, engine: EngineProcess, request: Request) -> None:
        self._engine = engine
        self._request = request

    async def answer(self) -> Response:
        token = tokens.parse(self._request.path_params["token"])
        hook = self._engine.triggers.known(token.tenant_id, token.trigger_id)
        if hook is None or not hook.opens(token, self._engine.driver.clock()):
            hook = await self._read(token)
        body = await content.read_body(self._request)
        try:
            return await self._start(hook, body)
        except (TriggerChanged, signatures.SignatureRefused):
            # What we knew of the trigger may be out of date: its secret, its configuration, whether it is enabled.
            fresh = await self._read(token)
            if fresh.row_version == hook.row_version:
                raise
            return await self._start(fresh, body)

    async def _read(self, token: tokens.WebhookToken) -> Hook:
        hook = await self._engine.triggers.read(token.tenant_id, token.trigger_id)
        if hook is None or not hook.opens(token, self._engine.driver.clock()):
            raise WebhookUnknown
        return hook

    async def _start(self, hook: Hook, body: bytes) -> Response:
        """Raises `TriggerChanged` when the trigger is no longer as `hook` says."""
        headers, now = self._request.headers, self._engine.driver.clock()
        _verify(hook, headers, body, now)
        wanted = StartRequest(
            workflow=hook.workflow_id,
            input=await content.input_of(hook, self._request, body, self._engine.guard, now),
            metadata=content.kept(hook, self._request, body),
            idempotency_key=content.delivery_key(hook, headers),
            trigger="WEBHOOK",
            trigger_id=hook.id,
            trigger_version=hook.row_version,
        )
        result = await self._submit(hook, wanted)
        log.info("webhook", trigger=str(hook.id), execution=str(result.id), created=result.created)
        return self._outcome(result) if hook.is_answered else _accepted(result)

    async def _submit(self, hook: Hook, wanted: StartRequest) -> StartResult:
        engine, actor = self._engine, self._actor(hook)
        try:
            if not hook.is_answered:
                return await engine.starter.submit(actor, wanted)
            return await start_and_wait(
                engine.starter,
                engine.waiters,
                engine.database,
                actor,
                wanted,
                seconds=min(hook.wait_seconds, LONGEST),
                left=lambda: until_left(self._request),
            )
        except IdempotencyKeyReused:
            # A sender's second attempt may differ from its first (a time, a header): it is the same delivery.
            return await self._earlier(hook, actor, wanted)
        except WorkflowUnknown:
            raise WebhookUnknown from None
        except WorkflowNotActive:
            raise WorkflowAtRest from None

    async def _earlier(self, hook: Hook, actor: Actor, wanted: StartRequest) -> StartResult:
        async with transaction(self._engine.database, actor, read_only=True) as connection:
            row = await repeated.earlier(connection, actor.tenant_id, hook.workflow_id, wanted)
        if row is None:  # removed, or its workflow stopped, since the starter saw it
            raise TriggerChanged
        return await repeated.result(self._engine.driver.evaluator.payloads, actor.tenant_id, row)

    def _actor(self, hook: Hook) -> Actor:
        facts = facts_of(self._request)
        name = f"webhook {hook.name}".rstrip()
        actor = system_actor(hook.tenant_id, name, facts.correlation_id)
        return replace(actor, ip=facts.ip, user_agent=facts.user_agent)

    def _outcome(self, result: StartResult) -> Response:
        """What the execution gave; 202 when it goes on."""
        if result.status == Status.completed:
            return _json(result.output, 200, result)
        if result.status not in FINAL:
            return _accepted(result)
        kind = (result.error or {}).get("kind")
        failed = ExecutionFailed(result)
        status = 502 if kind in _UPSTREAM else 422
        return problem(self._request, status, failed.code, failed.message, headers=_headers(result))


def _verify(hook: Hook, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
    """Return if the message is signed with a secret of the webhook, over the bytes as they came."""
    if hook.verify == "none":
        return
    *others, last = hook.secrets(now)
    for secret in others:
        try:
            signatures.verify(hook.verify, secret, headers, body, now, tolerance=hook.tolerance)
        except signatures.SignatureWrong:
            continue  # signed with the secret before, perhaps
        return
    signatures.verify(hook.verify, last, headers, body, now, tolerance=hook.tolerance)


def _accepted(result: StartResult) -> Response:
    """It is stored and will run; a delivery that was there before is told so."""
    answer = {"execution_id": str(result.id), "number": result.number, "status": result.status}
    return _json(answer, 202, result)


def _headers(result: StartResult) -> Mapping[str, str]:
    headers = {"Weft-Execution-Id": str(result.id)}
    if not result.created:
        headers["Idempotency-Replayed"] = "true"
    return headers


def _json(value: Any, status: int, result: StartResult) -> Response:
    return Response(msgspec.json.encode(value), status, _headers(result), _JSON)


router = APIRouter(routes=[Route(PATH, receive, methods=["POST"], name="receive_webhook")])
