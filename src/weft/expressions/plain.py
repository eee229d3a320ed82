"""What comes out of an expression: JSON that shares nothing with the data it was made from.

Imports nothing of weft but the views: the guard's children load it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from weft.expressions.views import FAILED, TOO_LARGE, Failure, Record, Rows, describe, raw, view

MAX_RESULT_DEPTH: Final = 100


class _Copier:
    """Copies a result as plain JSON and counts its size on the way."""

    __slots__ = ("left", "limit")

    def __init__(self, limit: int) -> None:
        self.left = limit
        self.limit = limit

    def copy(self, value: Any, depth: int = 0) -> Any:
        kind = type(value)
        if kind is Record or kind is Rows:
            value = raw(value)
            kind = type(value)
        if kind is dict or isinstance(value, Mapping):
            return self._object(value, depth)
        if kind is list or kind is tuple or (kind is not str and isinstance(value, list | tuple)):
            self._spend(2 + len(value))
            self._descend(depth)
            return [self.copy(item, depth + 1) for item in value]
        return self._scalar(value)

    def _object(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        self._descend(depth)
        self._spend(2)
        copied: dict[str, Any] = {}
        for key, item in value.items():
            if type(key) is int:
                key = str(key)
            elif not isinstance(key, str):
                raise Failure(FAILED, f"The keys of an object are text, and one here is {describe(key)}.")
            name = self._text(key)
            self._spend(2)
            copied[name] = self.copy(item, depth + 1)
        return copied

    def _scalar(self, value: Any) -> Any:
        if value is None or isinstance(value, bool):
            self._spend(5)
            return value
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, int):
            self._spend(value.bit_length() // 3 + 2)
            return int(value)
        if isinstance(value, float):
            if not math.isfinite(value):
                raise Failure(FAILED, "The result is not a finite number.")
            self._spend(20)
            return float(value)
        if callable(value):
            raise Failure(FAILED, "The result is a function and not a value: call it, or remove it.")
        return self.copy(view(value))

    def _text(self, value: str) -> str:
        text = value if type(value) is str else str.__str__(value)
        if text.isascii():
            self._spend(len(text) + 2)
            return text
        try:
            self._spend(len(text.encode()) + 2)
        except UnicodeEncodeError:
            raise Failure(FAILED, "The text holds half a character (a lone surrogate).") from None
        return text

    def _descend(self, depth: int) -> None:
        if depth >= MAX_RESULT_DEPTH:
            raise Failure(TOO_LARGE, f"The result nests deeper than {MAX_RESULT_DEPTH} levels.")

    def _spend(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise Failure(
                TOO_LARGE,
                f"The result is larger than {self.limit:,} bytes. Pick the fields that are needed, or "
                "work on fewer items.",
            )


def plain(value: Any, limit: int) -> Any:
    """The value as JSON that shares nothing with the context. `limit` is its size in bytes, about."""
    kind = type(value)
    if kind is bool or value is None or (kind is int and -(2**63) <= value < 2**63):
        return value
    return _Copier(limit).copy(value)
