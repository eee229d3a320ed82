"""Reads the SQL of a distribution and says which rule it breaks. It looks at the text alone, not at how it was made.

Every rule is one that Citus enforces, or one whose breach it lets pass in silence: those are the worse ones.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

_DOLLARS: Final = re.compile(r"\$(\w*)\$.*?\$\1\$", re.DOTALL)
_COMMENT: Final = re.compile(r"^\s*--[^\n]*\n", re.MULTILINE)
_CREATE: Final = re.compile(r"create (?:unlogged )?table (weft\.\w+) \((.*)\)", re.IGNORECASE | re.DOTALL)
_UNIQUE: Final = re.compile(r"create unique index \w+ on (weft\.\w+) \(([^)]*)\)", re.IGNORECASE)
_KEY: Final = re.compile(r"(?:primary key|unique)\s*\(([^)]*)\)", re.IGNORECASE)
_PLACED: Final = re.compile(r"create_(reference|distributed)_table\('(weft\.\w+)'(.*)\)", re.IGNORECASE)
_REFERENCE: Final = re.compile(
    r"alter table (weft\.\w+) add constraint \w+ foreign key\s*\(([^)]*)\) references (weft\.\w+) \(([^)]*)\)(.*)",
    re.IGNORECASE | re.DOTALL,
)
_POLICY: Final = re.compile(r"create policy \w+ on (weft\.\w+)", re.IGNORECASE)
_SECURITY: Final = re.compile(r"alter table (weft\.\w+) (?:enable|force) row level security", re.IGNORECASE)
_TRIGGER: Final = re.compile(
    r"create trigger (\w+) .*? on (weft\.\w+).*?for each (?:row|statement) execute function (weft\.\w+)",
    re.IGNORECASE | re.DOTALL,
)
_GRANT: Final = re.compile(r"grant (?!execute|usage|create)(.+?) on (.+?) to ", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Breach:
    rule: str
    statement: str


@dataclass(slots=True)
class _Seen:
    keys: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)
    place: dict[str, str] = field(default_factory=dict)
    with_security: set[str] = field(default_factory=set)
    anchor: str | None = None
    is_unsafe_allowed: bool = False
    is_sequential: bool = False


def split(sql: str) -> list[str]:
    """Statements of a script: a semicolon inside a function's body does not end one."""
    bodies: list[str] = []

    def put_away(match: re.Match[str]) -> str:
        bodies.append(match[0])
        return f"\0{len(bodies) - 1}\0"

    hidden = _DOLLARS.sub(put_away, _COMMENT.sub("", sql + "\n"))
    whole = (re.sub(r"\0(\d+)\0", lambda m: bodies[int(m[1])], part) for part in hidden.split(";"))
    return [part.strip() for part in whole if part.strip()]


def breaches(sql: str) -> list[Breach]:
    """What in this script a distributed PostgreSQL would refuse, or would make unsafe without a word."""
    seen, found = _Seen(), []
    statements = split(sql)
    for statement in statements:
        found += [Breach(rule, statement) for rule in _broken(statement, seen)]
    tables = set(seen.keys) - {"weft.alembic_version"}
    found += [Breach("row security on every table", name) for name in sorted(tables - seen.with_security)]
    found += _missing_settings(sql)
    return found


def _broken(statement: str, seen: _Seen) -> Sequence[str]:
    text = " ".join(statement.split())
    _note_settings(text, seen)
    if (made := _CREATE.match(statement)) is not None:
        keys = [_columns(columns) for columns in _KEY.findall(made[2])]
        seen.keys[made[1]] = keys
        return ["references after distribution"] if "foreign key" in made[2].lower() else []
    if (unique := _UNIQUE.match(text)) is not None:
        seen.keys.setdefault(unique[1], []).append(_columns(unique[2]))
        return _of_keys(unique[1], seen) if unique[1] in seen.place else []
    if (placed := _PLACED.search(text)) is not None:
        return _of_placing(placed[1].lower(), placed[2], placed[3], seen)
    if (reference := _REFERENCE.match(text)) is not None:
        return _of_reference(reference, seen)
    if (secured := _SECURITY.match(text)) is not None:
        seen.with_security.add(secured[1])
        return []
    if (policy := _POLICY.match(text)) is not None:
        return _of_policy(text, policy[1], seen)
    if (trigger := _TRIGGER.match(text)) is not None:
        return _of_trigger(trigger[2], trigger[3], seen)
    if text.lower().startswith("grant"):
        return _of_grant(text, seen)
    return ["context by SET LOCAL"] if re.match(r"(select|perform) set_config\(", text, re.IGNORECASE) else []


def _note_settings(text: str, seen: _Seen) -> None:
    words = text.lower()
    seen.is_unsafe_allowed |= "citus.enable_unsafe_triggers = on" in words
    seen.is_sequential |= "citus.multi_shard_modify_mode = 'sequential'" in words


def _columns(listed: str) -> tuple[str, ...]:
    return tuple(part.strip().strip('"').split(" ")[0] for part in listed.split(","))


def _of_placing(kind: str, table: str, rest: str, seen: _Seen) -> list[str]:
    rules = []
    if table not in seen.keys:
        rules.append("a table is made before it is placed")
    if table in seen.with_security:
        rules.append("row security after distribution")
    if not seen.is_sequential:
        rules.append("sequential changes of the schema")
    seen.place[table] = kind
    if kind == "distributed":
        rules += _of_keys(table, seen)
        if "'tenant_id'" not in rest:
            rules.append("distribution by the tenant")
        together = re.search(r"colocate_with => '([\w.]+)'", rest)
        if seen.anchor is None:
            seen.anchor = table
        elif together is None or together[1] != seen.anchor:
            rules.append("tables of a tenant lie together")
    return rules


def _of_keys(table: str, seen: _Seen) -> list[str]:
    if seen.place.get(table) != "distributed":
        return []
    keys = seen.keys.get(table, [])
    return ["the tenant is part of every unique key"] if any("tenant_id" not in key for key in keys) else []


def _of_reference(match: re.Match[str], seen: _Seen) -> list[str]:
    source, target = seen.place.get(match[1], "local"), seen.place.get(match[3], "local")
    rules = []
    if target == "distributed" and source != "distributed":
        rules.append("no reference from a reference or local table to a distributed one")
    if target == "local" and source != "local":
        rules.append("no reference to a local table")
    if source == target == "distributed":
        pairs = zip(_columns(match[2]), _columns(match[4]), strict=False)
        if ("tenant_id", "tenant_id") not in set(pairs):
            rules.append("references between distributed tables carry the tenant")
    if "set null" in match[5].lower() and "tenant_id" in _columns(match[2]):
        rules.append("no SET NULL with the tenant in the key")
    return rules


def _of_policy(text: str, table: str, seen: _Seen) -> list[str]:
    rules = []
    if "as restrictive" in text.lower():
        rules.append("policies are permissive")  # on shards it would become one, and open the table
    if re.search(r"\(\s*select\b", text, re.IGNORECASE):
        rules.append("policies without a sub-select")
    if table in seen.keys and table not in seen.with_security:
        rules.append("row security before its policies")
    return rules


def _of_trigger(table: str, function: str, seen: _Seen) -> list[str]:
    rules = []
    place = seen.place.get(table, "local")
    if place != "local" and not seen.is_unsafe_allowed:
        rules.append("triggers need citus.enable_unsafe_triggers")
    if place == "reference" and function == "weft.audit_row":
        rules.append("no trigger of a reference table writes into a distributed one")
    return rules


def _of_grant(text: str, seen: _Seen) -> list[str]:
    found = _GRANT.match(text)
    if found is None:
        return []
    on = found[2]
    rules = []
    if "all tables" in on.lower() or "," in on:
        rules.append("one table for each grant")
    if re.search(r"_(\d{6})$", on):
        rules.append("no grant on a partition")
    elif on.startswith("weft.") and on not in seen.keys and "," not in on:
        rules.append("grants on tables that exist")
    return rules


def _missing_settings(sql: str) -> list[Breach]:
    """What has to be said to roles."""
    wanted = {
        "the application's context reaches the nodes": "alter role weft_app set citus.propagate_set_commands = 'local'",
        "the owner's context reaches the nodes": "alter role weft_owner set citus.propagate_set_commands = 'local'",
    }
    owners = set(re.findall(r"alter function .+? owner to (\w+)", sql, re.IGNORECASE))
    wanted |= {f"{owner} may log in to the nodes": f"alter role {owner} login" for owner in sorted(owners)}
    return [Breach(rule, text) for rule, text in wanted.items() if text not in sql.lower()]
