"""The `notification` step: what is sent by each channel, and what is refused before anything is sent."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from tests.engine.steps.calls import EXECUTION, FakeHttp, answer_of, call_of

from weft.core.ports import (
    Email,
    HttpError,
    Mailbox,
    MailDelivery,
    MailError,
    RecipientRefused,
    RenderedMessage,
    TemplateError,
)
from weft.domain.workflows.validation import config_issues
from weft.engine.kinds import Ports
from weft.engine.outcomes import Done, Failed
from weft.engine.steps.notification import STEP

KEY = base64.b64encode(bytes(range(32))).decode()
EMAIL = {"channel": "email", "to": "ada@example.com", "subject": "Hello", "text": "Dear Ada"}
WEBHOOK = {"channel": "webhook", "url": "https://api.test/hook", "secret": f"whsec_{KEY}", "data": {"amount": 7}}
CHAT = {"channel": "chat", "url": "https://chat.test/hooks/x", "text": "Deployed"}


@dataclass
class FakeMail:
    answer: MailDelivery | MailError | None = None
    sent: list[Email] = field(default_factory=list)

    async def send(self, email: Email) -> MailDelivery:
        self.sent.append(email)
        if isinstance(self.answer, MailError):
            raise self.answer
        return self.answer or MailDelivery(tuple(email.recipients))


@dataclass
class FakeTemplates:
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    async def render(self, tenant_id: UUID, name: str, version: int | None, data: Any) -> RenderedMessage:
        self.asked.append((name, version, data))
        if name == "missing":
            raise TemplateError("template_missing", "There is no such template.")
        return RenderedMessage(3, f"Welcome {data['name']}", "text", "<p>html</p>")


@dataclass
class World:
    http: FakeHttp = field(default_factory=FakeHttp)
    mail: FakeMail = field(default_factory=FakeMail)
    templates: FakeTemplates = field(default_factory=FakeTemplates)

    async def perform(self, config: dict[str, Any], **more: Any) -> Any:
        ports = Ports(http=self.http, mail=self.mail, templates=self.templates)
        return await STEP.perform(call_of(config, **more), ports)


@pytest.fixture
def world() -> World:
    return World()


# E-mail


async def test_an_email_with_everything(world: World) -> None:
    config = {
        **EMAIL,
        "to": ["Ada Lovelace <ada@example.com>", "bob@example.com, eve@bücher.example"],
        "cc": "Cy <cy@example.com>",
        "bcc": ["dan@example.com"],
        "reply_to": "office@example.com",
        "html": "<b>Dear Ada</b>",
    }
    outcome = await world.perform(config)
    (email,) = world.mail.sent
    assert email.to == (
        Mailbox("ada@example.com", "Ada Lovelace"),
        Mailbox("bob@example.com"),
        Mailbox("eve@xn--bcher-kva.example"),
    )
    assert (email.cc, email.bcc) == ((Mailbox("cy@example.com", "Cy"),), (Mailbox("dan@example.com"),))
    assert (email.subject, email.text, email.html) == ("Hello", "Dear Ada", "<b>Dear Ada</b>")
    assert email.message_id == f"<{EXECUTION}.lines-pay.4@weft>"
    assert isinstance(outcome, Done)
    assert outcome.output["accepted"] == email.recipients
    assert outcome.output["refused"] == []
    assert outcome.message == "The mail server took the message for 5 of 5 recipients"


async def test_a_comma_in_a_quoted_name_parts_nothing(world: World) -> None:
    await world.perform({**EMAIL, "to": '"Lovelace, Ada" <ada@example.com>, bob@example.com'})
    assert world.mail.sent[0].to == (Mailbox("ada@example.com", "Lovelace, Ada"), Mailbox("bob@example.com"))


async def test_the_words_of_the_other_systems_document(world: World) -> None:
    config = {"notificationType": "email", "template": "welcome_email", "recipients": ["user@example.com"]}
    assert config_issues(STEP, config, ()) == []
    assert STEP.check(config) == []
    assert isinstance(await world.perform({**config, "data": {"name": "Ada"}}), Done)
    assert world.mail.sent[0].subject == "Welcome Ada"
    assert world.mail.sent[0].html == "<p>html</p>"
    assert world.templates.asked == [("welcome_email", None, {"name": "Ada"})]


async def test_a_message_keeps_its_id_in_every_attempt(world: World) -> None:
    for attempt in (1, 2):
        call = replace(call_of(dict(EMAIL)), attempt=attempt)
        await STEP.perform(call, Ports(http=world.http, mail=world.mail))
    assert len({email.message_id for email in world.mail.sent}) == 1


async def test_partly_refused_is_reported_and_wholly_refused_is_a_failure(world: World) -> None:
    refused = (RecipientRefused("bob@example.com", 550, "No such mailbox"),)
    world.mail.answer = MailDelivery(("ada@example.com",), refused)
    done = await world.perform({**EMAIL, "to": "ada@example.com, bob@example.com"})
    said = [{"address": "bob@example.com", "code": 550, "message": "No such mailbox"}]
    assert done.output["refused"] == said
    world.mail.answer = MailError("smtp_5xx", "Nobody.", retryable=False, refused=refused)
    failed = await world.perform(EMAIL)
    assert failed == Failed("smtp_5xx", "Nobody.", retryable=False, data={"refused": said})


async def test_without_a_mail_server_the_operator_is_told(world: World) -> None:
    failed = await STEP.perform(call_of(dict(EMAIL)), Ports(http=world.http))
    assert isinstance(failed, Failed)
    assert (failed.kind, failed.retryable) == ("mail_unconfigured", False)
    assert "WEFT_SMTP_HOST" in failed.message


@pytest.mark.parametrize(
    "change",
    [
        {"to": "ada@example.com\r\nBcc: victim@example.com"},
        {"to": "Ada\nBcc: victim@example.com <ada@example.com>"},
        {"to": ["ada@example.com\0"]},
        {"to": "nobody"},
        {"to": "a@b"},
        {"to": "<ada@example.com"},
        {"to": "ada@example.com;bob@example.com"},
        {"to": "ädä@example.com"},
        {"to": [7]},
        {"to": []},
        {"to": None},
        {"to": [f"a{n}@example.com" for n in range(51)]},
        {"to": ",".join(f"a{n}@example.com" for n in range(51))},
        {"cc": "x\u2028@example.com"},
        {"subject": "Hello\r\nBcc: victim@example.com"},
        {"subject": "Hello\u2028Bcc: x"},
        {"subject": ""},
        {"subject": "x" * 501},
        {"subject": None},
        {"text": "x" * 256_001},
        {"html": "x" * 256_001},
        {"text": 7},
        {"template": "missing", "data": {}},
        {"template": "welcome", "data": []},
        {"channel": "pigeon"},
    ],
)
async def test_what_cannot_be_sent_is_not(world: World, change: dict[str, Any]) -> None:
    failed = await world.perform({**EMAIL, **change})
    assert isinstance(failed, Failed), change
    assert failed.kind in ("invalid", "template_missing")
    assert failed.retryable is False
    assert world.mail.sent == []


# Signed webhooks


async def test_a_webhook_is_signed_as_the_standard_has_it(world: World) -> None:
    now = datetime.now(UTC)  # the oracle looks at the clock
    outcome = await world.perform({**WEBHOOK, "event": "invoice.paid", "headers": {"X-Team": "a"}}, now=now)
    (request,) = world.http.sent
    assert (request.method, request.follow_redirects) == ("POST", False)
    assert request.body is not None
    headers = {name.lower(): value for name, value in request.headers.items()}
    said: Any = Webhook(KEY).verify(request.body, headers)
    assert said == {"type": "invoice.paid", "timestamp": now.isoformat(), "data": {"amount": 7}}
    assert headers["x-team"] == "a"
    assert headers["webhook-id"] == outcome.output["message_id"] == f"{EXECUTION}_lines-pay_4"
    assert outcome.output["status"] == 200
    with pytest.raises(WebhookVerificationError):
        Webhook(KEY).verify(request.body + b" ", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(base64.b64encode(bytes(32)).decode()).verify(request.body, headers)


async def test_an_author_cannot_write_the_signature_himself(world: World) -> None:
    await world.perform({**WEBHOOK, "headers": {"Webhook-Id": "mine", "WEBHOOK-SIGNATURE": "v1,mine"}})
    names = [name.lower() for name in world.http.sent[0].headers]
    assert len(names) == len(set(names))
    assert "mine" not in "".join(world.http.sent[0].headers.values())


@pytest.mark.parametrize("secret", ["whsec_", "whsec_not base64!", "whsec_YWJj", "plain", "", 7])
async def test_a_wrong_signing_secret_is_not_repeated(world: World, secret: Any) -> None:
    failed = await world.perform({**WEBHOOK, "secret": secret})
    assert failed.kind == "invalid"
    assert world.http.sent == []
    assert "base64!" not in failed.message


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [(500, "http_5xx", True), (404, "http_4xx", False), (302, "http_3xx", False), (429, "rate_limit", True)],
)
async def test_answers_become_outcomes(world: World, status: int, kind: str, retryable: bool) -> None:
    world.http.answer = answer_of(status, b"no", location="https://elsewhere.test")
    for config in (WEBHOOK, CHAT):
        failed = await world.perform(config)
        assert (failed.kind, failed.retryable) == (kind, retryable)


async def test_errors_of_the_client_become_failures(world: World) -> None:
    world.http.answer = HttpError("blocked", "Not there.", retryable=False)
    assert await world.perform(CHAT) == Failed("blocked", "Not there.", retryable=False)


# Chats


async def test_a_chat_gets_its_text_and_more(world: World) -> None:
    outcome = await world.perform({**CHAT, "extra": {"channel": "#ops", "text": "hidden"}})
    (request,) = world.http.sent
    assert json.loads(request.body or b"") == {"channel": "#ops", "text": "Deployed"}
    assert request.headers["Content-Type"] == "application/json"
    assert outcome.output["channel"] == "chat"
    await world.perform({"channel": "slack", "url": CHAT["url"], "template": "t", "data": {"name": "A"}})
    assert json.loads(world.http.sent[1].body or b"") == {"text": "text"}


# The check at save


def check(config: dict[str, Any]) -> list[str]:
    return [issue.message for issue in STEP.check(config, ("config",))]


@pytest.mark.parametrize(
    "config",
    [
        EMAIL,
        WEBHOOK,
        CHAT,
        {**CHAT, "url": "secret://chat"},
        {**WEBHOOK, "secret": "secret://hook", "url": "{{ input.url }}"},
        {**EMAIL, "to": "{{ input.to }}", "cc": ["{{ input.cc }}", "ada@example.com"]},
        {"channel": "{{ input.channel }}"},
        {"channel": "email", "to": "a@example.com", "template": "t", "template_version": 2, "data": {"a": 1}},
        {"notificationType": "Email", "recipients": "a@example.com", "subject": "s", "text": "t", "idempotent": False},
    ],
)
def test_sound_configs(config: dict[str, Any]) -> None:
    assert config_issues(STEP, config, ()) == []
    assert check(config) == []


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "lacks `channel`"),
        ({**EMAIL, "channel": "pigeon"}, "must be one of"),
        ({**EMAIL, "recipients": "a@example.com"}, "another word for `to`"),
        ({**EMAIL, "url": "https://x.test"}, "means nothing for the channel email"),
        ({"channel": "email", "subject": "s", "text": "t"}, "needs `to`"),
        ({"channel": "email", "to": "a@example.com", "text": "t"}, "lacks `subject`"),
        ({**EMAIL, "template": "t"}, "comes from the template"),
        ({**EMAIL, "to": ["a@example.com", "nobody"]}, "'nobody' is no valid e-mail address"),
        ({"channel": "webhook", "url": "https://x.test"}, "needs `secret`"),
        ({**WEBHOOK, "url": "ftp://x.test"}, "http:// or https://"),
        ({"channel": "chat", "url": "https://x.test"}, "lacks `text`"),
    ],
)
def test_faulty_configs(config: dict[str, Any], words: str) -> None:
    assert any(words in message for message in check(config)), check(config)


def test_whether_it_may_be_sent_again() -> None:
    assert STEP.idempotent(EMAIL) is True
    assert STEP.idempotent({**EMAIL, "idempotent": False}) is False
