"""Puts a document together from the pieces that a reader of YAML or JSON comes across, in order, without recursion.

It counts what it is given, aliases included, and stops at the limits; it knows the line of every part.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from weft.core.errors import Issue
from weft.domain.workflows.errors import DocumentUnreadable

Path: TypeAlias = tuple[str | int, ...]

MAX_DEPTH: Final = 40
MAX_NODES: Final = 100_000
MAX_ALIASES: Final = 1_000


def unreadable(message: str, *, line: int | None = None, column: int | None = None, path: Path = ()) -> Exception:
    place = {"line": line, "column": column}
    extra = {name: value for name, value in place.items() if value is not None}
    sentence = f"Line {line}: {message}" if line is not None else message
    return DocumentUnreadable([Issue(sentence, path, "document_unreadable", extra)])


def storable(text: str, line: int) -> str:
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise unreadable("The text holds a character that cannot be stored (NUL or half a surrogate pair).", line=line)
    return text


@dataclass(slots=True)
class _Open:
    """A list or object that is being read."""

    value: list[Any] | dict[str, Any]
    path: Path
    line: int
    anchor: str | None
    first: int  # nodes counted when it began
    key: str | None = None
    is_merge: bool = False
    keys: dict[str, int] = field(default_factory=dict)
    merges: list[Any] = field(default_factory=list)


class Builder:
    """Puts values where they belong, counts them, and remembers their lines."""

    def __init__(self) -> None:
        self.stack: list[_Open] = []
        self.lines: dict[Path, int] = {}
        self.nodes = 0
        self.aliases = 0
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.root: Any = None

    def _path(self) -> Path:
        if not self.stack:
            return ()
        top = self.stack[-1]
        return (*top.path, len(top.value) if isinstance(top.value, list) else (top.key or ""))

    def _count(self, nodes: int, line: int) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            raise unreadable(
                f"The document has more than {MAX_NODES:,} values once its aliases are followed. Make it smaller.",
                line=line,
            )

    def awaits_key(self) -> bool:
        return bool(self.stack) and isinstance(self.stack[-1].value, dict) and self.stack[-1].key is None

    def key(self, name: str, line: int, *, merges: bool = False) -> None:
        """`merges`: what follows is YAML's `<<`, objects whose keys fill in those that are missing."""
        top = self.stack[-1]
        if name in top.keys:
            raise unreadable(
                f"The key '{name}' is given twice; the first one is on line {top.keys[name]}. Remove one of them.",
                line=line,
                path=(*top.path, name),
            )
        top.keys[name] = line
        top.key = name
        top.is_merge = merges
        self._count(1, line)

    def open(self, value: list[Any] | dict[str, Any], line: int, anchor: str | None = None) -> None:
        if len(self.stack) >= MAX_DEPTH:
            raise unreadable(f"Values are nested deeper than {MAX_DEPTH} levels. Flatten them.", line=line)
        self._count(1, line)
        self.stack.append(_Open(value, self._path(), line, anchor, self.nodes))

    def close(self) -> None:
        top = self.stack.pop()
        if isinstance(top.value, dict):
            for merged in top.merges:
                for name, value in merged.items():
                    top.value.setdefault(name, value)
        if top.anchor is not None:
            self.anchors[top.anchor] = (top.value, self.nodes - top.first + 1)
        self._place(top.value, top.line)

    def scalar(self, value: Any, line: int, anchor: str | None = None) -> None:
        self._count(1, line)
        if anchor is not None:
            self.anchors[anchor] = (value, 1)
        self._place(value, line)

    def alias(self, name: str, line: int) -> None:
        self.aliases += 1
        if self.aliases > MAX_ALIASES:
            raise unreadable(f"The document uses more than {MAX_ALIASES:,} aliases. Write the values out.", line=line)
        known = self.anchors.get(name)
        if known is None:
            raise unreadable(f"The alias '*{name}' refers to an anchor that is not complete before it.", line=line)
        value, nodes = known
        self._count(nodes, line)
        self._place(_copy(value), line)

    def _place(self, value: Any, line: int) -> None:
        if not self.stack:
            self.root = value
            self.lines[()] = line
            return
        top = self.stack[-1]
        self.lines[self._path()] = line
        if isinstance(top.value, list):
            top.value.append(value)
            return
        name, top.key = top.key, None
        if top.is_merge:
            self._merge(top, value, line)
        elif name is not None:
            self.lines[(*top.path, name)] = top.keys[name]
            top.value[name] = value

    def _merge(self, top: _Open, value: Any, line: int) -> None:
        sources = value if isinstance(value, list) else [value]
        if not all(isinstance(source, dict) for source in sources):
            raise unreadable("`<<` merges objects only: give it an alias of an object or a list of them.", line=line)
        top.merges.extend(sources)


def _copy(value: Any) -> Any:
    """An alias gives a value of its own: changing one place must not change another. Depth is bounded already."""
    if isinstance(value, dict):
        return {name: _copy(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_copy(part) for part in value]
    return value
