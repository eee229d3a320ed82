"""The table of the source documents is whole and true: every line has a row, every command and every test exists."""

from __future__ import annotations

import ast
from functools import cache

import pytest
from tests.docs import seed_document_lines, seed_documents
from tests.docs.documents import DOCS, ROOT

from weft.cli import command_line
from weft.ops.seeds.systems import SYSTEMS

COMMANDS, DOCUMENTS = seed_documents.read()
FACTS = seed_document_lines.read()
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
    assert {document.name for document in DOCUMENTS} == set(SYSTEMS) == set(FACTS)


@pytest.mark.parametrize("document", [pytest.param(one, id=one.name) for one in DOCUMENTS])
def test_every_line_of_a_document_has_a_row(document: seed_documents.Document) -> None:
    """Commands, paths, bullets, columns, keys of examples: what has no row has nobody who answers for it."""
    facts = {**FACTS[document.name]["commands"], **FACTS[document.name]["lines"]}
    answered = {number for row in document.rows for part in row.lines for number in part}
    assert {number: words for number, words in sorted(facts.items()) if number not in answered} == {}
    for row in document.rows:
        assert all(facts.keys() & set(part) for part in row.lines), f"{row.words[0]}: says nothing at {row.at}"
    said = [words for row in document.rows for words in row.words]
    assert len(said) == len(set(said)), "words stand in one row"


def test_there_is_much_to_answer() -> None:
    assert [len(facts["commands"]) for facts in FACTS.values()] == [11, 7, 9, 76, 0]
    assert sum(len(facts["lines"]) for facts in FACTS.values()) > 500


def test_what_counts_as_a_line() -> None:
    script = "```bash\n# why\nrun it  # now\n```"
    text = f"# Head\n\nIt begins:\n\n- **One** - first\n\n{script}\n\n| Column |\n|---|\n| `id` |\n"
    assert seed_document_lines.facts(text) == {
        "commands": {9: "run it"},
        "lines": {5: "One - first", 8: "why", 14: "id"},
    }


@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_true(row: seed_documents.Row) -> None:
    for command in row.commands:
        assert is_command(command) or (command in COMMANDS and COMMANDS[command] is None), f"{command} is not there"
    assert bool(row.tests) == (row.later is None), "a row has a test, or says with what it comes"
    for test in row.tests:
        assert exists(test), f"{test} is not there"


def test_the_tests_of_commands_exist() -> None:
    assert [test for test in COMMANDS.values() if test is not None and not exists(test)] == []
