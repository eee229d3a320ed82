"""What a simulation reads on this machine: inputs, and scripts with the definitions that they name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from weft.cli import workflow_files
from weft.cli.execution import InputUnreadable, read_input
from weft.core.errors import Invalid

MOST_INPUTS: Final = 100_000
_KINDS: Final = (".json", ".yaml", ".yml")


def inputs(one: str | None, many: str | None) -> list[Any]:
    """The inputs to play with, in order: a single one, the files of a folder, or the lines of a JSON Lines file."""
    if one is not None:
        return [read_input(one)]
    if many is None:
        return []
    place = Path(many)
    if place.is_dir():
        files = sorted(path for path in place.iterdir() if path.suffix.lower() in _KINDS)
        if not files:
            raise InputUnreadable(many, "it holds no JSON or YAML file", "--inputs")
        return [read_input(str(path), "--inputs") for path in files[:MOST_INPUTS]]
    return _lines(many, place)


def _lines(name: str, place: Path) -> list[Any]:
    try:
        text = place.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputUnreadable(name, getattr(error, "strerror", None) or type(error).__name__, "--inputs") from error
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                found.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise Invalid(f"{name}, line {number}: this is not valid JSON ({error}).") from error
    if not found:
        raise InputUnreadable(name, "it is empty", "--inputs")
    return found[:MOST_INPUTS]


def script(path: str | None, beside: list[str]) -> dict[str, Any] | None:
    """The script as a document; definitions that it names by file, and those of `--with`, are read into it."""
    document = read_input(path, "--script") if path is not None else None
    if document is not None and not isinstance(document, Mapping):
        raise Invalid(f"{path} is no script: it must be an object with `steps`, `kinds` or `workflows`.")
    found: dict[str, Any] = dict(document or {})
    workflows: dict[str, Any] = dict(found.get("workflows") or {})
    base = Path(path).parent if path is not None and path != "-" else Path()
    for name, written in workflows.items():
        if isinstance(written, str):
            workflows[name] = workflow_files.read(str(base / written)).parsed.document
    for file in beside:
        parsed = workflow_files.read(file).parsed.document
        workflows[str(parsed.get("name", ""))] = parsed
    if workflows:
        found["workflows"] = workflows
    return found or None
