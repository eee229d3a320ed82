"""What code hands over, as JSON that PostgreSQL can store: looked through without recursion, and counted. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

MAX_DEPTH: Final = 100
LARGEST_INTEGER: Final = 2**63 - 1


class NotJson(Exception):
    """The value cannot be a step's output. `sentence` says what to do."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


def plain(value: Any, limit: int) -> Any:
    """The value in lists, objects, texts, numbers, true, false and null. `limit` is bytes of JSON, roughly.

    The size is counted before anything is copied: a list that holds one large list a thousand times is small in
    memory and large when it is written down.
    """
    top: list[Any] = [None]
    left = limit
    pending: list[tuple[Any, int, Callable[[Any], None]]] = [(value, 0, lambda made: top.__setitem__(0, made))]
    while pending:
        part, depth, put = pending.pop()
        left -= _size(part)
        if left < 0:
            raise NotJson(f"The result is larger than {limit:,} bytes as JSON. Put out less.")
        if depth > MAX_DEPTH:
            raise NotJson(f"The result is nested deeper than {MAX_DEPTH} levels.")
        if isinstance(part, dict):
            made: dict[str, Any] = dict.fromkeys(map(_name, part))
            put(made)
            pending.extend((inner, depth + 1, _into(made, _name(name))) for name, inner in part.items())
        elif type(part) in (list, tuple):
            items: list[Any] = [None] * len(part)
            put(items)
            pending.extend((inner, depth + 1, _into(items, index)) for index, inner in enumerate(part))
        else:
            put(_scalar(part))
    return top[0]


def _into(container: Any, place: Any) -> Callable[[Any], None]:
    return lambda made: container.__setitem__(place, made)


def _size(part: Any) -> int:
    if isinstance(part, str | bytes | dict | list | tuple | set | frozenset):
        return 2 + len(part)
    return 4


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise NotJson(f"The result has an object with a name that is no text but {_called(name)}. Use `str(...)`.")
    return _text(name)


def _scalar(part: Any) -> Any:
    if part is None or isinstance(part, bool):
        return part
    if isinstance(part, str):
        return _text(part)
    if isinstance(part, int):
        if abs(part) > LARGEST_INTEGER:
            raise NotJson("The result has a whole number of more than 64 bits. Put it out as text: `str(...)`.")
        return int(part)
    if isinstance(part, float):
        if not math.isfinite(part):
            raise NotJson(f"The result has the number {part}, which JSON does not know. Put out `None` instead.")
        return part
    raise NotJson(f"The result has {_called(part)}, which JSON does not know. Put out lists, dicts, texts and numbers.")


def _text(text: str) -> str:
    if "\0" in text:
        raise NotJson("The result has a text with the NUL character, which cannot be stored. Remove it.")
    return text


def _called(part: Any) -> str:
    return f"a value of the type {type(part).__name__}"
