"""Mail against a real server in a process of its own, and against servers that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.adapters.mail_server import MailProcess, mail_process

from weft.adapters.mail import MailServer, SmtpMailer, compose, mailbox_of
from weft.core.ports import Email, Mailbox, MailDelivery, MailError

EMAIL = Email(
    message_id="<1.pay.4@weft>",
    at=datetime(2030, 6, 1, 12, tzinfo=UTC),
    to=(Mailbox("ada@example.com", "Ada Lovelace, Countess"),),
    subject="Grüße an alle",
    text="Guten Tag,\n.\nein Punkt allein in einer Zeile.\n",
)


def settings(process: MailProcess, **more: Any) -> MailServer:
    chosen: dict[str, Any] = {
        "host": "localhost", "port": process.port, "sender": "weft@example.com", "user": "weft",
        "password": "pass-word of weft", "ca_file": process.ca_file, "timeout": 60.0,
    } | more  # fmt: skip
    return MailServer(**chosen)


async def refusal(mailer: SmtpMailer, email: Email = EMAIL) -> MailError:
    with pytest.raises(MailError) as caught:
        await mailer.send(email)
    assert "pass-word" not in caught.value.message
    return caught.value


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[MailProcess]:
    async with mail_process(tmp_path) as process:
        yield process


async def test_a_message_arrives_whole_secured_and_signed_in(server: MailProcess) -> None:
    email = replace(
        EMAIL, html="<p>Guten Tag</p>", cc=(Mailbox("cc@example.com"),), bcc=(Mailbox("bcc@example.com"),),
        reply_to=(Mailbox("office@example.com", "Büro"),),
    )  # fmt: skip
    delivery = await SmtpMailer(settings(server)).send(email)
    assert delivery == MailDelivery(("ada@example.com", "cc@example.com", "bcc@example.com"))
    got = await server.message()
    assert (got["sender"], got["recipients"]) == ("weft@example.com", list(delivery.accepted))
    assert (got["tls"], got["signed_in"]) == (True, True)
    headers = got["headers"]
    assert headers["message-id"] == "<1.pay.4@weft>"
    assert headers["subject"] == "Grüße an alle"
    assert headers["to"] == '"Ada Lovelace, Countess" <ada@example.com>'
    assert headers["reply-to"] == "Büro <office@example.com>"
    assert headers["date"] == "Sat, 01 Jun 2030 12:00:00 +0000"
    assert headers["auto-submitted"] == "auto-generated"
    assert "bcc" not in headers
    assert "bcc@example.com" not in got["raw"]
    assert got["text"].replace("\r\n", "\n") == EMAIL.text
    assert got["html"].strip() == "<p>Guten Tag</p>"


@pytest.mark.parametrize(
    ("sender", "written"),
    [
        ("Büro Weft <weft@example.com>", "Büro Weft <weft@example.com>"),
        ("Weft, Inc. <weft@example.com>", '"Weft, Inc." <weft@example.com>'),
        ('"Weft, Inc." <weft@example.com>', '"Weft, Inc." <weft@example.com>'),
        ("<weft@example.com>", "weft@example.com"),
    ],
)
async def test_a_sender_may_have_a_name_in_any_language(server: MailProcess, sender: str, written: str) -> None:
    """The test's server knows no SMTPUTF8; the name is nothing that needs it."""
    await SmtpMailer(settings(server, sender=sender)).send(EMAIL)
    got = await server.message()
    assert (got["sender"], got["headers"]["from"]) == ("weft@example.com", written)


def test_a_sender_of_an_international_domain_is_written_in_ascii() -> None:
    assert mailbox_of("Büro <weft@bücher.example>") == Mailbox("weft@xn--bcher-kva.example", "Büro")


async def test_tls_from_the_first_byte(tmp_path: Path) -> None:
    async with mail_process(tmp_path, "tls") as process:
        await SmtpMailer(settings(process, security="tls")).send(EMAIL)
        assert (await process.message())["signed_in"] is True


async def test_a_server_without_tls_gets_nothing_unless_the_setting_says_so(tmp_path: Path) -> None:
    async with mail_process(tmp_path, "none") as process:
        error = await refusal(SmtpMailer(settings(process)))
        assert (error.kind, error.retryable) == ("tls", False)
        plain = settings(process, security="none", user=None, password=None)
        await SmtpMailer(plain).send(EMAIL)
        assert (await process.message())["tls"] is False


async def test_an_unknown_certificate_is_refused(server: MailProcess) -> None:
    error = await refusal(SmtpMailer(settings(server, ca_file=None)))
    assert (error.kind, error.retryable) == ("tls", False)
    assert "certificate" in error.message or "self" in error.message


async def test_a_certificate_of_another_host_is_refused(tmp_path: Path) -> None:
    async with mail_process(tmp_path, host="other.test") as process:
        assert (await refusal(SmtpMailer(settings(process)))).kind == "tls"


async def test_a_wrong_password_is_for_the_operator(server: MailProcess) -> None:
    error = await refusal(SmtpMailer(settings(server, password="wrong")))
    assert (error.kind, error.retryable, "WEFT_SMTP_USER" in error.message) == ("smtp_auth", False, True)


async def test_some_recipients_are_refused(server: MailProcess) -> None:
    email = replace(EMAIL, to=(*EMAIL.to, Mailbox("never@example.com"), Mailbox("later@example.com")))
    delivery = await SmtpMailer(settings(server)).send(email)
    assert delivery.accepted == ("ada@example.com",)
    assert [(one.address, one.code) for one in delivery.refused] == [
        ("never@example.com", 550),
        ("later@example.com", 451),
    ]
    assert (await server.message())["recipients"] == ["ada@example.com"]


@pytest.mark.parametrize(
    ("email", "kind", "retryable"),
    [
        (replace(EMAIL, to=(Mailbox("never@example.com"),)), "smtp_5xx", False),
        (replace(EMAIL, to=(Mailbox("later@example.com"),)), "smtp_4xx", True),
        (replace(EMAIL, to=(Mailbox("later@example.com"), Mailbox("never@example.com"))), "smtp_5xx", False),
        (replace(EMAIL, subject="busy"), "smtp_4xx", True),
        (replace(EMAIL, subject="spam"), "smtp_5xx", False),
    ],
)
async def test_refusals_say_whether_to_try_again(server: MailProcess, email: Email, kind: str, retryable: bool) -> None:
    error = await refusal(SmtpMailer(settings(server)), email)
    assert (error.kind, error.retryable) == (kind, retryable), error.message
    assert any(code in error.message for code in ("550", "451", "452", "554"))


async def test_a_killed_server_is_a_broken_connection(server: MailProcess) -> None:
    server.process.kill()
    await server.process.wait()
    error = await refusal(SmtpMailer(settings(server)))
    assert (error.kind, error.retryable) == ("connection", True)


@asynccontextmanager
async def odd(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], seconds: float = 60.0
) -> AsyncIterator[MailServer]:
    """A server that says what the test says."""
    tasks: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        with contextlib.suppress(ConnectionError):
            await talk(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield MailServer("127.0.0.1", port, "weft@example.com", security="none", timeout=seconds)
    finally:
        server.close()
        await asyncio.gather(*tasks)
        await server.wait_closed()


async def test_a_server_that_hangs_is_left(tmp_path: Path) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def hang_after_greeting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.test\r\n")
        await reader.read()

    for talk in (hang, hang_after_greeting):
        async with odd(talk, seconds=0.3) as server:
            error = await refusal(SmtpMailer(server))
            assert (error.kind, error.retryable) == ("timeout", True)


async def test_servers_that_talk_nonsense_or_leave(tmp_path: Path) -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\xff\xfe what is this\r\n" * 20)
        await writer.drain()

    async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.test\r\n")
        await reader.readline()

    async def busy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"421 4.3.2 Too many connections\r\n")
        await writer.drain()

    found = {}
    for talk in (nonsense, leave, busy):
        async with odd(talk) as server:
            error = await refusal(SmtpMailer(server))
            found[talk.__name__] = (error.kind, error.retryable)
            assert error.message.isprintable()
    assert found["leave"] == ("connection", True)
    assert found["busy"] == ("smtp_4xx", True)
    assert found["nonsense"][0] in ("connection", "smtp_5xx", "smtp_4xx")


def test_headers_cannot_be_written_into() -> None:
    for email in (
        replace(EMAIL, subject="Hello\r\nBcc: victim@example.com"),
        replace(EMAIL, to=(Mailbox("ada@example.com", "Ada\r\nBcc: victim@example.com"),)),
        replace(EMAIL, to=(Mailbox("ada@example.com\r\nBcc: victim@example.com"),)),
        replace(EMAIL, message_id="<a@b>\r\nBcc: victim@example.com"),
    ):
        with pytest.raises(ValueError):
            compose(email, "weft@example.com")
