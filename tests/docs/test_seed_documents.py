"""The table of the source documents is whole and true: every line has a row, every command and every test exists."""

from __future__ import annotations

import ast
from functools import cache

import pytest
from tests.docs import seed_documents
from tests.docs.documents import DOCS, ROOT

from weft.cli import command_line
from weft.ops.seeds.systems import SYSTEMS

COMMANDS, DOCUMENTS = seed_documents.read()
ROWS = [pytest.param(row, id=f"{document.name}: {row.words[0]}") for document in DOCUMENTS for row in document.rows]


@cache
def _names(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )  # fmt: skip


def exists(test: str) -> bool:
    path, _, name = test.partition("::")
    return (ROOT / path).is_file() and (not name or name in _names(path))


def is_command(command: str) -> bool:
    _, group, *word = command.split()
    entry = command_line.COMMANDS.get(group)
    if entry is None:
        return False
    return entry.command is not None or not word or word[0] in command_line.load(group).commands


def test_the_page_is_current() -> None:
    page = (DOCS / "reference" / "seed-documents.md").read_text(encoding="utf-8")
    advice = "run: python -m tests.docs.seed_documents > docs/reference/seed-documents.md"
    assert page == seed_documents.reference(), advice


def test_every_system_has_its_document() -> None:
    assert {document.name for document in DOCUMENTS} == set(SYSTEMS) == set(seed_documents.lines())


@pytest.mark.parametrize("document", [pytest.param(one, id=one.name) for one in DOCUMENTS])
def test_every_command_line_of_a_document_has_a_row(document: seed_documents.Document) -> None:
    said = [words for row in document.rows for words in row.words]
    assert set(seed_documents.lines()[document.name]) - set(said) == set()
    assert len(said) == len(set(said)), "a line has one row"


@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_true(row: seed_documents.Row) -> None:
    for command in row.commands:
        assert is_command(command) or (command in COMMANDS and COMMANDS[command] is None), f"{command} is not there"
    if row.later is not None:
        assert row.test is None
    elif row.test is not None:
        assert exists(row.test), f"{row.test} is not there"
    else:
        here = [command for command in row.commands if is_command(command) and COMMANDS.get(command) is None]
        assert row.commands, "a row without a test names a command that comes"
        assert not here, f"name the test of {here[0]} under `commands` in tests/docs/seed_documents.yaml"


def test_the_tests_of_commands_exist() -> None:
    assert [test for test in COMMANDS.values() if test is not None and not exists(test)] == []
