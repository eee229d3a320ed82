"""What the documents name exists: files, modules, functions, tables, commands, other pages and their headings."""

from __future__ import annotations

import importlib
import re
from functools import cache
from pathlib import Path

import pytest
from tests.docs.documents import DOCS, ROOT, handwritten, pages

from weft.cli import command_line
from weft.migrations.models import METADATA
from weft.settings import OTHER_VARIABLES, describe

PAGES = [pytest.param(page, id=str(page.relative_to(ROOT))) for page in pages()]
HANDWRITTEN = [pytest.param(page, id=str(page.relative_to(ROOT))) for page in handwritten()]

_CODE = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(r"\b(?:src/weft|tests|docs|benches|examples)/[\w./-]*[\w-]")
_NAME = re.compile(r"\bweft(?:\.[A-Za-z_]\w*)+")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_COMMAND = re.compile(r"^(?:\./)?weft ([a-z]+)(?: ([a-z][a-z-]*))?")
_VARIABLE = re.compile(r"\bWEFT_[A-Z_]+\b")

NO_NAMES = {"weft.toml", "weft.conf", "weft.json", "weft.example.com", "weft.step_kinds"}
"""Files, an address, and a group of entry points that look like Python names."""
OTHER_WORDS = {"WEFT_CHAOS_ROUNDS", "WEFT_CHAOS_EXECUTIONS", "WEFT_SCHEDULE_DAY", "WEFT_SOUNDNESS_EXAMPLES"}
"""Variables of the tests."""


def test_there_is_something_to_check() -> None:
    assert len(handwritten()) > 15


@pytest.mark.parametrize("page", PAGES)
def test_paths_that_a_page_names_exist(page: Path) -> None:
    named = {path for code in _CODE.findall(_prose(page)) for path in _PATH.findall(code) if "<" not in code}
    assert {path for path in named if not (ROOT / path).exists()} == set()


@pytest.mark.parametrize("page", HANDWRITTEN)
def test_names_that_a_page_uses_exist(page: Path) -> None:
    named = {name for code in _CODE.findall(_prose(page)) for name in _NAME.findall(code)} - NO_NAMES
    assert {name for name in named if not (_is_python(name) or _is_sql(name))} == set()


@pytest.mark.parametrize("page", HANDWRITTEN)
def test_commands_that_a_page_shows_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    shown = [*_CODE.findall(_prose(page)), *(line.strip() for block in _shell_blocks(text) for line in block)]
    wrong = set()
    for line in shown:
        if (match := _COMMAND.match(line)) is not None and not _is_command(match[1], match[2]):
            wrong.add(match[0])
    assert wrong == set()


@pytest.mark.parametrize("page", HANDWRITTEN)
def test_settings_that_a_page_names_exist(page: Path) -> None:
    known = {setting.name for setting in describe()} | OTHER_VARIABLES.keys() | OTHER_WORDS
    named = {name.removesuffix("_FILE") for name in _VARIABLE.findall(page.read_text(encoding="utf-8"))}
    assert named - known == set()


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: Path) -> None:
    broken = set()
    for link in _LINK.findall(_CODE.sub("", _prose(page))):  # what code looks like is no link
        place, _, heading = link.partition("#")
        if place.startswith(("http://", "https://")):
            continue
        target = (page.parent / place).resolve() if place else page
        if not target.exists() or (heading and heading not in _headings(target)):
            broken.add(link)
    assert broken == set()


@pytest.mark.parametrize("page", [pytest.param(p, id=p.stem) for p in sorted((DOCS / "decisions").glob("0*.md"))])
def test_a_decision_is_one_page_of_four_parts(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert len(lines) < 60
    assert lines[0].startswith(f"# {page.name[:4]} ")
    headings = [line for line in lines if line.startswith("## ")]
    assert headings == ["## Context", "## Decision", "## Consequences", "## Alternatives"]
    assert f"({page.name}) | {lines[0][7:]}" in (DOCS / "decisions" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("picture", [pytest.param(p, id=p.name) for p in sorted((DOCS / "pictures").glob("*.svg"))])
def test_a_picture_is_readable_in_light_and_dark_and_aloud(picture: Path) -> None:
    text = picture.read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in text
    assert "<title" in text
    assert "<desc" in text
    shown = set(re.findall(r'class="(\w+)"', text))
    assert {name for name in shown if f".{name} {{" not in text} == set(), "each class has a colour for the dark"
    assert any(picture.name in page.read_text(encoding="utf-8") for page in handwritten())


@cache
def _prose(page: Path) -> str:
    """A page without its fenced blocks, in which `code` would be somebody else's."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def _shell_blocks(text: str) -> list[list[str]]:
    return [block.splitlines() for block in re.findall(r"^```sh\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)]


def _headings(page: Path) -> set[str]:
    """Anchors as the usual readers of Markdown make them."""
    titles = re.findall(r"^#+ (.+)$", _prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@cache
def _is_python(name: str) -> bool:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[length:]:
            if not hasattr(found, attribute):
                return False
            found = getattr(found, attribute)
        return True
    return False


@cache
def _is_sql(name: str) -> bool:
    tables = {f"weft.{table.name}" for table in METADATA.tables.values()}
    scripts = [path.read_text(encoding="utf-8") for path in (ROOT / "src/weft/db/sql").glob("*.sql")]
    return name in tables or any(f"create function {name}(" in script for script in scripts)


@cache
def _is_command(word: str, second: str | None) -> bool:
    entry = command_line.COMMANDS.get(word)
    if entry is None:
        return False
    if entry.command is not None or second is None:
        return True
    return second in command_line.load(word).commands
