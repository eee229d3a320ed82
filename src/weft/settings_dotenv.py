"""`.env` in the working directory: variables for those who would otherwise export them in every shell.

Only names that begin with `WEFT_` are taken; the file usually serves other programs too. A value is taken as it
stands: nothing in it is replaced, so that a password may hold a `$`. Where commands send their key (`WEFT_URL`) and the
key itself are not read from it: else a `.env` in a directory that came from elsewhere could have the key sent to
whoever wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from weft.core.errors import Issue

NAME = ".env"

_LINE = re.compile(r"\s*(?:export\s+)?(WEFT_\w*)\s*(=?)\s*(.*?)\s*")
_QUOTED = re.compile(r"""(?:'(?P<plain>[^']*)'|"(?P<escaped>(?:[^"\\]|\\.)*)")\s*(?:\#.*)?""")
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


@dataclass(frozen=True, slots=True)
class Dotenv:
    """What the file says, and what in it cannot be read."""

    path: Path
    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    issues: tuple[Issue, ...] = ()


def read_dotenv(directory: Path) -> Dotenv:
    """Nothing where there is no such file."""
    path = directory / NAME
    if not path.is_file():
        return Dotenv(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        return Dotenv(path, issues=(Issue(f"{path} cannot be read: {error}.", code="file_unreadable"),))
    values: dict[str, str] = {}
    issues: list[Issue] = []
    for number, line in enumerate(lines, 1):
        found = _LINE.fullmatch(line)
        if found is None:
            continue
        name, equals, written = found.groups()
        value = _value(written) if equals else None
        if value is None:
            issues.append(Issue(f"{path}, line {number}: write {name}=value, in quotes that are closed.", (name,)))
        else:
            values[name] = value
    return Dotenv(path, values, tuple(issues))


def _value(written: str) -> str | None:
    """What stands behind `=`: in quotes, or up to a comment. None when a quote is not closed."""
    if written[:1] in ("'", '"'):
        found = _QUOTED.fullmatch(written)
        if found is None:
            return None
        if found["plain"] is not None:
            return found["plain"]
        return _ESCAPE.sub(lambda escape: _ESCAPES.get(escape[1], escape[1]), found["escaped"])
    return "" if written.startswith("#") else re.split(r"\s#", written, maxsplit=1)[0].rstrip()
