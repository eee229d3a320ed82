"""One statement on the way from one schema to another, and where it stands in a script."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from weft.db.base import SCHEMA
from weft.db.emit import DIALECT
from weft.db.fingerprint import Difference, Facts, Fingerprint, Key

OWNER = "weft_owner"


class Place(IntEnum):
    """The order of a script: first what goes, from the outside in; then what comes, in the order of `weft.db.emit`."""

    roles = 0
    revoke = 10
    drop_trigger = 11
    drop_policy = 12
    drop_rule = 13
    drop_reference = 14
    drop_constraint = 15
    drop_index = 16
    drop_column = 17
    drop_table = 18
    drop_function = 19
    drop_type = 20
    type_ = 30
    table = 31
    column = 32
    change_column = 33
    constraint = 34
    index = 35
    reference = 36
    validate = 37
    not_null = 38
    row_security = 40
    function = 41
    policy = 42
    trigger = 43
    owner = 44
    grant = 50
    partitions = 60
    comment = 61
    rows = 62


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


@dataclass(frozen=True, slots=True)
class Change:
    """One difference with the schemas around it. `careful`: for a database that people work on meanwhile."""

    difference: Difference
    expected: Fingerprint
    found: Fingerprint
    careful: bool
    since: Fingerprint
    """What an older version of weft knows: `found`, or what was found when the series of revisions began."""

    @property
    def key(self) -> Key:
        return self.difference.key

    def table_is_new(self, table: str) -> bool:
        return ("table", table) not in self.found

    def table_goes(self, table: str) -> bool:
        return ("table", table) not in self.expected

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

    def by_admin(self, sql: str) -> Step:
        return Step(Place.roles, sql, self.key, admin=True)


def quoted(name: str) -> str:
    return str(DIALECT.identifier_preparer.quote(name))


def qualified(name: str) -> str:
    return f"{SCHEMA}.{quoted(name)}"


def role(name: str) -> str:
    return name if name == "public" else quoted(name)


def text(value: str) -> str:
    """A string literal."""
    return "'" + value.replace("'", "''") + "'"


def bracketed(expression: str) -> str:
    """An expression in one pair of brackets; PostgreSQL prints most of them with one already."""
    depth = 0
    for place, letter in enumerate(expression):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if depth == 0 and place < len(expression) - 1:
            return f"({expression})"
    return expression if expression.startswith("(") else f"({expression})"
