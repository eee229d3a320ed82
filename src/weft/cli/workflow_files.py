"""Definition files on this machine: reading, checking without a server, and naming the line of each fault."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft.cli import output
from weft.core.errors import Issue, NotFound

if TYPE_CHECKING:
    from weft.domain.workflows.check import Report
    from weft.domain.workflows.parsing import Parsed


class FileUnreadable(NotFound):
    code = "file_unreadable"

    def __init__(self, path: str, said: str) -> None:
        super().__init__(f"The file '{path}' cannot be read ({said}). Name a definition file, or - for standard input.")


@dataclass(frozen=True, slots=True)
class Source:
    """A definition and the file it came from."""

    name: str
    parsed: Parsed

    def line(self, issue: Issue) -> int | None:
        """Where the fault stands in the file. Code in a block of its own begins on the line after `code: |`; a fault
        inside any other text over several lines is counted from the text's start."""
        line = self.parsed.line(issue.path)
        within = issue.extra.get("line_of_code")
        if line is None or not isinstance(within, int) or "\n" not in self._text(issue):
            return line
        return line + within

    def _text(self, issue: Issue) -> str:
        value: Any = self.parsed.document
        for part in issue.path:
            value = value[part]
        return str(value)


def read(path: str) -> Source:
    """Raises `FileUnreadable` when there is no such file and `DocumentUnreadable` when it is no definition."""
    from weft.domain.workflows.parsing import parse

    content: str | bytes
    try:
        content = sys.stdin.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise FileUnreadable(path, error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise FileUnreadable(path, "it is not UTF-8 text") from error
    suffix = Path(path).suffix.lower()
    parsed = parse(content, "json" if suffix == ".json" else "yaml" if suffix in (".yaml", ".yml") else None)
    return Source("standard input" if path == "-" else path, parsed)


def check(source: Source) -> Report:
    """The check that saving a version makes, with the step kinds of this machine."""
    from weft.domain.workflows.check import check as check_definition
    from weft.domain.workflows.document import accept
    from weft.engine import registry

    registry.kinds()
    return check_definition(accept(source.parsed.document))


def located(source: Source, issues: Iterable[Issue], severity: str) -> list[dict[str, Any]]:
    """Issues for programs: what the API would say, with file and line."""
    return [
        {"file": source.name, "line": source.line(issue), "severity": severity, **issue.as_json()} for issue in issues
    ]


def lines(found: Iterable[dict[str, Any]]) -> list[str]:
    """Issues for people, and for editors that jump to `file:line`."""
    return [f"{one['file']}:{one['line'] or 1}: {one['severity']}: {one['message']}" for one in found]


def show(found: Iterable[dict[str, Any]]) -> None:
    """Say them beside the answer of a command."""
    for line in lines(found):
        output.note(line)
