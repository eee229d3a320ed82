"""Statements for tables, columns and partitions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from weft.db.fingerprint import Facts, Fingerprint
from weft.ops.schema.step import OWNER, Change, Place, Stage, Step, bracketed, qualified, quoted

FILLED = "{table}_{column}_filled_check"
"""The helper that lets NOT NULL come without reading the table under a lock."""

_VOLATILE = re.compile(
    r"\b(clock_timestamp|timeofday|random|gen_random_uuid|uuidv7|uuidv4|nextval|new_id)\s*\(", re.IGNORECASE
)
_WIDER = {("character varying", "text"), ("character varying", "character varying")}


def table(change: Change) -> Iterator[Step]:
    expected, found = change.difference.expected, change.difference.found
    if found is None:
        assert expected is not None  # noqa: S101  a difference has a side
        yield from _new_table(change, expected)
    elif expected is None:
        yield from _gone_table(change, found)
    else:
        yield from _changed_table(change, expected, found)


def _new_table(change: Change, facts: Facts) -> Iterator[Step]:
    name = str(facts["name"])
    if change.is_view(name):
        yield _create_view(change, facts)
        return
    if facts["kind"] == "foreign table":
        yield change.by_hand(f"The foreign table {name} has to be made by hand.")
        return
    inside = [
        *(definition(f) for (kind, _), f in change.expected.items() if kind == "column" and f["table"] == name),
        *(
            f"constraint {quoted(f['name'])} {f['definition']}"
            for (kind, _), f in sorted(change.expected.items())
            if kind == "constraint" and f["table"] == name and f["kind"] not in ("reference", "not null")
        ),
    ]
    statement = f"create {'' if facts['logged'] else 'unlogged '}table {qualified(name)} (\n  " + ",\n  ".join(inside)
    statement += "\n)"
    if facts["partitioned by"]:
        statement += f" partition by {facts['partitioned by']}"
    if facts["options"]:
        statement += f" with ({', '.join(facts['options'])})"
    yield change.adds(Place.table, statement)
    yield from _storage(change, name)
    yield from _row_security(change, facts, None)
    if facts["replica identity"] != "default":
        yield from _replica_identity(change, facts)
    if facts["partitioned by"] and ("function", "ensure_partitions(integer)") in change.expected:
        yield change.adds(Place.partitions, "select weft.ensure_partitions(3)")


def _storage(change: Change, table_name: str) -> Iterator[Step]:
    for (kind, _), column_facts in change.expected.items():
        if kind == "column" and column_facts["table"] == table_name and column_facts["storage"]:
            yield change.adds(
                Place.change_column,
                f"alter table {qualified(table_name)} alter column {quoted(column_facts['name'])}"
                f" set storage {column_facts['storage']}",
            )


def _create_view(change: Change, facts: Facts) -> Step:
    """With its options at once: a view that is not yet `security_invoker` shows what its owner sees."""
    options = f" with ({', '.join(facts['options'])})" if facts["options"] else ""
    statement = f"create {facts['kind']} {qualified(facts['name'])}{options} as {str(facts['query']).rstrip(';')}"
    rank = _views_beneath(change.expected, str(facts["name"]))
    return replace(change.adds(Place.view, statement), rank=rank)


def _views_beneath(schema: Fingerprint, name: str) -> int:
    """How many views deep a view stands on others; they come before it, and go after it."""
    said = str(schema["table", name]["query"])
    below = [
        facts["name"]
        for (kind, key), facts in schema.items()
        if kind == "table" and key != name and facts["query"] is not None
        and re.search(rf"(?<![\w.]){re.escape(qualified(key))}(?!\w)", said)
    ]  # fmt: skip
    return 1 + max((_views_beneath(schema, str(view)) for view in below), default=-1)


def _gone_table(change: Change, facts: Facts) -> Iterator[Step]:
    name, word = qualified(facts["name"]), str(facts["kind"]).removeprefix("partitioned ")
    if change.is_view(str(facts["name"])):
        drop = change.removes(Place.drop_view, f"drop {word} {name}")
        yield replace(drop, rank=-_views_beneath(change.found, str(facts["name"])))
    elif parent := change.month_of(str(facts["name"])):
        yield from _attached(change, facts, parent)
    elif facts["name"] in change.holding:
        yield change.by_hand(
            f"The table {facts['name']} has rows, or had them, so it is left alone. Look at them first; then:"
            f" drop {word} {name};"
        )
        for index in change.in_the_way(str(facts["name"])):
            kept = quoted(f"{index[:58]}_kept")
            yield change.adds(Place.make_room, f"alter index {qualified(index)} rename to {kept}")
    else:
        place = Place.make_room if change.in_the_way(str(facts["name"])) else Place.drop_table
        warning = f"All rows of {facts['name']} go." if word == "table" else ""
        yield change.removes(place, f"drop {word} {name}", warning=warning)


def _attached(change: Change, facts: Facts, parent: str) -> Iterator[Step]:
    year, month = int(facts["name"][-6:-2]), int(facts["name"][-2:])
    first, last = f"{year}-{month:02d}-01", f"{year + month // 12}-{month % 12 + 1:02d}-01"
    if facts["owner"] != OWNER:
        yield change.by_admin(f"alter table {qualified(facts['name'])} owner to {OWNER}")
    yield from _row_security(change, {**facts, "row security": True, "row security forced": True}, facts)
    yield change.adds(
        Place.attach,
        f"alter table {qualified(parent)} attach partition {qualified(facts['name'])}"
        f" for values from ('{first} 00:00:00+00') to ('{last} 00:00:00+00')",
        warning=f"{facts['name']} is a month of {parent} that was detached, and is attached again. If it was copied "
        "and may go, drop it instead. Check once more afterwards: a partition is looked at more closely.",
    )


def _changed_table(change: Change, expected: Facts, found: Facts) -> Iterator[Step]:
    name = qualified(expected["name"])
    differs = set(change.difference.changed())
    for fact in ("kind", "partitioned by"):
        if fact in differs:
            yield change.by_hand(
                f"The table {expected['name']} differs in: {fact}. No statement changes that in place: make a new "
                "table, copy the rows, and take its name."
            )
    if "query" in differs:
        yield change.adds(Place.view, f"create or replace view {name} as {str(expected['query']).rstrip(';')}")
    if "owner" in differs:
        yield change.by_admin(f"alter table {name} owner to {quoted(expected['owner'])}")
    if "logged" in differs:
        yield change.adds(
            Place.change_column, f"alter table {name} set {'logged' if expected['logged'] else 'unlogged'}",
            narrows=True, warning=f"{expected['name']} is written anew under a lock.",
        )  # fmt: skip
    if "options" in differs:
        yield from _options(change, name, expected["options"], found["options"])
    if "replica identity" in differs:
        yield from _replica_identity(change, expected)
    yield from _row_security(change, expected, found)


def _replica_identity(change: Change, facts: Facts) -> Iterator[Step]:
    identity = str(facts["replica identity"])
    if change.careful and identity.startswith("using") and not _has_index(change, identity):
        return  # the index comes in a revision of its own
    statement = f"alter table {qualified(facts['name'])} replica identity {identity}"
    yield change.adds(Place.row_security, statement)


def _has_index(change: Change, identity: str) -> bool:
    return any(identity == f"using index {quoted(name)}" for kind, name in change.found if kind == "index")


def _options(change: Change, name: str, expected: list[str], found: list[str]) -> Iterator[Step]:
    gone = {o.partition("=")[0] for o in found} - {o.partition("=")[0] for o in expected}
    if gone:
        yield change.adds(Place.change_column, f"alter table {name} reset ({', '.join(sorted(gone))})")
    if new := [option for option in expected if option not in found]:
        yield change.adds(Place.change_column, f"alter table {name} set ({', '.join(new)})")


def _row_security(change: Change, expected: Facts, found: Facts | None) -> Iterator[Step]:
    name = qualified(expected["name"])
    for fact, on, off in (
        ("row security", "enable", "disable"),
        ("row security forced", "force", "no force"),
    ):
        if expected[fact] == (found[fact] if found else False):
            continue
        statement = f"alter table {name} {on if expected[fact] else off} row level security"
        if expected[fact]:
            yield change.adds(Place.row_security, statement)
        else:
            yield change.removes(Place.row_security, statement, warning="Tenants would see each other's rows.")


def definition(facts: Facts, *, nullable: bool | None = None) -> str:
    """A column as it stands in `create table` and `add column`."""
    parts = [quoted(facts["name"]), str(facts["type"])]
    if facts["collation"]:
        parts.append(f'collate "{facts["collation"]}"')
    if facts["generated"]:
        expression, _, word = str(facts["generated"]).rpartition(" ")
        parts.append(f"generated always as {bracketed(expression)} {word}")
    if facts["identity"]:
        parts.append(f"generated {facts['identity']} as identity ({' '.join(facts['identity options'])})")
    if facts["default"] is not None:
        parts.append(f"default {facts['default']}")
    if not (facts["nullable"] if nullable is None else nullable):
        parts.append("not null")
    return " ".join(parts)


def column(change: Change) -> Iterator[Step]:
    expected, found = change.difference.expected, change.difference.found
    facts = expected or found or {}
    if change.is_view(facts["table"]):
        return  # its query says what it has
    if expected is None:
        if not change.table_goes(facts["table"]):
            yield change.removes(
                Place.drop_column,
                f"alter table {qualified(facts['table'])} drop column {quoted(facts['name'])}",
                warning=f"What is in {facts['table']}.{facts['name']} goes. A renamed column looks like this too: "
                "then add the new one, copy, and drop the old one two versions later.",
            )
    elif found is None:
        if not change.table_is_new(expected["table"]):
            yield from _new_column(change, expected)
    else:
        yield from _changed_column(change, expected, found)


def _new_column(change: Change, facts: Facts) -> Iterator[Step]:
    add = f"alter table {qualified(facts['table'])} add column "
    if facts["storage"]:
        yield change.adds(
            Place.change_column,
            f"alter table {qualified(facts['table'])} alter column {quoted(facts['name'])}"
            f" set storage {facts['storage']}",
        )
    default = facts["default"]
    rewrites = default is not None and _VOLATILE.search(str(default)) is not None
    if not change.careful or facts["generated"] or facts["identity"]:
        warning = "The whole table is written anew under a lock." if change.careful or rewrites else ""
        yield change.adds(Place.column, add + definition(facts), warning=warning)
    elif rewrites:
        yield change.adds(Place.column, add + definition({**facts, "default": None}, nullable=True))
        yield change.adds(
            Place.change_column,
            f"alter table {qualified(facts['table'])} alter column {quoted(facts['name'])} set default {default}",
            warning=f"The default of {facts['table']}.{facts['name']} differs for each row, so rows that are there "
            "stay empty: fill them with a data migration.",
        )
    elif default is None and not facts["nullable"]:
        yield change.adds(
            Place.column,
            add + definition(facts, nullable=True),
            warning=f"{facts['table']}.{facts['name']} has no default, so it comes empty: fill it with a data "
            "migration before the revision that makes it NOT NULL.",
        )
    else:
        yield change.adds(Place.column, add + definition(facts))


def _changed_column(change: Change, expected: Facts, found: Facts) -> Iterator[Step]:
    differs = set(change.difference.changed())
    name = f"{expected['table']}.{expected['name']}"
    alter = f"alter table {qualified(expected['table'])} alter column {quoted(expected['name'])}"
    if "generated" in differs:
        yield change.by_hand(f"How {name} is generated cannot be changed in place: drop the column and add it anew.")
        return
    retyped = bool(differs & {"type", "collation"})
    if retyped and found["default"] is not None:
        # Nobody can say what the old default is in the new type.
        yield change.adds(Place.change_column, f"{alter} drop default", narrows=True)
    if retyped:
        yield _other_type(change, alter, expected, found)
    if differs & {"identity", "identity options"}:
        yield from _other_identity(change, alter, expected, found)
    if "storage" in differs:
        yield change.adds(
            Place.change_column, f"{alter} set storage {expected['storage'] or expected['usual storage']}"
        )
    if expected["default"] is not None and ("default" in differs or retyped):
        yield change.adds(Place.change_column, f"{alter} set default {expected['default']}", narrows=retyped)
    elif "default" in differs and not retyped:
        yield change.removes(Place.change_column, f"{alter} drop default")
    if "nullable" in differs:
        if expected["nullable"]:
            yield change.adds(Place.change_column, f"{alter} drop not null")
        else:
            yield from _not_null(change, alter, expected)


def _other_identity(change: Change, alter: str, expected: Facts, found: Facts) -> Iterator[Step]:
    if expected["identity"] and found["identity"]:
        options = " ".join(f"set {option}" for option in expected["identity options"])
        yield change.adds(Place.change_column, f"{alter} set generated {expected['identity']} {options}")
    elif expected["identity"]:
        options = " ".join(expected["identity options"])
        yield change.adds(Place.change_column, f"{alter} add generated {expected['identity']} as identity ({options})")
    else:
        yield change.adds(Place.change_column, f"{alter} drop identity if exists")


def _other_type(change: Change, alter: str, expected: Facts, found: Facts) -> Step:
    statement = f"{alter} type {expected['type']}"
    if expected["collation"]:
        statement += f' collate "{expected["collation"]}"'
    words = (str(found["type"]).partition("(")[0], str(expected["type"]).partition("(")[0])
    if words in _WIDER and expected["type"] == "text" and expected["collation"] == found["collation"]:
        return change.adds(Place.change_column, statement)
    statement += f" using {quoted(expected['name'])}::{expected['type']}"
    return change.adds(
        Place.change_column, statement, narrows=True,
        warning=f"{expected['table']}.{expected['name']} is written anew under a lock, as {expected['type']}.",
    )  # fmt: skip


def _not_null(change: Change, alter: str, facts: Facts) -> Iterator[Step]:
    """With a check that is validated first, SET NOT NULL does not read the table under its lock."""
    if not change.careful:
        yield change.adds(Place.not_null, f"{alter} set not null")
        return
    name = FILLED.format(table=facts["table"], column=facts["name"])[:63]
    table_name = qualified(facts["table"])
    if ("constraint", f"{facts['table']}.{name}") not in change.found:
        check = f"check ({quoted(facts['name'])} is not null) not valid"
        yield change.adds(
            Place.constraint, f"alter table {table_name} add constraint {quoted(name)} {check}", narrows=True
        )
        return
    for place, sql in (
        (Place.validate, f"alter table {table_name} validate constraint {quoted(name)}"),
        (Place.not_null, f"{alter} set not null"),
        (Place.not_null, f"alter table {table_name} drop constraint {quoted(name)}"),
    ):
        yield Step(place, sql, change.key, Stage.validate, narrows=True)
