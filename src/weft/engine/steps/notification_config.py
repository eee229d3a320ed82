"""What the channels of `notification` have in common: other words for fields, templates, the message's id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from weft.core.ports import RenderedMessage, TemplateError
from weft.engine.kinds import Call, Ports
from weft.engine.outcomes import Failed
from weft.engine.steps.base import ConfigWrong
from weft.engine.steps.values import integer, mapping, text

CHANNELS: Final = ("email", "webhook", "chat")
MOST_RECIPIENTS: Final = 50
LARGEST_TEXT: Final = 256_000
"""Characters of a message's text, and of its HTML."""

SYNONYMS: Final[Mapping[str, str]] = {"notificationType": "channel", "recipients": "to"}
"""Words of the workflow configuration platform's documents, and ours."""

_CHANNEL_WORDS: Final = {"mail": "email", "e-mail": "email", "slack": "chat", "mattermost": "chat"}


class TemplateWrong(ConfigWrong):
    """A template that is not there, or does not work out: a failure with a kind of its own."""

    def __init__(self, error: TemplateError) -> None:
        super().__init__(error.message)
        self.failed = Failed(error.kind, error.message, retryable=False)


def straightened(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config in our words."""
    straight = {SYNONYMS.get(name, name): value for name, value in config.items()}
    channel = straight.get("channel")
    if isinstance(channel, str):
        lower = channel.strip().lower()
        straight["channel"] = _CHANNEL_WORDS.get(lower, lower)
    return straight


def channel_of(config: Mapping[str, Any]) -> str:
    return text(config, "channel")


def message_id(call: Call) -> str:
    """Names the message, not the attempt: whoever gets it twice, after a retry or a crash, can tell."""
    return f"{call.execution_id}.{call.step.replace('.', '-')}.{call.visit}"


async def message_of(call: Call, config: Mapping[str, Any], ports: Ports) -> RenderedMessage:
    """Subject, text and HTML: the step's own, or those of its template. Raises `ConfigWrong`."""
    name = config.get("template")
    if name is None:
        html = text(config, "html") if config.get("html") is not None else None
        return _bounded(RenderedMessage(0, text(config, "subject", ""), text(config, "text"), html))
    if ports.templates is None:
        raise ConfigWrong("config.template: this process knows no message templates.")
    version = integer(config, "template_version", default=None, low=1, high=2**31 - 1)
    try:
        rendered = await ports.templates.render(
            call.tenant_id, text(config, "template"), version, mapping(config, "data")
        )
    except TemplateError as error:
        raise TemplateWrong(error) from error
    return _bounded(rendered)


def _bounded(message: RenderedMessage) -> RenderedMessage:
    for name, value in (("text", message.text), ("html", message.html or "")):
        if len(value) > LARGEST_TEXT:
            raise ConfigWrong(f"The message's {name} has {len(value):,} characters; {LARGEST_TEXT:,} may be sent.")
    return message
