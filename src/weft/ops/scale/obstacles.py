"""What a distributed PostgreSQL would refuse in this schema and in weft's own statements, and what becomes of it.

The rules are those of Citus. An obstacle is `solved` when the plan of `weft.ops.scale.distribution` goes round it; the
others stand in the way of running weft there, and are named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import MetaData

from weft.db import emit
from weft.ops.scale.places import (
    KEY,
    Place,
    carries_the_tenant,
    nulls_the_tenant,
    place_of,
    references,
    unique_keys,
)

_FUNCTION: Final = re.compile(r"create function weft\.(\w+)\s*\(.*?\$\$(.*?)\$\$", re.DOTALL)
_TABLE: Final = re.compile(r"(?<!')\bweft\.(\w+)\b")
_COMMENT: Final = re.compile(r"--[^\n]*")


@dataclass(frozen=True, slots=True)
class Obstacle:
    """`rule` in a word, `where` it was found, what is wrong, and how it is solved (or that it is not)."""

    rule: str
    where: str
    sentence: str
    solved: bool

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def of_schema(metadata: MetaData) -> list[Obstacle]:
    """What the tables, keys, references and triggers run into."""
    tables = emit.tables_of(metadata)
    found = []
    for table in tables:
        if place_of(table) is Place.distributed:
            found += [
                Obstacle("keys", f"{table.name}.{name}", f"A unique key without {KEY} cannot be kept.", solved=False)
                for name, columns in unique_keys(table)
                if KEY not in columns
            ]
        if place_of(table) is Place.reference and table.info["audit"]:
            sentence = "A trigger of a table that every node has would write each change several times: left out."
            found.append(Obstacle("audit", table.name, sentence, solved=True))
    for table, key in references(tables):
        found += _of_reference(table.name, place_of(table), key)
    return found


def _of_reference(name: str, place: Place, key: Any) -> Iterator[Obstacle]:
    where, target = f"{name}.{key.name}", place_of(key.referred_table)
    if not is_kept(place, target):
        sentence = f"A {place} table cannot refer to a {target} one: left out, so nothing checks it."
        yield Obstacle("references", where, sentence, solved=True)
    elif target is Place.distributed and not carries_the_tenant(key):
        yield Obstacle("references", where, f"A reference without {KEY} would lead to other nodes.", solved=False)
    if nulls_the_tenant(key):
        yield Obstacle(
            "set null", where, f"It would null {KEY}: made NO ACTION; whoever deletes clears it.", solved=True
        )


def is_kept(source: Place, target: Place) -> bool:
    """Whether a reference between tables of these places can be made."""
    return target is Place.reference or source is target is Place.local or source is target is Place.distributed


def of_functions(metadata: MetaData) -> list[Obstacle]:
    """What weft's own functions run into, by their text."""
    text = "\n".join([*emit.functions(), *emit.retention(emit.tables_of(metadata))])
    found: list[Obstacle] = []
    for name, body in _FUNCTION.findall(text):
        for statement in _statements(body):
            found += _of_statement(metadata, f"{name}()", statement)
    return sorted(set(found), key=lambda one: (one.where, one.rule))


def of_statements(metadata: MetaData, statements: Mapping[str, str]) -> list[Obstacle]:
    """What the statements of services and engine run into. `statements`: label to SQL."""
    found = [
        obstacle for label, statement in statements.items() for obstacle in _of_statement(metadata, label, statement)
    ]
    return sorted(set(found), key=lambda one: (one.where, one.rule))


def _of_statement(metadata: MetaData, where: str, statement: str) -> Iterator[Obstacle]:
    places = {table.name: place_of(table) for table in emit.tables_of(metadata)}
    named = [name for name in dict.fromkeys(_TABLE.findall(statement)) if name in places]
    spread = [name for name in named if places[name] is Place.distributed]
    local = [name for name in named if places[name] is Place.local]
    words = statement.lower()
    if spread and local and re.search(r"\b(insert into|update|delete from) ", words):
        sentence = f"One statement works on {local[0]} (local) and {spread[0]} (distributed)."
        yield Obstacle("one place a statement", where, sentence, solved=False)
    is_of_one = re.search(rf"{KEY} = (\$|p_tenant|found_|tenant\b)", words) is not None
    if spread and "skip locked" in words and not is_of_one:
        sentence = f"It locks rows of {spread[0]} across tenants with SKIP LOCKED."
        yield Obstacle("locks of one tenant", where, sentence, solved=False)
    if spread and "with recursive" in words and not is_of_one:
        yield Obstacle("recursion", where, f"It recurs over {spread[0]}, across tenants.", solved=False)
    if spread and KEY not in words and re.search(r"\b(select|insert|update|delete)\b", words):
        sentence = f"It names no {KEY}, so every node is asked about {spread[0]}."
        yield Obstacle("tenant in every statement", where, sentence, solved=True)
    if "set_config(" in words:
        yield Obstacle("context", where, "set_config() does not reach other nodes; SET LOCAL does.", solved=False)


def _statements(body: str) -> list[str]:
    """A function's statements, without what is said about them."""
    return [part.strip() for part in _COMMENT.sub("", body).split(";") if part.strip()]


def of_everything(metadata: MetaData, statements: Mapping[str, str]) -> list[Obstacle]:
    return [*of_schema(metadata), *of_functions(metadata), *of_statements(metadata, statements)]
