"""How long to wait before the next attempt. The same execution, visit and attempt always wait the same time."""

from __future__ import annotations

import math
from typing import Final

from weft.interpreter.definition import Backoff, Retry

LONGEST_WISH: Final = 366 * 86_400.0
"""Seconds. What another server asks for in `Retry-After` is believed up to a year."""

_MASK: Final = (1 << 64) - 1
_DOUBLINGS: Final = 62
"""More would only overflow: one nanosecond doubled this often is a century."""


def delay(policy: Retry, attempt: int, *, seed: int, visit: int, wish: float | None) -> float:
    """Seconds between the failure of this attempt and the next one.

    Jitter shortens the delay by up to half, so that executions that failed together do not come back together.
    `wish` is the other side's `Retry-After`; it is never undercut, neither by jitter nor by the policy's `max`.
    """
    match policy.backoff:
        case Backoff.fixed:
            planned = policy.initial
        case Backoff.linear:
            planned = policy.initial * attempt
        case Backoff.exponential:
            planned = policy.initial * 2.0 ** min(attempt - 1, _DOUBLINGS)
    planned = min(planned, policy.max)
    if policy.jitter:
        planned *= 0.5 + 0.5 * fraction(seed, visit, attempt)
    if wish is not None and math.isfinite(wish):
        planned = max(planned, min(wish, LONGEST_WISH))
    return planned


def fraction(seed: int, visit: int, attempt: int) -> float:
    """A number in [0, 1) that looks random and is not: splitmix64 over the three."""
    mixed = seed & _MASK
    for word in (visit, attempt):
        mixed = _mix((mixed + word * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) & _MASK)
    return (mixed >> 11) / (1 << 53)


def _mix(word: int) -> int:
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
    return word ^ (word >> 31)
