"""What somebody gave another name: it is given its own again, with all that is in it.

Only for repairs. That a name has changed is a guess, from equal columns or equal facts, and is said so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from weft.db.fingerprint import Facts, Fingerprint, Key
from weft.ops.schema.step import OWNER, Place, Step, qualified, quoted

_Name = TypeVar("_Name")
_LOOKS = "{old} is like {new}, which is missing: it is given that name. If it is something else, do not run this."


@dataclass(frozen=True, slots=True)
class Renames:
    """`found`: as it will be when the steps have run."""

    steps: tuple[Step, ...]
    found: Fingerprint


def undone(expected: Fingerprint, found: Fingerprint) -> Renames:
    """Tables first, then columns in tables that have their name again."""
    steps: list[Step] = []
    for old, new in _pairs(_tables(found, expected), _tables(expected, found)):
        admin = found["table", old]["owner"] != OWNER
        steps.append(
            Step(
                Place.roles if admin else Place.rename, f"alter table {qualified(old)} rename to {quoted(new)}",
                ("table", new), admin=admin, warning=_LOOKS.format(old=old, new=new),
            )
        )  # fmt: skip
        found = _with_table(found, old, new)
    for (table, old), (_, new) in _pairs(_columns(found, expected), _columns(expected, found)):
        steps.append(
            Step(
                Place.rename, f"alter table {qualified(table)} rename column {quoted(old)} to {quoted(new)}",
                ("column", f"{table}.{new}"), warning=_LOOKS.format(old=f"{table}.{old}", new=f"{table}.{new}"),
            )
        )  # fmt: skip
        found = _with_column(expected, found, table, old, new)
    return Renames(tuple(steps), found)


def _pairs(gone: Mapping[_Name, Any], missing: Mapping[_Name, Any]) -> Iterator[tuple[_Name, _Name]]:
    """Those that are alike and the only ones of their kind: where there is a choice nothing is guessed."""
    for old, looks in gone.items():
        alike = [new for new, others in missing.items() if others == looks]
        if len(alike) == 1 and sum(others == looks for others in gone.values()) == 1:
            yield old, alike[0]


def _tables(side: Fingerprint, other: Fingerprint) -> dict[str, Any]:
    """Tables that are on one side only, and what they look like."""
    looks: dict[str, Any] = {
        name: [facts["kind"], facts["partitioned by"]]
        for (kind, name), facts in side.items()
        if kind == "table" and (kind, name) not in other and facts["query"] is None
    }
    columns: dict[str, list[tuple[str, str]]] = {name: [] for name in looks}
    for (kind, _), facts in side.items():
        if kind == "column" and facts["table"] in columns:
            columns[facts["table"]].append((facts["name"], facts["type"]))
    return {name: (looks[name], sorted(columns[name])) for name in looks if columns[name]}


def _columns(side: Fingerprint, other: Fingerprint) -> dict[tuple[str, str], Any]:
    """Columns that are on one side only, of tables that are on both."""
    return {
        (facts["table"], facts["name"]): {f: value for f, value in facts.items() if f not in ("name", "comment")}
        for (kind, name), facts in side.items()
        if kind == "column" and (kind, name) not in other and ("table", facts["table"]) in other
    }


def _with_table(found: Fingerprint, old: str, new: str) -> Fingerprint:
    """A schema in which a table has another name: in its own facts, in keys, and wherever a definition speaks of it."""
    spoken = re.compile(rf"(?<![\w.]){re.escape(qualified(old))}(?!\w)")

    def renamed(value: Any) -> Any:
        return spoken.sub(lambda _: qualified(new), value) if isinstance(value, str) else value

    def facts_of(kind: str, facts: Facts) -> Facts:
        names = ("table", "references", *(["name"] if kind == "table" else []))
        return {f: new if f in names and value == old else renamed(value) for f, value in facts.items()}

    def key_of(key: Key, facts: Facts) -> Key:
        kind, name = key
        if kind == "table" and name == old:
            return kind, new
        if facts.get("table") == old and re.match(rf"{re.escape(old)}(\.| to )", name):
            return kind, new + name[len(old) :]
        return key

    return {key_of(key, facts): facts_of(key[0], facts) for key, facts in found.items()}


def _with_column(expected: Fingerprint, found: Fingerprint, table: str, old: str, new: str) -> Fingerprint:
    """A schema in which a column has another name. Definitions that say `old` now say `new`, if that is what is
    expected of them; for PostgreSQL changes them with the column."""
    word = re.compile(rf"(?<!\w){re.escape(quoted(old))}(?!\w)")

    result: Fingerprint = {}
    for key, facts in found.items():
        own = {"column": "name", "column grant": "column"}.get(key[0])
        if own and (facts["table"], facts[own]) == (table, old):
            rest = key[1].removeprefix(f"{table}.{old}")
            result[key[0], f"{table}.{new}{rest}"] = {**facts, own: new}
        elif table in (facts.get("table"), facts.get("references")):
            read = {f: _read_anew(value, word, old, new) for f, value in facts.items()}
            result[key] = read if read == expected.get(key) else facts
        else:
            result[key] = facts
    return result


def _read_anew(value: Any, word: re.Pattern[str], old: str, new: str) -> Any:
    if isinstance(value, list):
        return [new if item == old else item for item in value]
    return word.sub(lambda _: quoted(new), value) if isinstance(value, str) else value
