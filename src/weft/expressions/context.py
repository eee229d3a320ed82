"""The data an evaluation sees: finding one field in it, and cutting out what is needed.

A context is JSON: an object with `input`, `steps`, `vars` and so on. Nothing here changes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Final

from weft.expressions.patterns import check_pattern, safe_matches

__all__ = ["MISSING", "Missing", "check_pattern", "follow", "lookup", "project", "safe_matches"]


class Missing(Enum):
    """The type of `MISSING`, so that a type checker can tell it from JSON."""

    missing = "missing"

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing.missing
"""What `lookup` answers where there is nothing; null in the data is None."""


def lookup(context: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path, or MISSING. List items are found by their index: `input.lines.0.price`."""
    value: Any = context
    for step in path.split("."):
        if isinstance(value, Mapping):
            if step not in value:
                return MISSING
            value = value[step]
        elif _is_list(value) and step.isascii() and step.isdecimal() and len(step) <= 9:
            index = int(step)
            if index >= len(value):
                return MISSING
            value = value[index]
        else:
            return MISSING
    return value


def follow(context: Mapping[str, Any], route: Sequence[str | int]) -> tuple[Any, int]:
    """The value at the end of a plain path by the rules of expressions, and how many steps were found.

    Differs from `lookup` as expressions do: an index is no key of an object, and characters have indexes.
    """
    value: Any = context
    for found, step in enumerate(route):
        if type(value) is dict or isinstance(value, Mapping):  # the first is quick, and nearly always the answer
            if isinstance(step, int) or step not in value:
                return MISSING, found
        elif not isinstance(step, int) or not isinstance(value, list | tuple | str) or step >= len(value):
            return MISSING, found
        value = value[step]
    return value, len(route)


def project(context: Mapping[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    """The parts of the context that the paths reach, in its own shape; nothing else leaves the process.

    A path that meets a list takes the whole list, one that meets nothing takes nothing. The result shares
    values with the context: read it or send it, do not change it.
    """
    tree: dict[str, Any] = {}
    for path in paths:
        branch = tree
        for step in path.split("."):
            branch = branch.setdefault(step, {})
        branch[_WHOLE] = {}
    return _pick(context, tree)


_WHOLE: Final = ""  # no step of a path is empty


def _pick(value: Mapping[str, Any], tree: Mapping[str, Any]) -> dict[str, Any]:
    picked: dict[str, Any] = {}
    for step, branch in tree.items():
        if step in value:
            item = value[step]
            if _WHOLE in branch or not isinstance(item, Mapping):
                picked[step] = item
            else:
                picked[step] = _pick(item, branch)
    return picked


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)
