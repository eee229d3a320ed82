"""Recurrence rules of RFC 5545, in the time of the wall of their zone.

Tenants write these, so their work is bounded. dateutil looks for the next occurrence until the year 9999 without
asking anybody; but it adds the rule's interval once for each period that it passes. `_Paced` is an interval that
counts this, and stops a search that has passed too many.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, Self, SupportsIndex
from zoneinfo import ZoneInfo

from dateutil import rrule as library

from weft.domain.workflows.schedules.problems import ScheduleUnclear
from weft.domain.workflows.schedules.zones import moment_of, moments_of, on_the_wall

LONGEST_TEXT: Final = 500
MOST_TIMES: Final = 96
"""Times of day that a rule may name: they multiply with the days of a year."""
MOST_POSITIONS: Final = 31
LONGEST_COUNT: Final = 10_000

_FREQUENCIES: Final = {"YEARLY": 500, "MONTHLY": 3_000, "WEEKLY": 6_000, "DAILY": 20_000, "HOURLY": 20_000,
                       "MINUTELY": 20_000}  # fmt: skip
"""Periods that one search may pass, by frequency; more than any rule that is ever due needs."""
_LENGTHS: Final = {
    "WEEKLY": timedelta(weeks=1),
    "DAILY": timedelta(days=1),
    "HOURLY": timedelta(hours=1),
    "MINUTELY": timedelta(minutes=1),
}
_FARTHEST_BACK: Final = timedelta(hours=3)
"""No zone puts its clock back by more."""
_NAMES: Final = frozenset(
    {"FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYSETPOS", "BYMONTH", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO",
     "BYDAY", "BYHOUR", "BYMINUTE", "BYSECOND", "BYEASTER"}
)  # fmt: skip
_RANGES: Final = {"BYMONTH": (1, 12), "BYMONTHDAY": (1, 31), "BYYEARDAY": (1, 366), "BYWEEKNO": (1, 53),
                  "BYSETPOS": (1, 366), "BYHOUR": (0, 23), "BYMINUTE": (0, 59), "BYSECOND": (0, 59),
                  "BYEASTER": (0, 366)}  # fmt: skip
_FROM_THE_END: Final = frozenset({"BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYSETPOS", "BYEASTER"})
"""Parts whose numbers may be negative: they count from the end."""
_UNTIL: Final = re.compile(r"(\d{8})(?:T(\d{6})(Z?))?")


class _TooFar(Exception):
    """A search has passed as many periods as it may."""


class _Paced(int):
    """An interval that counts how often it is added."""

    left: int

    def __new__(cls, value: int, left: int) -> Self:
        made = super().__new__(cls, value)
        made.left = left
        return made

    def _step(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise _TooFar

    def __radd__(self, other: int) -> int:
        self._step()
        return int(self) + other

    def __mul__(self, other: int | SupportsIndex) -> int:
        self._step()
        return int(self) * int(other)


class Recurrence:
    """`anchor` is where the rule begins (DTSTART), on the wall of the zone. `until` is the rule's own end."""

    def __init__(self, text: str, where: ZoneInfo, anchor: datetime) -> None:
        self.parts = _parts(text)
        self._zone = where
        self._anchor = on_the_wall(anchor, where).replace(microsecond=0)
        self._frequency = self.parts["FREQ"]
        self._interval = int(self.parts.get("INTERVAL", "1"))
        self.until = _until(self.parts.pop("UNTIL", None), where)
        written = ";".join(f"{name}={value}" for name, value in self.parts.items() if name != "INTERVAL")
        try:
            # Without an interval, for dateutil checks some combinations by itself and would do so at length.
            rule = library.rrulestr(written, dtstart=self._anchor)
            if not isinstance(rule, library.rrule):
                raise TypeError("it is more than one rule")
            self._rule = rule
            self._paced(self._anchor)
        except (ValueError, KeyError, IndexError, TypeError, _TooFar) as error:
            reason = str(error)[:200].rstrip(".") or "it is not valid"
            raise ScheduleUnclear("rrule", f"The rule cannot be used: {reason}.") from error

    def after(self, moment: datetime) -> Iterator[datetime]:
        """A rule whose search was stopped has no further due times."""
        last = moment
        try:
            for due in self._moments(moment):
                if self.until is not None and due > self.until:
                    return
                if due > last:
                    last = due
                    yield due
        except (_TooFar, ValueError, OverflowError):
            return

    def _moments(self, moment: datetime) -> Iterator[datetime]:
        """Due times in order, from somewhat before `moment` on. Where the clock is put back, a rule by the hour or by
        the minute goes on through both hours; any other has its time once."""
        wall = on_the_wall(moment, self._zone)
        if self._frequency not in ("HOURLY", "MINUTELY"):
            yield from (moment_of(one, self._zone) for one in self._walls(wall - timedelta(days=1)))
            return
        second_readings: list[datetime] = []  # a heap
        for one in self._walls(wall - _FARTHEST_BACK):
            for due in moments_of(one, self._zone):
                heapq.heappush(second_readings, due)
            # First readings never go back, so whatever is not after this one comes before all that is still to come.
            first = one.replace(tzinfo=self._zone).astimezone(UTC)
            while second_readings and second_readings[0] <= first:
                yield heapq.heappop(second_readings)
        yield from sorted(second_readings)

    def _walls(self, from_: datetime) -> Iterator[datetime]:
        start = self._anchor
        length = _LENGTHS.get(self._frequency)
        if length is not None and "COUNT" not in self.parts and from_ > start:
            # Begin near: whole periods on, the rule's pattern is the same.
            period = length * self._interval
            start += max((from_ - start) // period - 1, 0) * period
        return (wall for wall in self._paced(start) if wall >= from_)

    def _paced(self, start: datetime) -> library.rrule:
        paced = _Paced(self._interval, _FREQUENCIES[self._frequency])
        return self._rule.replace(dtstart=start, interval=paced)


def _parts(text: str) -> dict[str, str]:
    """The rule's `NAME=VALUE` parts, refused when they are not those of one recurrence rule."""
    if len(text) > LONGEST_TEXT:
        raise ScheduleUnclear("rrule", f"A rule has at most {LONGEST_TEXT} characters.")
    written = text.strip().upper().removeprefix("RRULE:")
    if any(word in written for word in ("DTSTART", "RDATE", "EXDATE", "EXRULE", "\n")):
        raise ScheduleUnclear("rrule", "Give one rule alone (`FREQ=...`); its beginning is `starts_at` or `anchor`.")
    parts: dict[str, str] = {}
    for one in filter(None, written.split(";")):
        name, equals, value = one.partition("=")
        if name not in _NAMES or not equals or not value or name in parts:
            raise ScheduleUnclear("rrule", f"The rule's part '{one[:60]}' is not one. Example: `FREQ=WEEKLY;BYDAY=MO`.")
        parts[name] = value
    if parts.get("FREQ") == "SECONDLY":
        raise ScheduleUnclear("rrule", "A rule by the second is not offered. Use `every` for short intervals.")
    if parts.get("FREQ") not in _FREQUENCIES:
        raise ScheduleUnclear("rrule", f"The rule needs `FREQ`, one of {', '.join(_FREQUENCIES)}.")
    _check_numbers(parts)
    return parts


def _check_numbers(parts: dict[str, str]) -> None:
    """Every number in its range, and no more of them than one search can bear."""
    for name, most in (("INTERVAL", 1_000), ("COUNT", LONGEST_COUNT)):
        value = parts.get(name, "1")
        if not (value.isdecimal() and value.isascii() and 1 <= int(value) <= most):
            raise ScheduleUnclear("rrule", f"`{name}` must be a whole number from 1 to {most}.")
    for name, (least, most) in _RANGES.items():
        for one in parts[name].split(",") if name in parts else ():
            number = _number(one)
            if number is None or not least <= (abs(number) if name in _FROM_THE_END else number) <= most:
                raise ScheduleUnclear("rrule", f"`{name}` has numbers from {least} to {most}; '{one[:20]}' is none.")
    if parts.get("BYSETPOS", "").count(",") >= MOST_POSITIONS or parts.get("BYSECOND", "").count(","):
        raise ScheduleUnclear("rrule", f"A rule has at most {MOST_POSITIONS} `BYSETPOS` and one `BYSECOND`.")
    if (parts.get("BYHOUR", "").count(",") + 1) * (parts.get("BYMINUTE", "").count(",") + 1) > MOST_TIMES:
        raise ScheduleUnclear("rrule", f"A rule names at most {MOST_TIMES} times of a day. Use `cron` for more.")


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[+-]?[0-9]{1,4}", text) else None


def _until(text: str | None, where: ZoneInfo) -> datetime | None:
    if text is None:
        return None
    match = _UNTIL.fullmatch(text)
    try:
        if match is None:
            raise ValueError(text)
        wall = datetime.strptime(match[1] + (match[2] or "235959"), "%Y%m%d%H%M%S")  # noqa: DTZ007  the zone comes next
    except ValueError as error:
        raise ScheduleUnclear(
            "rrule", "`UNTIL` must be a date or a time such as `20261231` or `20261231T170000Z`."
        ) from error
    return wall.replace(tzinfo=UTC) if match[3] else moment_of(wall, where)
