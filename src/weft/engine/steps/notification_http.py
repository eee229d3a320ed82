"""Notifications over HTTP: messages signed as Standard Webhooks has it, and incoming webhooks of chats."""

from __future__ import annotations

import binascii
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from weft.core.ports import HttpError, HttpRequest
from weft.domain.workflows import tokens
from weft.engine.kinds import Call, Ports
from weft.engine.outcomes import Done, Failed, Outcome
from weft.engine.steps.base import ConfigWrong
from weft.engine.steps.http_answer import judge
from weft.engine.steps.http_request import request_of
from weft.engine.steps.notification_config import message_id, message_of
from weft.engine.steps.values import mapping, text
from weft.engine.triggers import signatures

LONGEST: Final = 60.0
LARGEST_ANSWER: Final = 100_000
SHORTEST_KEY: Final = 16
"""Bytes of a signing secret; Standard Webhooks recommends 24 to 64."""


async def send_webhook(call: Call, config: Mapping[str, Any], ports: Ports) -> Outcome:
    """Raises `ConfigWrong`."""
    key = _signing_key(text(config, "secret"))
    body = {
        "type": text(config, "event", "notification"),
        "timestamp": call.now.isoformat(),
        "data": mapping(config, "data"),
    }
    request = _request(call, config, body)
    # Signed are the very bytes that are sent.
    signed = signatures.sign_standard(key, _identity(call), call.now, request.body or b"")
    headers = {name: value for name, value in request.headers.items() if name.lower() not in signed}
    return await _post(call, "webhook", replace(request, headers={**headers, **signed}), ports)


async def send_chat(call: Call, config: Mapping[str, Any], ports: Ports) -> Outcome:
    """Raises `ConfigWrong`."""
    message = await message_of(call, config, ports)
    body = {**mapping(config, "extra"), "text": message.text}
    return await _post(call, "chat", _request(call, config, body), ports)


def _request(call: Call, config: Mapping[str, Any], body: Mapping[str, Any]) -> HttpRequest:
    """As the `http` step would make it: the same checks of address, headers and time."""
    asked: dict[str, Any] = {"method": "POST", "follow_redirects": False, "max_bytes": LARGEST_ANSWER}
    asked["body"] = json.loads(_written(body))
    asked |= {name: config[name] for name in ("url", "headers", "timeout") if config.get(name) is not None}
    return request_of(replace(call, config=asked), longest=LONGEST, largest=LARGEST_ANSWER)


def _written(body: Mapping[str, Any]) -> str:
    try:
        return json.dumps(body, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigWrong("config.data cannot be written as JSON.") from error


async def _post(call: Call, channel: str, request: HttpRequest, ports: Ports) -> Outcome:
    try:
        response = await ports.http.send(request)
    except HttpError as error:
        return Failed(error.kind, error.message, retryable=error.retryable)
    outcome = judge(replace(call, config={"response": "none"}), request, response)
    if not isinstance(outcome, Done):
        return outcome
    return replace(sent(call, channel, response.status), message=outcome.message)


def sent(call: Call, channel: str, status: int) -> Done:
    """The outcome of a message that was taken."""
    return Done({"channel": channel, "message_id": _identity(call), "status": status})


def _identity(call: Call) -> str:
    """Without full stops: one of them ends the id in what is signed."""
    return message_id(call).replace(".", "_")


def _signing_key(written: str) -> bytes:
    try:
        key = tokens.read_signing_secret(written.strip())
    except (ValueError, binascii.Error):
        key = b""
    if len(key) < SHORTEST_KEY:
        # The value itself stays out of the sentence.
        raise ConfigWrong("config.secret must be a signing secret as `whsec_` and base64 of 24 to 64 random bytes.")
    return key
