"""One line per fact, and never a secret."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from weft.core import logs

KEY = "weft_sk_0123456789abcdefABCDEF_-xyz"


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    """Standard error of a process that logs JSON; everything is put back afterwards."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    stream = io.StringIO()
    try:
        logs.configure(level="info", style="json", stream=stream)
        yield stream
    finally:
        root.handlers, root.level = before
        structlog.reset_defaults()


def lines(output: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.getvalue().splitlines()]


def test_a_line_has_its_facts(output: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(correlation_id="mine"):
        structlog.get_logger("weft.test").info("execution ended", status="completed", ms=7)
    [line] = lines(output)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "execution ended",
        "status": "completed",
        "ms": 7,
        "correlation_id": "mine",
        "level": "info",
        "logger": "weft.test",
    }


def test_the_standard_library_s_loggers_say_it_the_same_way(output: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").warning("%s connections with %s", 3, KEY)
    [line] = lines(output)
    assert line["event"] == "3 connections with weft_***"
    assert (line["logger"], line["level"]) == ("uvicorn.error", "warning")


def test_what_is_less_important_is_not_shown(output: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").info("Started server process")  # once for each listener of a process
    structlog.get_logger("weft.test").debug("detail")
    logging.getLogger("weft.test").debug("detail")
    assert output.getvalue() == ""


def test_exceptions_are_whole_but_for_secrets(output: io.StringIO) -> None:
    def fail() -> None:
        raise RuntimeError(f"cannot reach postgresql://weft_app:hunter2@db/weft with {KEY}")

    try:
        fail()
    except RuntimeError:
        structlog.get_logger("weft.test").exception("failed")
    [line] = lines(output)
    assert "in fail" in line["exception"]
    assert "hunter2" not in output.getvalue()
    assert KEY not in output.getvalue()


@pytest.mark.parametrize(
    "name",
    ["authorization", "Authorization", "cookie", "Set-Cookie", "password", "smtp_passwd", "client_secret", "token",
     "access_token", "api_key", "apikey", "credential", "master_key", "private_key", "dsn"],
)  # fmt: skip
def test_telling_names_are_hidden_at_any_depth(name: str) -> None:
    event: dict[str, Any] = {name: "hunter2", "headers": {name: "hunter2", "list": [{name: "hunter2"}]}}
    assert "hunter2" not in json.dumps(logs.redact(None, "info", event), default=str)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"key {KEY}.", "key weft_***."),
        ("Authorization: Bearer abcdef0123456789", "Authorization: Bearer ***"),
        ("postgresql://app:hunter2@db:5432/weft", "postgresql://app:***@db:5432/weft"),
        ("https://user:hunter2@example.com/", "https://user:***@example.com/"),
        ("https://example.com:8080/a@b", "https://example.com:8080/a@b"),
        ("a bearer of news", "a bearer of news"),
        ("weft_app is a role", "weft_app is a role"),
    ],
)
def test_tokens_and_passwords_are_hidden_in_any_text(text: str, shown: str) -> None:
    assert logs.redact(None, "info", {"event": text}) == {"event": shown}


def test_counts_are_no_secrets() -> None:
    event = {"tokens": 1200, "token_cost": 0.5, "has_password": True, "password": None}
    assert logs.redact(None, "info", dict(event)) == event


def test_people_get_text() -> None:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    stream = io.StringIO()
    try:
        logs.configure(style="text", stream=stream)
        structlog.get_logger("weft.test").info("ready", address="http://127.0.0.1:8080")
    finally:
        root.handlers, root.level = before
        structlog.reset_defaults()
    assert "ready" in stream.getvalue()
    assert "address=http://127.0.0.1:8080" in stream.getvalue()
    assert not stream.getvalue().startswith("{")
