"""Notifications by e-mail: from the evaluated config to a message, and from the delivery to an outcome."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from weft.core.errors import Issue, WeftError
from weft.core.ports import Email, Mailbox, MailDelivery, MailError, RecipientRefused
from weft.domain.identity.addresses import normal_email
from weft.domain.workflows.kinds import Where
from weft.engine.kinds import Call, Ports
from weft.engine.outcomes import Done, Failed, Outcome
from weft.engine.steps.base import ConfigWrong
from weft.engine.steps.notification_config import MOST_RECIPIENTS, message_id, message_of
from weft.engine.steps.values import is_expression, wrong

LONGEST_SUBJECT: Final = 500
LONGEST_NAME: Final = 200

_MAILBOX: Final = re.compile(r'\s*(?:"?(?P<name>[^<>"]*?)"?\s*<(?P<address>[^<>\s]+)>|(?P<bare>[^<>\s,;"]+))\s*')
_PART: Final = re.compile(r'(?:"[^"]*"|[^,])+')
"""One of several addresses: a comma within a quoted name, as in `"Lovelace, Ada" <ada@example.com>`, parts nothing."""
_RECIPIENTS: Final = ("to", "cc", "bcc")
_FIELDS: Final = (*_RECIPIENTS, "reply_to")


class AddressWrong(ValueError):
    """`str` is a sentence without the field's name."""


async def send(call: Call, config: Mapping[str, Any], ports: Ports) -> Outcome:
    """Raises `ConfigWrong`."""
    message = await message_of(call, config, ports)
    boxes = {name: _boxes(config, name) for name in _FIELDS}
    if not boxes["to"]:
        raise wrong("to", "at least one address", None)
    email = Email(
        message_id=_identity(call),
        at=call.now,
        subject=_one_line(message.subject),
        text=message.text,
        html=message.html,
        **boxes,
    )
    if len(email.recipients) > MOST_RECIPIENTS:
        raise ConfigWrong(f"There are {len(email.recipients)} recipients; one message may have {MOST_RECIPIENTS}.")
    if ports.mail is None:
        return Failed(
            "mail_unconfigured",
            "This installation has no mail server. Its operator sets WEFT_SMTP_HOST and WEFT_SMTP_SENDER, and restarts "
            "the worker.",
            retryable=False,
        )
    try:
        delivery = await ports.mail.send(email)
    except MailError as error:
        data = {"refused": _refused(error.refused)} if error.refused else None
        return Failed(error.kind, error.message, retryable=error.retryable, data=data)
    return _sent(call, email, delivery)


def rehearsed(call: Call, config: Mapping[str, Any]) -> Done:
    """As if the mail server had taken it for everybody whose address is known; one that is a secret is not."""
    accepted: dict[str, None] = {}
    for name in _RECIPIENTS:
        value = config.get(name)
        for part in value if isinstance(value, (list, tuple)) else [value]:
            for one in _split(part) if isinstance(part, str) else ():
                with suppress(AddressWrong):
                    accepted[mailbox(one).address] = None
    return Done(_output(call, MailDelivery(tuple(accepted))))


def _sent(call: Call, email: Email, delivery: MailDelivery) -> Done:
    message = f"The mail server took the message for {len(delivery.accepted)} of {len(email.recipients)} recipients"
    return Done(_output(call, delivery), message=message)


def _output(call: Call, delivery: MailDelivery) -> dict[str, Any]:
    return {
        "channel": "email",
        "message_id": _identity(call),
        "accepted": list(delivery.accepted),
        "refused": _refused(delivery.refused),
    }


def _identity(call: Call) -> str:
    return f"<{message_id(call)}@weft>"


def _refused(refused: Sequence[RecipientRefused]) -> list[dict[str, Any]]:
    return [{"address": one.address, "code": one.code, "message": one.message} for one in refused]


def _boxes(config: Mapping[str, Any], name: str) -> tuple[Mailbox, ...]:
    value = config.get(name)
    if value is None:
        return ()
    parts = value if isinstance(value, (list, tuple)) else [value]
    if len(parts) > MOST_RECIPIENTS or not all(isinstance(part, str) for part in parts):
        raise wrong(name, f"an address, or a list of at most {MOST_RECIPIENTS}", value)
    try:
        return tuple(mailbox(one) for part in parts for one in _split(part))
    except AddressWrong as fault:
        raise ConfigWrong(f"config.{name}: {fault}") from fault


def _split(text: str) -> list[str]:
    return [part for part in _PART.findall(text) if part.strip()]


def mailbox(text: str) -> Mailbox:
    """`ada@example.com` or `Ada Lovelace <ada@example.com>`. Raises `AddressWrong`."""
    # A line's end would let an address write headers of its own.
    found = _MAILBOX.fullmatch(text) if text.isprintable() and len(text) <= 500 else None
    if found is None:
        raise AddressWrong(f"'{text[:60]}' is no address such as ada@example.com or Ada <ada@example.com>.")
    try:
        local, _, domain = normal_email(found["address"] or found["bare"]).rpartition("@")
        ascii_domain = domain.encode("idna").decode("ascii")
    except (WeftError, UnicodeError):
        raise AddressWrong(f"'{text[:60]}' is no valid e-mail address.") from None
    if not local.isascii():
        raise AddressWrong(f"'{text[:60]}' has letters before the @ that many mail servers do not take.")
    return Mailbox(f"{local}@{ascii_domain}", (found["name"] or "").strip()[:LONGEST_NAME])


def _one_line(subject: str) -> str:
    if not subject.strip():
        raise wrong("subject", "one line of text", subject or None)
    if len(subject) > LONGEST_SUBJECT or not subject.strip().isprintable():
        raise ConfigWrong(f"config.subject must be one line of at most {LONGEST_SUBJECT} characters.")
    return subject.strip()


def address_issues(config: Mapping[str, Any], where: Where) -> list[Issue]:
    """Addresses that are written out and cannot be right."""
    issues: list[Issue] = []
    for name in _FIELDS:
        value = config.get(name)
        parts = value if isinstance(value, list) else [value]
        for index, part in enumerate(parts):
            if isinstance(part, str) and not is_expression(part):
                at = (*where, name, index) if isinstance(value, list) else (*where, name)
                issues += _faults(part, at)
    return issues


def _faults(text: str, at: Where) -> list[Issue]:
    try:
        for one in _split(text):
            mailbox(one)
    except AddressWrong as fault:
        return [Issue(str(fault), at, "config_invalid")]
    return []
