"""Decisions about limits. Pure: rates by GCRA in whole nanoseconds, so that no rounding adds up; targets; words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

SECOND: Final = 1_000_000_000
"""Nanoseconds. Times here are nanoseconds since 1970."""

PRIORITIES: Final = {"low": -50, "normal": 0, "high": 50}
LEAST_URGENT: Final = -100
MOST_URGENT: Final = 100

LONGEST_BACK_OFF: Final = 3600.0
"""Seconds that a target's `Retry-After` may hold up everybody's calls."""


@dataclass(frozen=True, slots=True)
class Rate:
    """`calls` in `seconds`, evenly spaced, of which `burst` may come at once."""

    calls: int
    seconds: int = 1
    burst: int = 1

    @property
    def spacing(self) -> int:
        """Rounded up: a rate is never exceeded, not even by a billionth."""
        return -(-self.seconds * SECOND // self.calls)

    @property
    def slack(self) -> int:
        return (self.burst - 1) * self.spacing


@dataclass(frozen=True, slots=True)
class Turns:
    """How many may call now, when the others should ask again, and where the target stands after it."""

    granted: int
    waits: tuple[int, ...]
    next_call: int
    next_turn: int


def take_turns(rate: Rate, *, next_call: int, next_turn: int, now: int, told: int, fresh: int) -> Turns:
    """`told` have been told a turn before and go first; `fresh` ones are given turns behind everybody.

    A turn is a hint, not a right: whoever comes at his turn is measured again, so that calls that were held up (no
    worker, a long queue) do not all go at once.
    """
    on_time = max(next_call, now)
    ahead = on_time - now
    free = 0 if ahead > rate.slack else (rate.slack - ahead) // rate.spacing + 1
    granted = min(free, told + fresh)
    on_time += granted * rate.spacing
    left = told + fresh - granted
    if not left:
        return Turns(granted, (), on_time, next_turn)
    first = max(now, on_time - rate.slack)
    again = max(0, told - granted)
    waits = [first + place * rate.spacing for place in range(again)]
    behind = max(next_turn + rate.spacing, first + again * rate.spacing)
    waits += [behind + place * rate.spacing for place in range(left - again)]
    return Turns(granted, tuple(waits), on_time, max(next_turn, waits[-1]))


def backed_off(rate: Rate, *, next_call: int, until: int) -> int:
    """The target wants to be left alone until then: no burst either."""
    return max(next_call, until + rate.slack)


_LABEL: Final = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_TARGET: Final = re.compile(rf"\*|(\*\.)?{_LABEL}(\.{_LABEL})*|\[[0-9a-f:.]+\]")


def normal_target(text: str) -> str | None:
    """A target as it is stored: a host, `*.` and a domain, or `*`. None for anything else."""
    target = text.strip().lower().rstrip(".")
    return target if len(target) <= 253 and _TARGET.fullmatch(target) else None


Named = TypeVar("Named")


def match(host: str, limits: Iterable[tuple[str, Named]]) -> Named | None:
    """The limit of a host: its own, else that of the longest domain around it, else that of all."""
    found = dict(limits)
    if host in found:
        return found[host]
    labels = host.split(".")
    for place in range(1, len(labels)):
        pattern = "*." + ".".join(labels[place:])
        if pattern in found:
            return found[pattern]
    return found.get("*")


def priority_of(word: str | int | None) -> int | None:
    """`high` or `50` as a number; None for None and for what is neither."""
    if word is None or isinstance(word, int):
        return word
    if word in PRIORITIES:
        return PRIORITIES[word]
    return None


def in_use(used: int, places: int, what: str) -> str:
    return f"waits for a free place {what}: {used} of {places} in use"
