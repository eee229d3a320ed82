"""Statements for constraints and indexes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from weft.db.fingerprint import Facts
from weft.ops.schema.step import SWITCHES, Change, Place, Stage, Step, qualified, quoted
from weft.ops.schema.tables import FILLED

_WORDS = re.compile(r"= ANY \(ARRAY\[(?P<many>[^\]]*)\]\)|= (?P<one>'(?:[^']|'')*'::\w+)")


def constraint(change: Change) -> Iterator[Step]:
    expected, found = change.difference.expected, change.difference.found
    facts = expected or found or {}
    if _goes_with_its_table(change, facts) or _is_helper(change, facts):
        return
    if found is None:
        assert expected is not None  # noqa: S101 - a difference has a side
        yield from _new(change, expected)
    elif expected is None:
        yield _dropped(change, found)
    else:
        yield from _changed(change, expected, found)


_SWITCH = "enforced by triggers"


def _changed(change: Change, expected: Facts, found: Facts) -> Iterator[Step]:
    differs = set(change.difference.changed()) - {"comment"}
    if differs - {_SWITCH, "validated"} or ("validated" in differs and not expected["validated"]):
        yield from _replaced(change, expected, found)
        return
    if _SWITCH in differs:
        yield from _switched_on(change, expected)
    if "validated" in differs:
        yield Step(
            Place.validate,
            f"alter table {qualified(expected['table'])} validate constraint {quoted(expected['name'])}",
            change.key,
            Stage.validate,
        )


def _switched_on(change: Change, facts: Facts) -> Iterator[Step]:
    """PostgreSQL's own triggers, on both tables of a reference, can only be switched on with all others."""
    tables = dict.fromkeys(str(name) for name in (facts["table"], facts["references"]) if name)
    for name in tables:
        yield change.by_admin(
            f"alter table {qualified(name)} enable trigger all",
            warning="This needs a superuser. Rows that came while a reference was off were not checked: to check them, "
            "drop it and add it anew.",
        )
    for (kind, _), trigger in change.expected.items():
        if kind == "trigger" and trigger["table"] in tables and trigger["enabled"] != "yes":
            yield change.by_admin(
                f"alter table {qualified(trigger['table'])} {SWITCHES[trigger['enabled']]} trigger"
                f" {quoted(trigger['name'])}"
            )


def _goes_with_its_table(change: Change, facts: Facts) -> bool:
    if change.table_goes(facts["table"]):
        return facts["kind"] != "reference" or facts["references"] == facts["table"] or change.stays(facts["table"])
    return change.table_is_new(facts["table"]) and facts["kind"] != "reference"


def _is_helper(change: Change, facts: Facts) -> bool:
    """The helper of a column that is about to be NOT NULL; `tables._not_null` takes it away again."""
    if not change.careful or change.difference.expected is not None:
        return False
    names = {
        FILLED.format(table=f["table"], column=f["name"])[:63]
        for (kind, key), f in change.expected.items()
        if kind == "column" and f["table"] == facts["table"] and not f["nullable"]
        and change.found.get((kind, key), f)["nullable"]
    }  # fmt: skip
    return facts["name"] in names


def _is_widened(expected: Facts, found: Facts) -> bool:
    """Whether a list of words has only become longer: `status in ('A', 'B')` to `status in ('A', 'B', 'C')`."""
    before, after = _WORDS.search(str(found["definition"])), _WORDS.search(str(expected["definition"]))
    if before is None or after is None or len(_WORDS.findall(str(found["definition"]))) > 1:
        return False
    if _WORDS.sub("?", str(found["definition"])) != _WORDS.sub("?", str(expected["definition"])):
        return False
    return _words(before) <= _words(after)


def _words(match: re.Match[str]) -> set[str]:
    return set(re.findall(r"'(?:[^']|'')*'", match["many"] or match["one"]))


def _add(facts: Facts, *, valid: bool) -> str:
    statement = f"alter table {qualified(facts['table'])} add constraint {quoted(facts['name'])} {facts['definition']}"
    return statement if valid else f"{statement} not valid"


def _place(facts: Facts) -> Place:
    return Place.reference if facts["kind"] == "reference" else Place.constraint


def _new(change: Change, facts: Facts) -> Iterator[Step]:
    table = str(facts["table"])
    new_here = change.only_on_new_columns(facts)
    if not change.careful and _index_is_there(change, facts):
        yield change.adds(Place.constraint, _using_index(facts))
    elif not change.careful or change.table_is_new(table):
        yield change.adds(_place(facts), _add(facts, valid=bool(facts["validated"])))
    elif facts["kind"] in ("unique", "primary key"):
        yield from _new_key(change, facts)
    elif facts["kind"] == "exclusion":
        yield change.adds(
            Place.constraint, _add(facts, valid=True), narrows=not new_here,
            warning=f"{table} is locked while the exclusion constraint {facts['name']} is built.",
        )  # fmt: skip
    elif _is_partitioned(change, table) and facts["kind"] == "reference":
        yield change.adds(
            Place.reference, _add(facts, valid=True), narrows=not new_here,
            warning=f"A reference of the partitioned table {table} is checked under a lock.",
        )  # fmt: skip
    elif facts["kind"] == "reference" and _waits_for_key(change, facts):
        return
    else:
        yield change.adds(_place(facts), _add(facts, valid=False), narrows=not new_here)


def _waits_for_key(change: Change, facts: Facts) -> bool:
    """Whether the key that a reference points at is still to come, in a revision of its own."""
    target = re.search(r"REFERENCES [^(]*(\([^)]*\))", str(facts["definition"]))
    return not change.table_is_new(facts["references"]) and any(
        key not in change.found and target is not None and str(f["definition"]).endswith(target[1])
        for key, f in change.expected.items()
        if key[0] == "constraint" and f["table"] == facts["references"] and f["kind"] in ("unique", "primary key")
    )


def _is_partitioned(change: Change, table: str) -> bool:
    return change.found.get(("table", table), {}).get("kind") == "partitioned table"


def _new_key(change: Change, facts: Facts) -> Iterator[Step]:
    """First its index, built without a lock and under its name; then the constraint takes that over."""
    if _is_partitioned(change, facts["table"]):
        yield change.adds(
            Place.constraint, _add(facts, valid=True), narrows=True,
            warning=f"The partitioned table {facts['table']} is locked while the key {facts['name']} is built.",
        )  # fmt: skip
    elif not _index_is_there(change, facts):
        definition = concurrent(change.expected["index", str(facts["name"])]["definition"])
        yield Step(Place.index, definition, change.key, Stage.index, narrows=True)
    else:
        yield change.adds(Place.constraint, _using_index(facts), narrows=True)


def _index_is_there(change: Change, facts: Facts) -> bool:
    """Whether an index waits to become this key."""
    key = ("index", str(facts["name"]))
    there, wanted = change.found.get(key), change.expected.get(key)
    if there is None or wanted is None or there["constraint"]:
        return False
    return bool(there["definition"] == wanted["definition"] and there["valid"])


def _using_index(facts: Facts) -> str:
    name = quoted(facts["name"])
    return f"alter table {qualified(facts['table'])} add constraint {name} {facts['kind']} using index {name}"


def _dropped(change: Change, facts: Facts) -> Step:
    place = Place.drop_reference if facts["kind"] == "reference" else Place.drop_constraint
    return change.removes(place, f"alter table {qualified(facts['table'])} drop constraint {quoted(facts['name'])}")


def _replaced(change: Change, expected: Facts, found: Facts) -> Iterator[Step]:
    """Dropped and added in one transaction: there is no moment without it."""
    drop = _dropped(change, found)
    if not change.careful:
        yield drop
        yield change.adds(_place(expected), _add(expected, valid=bool(expected["validated"])))
        return
    if expected["kind"] in ("unique", "primary key", "exclusion"):
        yield drop
        yield change.adds(
            Place.constraint, _add(expected, valid=True), narrows=True,
            warning=f"{expected['table']} is locked while the key {expected['name']} is built anew.",
        )  # fmt: skip
        return
    widens = expected["kind"] == "check" and _is_widened(expected, found)
    yield Step(drop.place, drop.sql, change.key, Stage.expand if widens else Stage.contract, narrows=not widens)
    yield change.adds(_place(expected), _add(expected, valid=False), narrows=not widens)


def index(change: Change) -> Iterator[Step]:
    expected, found = change.difference.expected, change.difference.found
    facts = expected or found or {}
    if change.table_goes(facts["table"]) or _comes_with_constraint(change, expected, found):
        return
    if found is not None and found["constraint"]:
        found = None  # it goes with its constraint, and has to come again without one
    if found is None:
        assert expected is not None  # noqa: S101 - a difference has a side
        yield _build(change, expected)
    elif expected is None:
        yield _drop(change, found)
    elif set(change.difference.changed()) - {"comment"}:
        yield from _rebuild(change, expected)


def _comes_with_constraint(change: Change, expected: Facts | None, found: Facts | None) -> bool:
    """The index of a key comes and goes with its constraint; only its validity is its own."""
    if expected is not None and found is not None and expected["constraint"] and found["constraint"]:
        return set(change.difference.changed()) != {"valid"}
    return bool(expected["constraint"] if expected is not None else found and found["constraint"])


def concurrent(definition: str) -> str:
    """`CREATE INDEX` as a statement that takes no lock and can be repeated."""
    return re.sub(r"^CREATE (UNIQUE )?INDEX ", r"create \1index concurrently if not exists ", definition).replace(
        "create UNIQUE", "create unique"
    )


def _build(change: Change, facts: Facts) -> Step:
    table = str(facts["table"])
    if not change.careful or change.table_is_new(table):
        return change.adds(Place.index, str(facts["definition"]))
    narrows = bool(facts["unique"]) and not change.only_on_new_columns(facts)
    return Step(Place.index, concurrent(facts["definition"]), change.key, Stage.index, narrows)


def _drop(change: Change, facts: Facts) -> Step:
    name = qualified(facts["name"])
    if not change.careful or facts["partitioned"]:
        return change.removes(Place.drop_index, f"drop index {name}")
    return Step(Place.drop_index, f"drop index concurrently if exists {name}", change.key, Stage.index, narrows=True)


def _rebuild(change: Change, expected: Facts) -> Iterator[Step]:
    name = qualified(expected["name"])
    if change.difference.changed() == ["valid"]:
        yield Step(Place.index, f"reindex index concurrently {name}", change.key, Stage.index)
        return
    if not change.careful or expected["partitioned"]:
        yield change.removes(Place.drop_index, f"drop index {name}")
        yield change.adds(Place.index, str(expected["definition"]), narrows=bool(expected["partitioned"]))
        return
    beside = f"{expected['name'][:58]}_new"
    definition = str(expected["definition"]).replace(
        f"INDEX {quoted(expected['name'])} ON", f"INDEX {quoted(beside)} ON"
    )
    for sql in (
        concurrent(definition),
        f"drop index concurrently if exists {name}",
        f"alter index if exists {qualified(beside)} rename to {quoted(expected['name'])}",
    ):
        yield Step(Place.index, sql, change.key, Stage.index, narrows=bool(expected["unique"]))
