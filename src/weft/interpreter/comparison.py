"""When two JSON values are the same, and which is the greater.

Numbers compare by value whatever their type, but true is no 1. Two texts that are both dates (ISO 8601) compare as
times, so that `2026-01-01T00:00:00Z` and `2026-01-01T01:00:00+01:00` are the same moment; a time without a zone
is taken as UTC. Other texts compare character by character.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final, Literal, Protocol, TypeGuard

Order = Literal[-1, 0, 1]
Number = int | float | Decimal

_DEEPEST: Final = 100


class _Ordered(Protocol):
    def __lt__(self, other: Any, /) -> bool: ...


class Missing(Enum):
    """There is no such field. `null` is a value; this is none."""

    missing = "missing"


MISSING: Final = Missing.missing


def compare(left: object, right: object) -> Order | None:
    """Which is greater; None when they are in no order: of different sorts, not numbers, or neither text nor time."""
    if _is_number(left) and _is_number(right):
        return _order(*_comparable(left, right))
    earlier, later = _moment(left), _moment(right)
    if earlier is not None and later is not None:
        return _order(earlier, later)
    if isinstance(left, str) and isinstance(right, str):
        return _order(left, right)
    return None


def same(left: object, right: object, depth: int = 0) -> bool:
    """Equal in every part. Lists in order, objects by key; deeper than a hundred levels nothing is the same."""
    if left is None or right is None or isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, str) and isinstance(right, str) and left == right:
        return True
    if (order := compare(left, right)) is not None:
        return order == 0
    if depth >= _DEEPEST:
        return False
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(same(left[key], right[key], depth + 1) for key in left)
    if _is_list(left) and _is_list(right):
        return len(left) == len(right) and all(same(a, b, depth + 1) for a, b in zip(left, right, strict=True))
    return False


def is_empty(value: object) -> bool:
    """Null, a text of nothing but blanks, or a list or object without members. Zero and false are not empty."""
    if value is None:
        return True
    if isinstance(value, str):
        return not value.strip()
    return isinstance(value, Sequence | Mapping) and not value


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_number(value: object) -> TypeGuard[Number]:
    """NaN is none: it is in no order and equals nothing."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return False
    return not (value.is_nan() if isinstance(value, Decimal) else isinstance(value, float) and math.isnan(value))


def _comparable(left: Number, right: Number) -> tuple[Number, Number]:
    """A decimal and a float meet as decimals of what is written: 0.1 is one tenth on both sides."""
    if isinstance(left, Decimal) and isinstance(right, float):
        return left, Decimal(repr(right))
    if isinstance(left, float) and isinstance(right, Decimal):
        return Decimal(repr(left)), right
    return left, right


def _moment(value: object) -> datetime | None:
    """A point in time, or None when the value is not clearly one: `20260101` may be an invoice number."""
    if isinstance(value, str):
        if len(value) < 10 or value[4] != "-" or value[7] != "-":
            return None
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def _order(left: _Ordered, right: _Ordered) -> Order:
    if left == right:
        return 0
    return -1 if left < right else 1
