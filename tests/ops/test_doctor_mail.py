"""`weft doctor` greets the mail server of the settings, and sends nothing."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from tests.adapters.mail_server import mail_process

from weft.ops.doctor.answers import Answer, Verdict
from weft.ops.doctor.mail import mail
from weft.settings import Settings, SettingsInvalid, load_settings


def settings(directory: Path, **more: Any) -> Settings:
    named = {f"WEFT_SMTP_{name.upper()}": str(value) for name, value in more.items()}
    return load_settings({"HOME": "/home/ann", **named}, directory=directory)


async def answer(chosen: Settings) -> Answer:
    [only] = await asyncio.to_thread(mail, chosen)
    assert "pass-word" not in only.sentence + only.next_step
    return only


def test_without_a_server_nothing_is_asked(tmp_path: Path) -> None:
    assert mail(settings(tmp_path)) == []


async def test_a_server_is_greeted_as_the_steps_would(tmp_path: Path) -> None:
    async with mail_process(tmp_path) as process:
        right = {"host": "localhost", "port": process.port, "sender": "w@example.com", "user": "weft"}
        right |= {"password": "pass-word of weft", "ca_file": process.ca_file}
        well = await answer(settings(tmp_path, **right))
        assert (well.verdict, well.sentence) == (Verdict.ok, f"localhost:{process.port} answers, and lets us in.")
        wrong = await answer(settings(tmp_path, **{**right, "password": "no"}))
        assert (wrong.verdict, "refuses the sign-in" in wrong.sentence) == (Verdict.fail, True)
        del right["ca_file"]
        untrusted = await answer(settings(tmp_path, **right))
        assert (untrusted.verdict, "WEFT_SMTP_CA_FILE" in untrusted.next_step) == (Verdict.fail, True)


async def test_a_server_that_cannot_do_what_is_asked(tmp_path: Path) -> None:
    async with mail_process(tmp_path, "none") as process:
        plain = {"host": "localhost", "port": process.port, "sender": "w@example.com"}
        found = await answer(settings(tmp_path, **plain))
        assert (found.verdict, "STARTTLS" in found.sentence) == (Verdict.fail, True)
        assert (await answer(settings(tmp_path, **plain, security="none"))).verdict is Verdict.ok


async def test_a_server_that_does_not_answer(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection and says nothing
        port = silent.getsockname()[1]
        found = await answer(settings(tmp_path, host="127.0.0.1", port=port, sender="w@example.com", timeout_seconds=1))
        assert (found.verdict, "does not answer" in found.sentence) == (Verdict.fail, True)
    gone = await answer(settings(tmp_path, host="127.0.0.1", port=port, sender="w@example.com"))
    assert gone.verdict is Verdict.fail


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({"host": "mail.test"}, "WEFT_SMTP_SENDER"),
        ({"host": "mail.test", "sender": "nobody"}, "WEFT_SMTP_SENDER"),
        ({"host": "mail.test", "sender": "a@b.test", "user": "x", "security": "none"}, "WEFT_SMTP_SECURITY"),
    ],
)
def test_settings_that_do_not_fit_together(tmp_path: Path, named: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsInvalid, match=words):
        settings(tmp_path, **named)
