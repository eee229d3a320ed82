"""Statements for what stands around a schema: roles, memberships, settings, event triggers. An administrator's."""

from __future__ import annotations

from collections.abc import Iterator

from weft.db.base import SCHEMA
from weft.ops.schema.grants import privileges
from weft.ops.schema.step import Change, Place, Step, quoted, role, text

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


_OPTIONS = {"passes it on": ("admin", False), "inherits": ("inherit", False), "may act as it": ("set", True)}
"""Facts of a membership: what PostgreSQL calls them, and what a plain grant gives the owner, who inherits nothing."""


def membership(change: Change) -> Iterator[Step]:
    expected, found = change.difference.expected, change.difference.found
    facts = expected or found or {}
    group, member = quoted(facts["in"]), quoted(facts["member"])
    if found is not None:
        cascade = " cascade" if found["passes it on"] else ""
        for grantor in found["granted by"] or ("",):
            by = f" granted by {quoted(grantor)}" if grantor else ""
            yield change.by_admin(f"revoke {group} from {member}{by}{cascade}", place=Place.members)
    if expected is not None:
        # PostgreSQL 15 has no options; where they are the usual ones they need not be said.
        said = [f"{word} {str(expected[f]).lower()}" for f, (word, usual) in _OPTIONS.items() if expected[f] != usual]
        options = f" with {', '.join(said)}" if said else ""
        yield change.by_admin(f"grant {group} to {member}{options}", place=Place.members)


def setting(change: Change) -> Iterator[Step]:
    """What is set for a login or everybody, in this database or in all of them."""
    expected, found = change.difference.expected, change.difference.found
    facts = expected or found or {}
    if facts["role"] is None and facts["database"] is not None:
        begin = f"alter database {quoted(facts['database'])}"
    else:
        whom = "all" if facts["role"] is None else quoted(facts["role"])
        begin = f"alter role {whom}" + (f" in database {quoted(facts['database'])}" if facts["database"] else "")
    if expected is None:
        yield change.by_admin(f"{begin} reset {facts['name']}")
    else:
        value = facts["value"] if facts["name"] == "search_path" else text(facts["value"])
        yield change.by_admin(f"{begin} set {facts['name']} = {value}")


def parameter_grant(change: Change) -> Iterator[Step]:
    expected, found = change.difference.expected, change.difference.found
    for facts, verb, word in ((found, "revoke", "from"), (expected, "grant", "to")):
        if facts is not None:
            rights = ", ".join(name.lower() for name in privileges(facts["privileges"]))
            yield change.by_admin(f"{verb} {rights} on parameter {facts['parameter']} {word} {role(facts['to'])}")


def event_trigger(change: Change) -> Iterator[Step]:
    """weft has none: it would run whenever somebody migrates."""
    if change.difference.expected is None:
        yield change.by_admin(
            f"drop event trigger {quoted(change.difference.name)}",
            warning="Somebody made it: it runs whenever anybody changes a schema of this database.",
        )
    else:
        yield change.by_hand(f"The event trigger {change.difference.name} has to be made by hand.")


def inheritance(change: Change) -> Iterator[Step]:
    found = change.difference.found
    if found is None:
        yield change.by_hand(f"That {change.difference.name} has to be made by hand.")
    elif found["as partition"]:
        yield change.by_admin(
            f"alter table {found['child']} set schema {SCHEMA}",
            warning="Then run the check again: what is in the schema is looked at more closely.",
        )
    else:
        yield change.by_admin(f"alter table {found['child']} no inherit {found['parent']}")
