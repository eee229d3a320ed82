"""Statements for policies, triggers, functions, grants, roles and what else a schema has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from weft.db.base import SCHEMA
from weft.db.fingerprint import Facts
from weft.ops.schema.step import OWNER, Change, Place, Step, bracketed, qualified, quoted, role, text

_OPTION = " with grant option"


def policy(change: Change) -> Iterator[Step]:
    expected, found = change.difference.expected, change.difference.found
    facts = expected or found or {}
    name = f"{quoted(facts['name'])} on {qualified(facts['table'])}"
    if change.table_goes(facts["table"]):
        return
    if found is None:
        yield change.adds(Place.policy, _create_policy(name, facts))
    elif expected is None:
        yield change.removes(Place.drop_policy, f"drop policy {name}")
    else:
        differs = set(change.difference.changed()) - {"comment"}
        if differs & {"for", "permissive"} or any(expected[f] is None for f in differs & {"using", "check"}):
            yield change.removes(Place.drop_policy, f"drop policy {name}")
            yield change.adds(Place.policy, _create_policy(name, expected), narrows=True)
        elif differs:
            # Whether another predicate lets older versions work is beyond any rule: it is taken to narrow.
            yield change.adds(Place.policy, f"alter policy {name}{_clauses(expected)}", narrows=True)


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
    if change.table_goes(facts["table"]):
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
        word = {"yes": "enable", "no": "disable", "always": "enable always"}.get(expected["enabled"], "enable replica")
        statement = f"alter table {table} {word} trigger {quoted(facts['name'])}"
        yield change.removes(Place.trigger, statement) if word == "disable" else change.adds(Place.trigger, statement)


def function(change: Change) -> Iterator[Step]:
    expected, found = change.difference.expected, change.difference.found
    facts = expected or found or {}
    signature = f"{facts['kind']} {qualified(facts['name'])}({facts['arguments']})"
    if expected is None:
        yield change.removes(Place.drop_function, f"drop {signature}")
        return
    if expected["definition"] is None:
        yield change.by_hand(f"The aggregate {expected['name']} has to be made by hand.")
        return
    differs = set(change.difference.changed()) - {"comment", "owner"}
    if found is not None and differs & {"returns", "kind"}:
        yield change.removes(Place.drop_function, f"drop {found['kind']} {signature.partition(' ')[2]}")
        found = None
    if found is None:
        yield change.adds(Place.function, str(expected["definition"]).strip())
        yield change.adds(Place.function, f"revoke all on {signature} from public")
        owner = OWNER
    else:
        owner = str(found["owner"])
        if differs:
            yield change.adds(Place.function, as_owner(owner, str(expected["definition"]).strip(), creates=True))
    if owner != expected["owner"]:
        yield _handed_over(change, f"alter {signature} owner to {quoted(expected['owner'])}", owner, expected["owner"])


def as_owner(owner: str, statement: str, *, creates: bool = False) -> str:
    """A statement that only the owner of a function may run; putting a function in the schema needs a right to it."""
    if owner == OWNER:
        return statement
    inside = f"set local role {quoted(owner)};\n{statement};\nreset role"
    return _while_creating(owner, inside) if creates else inside


def _while_creating(owner: str, statement: str) -> str:
    right = f"create on schema {SCHEMA}"
    return f"grant {right} to {quoted(owner)};\n{statement};\nrevoke {right} from {quoted(owner)}"


def _handed_over(change: Change, statement: str, before: str, after: str) -> Step:
    if before == OWNER:
        return change.adds(Place.owner, _while_creating(after, statement))
    return change.by_admin(statement)


def grant(change: Change) -> Iterator[Step]:
    facts = change.difference.expected or change.difference.found or {}
    if not change.table_goes(facts["table"]):
        yield from _grants(change, f"{qualified(facts['table'])}", OWNER)


def column_grant(change: Change) -> Iterator[Step]:
    facts = change.difference.expected or change.difference.found or {}
    if not change.column_goes(facts["table"], facts["column"]):
        yield from _grants(change, qualified(facts["table"]), OWNER, column=str(facts["column"]))


def function_grant(change: Change) -> Iterator[Step]:
    facts = change.difference.expected or change.difference.found or {}
    key = ("function", str(facts["function"]))
    if key not in change.expected:
        return
    wanted, there = change.expected[key], change.found.get(key)
    if facts["to"] == "public" and change.difference.expected is None and there is None:
        return
    signature = f"{wanted['kind']} {qualified(wanted['name'])}({wanted['arguments']})"
    yield from _grants(change, signature, str(wanted["owner"]))


def schema_grant(change: Change) -> Iterator[Step]:
    yield from _grants(change, f"schema {SCHEMA}", OWNER)


def _grants(change: Change, target: str, owner: str, *, column: str | None = None) -> Iterator[Step]:
    expected, found = change.difference.expected, change.difference.found
    facts = expected or found or {}
    there = _privileges(found["privileges"] if found else ())
    wanted = _privileges(expected["privileges"] if expected else ())
    everything = "" if column is None else f" ({quoted(column)})"
    to = role(facts["to"])
    gone = [name for name in there if name not in wanted]
    if gone:
        words = ", ".join(f"{name.lower()}{everything}" for name in gone)
        yield change.removes(Place.revoke, as_owner(owner, f"revoke {words} on {target} from {to}"))
    for option in (False, True):
        new = [name for name, with_option in wanted.items() if with_option is option and there.get(name) is not option]
        words = ", ".join(f"{name.lower()}{everything}" for name in new)
        if not new:
            continue
        if not option and all(name in there for name in new):
            yield change.removes(
                Place.revoke, as_owner(owner, f"revoke grant option for {words} on {target} from {to}")
            )
            continue
        yield change.adds(Place.grant, as_owner(owner, f"grant {words} on {target} to {to}{_OPTION if option else ''}"))


def _privileges(listed: Sequence[str]) -> dict[str, bool]:
    """Privilege to whether it may be passed on."""
    return {name.removesuffix(_OPTION): name.endswith(_OPTION) for name in listed}


def default_privilege(change: Change) -> Iterator[Step]:
    facts = change.difference.expected or change.difference.found or {}
    where = "" if facts["everywhere"] else f" in schema {SCHEMA}"
    begin = f"alter default privileges for role {quoted(facts['owner'])}{where}"
    words = ", ".join(_privileges(facts["privileges"])).lower()
    if change.difference.found is not None:
        yield change.by_admin(f"{begin} revoke {words} on {facts['on']} from {role(facts['to'])}")
    if change.difference.expected is not None:
        yield change.by_admin(f"{begin} grant {words} on {facts['on']} to {role(facts['to'])}")


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
    if expected is None:
        yield change.removes(Place.drop_type, f"drop sequence if exists {qualified(facts['name'])}")
        return
    options = (
        f"increment {expected['increment']} minvalue {expected['least']} maxvalue {expected['most']}"
        f" start {expected['start']} {'cycle' if expected['cycles'] else 'no cycle'}"
    )
    verb = "create" if found is None else "alter"
    yield change.adds(Place.type_, f"{verb} sequence {qualified(facts['name'])} as {expected['type']} {options}")
    if found is not None and found["owner"] != expected["owner"]:
        yield change.by_admin(f"alter sequence {qualified(facts['name'])} owner to {quoted(expected['owner'])}")


def type_(change: Change) -> Iterator[Step]:
    expected, found = change.difference.expected, change.difference.found
    facts = expected or found or {}
    name = qualified(facts["name"])
    if expected is None:
        yield change.removes(Place.drop_type, f"drop {'domain' if facts['kind'] == 'domain' else 'type'} {name}")
    elif expected["kind"] == "enumeration" and found is None:
        yield change.adds(Place.type_, f"create type {name} as enum ({', '.join(map(text, expected['values']))})")
    elif expected["kind"] == "domain" and found is None:
        checks = " ".join(expected["checks"] or ())
        yield change.adds(Place.type_, f"create domain {name} as {expected['base']} {checks}".strip())
    elif found is not None and expected["kind"] == found["kind"] == "enumeration":
        before, after = list(found["values"]), list(expected["values"])
        if after[: len(before)] == before:
            for value in after[len(before) :]:
                yield change.adds(Place.type_, f"alter type {name} add value {text(value)}")
        else:
            yield change.by_hand(f"Values of the enumeration {facts['name']} cannot be taken away: make a new type.")
    else:
        yield change.by_hand(f"The type {facts['name']} has to be changed by hand.")


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


_RIGHTS = {
    "superuser": "superuser",
    "bypasses row security": "bypassrls",
    "inherits": "inherit",
    "creates roles": "createrole",
    "creates databases": "createdb",
    "replicates": "replication",
    "logs in": "login",
}


def role_(change: Change) -> Iterator[Step]:
    expected, found = change.difference.expected, change.difference.found
    facts = expected or found or {}
    name = quoted(facts["name"])
    if expected is None:
        yield change.by_admin(f"drop role {name}")
        return
    if found is None:
        yield change.by_admin(f"create role {name}")
    before = found or {right: right == "inherits" for right in _RIGHTS}
    words = [("" if expected[r] else "no") + word for r, word in _RIGHTS.items() if expected[r] != before[r]]
    if words:
        yield change.by_admin(f"alter role {name} {' '.join(words)}")
    there = dict(s.split("=", 1) for s in (found or {}).get("settings", ()))
    wanted = dict(s.split("=", 1) for s in expected["settings"])
    for setting in sorted(there.keys() - wanted.keys()):
        yield change.by_admin(f"alter role {name} reset {setting}")
    for setting, value in sorted(wanted.items()):
        if there.get(setting) != value:
            shown = value if setting == "search_path" else text(value)
            yield change.by_admin(f"alter role {name} set {setting} = {shown}")


def membership(change: Change) -> Iterator[Step]:
    facts = change.difference.expected or change.difference.found or {}
    group, member = quoted(facts["in"]), quoted(facts["member"])
    if change.difference.expected is None:
        yield change.by_admin(f"revoke {group} from {member}")
    else:
        yield change.by_admin(f"grant {group} to {member}")


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
    if expected is None or expected.get("comment") == (found.get("comment") if found else None):
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
