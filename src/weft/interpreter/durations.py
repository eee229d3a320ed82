"""How long: `30`, `500ms`, `1h30m` or `PT1H30M`, as seconds."""

from __future__ import annotations

import math
import re
from typing import Final

LONGEST: Final = 10 * 366 * 86_400.0
"""Ten years, in seconds: whoever writes more has mistaken the unit."""

_UNITS: Final = {"w": 604_800.0, "d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_NUMBER: Final = r"(?:[0-9]{1,40}(?:\.[0-9]{1,9})?)"
_PLAIN: Final = re.compile("".join(rf"(?:(?P<{unit}>{_NUMBER}) ?{unit}(?![a-z]) ?)?" for unit in _UNITS))
_ISO: Final = re.compile(
    rf"P(?:(?P<w>{_NUMBER})W)?(?:(?P<d>{_NUMBER})D)?"
    rf"(?:T(?=[0-9])(?:(?P<h>{_NUMBER})H)?(?:(?P<m>{_NUMBER})M)?(?:(?P<s>{_NUMBER})S)?)?"
)


class DurationUnclear(ValueError):
    """The text or number is not a length of time; the message says what is wrong and how to write it."""


class DurationTooLong(DurationUnclear):
    """It is one, but longer than anybody means."""


def parse_duration(value: object) -> float:
    """Seconds. Numbers are seconds; texts are `500ms`, `30s`, `5m`, `2h`, `1d`, `1w`, `1h30m` or ISO 8601 (`PT30S`).

    Raises `DurationUnclear` for anything else, for negative and endless times, and for more than ten years. Months
    and years of ISO 8601 are refused: their length depends on the calendar.
    """
    if isinstance(value, str):
        seconds = _from_text(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        try:
            seconds = float(value)
        except OverflowError:
            seconds = math.inf
    else:
        raise DurationUnclear("this is not a duration; write seconds as a number, or a text such as '30s' or '1h30m'")
    if math.isnan(seconds) or seconds < 0:
        raise DurationUnclear(f"{seconds} is not a duration; it must be zero or more")
    if seconds > LONGEST:
        raise DurationTooLong("this is longer than ten years; check the unit")
    return seconds


def _from_text(text: str) -> float:
    written = text.strip()
    match = _ISO.fullmatch(written) if written.startswith("P") else _PLAIN.fullmatch(written)
    parts = {unit: float(number) for unit, number in match.groupdict().items() if number} if match else {}
    if not parts:
        raise DurationUnclear(
            f"'{text[:60]}' is not a duration; write a number with ms, s, m, h, d or w, the larger unit first "
            "('500ms', '30s', '1h30m'), or ISO 8601 ('PT30S')"
        )
    return math.fsum(number * _UNITS[unit] for unit, number in parts.items())
