"""Notifications from a real engine: through a mail server process, a signed webhook, and templates of a tenant."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook
from tests.adapters.loopback import Loopback, loopback, reply
from tests.adapters.mail_server import MailProcess, mail_process
from tests.engine.conftest import PATIENCE, Engine

from weft.adapters.addresses import Allow
from weft.adapters.http_client import SafeHttpClient
from weft.adapters.mail import MailServer, SmtpMailer
from weft.core.actor import Actor
from weft.core.ports import TemplateError
from weft.db.scope import enter
from weft.domain.secrets import service as secrets
from weft.domain.secrets.schemas import SecretPut
from weft.domain.templates import service as templates
from weft.domain.templates.schemas import TemplatePut
from weft.engine.kinds import Ports
from weft.engine.message_templates import Templates
from weft.engine.vault import Vault
from weft.expressions.guard import Guard

KEY = base64.b64encode(bytes(range(40))).decode()


@pytest.fixture
async def mail(tmp_path: Path) -> AsyncIterator[MailProcess]:
    async with mail_process(tmp_path) as process:
        yield process


@pytest.fixture
async def server() -> AsyncIterator[Loopback]:
    async with loopback({"/hook": reply(200, b"{}")}) as opened:
        yield opened


@pytest.fixture
async def wired(engine: Engine, mail: MailProcess, server: Loopback) -> AsyncIterator[Engine]:
    mailer = SmtpMailer(
        MailServer("localhost", mail.port, "weft@example.com", "weft", "pass-word of weft", ca_file=mail.ca_file)
    )
    async with SafeHttpClient(Allow.parse([f"127.0.0.1:{server.port}"])) as client, Guard(wall_limit=PATIENCE) as guard:
        engine.ports = Ports(
            http=client, secrets=Vault(engine.database), mail=mailer, templates=Templates(engine.database, guard)
        )
        yield engine


async def put_template(engine: Engine, name: str, actor: Actor | None = None, **texts: str) -> None:
    async with enter(engine.database, actor or engine.actor) as scope:
        await templates.put(scope, name, TemplatePut(**{"text": "-", **texts}))


async def run(engine: Engine, config: dict[str, Any], value: Any = None, **more: Any) -> Any:
    document = {"steps": [{"key": "tell", "type": "notification", "config": config, **more}]}
    started = await engine.start(await engine.workflow(document), value)
    await engine.settle()
    return await engine.execution(started.id)


async def test_a_template_is_filled_in_and_its_html_is_escaped(wired: Engine, mail: MailProcess) -> None:
    await put_template(
        wired, "welcome_email", subject="Welcome, {{ data.name }}", text="Dear {{ data.name | upper }},",
        html="<p>{{ data.name }}</p>{% for x in data.lines %}<li>{{ x }}</li>{% endfor %}",
    )  # fmt: skip
    config = {
        "notificationType": "email",
        "template": "welcome_email",
        "recipients": ["{{ input.email }}"],
        "data": {"name": "{{ input.name }}", "lines": ["<b>", "ok"]},
    }
    row = await run(wired, config, {"email": "user@example.com", "name": "<Ada>"})
    assert row["status"] == "COMPLETED", row["error"]
    got = await mail.message()
    assert got["headers"]["subject"] == "Welcome, <Ada>"
    assert got["text"].strip() == "Dear <ADA>,"
    assert got["html"].strip() == "<p>&lt;Ada&gt;</p><li>&lt;b&gt;</li><li>ok</li>"
    assert got["headers"]["message-id"] == row["output"]["message_id"] == f"<{row['id']}.tell.1@weft>"


async def test_a_version_can_be_named(wired: Engine, mail: MailProcess) -> None:
    for text in ("first", "second"):
        await put_template(wired, "t", subject="s", text=text)
    base = {"channel": "email", "to": "a@example.com", "template": "t"}
    await run(wired, {**base, "template_version": 1})
    assert (await mail.message())["text"].strip() == "first"
    await run(wired, base)
    assert (await mail.message())["text"].strip() == "second"


@pytest.mark.parametrize(
    ("name", "kind"), [("nobody", "template_missing"), ("theirs", "template_missing"), ("broken", "template_invalid")]
)
async def test_templates_that_cannot_be_used(wired: Engine, bob: Actor, name: str, kind: str) -> None:
    await put_template(wired, "theirs", bob, text="of another tenant")
    await put_template(wired, "broken", subject="s", text="{{ data.amount / data.zero }}")
    config = {"channel": "email", "to": "a@example.com", "template": name, "data": {"amount": 1, "zero": 0}}
    row = await run(wired, config, retry={"attempts": 3})
    assert (row["status"], row["error"]["kind"]) == ("FAILED", kind), row["error"]


async def test_a_template_is_bounded_in_time(wired: Engine) -> None:
    loops = "{% for a in range(1000) %}" * 4 + "x" + "{% endfor %}" * 4
    await put_template(wired, "endless", text=loops)
    async with Guard(children=1, wall_limit=0.5) as impatient:
        with pytest.raises(TemplateError):
            await Templates(wired.database, impatient).render(wired.actor.tenant_id, "endless", None, {})


async def test_a_signed_webhook_with_its_secret_from_the_vault(wired: Engine, server: Loopback) -> None:
    async with enter(wired.database, wired.actor) as scope:
        await secrets.put(scope, "hook", SecretPut(value=f"whsec_{KEY}"))
        await secrets.put(scope, "place", SecretPut(value=server.url("/hook", host="127.0.0.1")))
    row = await run(
        wired,
        {"channel": "webhook", "url": "secret://place", "secret": "secret://hook", "event": "paid", "data": {"n": 1}},
    )
    assert row["status"] == "COMPLETED", row["error"]
    (request,) = server.received
    said: Any = Webhook(KEY).verify(request.body, dict(request.headers))
    assert said["data"] == {"n": 1}
    assert request.headers["webhook-id"] == row["output"]["message_id"]
    assert KEY not in str(dict(row))


async def test_a_temporary_refusal_is_tried_again_under_the_same_id(wired: Engine, mail: MailProcess) -> None:
    config = {"channel": "email", "to": "later@example.com", "subject": "s", "text": "t"}
    row = await run(wired, config, retry={"attempts": 2, "initial": "60s", "jitter": False, "on": ["smtp_4xx"]})
    assert row["status"] == "WAITING"
    wired.clock.advance(61)
    await wired.settle()
    row = await wired.execution(row["id"])
    assert (row["status"], row["error"]["kind"]) == ("FAILED", "smtp_4xx")
    assert await wired.journal(row["id"]) == [("tell", 1, "FAILED"), ("tell", 2, "FAILED")]
