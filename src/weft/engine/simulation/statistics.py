"""Figures over runs: exact percentiles by nearest rank, and a histogram. Pure.

The percentile p of n values is the smallest value that at least p percent of them do not exceed: the value at place
ceil(p/100 * n) in order. It is always one of the values; nothing is interpolated and nothing is estimated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

BARS: Final = 10


def percentile(ordered: Sequence[float], part: float) -> float:
    """Of values in order; `part` in percent. Zero when there is none."""
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(part / 100 * len(ordered) - 1e-9) - 1)]


def distribution(values: Sequence[float]) -> dict[str, Any]:
    """Least, mean, percentiles, most, and how many values lie in each of ten equal parts of the range."""
    ordered = sorted(values)
    mean = math.fsum(ordered) / len(ordered) if ordered else 0.0
    return {
        "min": ordered[0] if ordered else 0.0,
        "mean": tidy(mean),
        "p50": percentile(ordered, 50),
        "p80": percentile(ordered, 80),
        "p95": percentile(ordered, 95),
        "max": ordered[-1] if ordered else 0.0,
        "histogram": histogram(ordered),
    }


def histogram(ordered: Sequence[float]) -> list[dict[str, Any]]:
    """`from` is included, `to` is not, but for the last part."""
    if not ordered:
        return []
    low, high = ordered[0], ordered[-1]
    if low == high:
        return [{"from": low, "to": high, "runs": len(ordered)}]
    width = (high - low) / BARS
    counts = [0] * BARS
    for value in ordered:
        counts[min(BARS - 1, int((value - low) / width))] += 1
    return [
        {"from": tidy(low + place * width), "to": tidy(low + (place + 1) * width), "runs": count}
        for place, count in enumerate(counts)
    ]


def tidy(value: float) -> float:
    """Without the noise of binary fractions."""
    return float(f"{value:.9g}")
