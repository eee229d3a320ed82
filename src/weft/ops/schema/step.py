"""One statement on the way from one schema to another, and where it stands in a script."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum

from weft.db.base import SCHEMA
from weft.db.emit import DIALECT
from weft.db.fingerprint import Difference, Facts, Fingerprint, Key

OWNER = "weft_owner"
SWITCHES = {"yes": "enable", "no": "disable", "always": "enable always", "on replicas only": "enable replica"}
"""What `alter table` calls the ways in which a trigger may be on."""


class Place(IntEnum):
    """The order of a script. First go those on which nothing hangs; then comes what is new, and what stays is changed
    back; only then goes what that may have hung on: a policy that was altered may use a new function, a default a new
    sequence. Functions come before what may call them, but for those that speak of a new table."""

    roles = 0
    members = 1
    rename = 2
    revoke = 10
    drop_trigger = 11
    drop_policy = 12
    drop_rule = 13
    drop_reference = 14
    drop_constraint = 15
    drop_index = 16
    replace_function = 17
    make_room = 18
    sequence = 20
    type_ = 21
    function = 22
    table = 23
    column = 24
    row_function = 25
    change_policy = 30
    drop_view = 31
    change_column = 32
    view = 33
    constraint = 34
    index = 35
    reference = 36
    validate = 37
    not_null = 38
    row_security = 40
    policy = 42
    trigger = 43
    attach = 44
    owner = 45
    grant = 50
    partitions = 60
    drop_column = 70
    drop_row_function = 71
    drop_table = 72
    drop_object = 73
    drop_type = 74
    drop_function = 75
    drop_sequence = 76
    comment = 80
    rows = 81


class Stage(IntEnum):
    """Which revision of a series a statement belongs to, so that nothing waits long for a lock (`careful`)."""

    expand = 0
    validate = 1
    index = 2
    contract = 3


@dataclass(frozen=True, slots=True)
class Step:
    """`sql` is empty where no statement can do it; then `warning` says what a person has to do."""

    place: Place
    sql: str
    key: Key
    stage: Stage = Stage.expand
    narrows: bool = False
    """An older version of weft may not work after it."""
    admin: bool = False
    """The owner of the schema may not; an administrator of the server may."""
    warning: str = ""
    rank: int = 0
    """The order within a place."""


@dataclass(frozen=True, slots=True)
class Change:
    """One difference with the schemas around it. `careful`: for a database that people work on meanwhile."""

    difference: Difference
    expected: Fingerprint
    found: Fingerprint
    careful: bool
    since: Fingerprint
    """What an older version of weft knows: `found`, or what was found when the series of revisions began."""
    holding: frozenset[str] = frozenset()
    """Tables with rows that nobody expects: they are left for people to look at."""

    @property
    def key(self) -> Key:
        return self.difference.key

    def table_is_new(self, table: str) -> bool:
        return ("table", table) not in self.found

    def table_goes(self, table: str) -> bool:
        return ("table", table) not in self.expected

    def stays(self, table: str) -> bool:
        """Whether nobody expects a table, and yet it is not dropped."""
        return table in self.holding or self.month_of(table) is not None

    def month_of(self, table: str) -> str | None:
        """The partitioned table that this one was detached from, by its name and columns."""
        parent = table[:-7]
        there = self.expected.get(("table", parent), {})
        if self.careful or not _MONTH.search(table) or "RANGE" not in str(there.get("partitioned by")):
            return None
        if not self.table_goes(table) or ("table", table) not in self.found:
            return None
        return parent if _types(self.expected, parent) == _types(self.found, table) else None

    def in_the_way(self, table: str) -> list[str]:
        """Keys of a table that nobody expects, whose names belong to others; other indexes go by themselves."""
        return [
            name
            for (kind, name), facts in self.found.items()
            if kind == "index" and facts["table"] == table and facts["constraint"]
            and self.expected.get((kind, name), facts)["table"] != table
        ]  # fmt: skip

    def is_view(self, table: str) -> bool:
        facts = self.expected.get(("table", table)) or self.found.get(("table", table)) or {}
        return str(facts.get("kind", "")).endswith("view")

    def remade(self) -> bool:
        """Whether a function has to go and come again: PostgreSQL replaces neither its result nor its arguments."""
        expected, found = self.difference.expected, self.difference.found
        if self.difference.kind != "function" or expected is None or found is None:
            return False
        differs = set(self.difference.changed())
        fixed = {fact for fact in ("argument names", "defaults") if found[fact] is not None}
        return bool(differs & ({"returns", "kind"} | fixed))

    def holds(self, name: str) -> bool:
        """Whether a table that is left alone speaks of this object: it could not go without it."""
        spoken = re.compile(rf"(?<![\w.]){re.escape(qualified(name))}(?!\w)")
        return any(
            spoken.search(str(value)) is not None
            for facts in self.found.values()
            if facts.get("table") in self.holding
            for value in facts.values()
        )

    def only_on_new_columns(self, facts: Facts) -> bool:
        """Whether older versions cannot offend against this: they do not write a column that it is about."""
        return any(("column", f"{facts['table']}.{column}") not in self.since for column in facts["columns"])

    def column_goes(self, table: str, column: str) -> bool:
        return ("column", f"{table}.{column}") not in self.expected

    def adds(self, place: Place, sql: str, *, warning: str = "", narrows: bool = False) -> Step:
        stage = Stage.contract if narrows else Stage.expand
        return Step(place, sql, self.key, stage, narrows, warning=warning)

    def removes(self, place: Place, sql: str, *, warning: str = "") -> Step:
        return Step(place, sql, self.key, Stage.contract, narrows=True, warning=warning)

    def by_hand(self, warning: str) -> Step:
        return Step(Place.roles, "", self.key, warning=warning)

    def by_admin(self, sql: str, *, place: Place = Place.roles, warning: str = "") -> Step:
        return Step(place, sql, self.key, admin=True, warning=warning)


_MONTH = re.compile(r"_[0-9]{4}(0[1-9]|1[0-2])$")


def _types(schema: Fingerprint, table: str) -> dict[str, str]:
    return {
        str(facts["name"]): str(facts["type"])
        for (kind, _), facts in schema.items()
        if kind == "column" and facts["table"] == table
    }


def quoted(name: str) -> str:
    return str(DIALECT.identifier_preparer.quote(name))


def qualified(name: str) -> str:
    return f"{SCHEMA}.{quoted(name)}"


def role(name: str) -> str:
    return name if name == "public" else quoted(name)


def text(value: str) -> str:
    """A string literal."""
    return "'" + value.replace("'", "''") + "'"


_LITERAL = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*\"""")
"""A string or a quoted name, whose brackets mean nothing; PostgreSQL prints quotes inside doubled."""


def bracketed(expression: str) -> str:
    """An expression in one pair of brackets; PostgreSQL prints most of them with one already."""
    depth = 0
    plain = _LITERAL.sub(lambda literal: "x" * len(literal[0]), expression)
    for place, letter in enumerate(plain):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if depth == 0 and place < len(plain) - 1:
            return f"({expression})"
    return expression if expression.startswith("(") else f"({expression})"


def as_owner(owner: str, statement: str, *, creates: bool = False) -> str:
    """A statement that only the owner of a function may run; putting a function in the schema needs a right to it."""
    if owner == OWNER:
        return statement
    inside = f"set local role {quoted(owner)};\n{statement};\nreset role"
    return while_creating(owner, inside) if creates else inside


def while_creating(owner: str, statement: str) -> str:
    """A statement after which the owner of a function may put it in the schema, for as long as that takes."""
    right = f"create on schema {SCHEMA}"
    return f"grant {right} to {quoted(owner)};\n{statement};\nrevoke {right} from {quoted(owner)}"
