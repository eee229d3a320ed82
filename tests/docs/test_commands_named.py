"""Every command that a message, a help text or a page names exists, with the options that are named with it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.docs.documents import ROOT, pages

from weft.cli import command_line

SOURCES = sorted((ROOT / "src" / "weft").rglob("*.py"))
TEMPLATES = sorted((ROOT / "src" / "weft" / "studio" / "templates").rglob("*.html"))
_QUOTED = re.compile(r"`(?:\./)?weft ([^`]+)`")
_BARE = re.compile(r"(?<![`\w/.-])weft ([a-z]+(?: [a-z-]+)?)")
_WORD = re.compile(r"[a-z][a-z-]*")
_OPTION = re.compile(r"--[a-z][a-z-]*")
_EVERYWHERE = {"--help", "--json"}


@pytest.mark.parametrize("source", [pytest.param(s, id=str(s.relative_to(ROOT))) for s in SOURCES])
def test_commands_that_the_code_names_exist(source: Path) -> None:
    tree = ast.parse(source.read_text(encoding="utf-8"))
    wrong = {problem for text in _texts(tree) for problem in _problems(text)}
    assert wrong == set()


@pytest.mark.parametrize("page", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in [*pages(), *TEMPLATES]])
def test_commands_that_a_page_names_exist(page: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    assert set(_problems(prose)) == set()


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("`weft limit rates` shows them.", False),
        ("`weft workflow trigger list NAME --json`", False),
        ("`./weft db check --sql`", False),
        ("`weft up | sed s/a/b/` and `weft db ...`", False),
        ("`weft trigger list` shows them.", True),
        ("`weft workflow trigger stop NAME`", True),
        ("`weft db check --repair`", True),
        ("Make one: weft db bakup", True),
        ("what weft does with it", False),
    ],
)
def test_what_counts_as_a_command_that_does_not_exist(text: str, wrong: bool) -> None:
    assert bool(list(_problems(text))) is wrong


def _texts(tree: ast.AST) -> Iterator[str]:
    """Every text of a module; `…` stands for a value that is put into it. Names of sessions are no commands."""
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    inside |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "application"}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(v.value) if isinstance(v, ast.Constant) else "…" for v in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


def _problems(text: str) -> Iterator[str]:
    for code in _QUOTED.findall(text):
        if not _exists(re.sub(r"\s+", " ", re.split(r"[|;&]", code)[0]).strip()):
            yield f"weft {code}"
    for words in _BARE.findall(text):
        first = words.partition(" ")[0]
        if first == "db" and not _exists(words):  # other words are prose as often as commands
            yield f"weft {words}"


def _exists(line: str) -> bool:
    """Whether there is such a command. What comes after a word that is no name (a value, dots) is an argument."""
    words = line.split(" ")
    if not _WORD.fullmatch(words[0]):
        return not words[0][0].islower()
    entry = command_line.COMMANDS.get(words[0])
    if entry is None:
        return False
    node = _loaded(words[0])
    if entry.command is not None:
        node = node.commands[entry.command]
    for word in words[1:]:
        if not hasattr(node, "commands") or not _WORD.fullmatch(word):
            break
        if word not in node.commands:
            return False
        node = node.commands[word]
    if hasattr(node, "commands") or node.context_settings.get("ignore_unknown_options"):
        return True
    known = {option for parameter in node.params for option in [*parameter.opts, *parameter.secondary_opts]}
    return set(_OPTION.findall(line)) <= known | _EVERYWHERE


@cache
def _loaded(word: str) -> Any:
    return command_line.load(word)
