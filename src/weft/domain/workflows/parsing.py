"""Text to document: YAML 1.2 as people write it, or JSON.

The text comes from tenants, so nothing in it may cost more than its size: the YAML is read as a stream of events
by an own builder without recursion, which counts depth and nodes, aliases included (`&a [*b, *b]` bombs end at the
node limit). Differences from PyYAML's safe loader, on purpose:

- the words `on`, `off`, `yes`, `no` are text as YAML 1.2 says, so that `retry: {on: [timeout]}` means what it says;
- dates stay text: a definition is JSON, which has none;
- a key given twice is refused with both lines, because one of the two is a mistake;
- tags other than those of JSON's own types are refused.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import yaml

from weft.domain.workflows.building import MAX_DEPTH, Builder, Path, storable, unreadable

Format: TypeAlias = Literal["yaml", "json"]

MAX_BYTES: Final = 1_000_000

_Loader: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is twenty times faster
_TAGS: Final = "tag:yaml.org,2002:"
_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL: Final = {word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")}
_INT: Final = re.compile(r"[-+]?[0-9]{1,400}|0o[0-7]{1,400}|0x[0-9a-fA-F]{1,400}")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]{1,400}|[0-9]{1,400}(\.[0-9]{0,400})?)([eE][-+]?[0-9]{1,5})?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document and where its parts stand in the text it came from."""

    document: dict[str, Any]
    format: Format
    lines: Mapping[Path, int] = field(default_factory=dict)

    def line(self, path: Path) -> int | None:
        """The line (from 1) of the part at `path`, or of the nearest part around it that is in the text."""
        for length in range(len(path), -1, -1):
            found = self.lines.get(path[:length])
            if found is not None:
                return found
        return None


DEFINITION: Final = ("A definition is an object with `name`, `steps` and `transitions`", "name")
"""What is read, in words, and the word that it usually begins with."""


def parse(
    text: str | bytes,
    format: Format | None = None,  # noqa: A002  the word users see
    *,
    expected: tuple[str, str] = DEFINITION,
) -> Parsed:
    """Read a definition, or what else is `expected`. Without a format, text that begins with `{` is JSON.

    Raises `DocumentUnreadable` with the line.
    """
    source = _decode(text)
    chosen: Format = format or ("json" if source.lstrip("\ufeff \t\r\n").startswith("{") else "yaml")
    document, lines = (_parse_json if chosen == "json" else _parse_yaml)(source)
    if not isinstance(document, dict):
        raise unreadable(
            f"{expected[0]}; this is {_called(document)}. Begin it with `{expected[1]}:`.",
            line=1,
        )
    return Parsed(document, chosen, lines)


def _decode(text: str | bytes) -> str:
    size = len(text) if isinstance(text, bytes) else len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise unreadable(f"The document has {size:,} bytes; the limit is {MAX_BYTES:,}. Move data out of it.")
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text[: error.start].count(b"\n") + 1
        raise unreadable("This is not UTF-8. Save the file as UTF-8 text.", line=line) from error


def _called(value: object) -> str:
    match value:
        case None:
            return "empty"
        case bool():
            return "a boolean"
        case str():
            return "text"
        case list():
            return "a list"
        case dict():
            return "an object"
        case _:
            return "a number"


# --- YAML -------------------------------------------------------------------------------------------------------


def _parse_yaml(source: str) -> tuple[Any, dict[Path, int]]:
    builder = Builder()
    documents = 0
    try:
        for event in yaml.parse(source, Loader=_Loader):
            line = event.start_mark.line + 1 if event.start_mark else 1
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise unreadable("A file holds one document; a second document begins here.", line=line)
            else:
                _take(builder, event, line)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = (error.problem or "it cannot be read").rstrip(".")
        raise unreadable(
            f"This is not YAML: {what}. Check the indentation, quotes and brackets around here.",
            line=mark.line + 1 if mark else None,
            column=mark.column + 1 if mark else None,
        ) from error
    except yaml.YAMLError as error:  # a character that YAML does not allow
        raise unreadable("There is a control character in the text that YAML does not allow. Remove it.") from error
    return builder.root, builder.lines


def _take(builder: Builder, event: yaml.Event, line: int) -> None:
    match event:
        case yaml.ScalarEvent():
            if builder.awaits_key():
                if event.anchor is not None:
                    raise unreadable("An anchor cannot stand on a key. Put it before the value.", line=line)
                is_plain = event.implicit[0] and event.tag is None
                builder.key(storable(event.value, line), line, merges=is_plain and event.value == "<<")
            else:
                builder.scalar(_scalar(event, line), line, event.anchor)
        case yaml.AliasEvent():
            if builder.awaits_key():
                raise unreadable("An alias cannot be a key. Write the key out.", line=line)
            builder.alias(event.anchor or "", line)
        case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
            if builder.awaits_key():
                raise unreadable("A key must be text, not a list or an object.", line=line)
            is_list = isinstance(event, yaml.SequenceStartEvent)
            _plain_tag(event.tag, "seq" if is_list else "map", line)
            builder.open([] if is_list else {}, line, event.anchor)
        case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
            builder.close()
        case _:
            pass


def _plain_tag(tag: str | None, expected: str, line: int) -> None:
    if tag not in (None, "!", _TAGS + expected):
        raise unreadable(f"The tag '{tag}' is not supported. Remove it.", line=line)


def _scalar(event: yaml.ScalarEvent, line: int) -> Any:
    """The value of a scalar under the core schema of YAML 1.2."""
    text, tag = event.value, event.tag
    if tag in (None, "!"):
        return _resolve(text, line) if event.implicit[0] and tag is None else storable(text, line)
    if tag == _TAGS + "str":
        return storable(text, line)
    value = _resolve(text, line)
    expected = {"null": type(None), "bool": bool, "int": int, "float": float}.get(tag.removeprefix(_TAGS))
    if expected is float and type(value) is int:
        return float(value)
    if expected is None or type(value) is not expected:
        raise unreadable(f"The tag '{tag}' does not fit the value '{text[:40]}'. Remove it.", line=line)
    return value


def _resolve(text: str, line: int) -> Any:
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        return int(text, base)
    if _FLOAT.fullmatch(text):
        return _finite(float(text), text, line)
    if _NOT_FINITE.fullmatch(text):
        raise _no_number(text, line)
    return storable(text, line)


def reads_as_text(text: str) -> bool:
    """Whether the text, written in YAML without quotes, is read as text and not as something else."""
    is_word = text in _NULL or text in _BOOL
    return not is_word and not any(pattern.fullmatch(text) for pattern in (_INT, _FLOAT, _NOT_FINITE))


def _finite(value: float, text: str, line: int | None) -> float:
    if math.isfinite(value):
        return value
    raise _no_number(text, line)


def _no_number(text: str, line: int | None) -> Exception:
    return unreadable(
        f"'{text[:40]}' is not a number that JSON can hold. Write a smaller number, or text in quotes.", line=line
    )


# --- JSON -------------------------------------------------------------------------------------------------------

_JSON_TOKEN: Final = re.compile(r'\n|[{}\[\],:]|"(?:[^"\\]|\\.)*"|[^\s{}\[\],:"]+')


def _parse_json(source: str) -> tuple[Any, dict[Path, int]]:
    text = source.removeprefix("\ufeff")
    try:
        json.loads(text, parse_constant=_refuse_constant, parse_float=_json_float, parse_int=_json_int)
    except json.JSONDecodeError as error:
        raise unreadable(f"This is not JSON: {error.msg}.", line=error.lineno, column=error.colno) from error
    except RecursionError as error:
        raise unreadable(f"Values are nested deeper than {MAX_DEPTH} levels. Flatten them.") from error
    builder = Builder()
    for token, line in _json_tokens(text):
        match token[0]:
            case "{":
                builder.open({}, line)
            case "[":
                builder.open([], line)
            case "}" | "]":
                builder.close()
            case '"' if builder.awaits_key():
                builder.key(storable(json.loads(token), line), line)
            case '"':
                builder.scalar(storable(json.loads(token), line), line)
            case _:
                builder.scalar(json.loads(token), line)
    return builder.root, builder.lines


def _json_tokens(text: str) -> Iterator[tuple[str, int]]:
    """The tokens of valid JSON that carry values, with their lines."""
    line = 1
    for match in _JSON_TOKEN.finditer(text):
        piece = match.group()
        if piece == "\n":
            line += 1
        elif piece not in (",", ":"):
            yield piece, line


def _json_float(text: str) -> float:
    return _finite(float(text), text, None)


def _json_int(text: str) -> int:
    if len(text) > 400:
        raise _no_number(text, None)
    return int(text)


def _refuse_constant(text: str) -> Any:
    raise _no_number(text, None)
