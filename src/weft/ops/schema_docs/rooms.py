"""Which room a table belongs to, from the models; what the kernel itself needs belongs to nobody."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from weft.db.base import Base
from weft.ops.schema_docs.catalogue import Table

KERNEL: Final = "kernel"
_KERNEL_SENTENCE: Final = "Tables of the kernel: the queue, encryption keys, migrations."


@dataclass(slots=True)
class Room:
    name: str
    sentence: str
    tables: list[Table] = field(default_factory=list)

    @property
    def title(self) -> str:
        return self.name.replace("_", " ").capitalize()


def rooms_of(tables: Sequence[Table]) -> list[Room]:
    """The rooms that have tables, by name, the kernel last."""
    importlib.import_module("weft.migrations.models")  # declares every table
    owners = {mapper.local_table.name: _room(mapper.class_.__module__) for mapper in Base.registry.mappers}  # type: ignore[attr-defined]  # always a Table here
    rooms: dict[str, Room] = {}
    for table in tables:
        name = owners.get(table.name, KERNEL)
        rooms.setdefault(name, Room(name, _sentence(name))).tables.append(table)
    return sorted(rooms.values(), key=lambda room: (room.name == KERNEL, room.name))


def descriptions() -> dict[str, str]:
    """What the models say of their tables, for those that carry no comment in the database."""
    importlib.import_module("weft.migrations.models")
    found = {}
    for mapper in Base.registry.mappers:
        said = (mapper.class_.__doc__ or "").strip()
        if said and not said.startswith(f"{mapper.class_.__name__}("):  # a signature, made by dataclasses
            found[mapper.local_table.name] = " ".join(said.split("\n\n")[0].split())  # type: ignore[attr-defined]  # likewise
    return found


def _room(module: str) -> str:
    parts = module.split(".")
    return parts[2] if parts[:2] == ["weft", "domain"] else KERNEL


def _sentence(room: str) -> str:
    if room == KERNEL:
        return _KERNEL_SENTENCE
    said = importlib.import_module(f"weft.domain.{room}").__doc__ or ""
    return " ".join(said.split("\n\n")[0].split())
