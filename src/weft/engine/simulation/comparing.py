"""How two ends of one execution differ: by path in the output, and by the first attempt that went another way. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

MOST_CHANGES: Final = 20
LONGEST: Final = 2_000
"""Bytes of a value, as JSON, that is shown whole."""


def differences(before: Any, after: Any, path: str = "") -> list[dict[str, Any]]:
    """What differs, by path (`lines.0.net`), twenty places at most. `true` is not 1, and missing is not null."""
    found = []
    for change in _differ(before, after, path):
        found.append(change)
        if len(found) >= MOST_CHANGES:
            break
    return found


_ABSENT: Final = object()


def _differ(before: Any, after: Any, path: str) -> Iterator[dict[str, Any]]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys([*before, *after]):
            yield from _differ(before.get(key, _ABSENT), after.get(key, _ABSENT), f"{path}.{key}" if path else str(key))
    elif _is_list(before) and _is_list(after):
        for index in range(max(len(before), len(after))):
            one = before[index] if index < len(before) else _ABSENT
            other = after[index] if index < len(after) else _ABSENT
            yield from _differ(one, other, f"{path}.{index}" if path else str(index))
    elif not _same(before, after):
        yield {"path": path, "before": shown(before), "after": shown(after)}


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _same(before: Any, after: Any) -> bool:
    if isinstance(before, bool) or isinstance(after, bool):
        return before is after
    return bool(before == after)


def shown(value: Any) -> Any:
    """A value as it may stand in a report: what is missing and what is large are said in words."""
    if value is _ABSENT:
        return {"missing": True}
    if isinstance(value, str | Mapping | list):
        encoded = msgspec.json.encode(value)
        if len(encoded) > LONGEST:
            return {"bytes": len(encoded), "begins": encoded[:200].decode(errors="replace")}
    return value


def plain(value: Any) -> Any:
    """As JSON would give it back."""
    return msgspec.json.decode(msgspec.json.encode(value)) if isinstance(value, dict | list | tuple) else value
