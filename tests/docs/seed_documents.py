"""The table of the five source documents: `python -m tests.docs.seed_documents > docs/reference/seed-documents.md`.

With `--open` it lists the rows that have no test yet.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

HERE: Final = Path(__file__).parent
_COMMAND: Final = re.compile(r"`(weft(?: [a-z][a-z-]*){1,2})")
_HEAD: Final = """\
# The source documents, line by line

<!-- Written by `python -m tests.docs.seed_documents` from tests/docs/seed_documents.yaml; tests keep it true. -->

weft takes the place of five systems. Their documents say what people know: commands, scripts, tables, promises. This is
what became of each: *their words*, our command or the page that has it, and the test that holds it. Where a part comes
with a later release, the row says with which.
"""


@dataclass(frozen=True)
class Row:
    words: tuple[str, ...]
    ours: str
    test: str | None
    later: str | None

    @property
    def commands(self) -> list[str]:
        """Our commands that the row names, as `weft group word` or `weft word`."""
        return _COMMAND.findall(self.ours)


@dataclass(frozen=True)
class Document:
    name: str
    title: str
    rows: list[Row]


def read() -> tuple[dict[str, str | None], list[Document]]:
    """The tests of our commands, and the documents; a row without a test of its own has that of its first command."""
    text = yaml.safe_load((HERE / "seed_documents.yaml").read_text(encoding="utf-8"))
    commands: dict[str, str | None] = text["commands"]
    return commands, [
        Document(one["name"], one["title"], [_row(row, commands) for row in one["rows"]]) for one in text["documents"]
    ]


def lines() -> dict[str, list[str]]:
    """Every command line of the documents."""
    found: dict[str, list[str]] = yaml.safe_load((HERE / "seed_document_commands.yaml").read_text(encoding="utf-8"))
    return found


def _row(row: dict[str, Any], commands: dict[str, str | None]) -> Row:
    words = row["words"] if isinstance(row["words"], list) else [row["words"]]
    ours = row["ours"]
    test = row.get("test")
    if test is None and row.get("later") is None:
        test = next((commands.get(command) for command in _COMMAND.findall(ours) if command in commands), None)
    return Row(tuple(words), ours, test, row.get("later"))


def reference() -> str:
    """The page, `docs/reference/seed-documents.md`."""
    _, documents = read()
    known = lines()
    page = [_HEAD]
    for document in documents:
        page += [f"## {document.title}", "", "| their words | ours | test |", "|---|---|---|"]
        page += [_line(row, known[document.name]) for row in document.rows]
        page.append("")
    return "\n".join(page)


def _line(row: Row, known: list[str]) -> str:
    words = "<br>".join(f"`{one}`" if one in known else f"“{one}”" for one in row.words)
    said = row.ours if row.later is None else f"{row.ours}: comes with {row.later}"
    test = f"`{row.test}`" if row.test else ("" if row.later else "with its room")
    return f"| {_cell(words)} | {_cell(said)} | {test} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def untested() -> Iterator[str]:
    for document in read()[1]:
        for row in document.rows:
            if row.test is None and row.later is None:
                yield f"{document.name}: {row.words[0]}: {row.ours}"


if __name__ == "__main__":
    sys.stdout.write("\n".join(untested()) + "\n" if "--open" in sys.argv else reference())
