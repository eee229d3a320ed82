"""Statements for functions, and for the rights to them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from weft.db.fingerprint import Difference, Facts
from weft.ops.schema.grants import grants
from weft.ops.schema.step import OWNER, Change, Place, Stage, Step, as_owner, qualified, quoted, while_creating


def function(change: Change) -> Iterator[Step]:
    expected, found = change.difference.expected, change.difference.found
    if expected is None:
        assert found is not None  # noqa: S101 - a difference has a side
        yield _dropped(change, found)
    elif expected["definition"] is None:
        yield change.by_hand(f"The aggregate {expected['name']} has to be made by hand.")
    elif found is None:
        yield from _made(change, expected)
    elif change.remade():
        drop = f"drop {found['kind']} {_signature(found).partition(' ')[2]}"
        yield change.removes(Place.replace_function, drop)
        for step in (*_made(change, expected), *_all_grants(change, expected)):
            yield replace(step, stage=Stage.contract, narrows=True)  # with the drop, or there would be a moment without
    else:
        yield from _changed(change, expected, found)


def _signature(facts: Facts) -> str:
    return f"{facts['kind']} {qualified(facts['name'])}({facts['arguments']})"


def _dropped(change: Change, found: Facts) -> Step:
    statement = f"drop {_signature(found)}"
    if change.holds(str(found["name"])):
        return change.by_hand(f"A table that is left alone uses {found['name']}. When that table is gone: {statement};")
    gone = [name for kind, name in change.found.keys() - change.expected.keys() if kind in ("table", "type")]
    first = found["kind"] == "aggregate" or _speaks_of(found, gone)
    return change.removes(Place.drop_row_function if first else Place.drop_function, statement)


def _speaks_of(facts: Facts, names: Iterable[str]) -> bool:
    """Whether a function takes or gives rows of these tables, or values of these types; or has a body that PostgreSQL
    keeps parsed, and so hangs on whatever it names."""
    said = f"{facts['arguments']} {facts['returns']}"
    return "BEGIN ATOMIC" in str(facts["definition"]) or any(
        re.search(rf"(?<![\w.]){re.escape(qualified(name))}(?!\w)", said) for name in names
    )


def _made(change: Change, expected: Facts) -> Iterator[Step]:
    new = [name for kind, name in change.expected.keys() - change.found.keys() if kind == "table"]
    place = Place.row_function if _speaks_of(expected, new) else Place.function
    yield change.adds(place, str(expected["definition"]).strip())
    yield change.adds(place, f"revoke all on {_signature(expected)} from public")
    if expected["owner"] != OWNER:
        yield _handed_over(change, expected)


def _changed(change: Change, expected: Facts, found: Facts) -> Iterator[Step]:
    # What the owner of the schema does not own it cannot give away: an administrator did, before this.
    owner = OWNER if found["owner"] == OWNER else str(expected["owner"])
    if set(change.difference.changed()) - {"comment", "owner"}:
        yield change.adds(Place.function, as_owner(owner, str(expected["definition"]).strip(), creates=True))
    if owner != expected["owner"]:
        yield _handed_over(change, expected)
    elif found["owner"] != expected["owner"]:
        yield change.by_admin(f"alter {_signature(expected)} owner to {quoted(expected['owner'])}")


def _handed_over(change: Change, expected: Facts) -> Step:
    owner = str(expected["owner"])
    return change.adds(Place.owner, while_creating(owner, f"alter {_signature(expected)} owner to {quoted(owner)}"))


def _all_grants(change: Change, expected: Facts) -> Iterator[Step]:
    """What a function loses that is made anew."""
    name = change.difference.name
    for (kind, key), facts in change.expected.items():
        if kind == "function grant" and facts["function"] == name:
            lost = replace(change, difference=Difference(kind, key, facts, None))
            yield from grants(lost, _signature(expected), str(expected["owner"]))


def function_grant(change: Change) -> Iterator[Step]:
    facts = change.difference.expected or change.difference.found or {}
    key = ("function", str(facts["function"]))
    if key not in change.expected:
        return
    wanted, there = change.expected[key], change.found.get(key)
    of_function = replace(change, difference=Difference(*key, wanted, there))
    if of_function.remade() or (facts["to"] == "public" and change.difference.expected is None and there is None):
        return
    owner = str(wanted["owner"])
    before = OWNER if there is not None and there["owner"] == OWNER else owner
    yield from grants(change, _signature(wanted), owner, before=before)
