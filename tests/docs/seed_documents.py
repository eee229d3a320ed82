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
from tests.docs import seed_document_lines

HERE: Final = Path(__file__).parent
_COMMAND: Final = re.compile(r"`(weft(?: [a-z][a-z-]*){1,2})")
_HEAD: Final = """\
# The source documents, line by line

<!-- Written by `python -m tests.docs.seed_documents` from tests/docs/seed_documents.yaml; tests keep it true. -->

weft takes the place of five systems. Their documents say what people know: commands, scripts, tables, promises. This is
what became of each, by its lines: *their words*, our command or the page that has it, and the test that holds it. Where
a part comes with a later release, the row says with which; where something is not so on purpose, it says why.
"""


@dataclass(frozen=True)
class Row:
    at: str
    words: tuple[str, ...]
    ours: str
    tests: tuple[str, ...]
    later: str | None

    @property
    def lines(self) -> list[range]:
        """The lines of the document that the row answers, `at` in numbers."""
        parts = (part.split("-") for part in self.at.split(", "))
        return [range(int(part[0]), int(part[-1]) + 1) for part in parts]

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


def _row(row: dict[str, Any], commands: dict[str, str | None]) -> Row:
    ours, later = row["ours"], row.get("later")
    tests = _listed(row.get("test"))
    if not tests and later is None:
        named = (commands[command] for command in _COMMAND.findall(ours) if command in commands)
        tests = _listed(next(named, None))
    return Row(str(row["at"]), _listed(row["words"]), ours, tests, later)


def _listed(value: str | list[str] | None) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)


def reference() -> str:
    """The page, `docs/reference/seed-documents.md`."""
    _, documents = read()
    known = {name: set(facts["commands"].values()) for name, facts in seed_document_lines.read().items()}
    page = [_HEAD]
    for document in documents:
        page += [f"## {document.title}", "", "| lines | their words | ours | test |", "|---|---|---|---|"]
        page += [_line(row, known[document.name]) for row in document.rows]
        page.append("")
    return "\n".join(page)


def _line(row: Row, known: set[str]) -> str:
    words = "<br>".join(f"`{one}`" if one in known else f"“{one}”" for one in row.words)
    said = row.ours if row.later is None else f"{row.ours}: comes with {row.later}"
    tests = "<br>".join(f"`{test}`" for test in row.tests)
    return f"| {row.at} | {_cell(words)} | {_cell(said)} | {tests} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def untested() -> Iterator[str]:
    for document in read()[1]:
        for row in document.rows:
            if not row.tests and row.later is None:
                yield f"{document.name}: {row.words[0]}: {row.ours}"


if __name__ == "__main__":
    sys.stdout.write("\n".join(untested()) + "\n" if "--open" in sys.argv else reference())
