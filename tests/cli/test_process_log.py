"""What a command says that runs on: to people in a terminal, and as its children's logs elsewhere."""

from __future__ import annotations

import json
import sys

import pytest

from weft.cli.process_log import sayer


@pytest.mark.parametrize(("style", "is_terminal"), [("text", False), ("auto", True)])
def test_for_people(
    style: str, is_terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    sayer("weft.up", "weft", style)("warning: no backups")
    assert capsys.readouterr().err == "weft: warning: no backups\n"


@pytest.mark.parametrize(("style", "is_terminal"), [("json", True), ("auto", False)])
def test_for_whoever_gathers_logs(
    style: str, is_terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    say = sayer("weft.up", "weft", style)
    say("the worker ended")
    say("warning: no backups")
    first, second = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert first.pop("timestamp").endswith("Z")
    assert first == {"event": "the worker ended", "level": "info", "logger": "weft.up"}
    assert (second["event"], second["level"]) == ("no backups", "warning")
