"""Chance that is none: numbers that look random and are the same on every machine, for ever.

Python's `random` may change how it draws from a distribution; a trace that was kept must not. So the generator
(splitmix64) and the distributions are our own. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final, TypeVar

from weft.interpreter.durations import LONGEST, DurationUnclear, parse_duration

T = TypeVar("T")

_MASK: Final = (1 << 64) - 1
_STEP: Final = 0x9E3779B97F4A7C15
_NORMAL: Final = NormalDist()
_P95: Final = _NORMAL.inv_cdf(0.95)


def mixed(*numbers: int) -> int:
    """One number of 64 bits out of several; a change in any of them changes all of it."""
    word = 0
    for number in numbers:
        word = _scrambled((word ^ (number & _MASK)) + _STEP & _MASK)
    return word


def _scrambled(word: int) -> int:
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
    return word ^ (word >> 31)


class Draws:
    """A row of draws, decided by its seeds alone."""

    __slots__ = ("_word",)

    def __init__(self, *seeds: int) -> None:
        self._word = mixed(*seeds)

    def bits(self) -> int:
        self._word = (self._word + _STEP) & _MASK
        return _scrambled(self._word)

    def share(self) -> float:
        """In [0, 1)."""
        return (self.bits() >> 11) / (1 << 53)

    def whole(self, low: int, high: int) -> int:
        """Between the two, both included."""
        span = high - low + 1
        if span <= 1 << 53:
            return low + int(self.share() * span)
        return low + ((self.bits() << 64) | self.bits()) % span

    def between(self, low: float, high: float) -> float:
        return low + self.share() * (high - low)

    def chance(self, probability: float) -> bool:
        return self.share() < probability

    def one_of(self, choices: Sequence[T]) -> T:
        return choices[self.whole(0, len(choices) - 1)]

    def normal(self) -> float:
        """From the standard normal distribution, by its inverse."""
        return _NORMAL.inv_cdf((self.share() * (1 - 2e-12)) + 1e-12)


@dataclass(frozen=True, slots=True)
class Spread:
    """A length of time, or the distribution it is drawn from. Seconds; never below zero, never above ten years."""

    kind: str = "fixed"
    first: float = 0.0
    second: float = 0.0

    def draw(self, draws: Draws) -> float:
        match self.kind:
            case "uniform":
                found = draws.between(self.first, self.second)
            case "exponential":
                found = -self.first * math.log(1.0 - draws.share())
            case "normal":
                found = self.first + self.second * draws.normal()
            case "percentiles":  # log-normal through both
                found = self.first * math.exp(self.second * draws.normal())
            case _:
                return self.first
        return min(max(found, 0.0), LONGEST)


def spread_of(written: Any) -> Spread:
    """`2s`, `{uniform: [1s, 3s]}`, `{exponential: 4s}`, `{normal: {mean, deviation}}` or `{p50, p95}`.

    Raises `DurationUnclear`.
    """
    if not isinstance(written, Mapping):
        return Spread(first=parse_duration(written))
    if "uniform" in written:
        low, high = (parse_duration(part) for part in written["uniform"])
        if low > high:
            raise DurationUnclear("`uniform` takes the shortest time first")
        return Spread("uniform", low, high)
    if "exponential" in written:
        return Spread("exponential", parse_duration(written["exponential"]))
    if "normal" in written:
        shape = written["normal"]
        return Spread("normal", parse_duration(shape["mean"]), parse_duration(shape["deviation"]))
    half, most = parse_duration(written["p50"]), parse_duration(written["p95"])
    if half <= 0 or half > most:
        raise DurationUnclear("`p50` is above zero and not above `p95`")
    return Spread("percentiles", half, math.log(most / half) / _P95)
