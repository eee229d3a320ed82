"""Pages and pictures into a directory, or compared with those that are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weft.ops.connections import connect
from weft.ops.schema_docs import catalogue, drawing, pages, rendering
from weft.ops.schema_docs.catalogue import Table
from weft.ops.schema_docs.rooms import descriptions, rooms_of


@dataclass(frozen=True, slots=True)
class Documents:
    """Texts by file name: Markdown, and the sources of the pictures by the pictures' names."""

    pages: Mapping[str, str]
    sources: Mapping[str, str]
    tables: int


@dataclass(slots=True)
class Written:
    """`missing` says why there are no pictures, when there are none."""

    tables: int
    files: list[str] = field(default_factory=list)
    missing: rendering.GraphvizMissing | None = None

    def as_json(self) -> dict[str, Any]:
        return {"tables": self.tables, "files": self.files, "pictures": self.missing is None}


async def read(dsn: str) -> Documents:
    """All texts, from the database at `dsn`; any login that may read the catalogue will do."""
    connection = await connect(dsn, application="weft db docs")
    try:
        return documents(await catalogue.read(connection))
    finally:
        await connection.close()


def documents(tables: Sequence[Table]) -> Documents:
    rooms, said = rooms_of(tables), descriptions()
    texts = {"README.md": pages.index_page(rooms, said)}
    sources = {"overview.svg": drawing.overview(rooms)}
    for room in rooms:
        texts[f"{room.name}.md"] = pages.room_page(room, rooms, said)
        sources[f"{room.name}.svg"] = drawing.room_picture(room, rooms)
    return Documents(texts, sources, len(tables))


def write(found: Documents, place: Path, *, dot: bool = False) -> Written:
    """Write what differs. Without Graphviz the pages are written all the same; `dot` adds the pictures' sources."""
    place.mkdir(parents=True, exist_ok=True)
    written = Written(found.tables)
    for name, text in found.pages.items():
        _put(place / name, text, written)
    for name, source in found.sources.items():
        if dot:
            _put((place / name).with_suffix(".dot"), source, written)
        if written.missing is None and not _is_of(place / name, source):
            try:
                _put(place / name, rendering.svg(source), written)
            except rendering.GraphvizMissing as error:
                written.missing = error
    return written


def outdated(found: Documents, place: Path) -> list[str]:
    """The files that are not there, or not of this schema; and pages of rooms that are gone."""
    wrong = [name for name, text in found.pages.items() if not _is_text(place / name, text)]
    wrong += [name for name, source in found.sources.items() if not _is_of(place / name, source)]
    known = found.pages.keys() | found.sources.keys()
    wrong += [path.name for path in place.glob("*") if path.suffix in (".md", ".svg") and path.name not in known]
    return sorted(wrong)


def _put(path: Path, text: str, written: Written) -> None:
    if not _is_text(path, text):
        path.write_text(text, encoding="utf-8")
    written.files.append(str(path))


def _is_text(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def _is_of(path: Path, source: str) -> bool:
    return path.is_file() and rendering.mark(source) in path.read_text(encoding="utf-8")[:2_000]
