"""A seed file from text to values: its shape first, then whatever else can be known without a database."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from weft.core.errors import Issue, WeftError
from weft.domain.workflows.errors import DocumentUnreadable
from weft.domain.workflows.parsing import Parsed, parse
from weft.domain.workflows.sentences import dotted, unknown_field
from weft.ops.seeds.document import SeedFile, ValueFrom, WorkflowSeed
from weft.ops.seeds.errors import ProfileRefused, SeedFileUnreadable, SeedInvalid

EXPECTED: Final = ("A seed file is an object with `seed: 1` and `tenants`", "seed")
LARGEST_VALUE: Final = 20_000
"""Bytes of a file that holds a secret value."""

Path_ = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Definition:
    """A workflow's definition, and where it was written."""

    document: dict[str, Any]
    name: str
    source: Parsed
    file: str
    prefix: Path_
    """Where in `file` the definition begins."""


@dataclass(slots=True)
class Loaded:
    """A seed file that was read. `problems` are gathered, so that all of them are told at once."""

    name: str
    base: Path
    parsed: Parsed
    file: SeedFile
    is_system: bool = False
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    definitions: dict[Path_, Definition] = field(default_factory=dict)
    problems: list[Issue] = field(default_factory=list)

    def wrong(self, message: str, path: Path_, code: str = "seed_value_invalid") -> None:
        self.problems.append(located(Issue(message, path, code), self.name, self.parsed, path))

    def refused(self, error: WeftError, path: Path_) -> None:
        """What a room said about a part of the file."""
        for issue in error.issues or (Issue(error.message, (), error.code),):
            self.wrong(issue.message, (*path, *issue.path), issue.code)

    def require_sound(self) -> None:
        if self.problems:
            in_order = sorted(self.problems, key=lambda issue: (issue.extra["file"] != self.name, issue.extra["line"]))
            raise SeedInvalid(self.name, in_order)

    def value(self, source: ValueFrom, path: Path_) -> str | None:
        """What an environment variable or a file holds; None, and a problem, when it is not there."""
        if source.environment is not None:
            found = self.environ.get(source.environment)
            if not found:
                self.wrong(f"The environment variable {source.environment} is not set. Set it.", path, "value_missing")
            return found or None
        place = self.base / (source.file or "")
        try:
            with place.open("rb") as held:
                content = held.read(LARGEST_VALUE + 1)
            text = content.decode()
        except (OSError, UnicodeDecodeError) as error:
            said = getattr(error, "strerror", None) or "it is not UTF-8 text"
            self.wrong(f"The file '{source.file}' cannot be read ({said}).", path, "value_missing")
            return None
        value = text.removesuffix("\n").removesuffix("\r")
        if not value or len(content) > LARGEST_VALUE:
            self.wrong(f"The file '{source.file}' is empty, or too large for a secret.", path, "value_missing")
            return None
        return value


def load(path: str, *, environ: Mapping[str, str] | None = None, is_system: bool = False) -> Loaded:
    """Read a seed file and the definitions that it names. Raises `SeedFileUnreadable` and `SeedInvalid`."""
    place = Path(path)
    try:
        content = place.read_bytes()
    except OSError as error:
        raise SeedFileUnreadable(path, error.strerror or str(error)) from error
    try:
        parsed = parse(content, "json" if place.suffix.lower() == ".json" else "yaml", expected=EXPECTED)
    except DocumentUnreadable as error:
        raise SeedInvalid(path, [_placed(issue, path, issue.extra.get("line")) for issue in error.issues]) from error
    try:
        file = SeedFile.model_validate(parsed.document)
    except ValidationError as error:
        raise SeedInvalid(path, [_shape_issue(found, path, parsed) for found in error.errors()]) from error
    loaded = Loaded(path, place.parent, parsed, file, is_system, os.environ if environ is None else environ)
    for place_of, tenant in enumerate(file.tenants):
        for number, workflow in enumerate(tenant.workflows):
            _define(loaded, workflow, ("tenants", place_of, "workflows", number))
    return loaded


def require_profile(loaded: Loaded, profile: str) -> None:
    """Raise `ProfileRefused` for a file that says that it is for other profiles."""
    profiles = loaded.file.profiles
    if profiles is not None and profile not in profiles:
        raise ProfileRefused(
            f"The seed file '{loaded.name}' is for {' and '.join(profiles)} only, not for {profile}. "
            "Use another file, or change its `profiles` if you are certain."
        )


def located(issue: Issue, file: str, parsed: Parsed, path: Path_) -> Issue:
    return _placed(Issue(issue.message, path, issue.code, issue.extra), file, parsed.line(path))


def _placed(issue: Issue, file: str, line: int | None) -> Issue:
    return Issue(issue.message, issue.path, issue.code, {**issue.extra, "file": file, "line": line or 1})


def _define(loaded: Loaded, workflow: WorkflowSeed, path: Path_) -> None:
    if workflow.definition is not None:
        name = str(workflow.definition.get("name", ""))
        loaded.definitions[path] = Definition(
            workflow.definition, name, loaded.parsed, loaded.name, (*path, "definition")
        )
        return
    place = loaded.base / (workflow.file or "")
    try:
        content = place.read_bytes()
    except OSError as error:
        loaded.wrong(f"The file '{workflow.file}' cannot be read ({error.strerror}).", (*path, "file"))
        return
    try:
        parsed = parse(content, "json" if place.suffix.lower() == ".json" else "yaml")
    except DocumentUnreadable as error:
        loaded.problems += [_placed(issue, str(place), issue.extra.get("line")) for issue in error.issues]
        return
    loaded.definitions[path] = Definition(parsed.document, str(parsed.document.get("name", "")), parsed, str(place), ())


def _shape_issue(error: Any, file: str, parsed: Parsed) -> Issue:
    path = _real(error["loc"], parsed.document)
    code = str(error["type"])
    subject = f"`{dotted(path)}`"
    match code:
        case "missing":
            message = f"{subject} is required. Add it."
        case "extra_forbidden":
            message = f"{subject}: {unknown_field(str(path[-1]), _siblings(path))}"
        case _:
            said = str(error["msg"]).removeprefix("Value error, ").strip().rstrip(".")
            message = f"{subject}: {said[:1].upper() + said[1:]}."
    return located(Issue(message, path, code), file, parsed, path)


def _real(loc: Sequence[str | int], document: Any) -> Path_:
    """Pydantic's place without the names of alternatives that it tried, which are in no file."""
    path: list[str | int] = []
    here = document
    for number, part in enumerate(loc):
        inside = isinstance(here, dict) and part in here
        inside = inside or (isinstance(here, list) and isinstance(part, int) and part < len(here))
        if inside:
            here = here[part]
            path.append(part)
        elif number == len(loc) - 1 and isinstance(here, dict) and isinstance(part, str) and part.isidentifier():
            path.append(part)
    return tuple(path)


def _siblings(path: Path_) -> list[str]:
    """The fields that may stand where an unknown one was found; of the levels that people write most."""
    schema: Any = SeedFile.model_json_schema(by_alias=True)
    here = schema
    for part in path[:-1]:
        here = _resolved(schema, here)
        here = here.get("items", {}) if isinstance(part, int) else here.get("properties", {}).get(part, {})
    return list(_resolved(schema, here).get("properties", {}))


def _resolved(schema: Any, here: Any) -> Any:
    for _ in range(5):
        if "$ref" in here:
            here = schema["$defs"][here["$ref"].rpartition("/")[2]]
        elif "anyOf" in here:
            here = next((part for part in here["anyOf"] if part.get("type") != "null"), {})
        else:
            break
    return here
