"""Differences between two schemas, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from weft.db.fingerprint import Difference, Facts, Key

_SILENT = frozenset({"table", "name", "column", "function", "usual storage", "columns", "constraint", "partitioned"})
_LONG = frozenset({"definition", "body", "query"})
_OF_TABLE = frozenset(
    {"column", "constraint", "index", "policy", "trigger", "grant", "column grant", "rule", "statistics", "partition"}
)
_MOST = 160
_NOTHING: tuple[object, ...] = (None, False, [], "", "default")


@dataclass(frozen=True, slots=True)
class Sides:
    """What the two schemas are called: `found` is the one that is looked at, `expected` what it is measured by. Without
    names the one is simply how things are, and the other how they should be."""

    found: str = ""
    expected: str = ""


def report(
    differences: Sequence[Difference], sides: Sides | None = None, remarks: Mapping[Key, str] | None = None
) -> list[str]:
    """A sentence for each difference, with what there is to remark on it; what belongs to a table that is missing as a
    whole is told with the table."""
    whole = {d.name: d for d in differences if d.kind == "table" and (d.found is None or d.expected is None)}
    lines = []
    for difference in differences:
        table = (difference.expected or difference.found or {}).get("table")
        if difference.kind in _OF_TABLE and table in whole:
            continue
        line = sentence(difference, sides or Sides())
        if difference.kind == "table" and difference.name in whole:
            line += _parts(difference.name, differences)
        if remarks and difference.key in remarks:
            line += f" {remarks[difference.key]}"
        lines.append(line)
    return lines


def _parts(table: str, differences: Sequence[Difference]) -> str:
    kinds = [d.kind for d in differences if (d.expected or d.found or {}).get("table") == table]
    counts = [f"{kinds.count(kind)} {_plural(kind, kinds.count(kind))}" for kind in dict.fromkeys(kinds)]
    return f" With it: {', '.join(counts)}." if counts else ""


def _plural(kind: str, count: int) -> str:
    if count == 1 or kind == "statistics":
        return kind
    return {"index": "indexes", "policy": "policies"}.get(kind, f"{kind}s")


def sentence(difference: Difference, sides: Sides) -> str:
    what = f"{difference.kind} {difference.name}"
    expected, found = difference.expected, difference.found
    if difference.kind == "partition" and found is not None:
        return f"The {what} is open or out of order: {_facts(found, _faults(found))}."
    if found is None:
        assert expected is not None  # noqa: S101  a difference has a side
        if sides.found:
            return f"The {what} is missing in {sides.found}. In {sides.expected}: {_facts(expected)}."
        return f"The {what} is missing. It should be: {_facts(expected)}."
    if expected is None:
        return f"The {what} {f'is only in {sides.found}' if sides.found else 'should not be there'}: {_facts(found)}."
    return f"The {what} differs: {_changes(difference)}."


_MUST = ("row security", "row security forced", "kept for the owner", "logged", "references enforced")
_MUST_NOT = ("grants", "policies", "triggers", "silent triggers", "constraints")


def _faults(found: Facts) -> list[str]:
    faults = [fact for fact in _MUST if not found[fact]] + [fact for fact in _MUST_NOT if found[fact]]
    return faults + (["kind"] if found["kind"] != "table" else []) or ["owner"]


def _facts(facts: Facts, names: Sequence[str] | None = None) -> str:
    """What is worth telling of an object: the SQL where there is one, else every fact that says something."""
    if names is None:
        if definition := facts.get("definition"):
            return _short(str(definition).rstrip(";"))
        names = [n for n, value in facts.items() if n not in _SILENT | _LONG and value not in _NOTHING]
    return ", ".join(f"{name} {_value(facts[name])}" for name in names) or "nothing more is known of it"


def _changes(difference: Difference) -> str:
    expected, found = difference.expected or {}, difference.found or {}
    changed = [fact for fact in difference.changed() if fact not in _SILENT] or difference.changed()
    if len(changed) > 1 and difference.kind == "function":
        changed = [fact for fact in changed if fact != "definition"]
    parts = []
    for fact in changed:
        if fact == "body" or (fact == "definition" and difference.kind == "function"):
            parts.append(f"its {fact} is another")
        else:
            parts.append(f"{fact} {_value(found.get(fact))}, should be {_value(expected.get(fact))}")
    return "; ".join(parts)


def _value(value: Any) -> str:
    if value is None or value in ("", []):
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {said}" for name, said in value.items())
    return _short(str(value))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MOST else f"{line[: _MOST - 1]}…"
