"""What a source document says, line by line: the facts that the table of the source documents must answer.

    python -m tests.docs.seed_document_lines NAME=PATH ... > tests/docs/seed_document_lines.yaml

Every bullet, row of a table, line of a script or an example and paragraph counts; headings, brackets and what only
introduces the next line do not. Commands stand whole, of anything else the first words: enough to find it again.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

FACTS: Final = Path(__file__).parent / "seed_document_lines.yaml"
WORDS: Final = 5
_PROSE: Final = {None, "text", "json"}
_COMMENTS: Final = ("#", "-- ", "//")
_HEAD: Final = """\
# The lines of the five source documents that say something: each has a row in seed_documents.yaml.
# `commands` stand whole; of the other `lines` the first words. Written by `python -m tests.docs.seed_document_lines`.
"""


def read() -> dict[str, dict[str, dict[int, str]]]:
    """By document: its commands and its other lines, by their numbers."""
    found: dict[str, dict[str, dict[int, str]]] = yaml.safe_load(FACTS.read_text(encoding="utf-8"))
    return found


def facts(text: str) -> dict[str, dict[int, str]]:
    """The facts of one document."""
    commands: dict[int, str] = {}
    others: dict[int, str] = {}
    for number, line, language in _lines(text):
        if not _says(line, language):
            continue
        if language in _PROSE or line.startswith(_COMMENTS):
            plain = re.sub(r"[*`]", "", re.sub(r"^([-*]|\d+\.)\s+", "", line))
            others[number] = " ".join(plain.strip("|#-/ ").split()[:WORDS])
        else:
            commands[number] = re.sub(r"\s{2,}# .*", "", line)
    return {"commands": commands, "lines": others}


def _lines(text: str) -> Iterator[tuple[int, str, str | None]]:
    """Number, text and language of a line; None is prose."""
    language: str | None = None
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip()
        if stripped.startswith("```"):
            language = None if language is not None else stripped[3:] or "text"
        elif stripped:
            yield number, stripped, language


def _says(line: str, language: str | None) -> bool:
    if re.search(r"[A-Za-z]", line) is None:
        return False
    if language is None:
        only_introduces = line.rstrip("*").endswith(":") and re.match(r"[-*] |\d", line) is None
        return not (line.startswith("#") or only_introduces or re.match(r"\|\s*(Column|Role|-)", line))
    if language == "typescript":
        return re.search(r"await prisma\.\w+\.|describe\(|it\(|expect\(|^\w+: '|\w+: \w+(\.id)?,", line) is not None
    return line != "run: |"


def main(arguments: list[str]) -> None:
    documents: dict[str, Any] = {}
    for argument in arguments:
        name, _, path = argument.partition("=")
        documents[name] = facts(Path(path).read_text(encoding="utf-8"))
    sys.stdout.write(_HEAD + yaml.safe_dump(documents, allow_unicode=True, sort_keys=False, width=200))


if __name__ == "__main__":
    main(sys.argv[1:])
