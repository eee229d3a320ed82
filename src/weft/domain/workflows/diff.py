"""What changed from one definition to another, by step key, not by line: for programs and for people. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import jsonpatch

from weft.domain.workflows.document import PlacedStep, body_of, each_step, each_transition
from weft.domain.workflows.sentences import dotted

_TOP: Final = ("name", "description", "tags", "input", "output")
_SHOWN: Final = 80


@dataclass(frozen=True, slots=True)
class Change:
    """One part that differs. `name` is a step's path, `from -> to` of a transition, or a field of the workflow.

    `patch` (RFC 6902) makes the new part of the old one. A rename is a guess: the same step under another key.
    """

    what: Literal["workflow", "step", "transition"]
    how: Literal["added", "removed", "changed", "renamed"]
    name: str
    before: Any = None
    after: Any = None
    patch: Sequence[Mapping[str, Any]] = field(default=())


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Empty only when both are the same definition."""
    before, after = _steps(old), _steps(new)
    renamed = dict(_renames(before, after))
    changes = [
        *_fields(old, new),
        *_step_changes(before, after, renamed),
        *_transition_changes(_arrows(old, renamed), _arrows(new, {})),
    ]
    return changes or list(_orders(old, new))


def lines(changes: Sequence[Change]) -> list[str]:
    """One line for each thing that changed: `+` added, `-` removed, `~` changed, `>` renamed."""
    return [line for change in changes for line in _lines(change)]


# --- parts ------------------------------------------------------------------------------------------------------


def _steps(document: Mapping[str, Any]) -> dict[str, PlacedStep]:
    return {placed.path: placed for placed in each_step(document)}


def _own(step: Mapping[str, Any]) -> dict[str, Any]:
    """The step without the steps in its body: those are compared by themselves."""
    own = dict(step)
    if body_of(step) is not None:
        own["config"] = {name: value for name, value in step["config"].items() if name != "body"}
    return own


def _fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for name in _TOP:
        if name in old and name not in new:
            yield Change("workflow", "removed", name, before=old[name])
        elif name in new and name not in old:
            yield Change("workflow", "added", name, after=new[name])
        elif old.get(name) != new.get(name):
            yield Change("workflow", "changed", name, old[name], new[name], _patch(old[name], new[name]))


def _patch(old: Any, new: Any) -> list[dict[str, Any]]:
    if isinstance(old, Mapping | list) and type(old) is type(new):
        return list(jsonpatch.make_patch(old, new).patch)
    return [{"op": "replace", "path": "", "value": new}]


def _renames(before: Mapping[str, PlacedStep], after: Mapping[str, PlacedStep]) -> Iterator[tuple[str, str]]:
    """Old path and new path of steps that say the same under another key. Only when there is no doubt which."""
    gone = [placed for path, placed in before.items() if path not in after]
    come = [placed for path, placed in after.items() if path not in before]
    for old in gone:
        same = [new for new in come if new.around == old.around and _unnamed(new) == _unnamed(old)]
        rivals = [other for other in gone if other.around == old.around and _unnamed(other) == _unnamed(old)]
        if len(same) == 1 and len(rivals) == 1 and len(_unnamed(old)) > 1:
            yield old.path, same[0].path


def _unnamed(placed: PlacedStep) -> dict[str, Any]:
    """What a step does. A step of which only the type is left is like any other of its type."""
    return {name: value for name, value in placed.step.items() if name not in ("key", "name", "position")}


def _step_changes(
    before: Mapping[str, PlacedStep], after: Mapping[str, PlacedStep], renamed: Mapping[str, str]
) -> Iterator[Change]:
    targets = set(renamed.values())
    for path, old in before.items():
        target = after.get(renamed.get(path, path))
        if target is None:
            yield Change("step", "removed", path, before=_own(old.step))
            continue
        mine, theirs = _own(old.step), _own(target.step)
        if path in renamed:
            yield Change("step", "renamed", path, path, target.path, _patch(mine, theirs))
        elif mine != theirs:
            yield Change("step", "changed", path, mine, theirs, _patch(mine, theirs))
    for path, new in after.items():
        if path not in before and path not in targets:
            yield Change("step", "added", path, after=_own(new.step))


def _arrows(document: Mapping[str, Any], renamed: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Transitions by their ends, with their place among those of the same source; renamed ends as they are now."""
    found: dict[str, dict[str, Any]] = {}
    places: dict[str, int] = {}
    for arrow in each_transition(document):
        source, target = (renamed.get(end, end) for end in (arrow.end("from"), arrow.end("to")))
        places[source] = places.get(source, 0) + 1
        content = {name: value for name, value in arrow.transition.items() if name not in ("from", "to")}
        found[f"{source} -> {target}"] = {**content, "place": places[source]}
    return found


def _transition_changes(
    before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]
) -> Iterator[Change]:
    same_ends = set(before) == set(after)
    for name, old in before.items():
        if name not in after:
            yield Change("transition", "removed", name, before=_placeless(old))
            continue
        # Places shift when a transition before is removed; that alone is no change of this one.
        mine, theirs = (old, after[name]) if same_ends else (_placeless(old), _placeless(after[name]))
        if mine != theirs:
            yield Change("transition", "changed", name, dict(mine), dict(theirs), _patch(dict(mine), dict(theirs)))
    for name, new in after.items():
        if name not in before:
            yield Change("transition", "added", name, after=_placeless(new))


def _placeless(arrow: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arrow.items() if name != "place"}


def _orders(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    """When nothing else differs: steps or transitions in another order, which another hash shows."""
    if old != new:
        before, after = list(_steps(old)), list(_steps(new))
        yield Change("workflow", "changed", "steps" if before != after else "transitions", before, after)


# --- words ------------------------------------------------------------------------------------------------------


def _lines(change: Change) -> Iterator[str]:
    if change.how == "renamed":
        yield f"> step {change.before} is now {change.after}"
    elif change.how == "added":
        yield f"+ {change.what} {change.name}{_about(change, change.after)}"
    elif change.how == "removed":
        yield f"- {change.what} {change.name}{_about(change, change.before)}"
    elif change.what == "workflow" and change.name in ("steps", "transitions"):
        yield f"~ the {change.name} are in another order"
    elif change.what == "workflow":
        for path, before, after in _differences(change.before, change.after, (change.name,)):
            yield f"~ {dotted(path)}: {_shown(before)} -> {_shown(after)}"
    else:
        for path, before, after in _differences(change.before, change.after, ()):
            yield f"~ {change.what} {change.name}: {dotted(path)}: {_shown(before)} -> {_shown(after)}"


def _about(change: Change, part: Any) -> str:
    if change.what == "step":
        return f" ({part.get('type')})"
    if change.what == "transition":
        if part.get("default"):
            return " (default)"
        return f" when {_shown(part['when'])}" if "when" in part else ""
    return f": {_shown(part)}"


class _Nothing:
    def __repr__(self) -> str:
        return "(nothing)"


_NOTHING: Final = _Nothing()


def _differences(
    before: Any, after: Any, path: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], Any, Any]]:
    """The leaves that differ; lists of different lengths differ as a whole."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in sorted({*before, *after}):
            one, other = before.get(name, _NOTHING), after.get(name, _NOTHING)
            if one is _NOTHING or other is _NOTHING or one != other:
                yield from _differences(one, other, (*path, name))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            if one != other:
                yield from _differences(one, other, (*path, index))
    else:
        yield path, before, after


def _shown(value: Any) -> str:
    text = repr(value) if value is _NOTHING else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
