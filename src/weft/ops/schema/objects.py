"""Statements for policies, triggers, sequences, types, comments and what else a schema has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from weft.db.base import SCHEMA
from weft.db.fingerprint import Facts
from weft.ops.schema.step import SWITCHES, Change, Place, Step, as_owner, bracketed, qualified, quoted, role, text


def policy(change: Change) -> Iterator[Step]:
    expected, found = change.difference.expected, change.difference.found
    facts = expected or found or {}
    name = f"{quoted(facts['name'])} on {qualified(facts['table'])}"
    if change.table_goes(facts["table"]) and not change.month_of(facts["table"]):
        return
    if found is None:
        yield change.adds(Place.policy, _create_policy(name, facts))
    elif expected is None:
        if facts["name"] != _KEPT or not change.month_of(facts["table"]):
            yield change.removes(Place.drop_policy, f"drop policy {name}")
    else:
        differs = set(change.difference.changed()) - {"comment"}
        if differs & {"for", "permissive"} or any(expected[f] is None for f in differs & {"using", "check"}):
            yield change.removes(Place.drop_policy, f"drop policy {name}")
            yield change.adds(Place.policy, _create_policy(name, expected), narrows=True)
        elif differs:
            # Whether another predicate lets older versions work is beyond any rule: it is taken to narrow.
            yield change.adds(Place.change_policy, f"alter policy {name}{_clauses(expected)}", narrows=True)


_KEPT = "owner_maint"
"""The policy that each partition has of its own."""


def _create_policy(name: str, facts: Facts) -> str:
    kind = "" if facts["permissive"] else " as restrictive"
    command = "" if facts["for"] == "all" else f" for {facts['for']}"
    return f"create policy {name}{kind}{command}{_clauses(facts)}"


def _clauses(facts: Facts) -> str:
    clauses = f" to {', '.join(role(name) for name in facts['to'])}"
    if facts["using"] is not None:
        clauses += f"\n  using {bracketed(facts['using'])}"
    if facts["check"] is not None:
        clauses += f"\n  with check {bracketed(facts['check'])}"
    return clauses


def trigger(change: Change) -> Iterator[Step]:
    expected, found = change.difference.expected, change.difference.found
    facts = expected or found or {}
    table = qualified(facts["table"])
    if change.table_goes(facts["table"]) and not change.month_of(facts["table"]):
        return
    if expected is None:
        yield change.removes(Place.drop_trigger, f"drop trigger {quoted(facts['name'])} on {table}")
        return
    if found is None or found["definition"] != expected["definition"]:
        statement = str(expected["definition"])
        if found is not None and statement.startswith("CREATE TRIGGER "):
            statement = statement.replace("CREATE TRIGGER ", "CREATE OR REPLACE TRIGGER ", 1)
        elif found is not None:
            yield change.removes(Place.drop_trigger, f"drop trigger {quoted(facts['name'])} on {table}")
        yield change.adds(Place.trigger, statement)
    if (found["enabled"] if found else "yes") != expected["enabled"]:
        word = SWITCHES[expected["enabled"]]
        statement = f"alter table {table} {word} trigger {quoted(facts['name'])}"
        yield change.removes(Place.trigger, statement) if word == "disable" else change.adds(Place.trigger, statement)


def schema(change: Change) -> Iterator[Step]:
    expected, found = change.difference.expected, change.difference.found
    if expected is None:
        yield change.by_admin(f"drop schema {SCHEMA} cascade")
    elif found is None:
        yield change.by_admin(f"create schema {SCHEMA} authorization {quoted(expected['owner'])}")
    else:
        yield change.by_admin(f"alter schema {SCHEMA} owner to {quoted(expected['owner'])}")


def sequence(change: Change) -> Iterator[Step]:
    expected, found = change.difference.expected, change.difference.found
    facts = expected or found or {}
    name = qualified(facts["name"])
    if expected is None:
        yield _dropped(change, Place.drop_sequence, f"drop sequence if exists {name}", str(facts["name"]))
        return
    options = (
        f"increment {expected['increment']} minvalue {expected['least']} maxvalue {expected['most']}"
        f" start {expected['start']} cache {expected['cache']} {'cycle' if expected['cycles'] else 'no cycle'}"
    )
    verb = "create" if found is None else "alter"
    yield change.adds(Place.sequence, f"{verb} sequence {name} as {expected['type']} {options}")
    if found is not None and found["owner"] != expected["owner"]:
        yield change.by_admin(f"alter sequence {name} owner to {quoted(expected['owner'])}")


def _dropped(change: Change, place: Place, statement: str, name: str) -> Step:
    if change.holds(name):
        return change.by_hand(f"A table that is left alone uses {name}. When that table is gone: {statement};")
    return change.removes(place, statement)


def type_(change: Change) -> Iterator[Step]:
    expected, found = change.difference.expected, change.difference.found
    facts = expected or found or {}
    name, domain = qualified(facts["name"]), facts["kind"] == "domain"
    if expected is None:
        statement = f"drop {'domain' if domain else 'type'} {name}"
        # A domain may stand on a type.
        yield replace(_dropped(change, Place.drop_type, statement, str(facts["name"])), rank=0 if domain else 1)
    elif expected["kind"] == "enumeration" and found is None:
        yield change.adds(Place.type_, f"create type {name} as enum ({', '.join(map(text, expected['values']))})")
    elif domain and found is None:
        yield replace(change.adds(Place.type_, _create_domain(name, expected)), rank=1)
    elif found is not None and expected["kind"] == found["kind"] == "enumeration":
        yield from _other_values(change, name, expected, found)
    elif found is not None and domain and found["kind"] == "domain" and expected["base"] == found["base"]:
        yield from _other_domain(change, name, expected, found)
    else:
        yield change.by_hand(f"The type {facts['name']} has to be changed by hand.")
    if expected is not None and found is not None and expected["owner"] != found["owner"]:
        yield change.by_admin(f"alter type {name} owner to {quoted(expected['owner'])}")


def _create_domain(name: str, facts: Facts) -> str:
    parts = [f"create domain {name} as {facts['base']}"]
    if facts["default"] is not None:
        parts.append(f"default {facts['default']}")
    if facts["not null"]:
        parts.append("not null")
    parts += [f"constraint {quoted(key)} {check}" for key, check in (facts["checks"] or {}).items()]
    return " ".join(parts)


def _other_values(change: Change, name: str, expected: Facts, found: Facts) -> Iterator[Step]:
    before, after = list(found["values"]), list(expected["values"])
    if after[: len(before)] == before:
        for value in after[len(before) :]:
            yield change.adds(Place.type_, f"alter type {name} add value {text(value)}")
    else:
        yield change.by_hand(f"Values of the enumeration {expected['name']} cannot be taken away: make a new type.")


def _other_domain(change: Change, name: str, expected: Facts, found: Facts) -> Iterator[Step]:
    alter = f"alter domain {name}"
    if expected["default"] != found["default"]:
        default = "drop default" if expected["default"] is None else f"set default {expected['default']}"
        yield change.adds(Place.type_, f"{alter} {default}")
    if expected["not null"] != found["not null"]:
        word = "set" if expected["not null"] else "drop"
        yield change.adds(Place.type_, f"{alter} {word} not null", narrows=bool(expected["not null"]))
    wanted, there = expected["checks"] or {}, found["checks"] or {}
    for key in there:
        if there[key] != wanted.get(key):
            yield change.removes(Place.drop_constraint, f"{alter} drop constraint {quoted(key)}")
    for key, check in wanted.items():
        if check != there.get(key):
            yield change.adds(Place.type_, f"{alter} add constraint {quoted(key)} {check}", narrows=True)


_OBJECTS = ("text search configuration", "text search dictionary", "operator class", "operator")
"""What hangs on the others of its like goes first."""


def other(change: Change) -> Iterator[Step]:
    """An operator, a collation, an extension: weft has none, so one that is there goes."""
    expected, found = change.difference.expected, change.difference.found
    facts = found or expected or {}
    if expected is not None:
        yield change.by_hand(f"The {change.difference.name} has to be made by hand.")
        return
    rank = _OBJECTS.index(facts["kind"]) if facts["kind"] in _OBJECTS else len(_OBJECTS)
    statement = f"drop {facts['kind']} {facts['identity']}"
    if facts["kind"] == "extension":
        yield change.by_admin(statement)
    else:
        yield replace(change.removes(Place.drop_object, statement), rank=rank)


def rule(change: Change) -> Iterator[Step]:
    expected, found = change.difference.expected, change.difference.found
    facts = expected or found or {}
    if change.table_goes(facts["table"]):
        return
    if found is not None:
        yield change.removes(Place.drop_rule, f"drop rule {quoted(facts['name'])} on {qualified(facts['table'])}")
    if expected is not None:
        yield change.adds(Place.policy, str(expected["definition"]).rstrip(";"))


def statistics(change: Change) -> Iterator[Step]:
    expected, found = change.difference.expected, change.difference.found
    facts = expected or found or {}
    if change.table_goes(facts["table"]):
        return
    if found is not None:
        yield change.removes(Place.drop_rule, f"drop statistics {qualified(facts['name'])}")
    if expected is not None:
        yield change.adds(Place.index, str(expected["definition"]))


def permission(change: Change) -> Iterator[Step]:
    """A row of the catalogue of permissions."""
    expected, found = change.difference.expected, change.difference.found
    facts = expected or found or {}
    where = f"where resource = {text(facts['resource'])} and action = {text(facts['action'])}"
    if expected is None:
        statement = f"delete from {SCHEMA}.permissions {where}"
        yield change.removes(
            Place.rows, statement, warning="Roles that grant this permission have to let go of it first."
        )
    elif found is None:
        values = ", ".join(text(facts[column]) for column in ("resource", "action", "description"))
        yield change.adds(
            Place.rows, f"insert into {SCHEMA}.permissions (resource, action, description) values ({values})"
        )
    else:
        yield change.adds(
            Place.rows, f"update {SCHEMA}.permissions set description = {text(facts['description'])} {where}"
        )


def comment(change: Change) -> Iterator[Step]:
    """What is written beside an object; every kind that can have it keeps it in the fact `comment`."""
    expected, found = change.difference.expected, change.difference.found
    before = found.get("comment") if found and not change.remade() else None
    if expected is None or expected.get("comment") == before:
        return
    kind, name = change.difference.kind, quoted(expected["name"])
    target = {
        "table": f"{expected.get('kind', 'table')} {qualified(expected['name'])}".removeprefix("partitioned "),
        "index": f"index {qualified(expected['name'])}",
        "column": f"column {qualified(expected.get('table', ''))}.{name}",
        "function": f"{expected.get('kind')} {qualified(expected['name'])}({expected.get('arguments', '')})",
    }.get(kind, f"{kind} {name} on {qualified(expected.get('table', ''))}")
    said = expected["comment"]
    statement = f"comment on {target} is {'null' if said is None else text(said)}"
    if kind == "function":
        statement = as_owner(str(expected["owner"]), statement)
    yield change.adds(Place.comment, statement)
