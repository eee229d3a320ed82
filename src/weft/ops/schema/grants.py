"""Statements for rights: on tables, columns, the schema, and what will be made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from weft.db.base import SCHEMA
from weft.ops.schema.step import OWNER, Change, Place, Step, as_owner, qualified, quoted, role

_OPTION = " with grant option"


def grant(change: Change) -> Iterator[Step]:
    facts = change.difference.expected or change.difference.found or {}
    goes = change.table_goes(facts["table"]) and ("sequence", str(facts["table"])) not in change.expected
    if not goes or change.month_of(facts["table"]):
        target = qualified(facts["table"])
        yield from grants(change, f"sequence {target}" if facts["of a sequence"] else target, OWNER)


def column_grant(change: Change) -> Iterator[Step]:
    facts = change.difference.expected or change.difference.found or {}
    if not change.column_goes(facts["table"], facts["column"]) or change.month_of(facts["table"]):
        yield from grants(change, qualified(facts["table"]), OWNER, column=str(facts["column"]))


def schema_grant(change: Change) -> Iterator[Step]:
    yield from grants(change, f"schema {SCHEMA}", OWNER)


def grants(
    change: Change, target: str, owner: str, *, column: str | None = None, before: str | None = None
) -> Iterator[Step]:
    """What gives and takes rights, as the owner; `before`: who owns it until it is handed over."""
    expected, found = change.difference.expected, change.difference.found
    facts = expected or found or {}
    there = privileges(found["privileges"] if found else ())
    wanted = privileges(expected["privileges"] if expected else ())
    everything = "" if column is None else f" ({quoted(column)})"
    to = role(facts["to"])
    gone = [name for name in there if name not in wanted]
    if gone:
        words = ", ".join(f"{name.lower()}{everything}" for name in gone)
        yield change.removes(Place.revoke, as_owner(before or owner, f"revoke {words} on {target} from {to}"))
    for option in (False, True):
        new = [name for name, with_option in wanted.items() if with_option is option and there.get(name) is not option]
        words = ", ".join(f"{name.lower()}{everything}" for name in new)
        if not new:
            continue
        if not option and all(name in there for name in new):
            yield change.removes(
                Place.revoke, as_owner(before or owner, f"revoke grant option for {words} on {target} from {to}")
            )
            continue
        yield change.adds(Place.grant, as_owner(owner, f"grant {words} on {target} to {to}{_OPTION if option else ''}"))


def privileges(listed: Sequence[str]) -> dict[str, bool]:
    """Privilege to whether it may be passed on."""
    return {name.removesuffix(_OPTION): name.endswith(_OPTION) for name in listed}


def default_privilege(change: Change) -> Iterator[Step]:
    facts = change.difference.expected or change.difference.found or {}
    where = "" if facts["everywhere"] else f" in schema {SCHEMA}"
    begin = f"alter default privileges for role {quoted(facts['owner'])}{where}"
    words = ", ".join(privileges(facts["privileges"])).lower()
    if change.difference.found is not None:
        yield change.by_admin(f"{begin} revoke {words} on {facts['on']} from {role(facts['to'])}")
    if change.difference.expected is not None:
        yield change.by_admin(f"{begin} grant {words} on {facts['on']} to {role(facts['to'])}")
