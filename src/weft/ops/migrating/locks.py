"""Which lock a statement takes, on which table: what a reviewer wants to know before it meets traffic.

Read from the text, for what revisions contain. A statement that is not recognised says nothing, not "no lock".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from weft.ops.schema.script import Statement


class Lock(StrEnum):
    """From the mildest. What each stops is in `STOPS`."""

    row_exclusive = "row exclusive"
    share_update_exclusive = "share update exclusive"
    share = "share"
    share_row_exclusive = "share row exclusive"
    access_exclusive = "access exclusive"


STOPS: Final = {
    Lock.row_exclusive: "nothing but changes of the schema",
    Lock.share_update_exclusive: "vacuum and changes of the schema",
    Lock.share: "writes",
    Lock.share_row_exclusive: "writes",
    Lock.access_exclusive: "reads and writes",
}


@dataclass(frozen=True, slots=True)
class Taken:
    """`table` without its schema. `new`: the same migration made it, so that nobody else can wait for it."""

    table: str
    lock: Lock
    new: bool = False

    def words(self) -> str:
        return f"{self.table}: {self.lock.value}" + (" (new)" if self.new else f" (stops {STOPS[self.lock]})")


_NAME = r"(?:only )?(?:\"?weft\"?\.)?\"?(?P<table>\w+)\"?"
_IF = r"(?:if (?:not )?exists )?"
_MILD = r"validate constraint|set statistics|set \(|reset \(|attach partition|cluster on|set without cluster"

_RULES: Final[tuple[tuple[re.Pattern[str], Lock], ...]] = tuple(
    (re.compile(pattern, re.IGNORECASE), lock)
    for pattern, lock in (
        (rf"create (?:unique )?index concurrently .*? on {_NAME}", Lock.share_update_exclusive),
        (rf"create (?:unique )?index .*? on {_NAME}", Lock.share),
        (rf"alter table {_IF}{_NAME} detach partition \S+ concurrently", Lock.share_update_exclusive),
        (rf"alter table {_IF}{_NAME} (?:{_MILD})", Lock.share_update_exclusive),
        (rf"alter table {_IF}{_NAME} add (?:constraint \S+ )?foreign key", Lock.share_row_exclusive),
        (rf"alter table {_IF}{_NAME} (?:enable|disable) trigger", Lock.share_row_exclusive),
        (rf"alter table {_IF}{_NAME}", Lock.access_exclusive),
        (rf"(?:drop table|truncate(?: table)?) {_IF}{_NAME}", Lock.access_exclusive),
        (rf"create (?:or replace )?(?:constraint )?trigger .*? on {_NAME}", Lock.share_row_exclusive),
        (rf"drop trigger {_IF}\S+ on {_NAME}", Lock.access_exclusive),
        (rf"(?:create|alter|drop) policy {_IF}\S+ on {_NAME}", Lock.access_exclusive),
        (rf"comment on (?:table|column) {_NAME}", Lock.share_update_exclusive),
        (rf"(?:update|delete from|insert into) {_NAME}", Lock.row_exclusive),
        (rf"with .*?(?:update|delete from|insert into) {_NAME}", Lock.row_exclusive),
    )
)
_CREATE = re.compile(rf"create (?:unlogged )?table {_IF}{_NAME}", re.IGNORECASE)
_REFERENCE = re.compile(rf"references {_NAME}", re.IGNORECASE)
_INDEX = re.compile(
    rf"(?P<verb>drop index(?P<mild> concurrently)?|alter index) {_IF}(?:\"?weft\"?\.)?\"?(?P<index>\w+)\"?",
    re.IGNORECASE,
)
_BOOKKEEPING = re.compile(
    r"(?:insert into|update|delete from|(?:create|drop) table) weft\.alembic_version\b(?!,)"
    r"|insert into weft\.migration_history\b|set (?:local )?app\.maintenance\b|select set_config\('app\.maintenance'",
    re.IGNORECASE,
)
_FRAME = re.compile(r"(begin|commit)\b", re.IGNORECASE)


def is_bookkeeping(statement: str) -> bool:
    """What Alembic and the history add to every revision."""
    return bool(_FRAME.fullmatch(statement) or _BOOKKEEPING.match(statement))


def taken(script: Sequence[Statement], new: set[str] | None = None) -> Iterator[tuple[Statement, list[Taken]]]:
    """Every statement with its locks, in order. `new` are tables made before, and grows with those made here."""
    made = new if new is not None else set()
    for statement in script:
        text = statement.plain()
        if match := _CREATE.match(text):
            made.add(match["table"].lower())
        yield statement, list(_of(text, made))


def _of(text: str, new: set[str]) -> Iterator[Taken]:
    if match := _INDEX.match(text):
        mild = bool(match["mild"]) or match["verb"].lower() == "alter index"
        yield Taken(f"index {match['index'].lower()}", Lock.share_update_exclusive if mild else Lock.access_exclusive)
        return
    for pattern, lock in _RULES:
        if match := pattern.match(text):
            yield _taken(match["table"], lock, new)
            break
    if re.match(r"(?:create (?:unlogged )?|alter )table", text, re.IGNORECASE):
        for match in _REFERENCE.finditer(text):
            yield _taken(match["table"], Lock.share_row_exclusive, new)


def _taken(table: str, lock: Lock, new: set[str]) -> Taken:
    name = table.lower()
    return Taken(name, lock, name in new)
