"""The SQL between two schemas: from what was found to what is expected."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from weft.db.fingerprint import Fingerprint, Key, compare
from weft.ops.schema import constraints, functions, grants, objects, partitions, renames, server, tables
from weft.ops.schema.step import Change, Place, Step

_WRITERS: dict[str, Callable[[Change], Iterator[Step]]] = {
    "schema": objects.schema,
    "table": tables.table,
    "column": tables.column,
    "partition": partitions.partition,
    "constraint": constraints.constraint,
    "index": constraints.index,
    "policy": objects.policy,
    "trigger": objects.trigger,
    "function": functions.function,
    "sequence": objects.sequence,
    "type": objects.type_,
    "rule": objects.rule,
    "statistics": objects.statistics,
    "grant": grants.grant,
    "column grant": grants.column_grant,
    "function grant": functions.function_grant,
    "schema grant": grants.schema_grant,
    "default privilege": grants.default_privilege,
    "object": objects.other,
    "role": server.role_,
    "membership": server.membership,
    "setting": server.setting,
    "parameter grant": server.parameter_grant,
    "event trigger": server.event_trigger,
    "inheritance": server.inheritance,
    "permission": objects.permission,
}


def steps(
    expected: Fingerprint,
    found: Fingerprint,
    *,
    careful: bool = False,
    since: Fingerprint | None = None,
    holding: Collection[str] | None = None,
) -> list[Step]:
    """What turns `found` into `expected`, in the order in which it has to run.

    `careful` writes for a database that people work on meanwhile: what needs a long lock is done in other ways, over
    several stages, of which only the next can be run at once; see `weft.ops.schema.generate`. `holding` is for a
    repair: tables with rows, which are left alone if nobody expects them; and what only has another name gets its own.
    """
    made: list[Step] = []
    if holding is not None:
        undone = renames.undone(expected, found)
        made, found = [*undone.steps], undone.found
    # What is missing altogether holds nothing that could be lost.
    left = frozenset(name for name in holding or () if ("table", name) in found and ("table", name) not in expected)
    for difference in compare(expected, found):
        change = Change(difference, expected, found, careful, found if since is None else since, left)
        made += _WRITERS[difference.kind](change)
        made += objects.comment(change)
    return sorted(dict.fromkeys(made), key=lambda step: (step.place, step.rank))


def distinct(made: Sequence[Step]) -> list[Step]:
    """Without statements that were said before: what several objects need is run once."""
    return list({(step.sql, step.warning): step for step in made}.values())


def by_object(made: Sequence[Step]) -> dict[Key, list[str]]:
    """The statements of each object, for those who ask what repairs it."""
    grouped: dict[Key, list[str]] = {}
    for step in made:
        grouped.setdefault(step.key, []).append(step.sql or f"-- {step.warning}")
    return grouped


_OWNERS_EYES = "set local app.maintenance = 'on'"
"""Without it row security hides all rows from the owner: a reference would count as checked, and was not."""

_PLAIN_BODIES = "set local check_function_bodies = off"


def script(made: Sequence[Step]) -> str:
    """One transaction's statements as text; the warnings stand above those they are about."""
    lines: list[str] = []
    if any(step.place in (Place.reference, Place.validate, Place.rows) for step in made):
        lines.append(f"{_OWNERS_EYES};")
    if any(step.place in (Place.function, Place.row_function) for step in made):
        lines.append(f"{_PLAIN_BODIES};")
    for step in distinct(made):
        remark = f"-- Look here: {step.warning}\n" if step.warning else ""
        lines.append(remark + (f"{step.sql};" if step.sql else ""))
    return "\n\n".join(line.strip() for line in lines) + "\n" if lines else ""


def stands_alone(step: Step) -> bool:
    """Whether a statement cannot be part of a transaction."""
    return "index concurrently" in step.sql


def repair(made: Sequence[Step]) -> str:
    """A script for people: what an administrator does, what the owner does in one transaction, what comes after it."""
    parts: list[str] = []
    admin = [step for step in made if step.admin]
    alone = [step for step in made if not step.admin and stands_alone(step)]
    rest = [step for step in made if step not in admin and step not in alone]
    if admin:
        parts.append("-- As an administrator of the server:\n" + script(admin))
    if rest:
        parts.append(f"-- As weft_owner:\nbegin;\nset local lock_timeout = '2s';\n\n{script(rest)}\ncommit;\n")
    if alone:
        parts.append("-- As weft_owner, outside a transaction:\n" + script(alone))
    return "\n".join(parts)
