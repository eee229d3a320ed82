"""`notification`: tell somebody, by mail, by a signed webhook, or in a chat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from weft.core.errors import Issue
from weft.domain.workflows.kinds import Where
from weft.engine.kinds import Call, Ports
from weft.engine.outcomes import Done, Outcome
from weft.engine.steps import notification_email, notification_http
from weft.engine.steps.base import ErrandStep, config_of
from weft.engine.steps.http_request import SCALAR, host_of, url_fault
from weft.engine.steps.notification_config import CHANNELS, MOST_RECIPIENTS, SYNONYMS, channel_of, straightened
from weft.engine.steps.values import DURATION, is_expression, wrong

_ADDRESSES: Final[dict[str, Any]] = {
    "oneOf": [
        {"type": "string", "minLength": 1, "maxLength": 5000},
        {"type": "array", "minItems": 1, "maxItems": MOST_RECIPIENTS, "items": {"type": "string", "maxLength": 500}},
    ],
}

_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "email": frozenset({"to", "cc", "bcc", "reply_to", "subject", "text", "html"})
    | {"template", "template_version", "data"},
    "webhook": frozenset({"url", "secret", "event", "data", "headers", "timeout"}),
    "chat": frozenset({"url", "text", "extra", "timeout", "template", "template_version", "data"}),
}
_EVERYWHERE: Final = frozenset({"channel", "idempotent"})
_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {"email": ("to",), "webhook": ("url", "secret"), "chat": ("url",)}


class Notification(ErrandStep):
    name = "notification"
    title = "Notification"
    description = "Tells somebody something: by e-mail, by a signed webhook, or in a chat."
    may_use_secrets = True
    config_schema = config_of(
        {
            "channel": {
                "type": "string",
                "enum": list(CHANNELS),
                "description": "The way: `email`, `webhook` (a signed message to a program) or `chat` (an incoming "
                "webhook of Slack, Mattermost and others).",
            },
            "to": {**_ADDRESSES, "description": "E-mail: who gets it; one address, several with commas, or a list."},
            "cc": {**_ADDRESSES, "description": "E-mail: who gets a copy."},
            "bcc": {**_ADDRESSES, "description": "E-mail: who gets a copy that nobody else sees."},
            "reply_to": {**_ADDRESSES, "description": "E-mail: where answers go, instead of to the sender."},
            "subject": {"type": "string", "maxLength": 500, "description": "E-mail: the subject, one line."},
            "text": {"type": "string", "description": "E-mail and chat: the message as plain text."},
            "html": {"type": "string", "description": "E-mail: the message as HTML, beside the text."},
            "template": {
                "type": "string",
                "minLength": 1,
                "maxLength": 100,
                "description": "E-mail and chat: a message template instead of subject, text and HTML.",
            },
            "template_version": {
                "type": "integer",
                "minimum": 1,
                "description": "Which version of the template; by itself the newest.",
            },
            "data": {
                "type": "object",
                "description": "What the template reads as `data`, or what the webhook's message holds.",
            },
            "url": {
                "type": "string",
                "minLength": 1,
                "maxLength": 8192,
                "description": "Webhook and chat: where to. A chat's address is a key: write `secret://name`.",
            },
            "secret": {
                "type": "string",
                "minLength": 1,
                "description": "Webhook: the signing secret, `whsec_…`; usually `secret://name`.",
            },
            "event": {
                "type": "string",
                "minLength": 1,
                "maxLength": 200,
                "default": "notification",
                "description": "Webhook: the message's `type`.",
            },
            "headers": {
                "type": "object",
                "maxProperties": 50,
                "additionalProperties": {"type": SCALAR},
                "description": "Webhook: further request headers.",
            },
            "extra": {
                "type": "object",
                "description": "Chat: further fields of the message, such as `channel` or `attachments`.",
            },
            "timeout": {
                **DURATION,
                "description": "Webhook and chat: how long the call may take; by itself 30 seconds.",
            },
            "idempotent": {
                "type": "boolean",
                "default": True,
                "description": "Whether it may be sent again, under the same message id, when the worker dies before "
                "it knows that it was sent. If not, the attempt fails as `interrupted`.",
            },
            "notificationType": {"type": "string", "description": "Another word for `channel`."},
            "recipients": {**_ADDRESSES, "description": "Another word for `to`."},
        },
    )
    outputs_schema: Mapping[str, Any] | None = {
        "type": "object",
        "required": ["channel", "message_id"],
        "properties": {
            "channel": {"type": "string", "description": "The way that was taken."},
            "message_id": {"type": "string", "description": "The message's id: the same whenever it is sent again."},
            "accepted": {"type": "array", "description": "E-mail: addresses that the server has taken it for."},
            "refused": {"type": "array", "description": "E-mail: addresses that it has not, with its code and reason."},
            "status": {"type": "integer", "description": "Webhook and chat: the answer's status."},
        },
    }

    def idempotent(self, config: Mapping[str, Any]) -> bool:
        return config.get("idempotent", True) is True

    def host(self, config: Mapping[str, Any]) -> str | None:
        """Of webhook and chat; mail goes through the operator's own server."""
        return host_of(config.get("url"))

    def check(self, config: Mapping[str, Any], where: Where = ()) -> list[Issue]:
        issues = [
            Issue(f"`{other}` is another word for `{word}`. Keep one of them.", (*where, other), "config_invalid")
            for other, word in SYNONYMS.items()
            if other in config and word in config
        ]
        if issues:
            return issues
        straight = straightened(config)
        channel = straight.get("channel")
        if channel is None:
            return [Issue(f"The config lacks `channel`: one of {', '.join(CHANNELS)}. Add it.", where, "field_missing")]
        if is_expression(channel):
            return []
        if channel not in CHANNELS:
            sentence = f"The channel must be one of {', '.join(CHANNELS)}."
            return [Issue(sentence, (*where, "channel"), "config_invalid")]
        return [*_field_issues(channel, straight, where), *_value_issues(channel, straight, where)]

    async def call(self, call: Call, ports: Ports) -> Outcome:
        config = straightened(call.config)
        match channel_of(config):
            case "email":
                return await notification_email.send(call, config, ports)
            case "webhook":
                return await notification_http.send_webhook(call, config, ports)
            case "chat":
                return await notification_http.send_chat(call, config, ports)
            case other:
                raise wrong("channel", f"one of {', '.join(CHANNELS)}", other)

    def rehearse(self, call: Call, draws: object) -> Done:
        """As if it had been sent: the server took it for everybody, or the other side answered with 200."""
        del draws
        config = straightened(call.config)
        match channel_of(config):
            case "email":
                return notification_email.rehearsed(call, config)
            case "webhook" | "chat" as channel:
                return notification_http.sent(call, channel, 200)
            case other:
                raise wrong("channel", f"one of {', '.join(CHANNELS)}", other)


def _field_issues(channel: str, config: Mapping[str, Any], where: Where) -> list[Issue]:
    unused = sorted(config.keys() - _FIELDS[channel] - _EVERYWHERE)
    issues = [
        Issue(f"`{name}` means nothing for the channel {channel}. Remove it.", (*where, name), "field_unknown")
        for name in unused
    ]
    issues += [
        Issue(f"The channel {channel} needs `{name}`. Add it.", where, "field_missing")
        for name in _NEEDED[channel]
        if name not in config
    ]
    return issues


def _value_issues(channel: str, config: Mapping[str, Any], where: Where) -> list[Issue]:
    issues: list[Issue] = []
    if channel == "webhook":
        return _url_issues(config, where)
    if "template" in config:
        for name in ("subject", "text", "html"):
            if name in config:
                sentence = f"`{name}` comes from the template. Remove one of them."
                issues.append(Issue(sentence, (*where, name), "config_invalid"))
    else:
        needed = ("subject", "text") if channel == "email" else ("text",)
        issues += [
            Issue(f"The message lacks `{name}`. Add it, or name a `template`.", where, "field_missing")
            for name in needed
            if name not in config
        ]
    if channel == "email":
        issues += notification_email.address_issues(config, where)
    return issues + _url_issues(config, where)


def _url_issues(config: Mapping[str, Any], where: Where) -> list[Issue]:
    url = config.get("url")
    fault = url_fault(url) if isinstance(url, str) and not is_expression(url) else None
    return [Issue(f"The address {fault}.", (*where, "url"), "config_invalid")] if fault is not None else []


STEP = Notification()
