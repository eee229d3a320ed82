"""The references are written from the code, and are up to date."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from tests.docs.documents import DOCS, GENERATED

from weft.api import addresses_reference
from weft.cli import output
from weft.cli import reference as cli_reference
from weft.cli.command_line import COMMANDS
from weft.core.errors import Kind
from weft.domain.identity import reference as permissions_reference
from weft.domain.identity import rules

REFERENCE = DOCS / "reference"


def test_every_reference_is_known_here() -> None:
    assert {page.name for page in REFERENCE.glob("*.md")} == GENERATED


def test_commands() -> None:
    page = (REFERENCE / "cli.md").read_text(encoding="utf-8")
    assert page == cli_reference.reference(), "run: python -m weft.cli.reference > docs/reference/cli.md"
    for word in COMMANDS:
        assert f"\n## weft {word}\n" in page


def test_commands_look_alike_on_every_terminal() -> None:
    """The page does not depend on who writes it."""
    narrow = {**os.environ, "COLUMNS": "40", "TERM": "dumb", "NO_COLOR": "1", "HOME": "/nowhere"}
    command = [sys.executable, "-m", "weft.cli.reference"]
    written = subprocess.run(command, env=narrow, capture_output=True, text=True, check=True).stdout
    assert written == cli_reference.reference()


def test_every_exit_code_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_reference, "EXIT_CODES", {**output.EXIT_CODES, Kind.invalid: 99})
    with pytest.raises(LookupError, match="99"):
        cli_reference.reference()


def test_permissions() -> None:
    page = (REFERENCE / "permissions.md").read_text(encoding="utf-8")
    expected = permissions_reference.reference()
    assert page == expected, "run: python -m weft.domain.identity.reference > docs/reference/permissions.md"
    for permission in rules.PERMISSIONS:
        assert f"| `{rules.word(permission)}` |" in page
    assert page.count("✓") == sum(len(allowed) for _, allowed in rules.ROLES.values())


def test_the_api() -> None:
    page = (REFERENCE / "api.md").read_text(encoding="utf-8")
    expected = addresses_reference.reference()
    assert page == expected, "run: python -m weft.api.addresses_reference > docs/reference/api.md"
    assert "| `POST /v1/executions` |" in page
