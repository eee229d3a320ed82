"""Recurrence rules of RFC 5545, in the time of the wall of their zone.

Tenants write these, so their work is bounded. dateutil looks for the next occurrence until the year 9999 without
asking anybody; but it adds the rule's interval once for each period that it passes. `_Paced` is an interval that
counts this, and stops a search that has passed too many. For rules by the hour or the minute dateutil finds the days
only: within a day it would take a step for each minute (`clock_steps.py`).
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time, timedelta
from itertools import islice
from typing import Final, Self, SupportsIndex
from zoneinfo import ZoneInfo

from dateutil import rrule as library

from weft.domain.workflows.schedules import clock_steps
from weft.domain.workflows.schedules.clock_steps import ClockSteps
from weft.domain.workflows.schedules.problems import ScheduleUnclear, SearchStopped
from weft.domain.workflows.schedules.zones import moment_of, moments_of, on_the_wall

LONGEST_TEXT: Final = 500
MOST_TIMES: Final = 96
"""Times of day that a rule may name: they multiply with the days of a year."""
MOST_POSITIONS: Final = 31
LONGEST_COUNT: Final = 10_000

_PERIODS: Final = {"YEARLY": 500, "MONTHLY": 3_000, "WEEKLY": 6_000, "DAILY": 20_000, "HOURLY": 20_000,
                   "MINUTELY": 20_000}  # fmt: skip
"""Periods that may pass between two due times: more than lie between those of any rule that goes on. For rules by the
hour or the minute these are days."""
MOST_SEARCHES: Final = 6
"""So many times that may pass while one caller looks for one due time after the other."""
_LENGTHS: Final = {"WEEKLY": timedelta(weeks=1), "DAILY": timedelta(days=1)}
_OF_A_DAY: Final = frozenset({"FREQ", "INTERVAL", "COUNT", "BYSETPOS", "BYHOUR", "BYMINUTE", "BYSECOND"})
"""Parts that do not choose days."""
_DAY_CHOOSERS: Final = frozenset({"BYWEEKNO", "BYYEARDAY", "BYMONTHDAY", "BYDAY", "BYEASTER"})
"""A rule without any of them takes its day from where it begins."""
_FARTHEST_BACK: Final = timedelta(hours=3)
"""No zone puts its clock back by more."""
_BROKEN: Final = (ArithmeticError, LookupError, TypeError, ValueError)
"""What dateutil raises over rules and years that it cannot bear."""
_NAMES: Final = frozenset(
    {"FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYSETPOS", "BYMONTH", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO",
     "BYDAY", "BYHOUR", "BYMINUTE", "BYSECOND", "BYEASTER"}
)  # fmt: skip
_RANGES: Final = {"BYMONTH": (1, 12), "BYMONTHDAY": (1, 31), "BYYEARDAY": (1, 366), "BYWEEKNO": (1, 53),
                  "BYSETPOS": (1, 366), "BYHOUR": (0, 23), "BYMINUTE": (0, 59), "BYSECOND": (0, 59),
                  "BYEASTER": (-80, 250)}  # fmt: skip
"""Easter's are the days that lie in its own year, whenever Easter is; dateutil miscounts beyond."""
_FROM_THE_END: Final = frozenset({"BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYSETPOS"})
"""Parts whose numbers may be negative: they count from the end."""
_DAY_OF_WEEK: Final = re.compile(r"([+-]?\d{1,2})?(?:MO|TU|WE|TH|FR|SA|SU)", re.ASCII)
_UNTIL: Final = re.compile(r"(\d{8})(?:T(\d{6})(Z?))?")


class _TooFar(Exception):
    """So many periods have passed without a due time that there will be none."""


class _Paced(int):
    """An interval that counts how often it is added."""

    most: int
    gap: int
    left: int

    def __new__(cls, value: int, most: int) -> Self:
        made = super().__new__(cls, value)
        made.most = made.gap = most
        made.left = most * MOST_SEARCHES
        return made

    def found(self) -> None:
        """There was a due time: the search for the next one begins."""
        self.gap = self.most

    def _step(self) -> None:
        self.gap -= 1
        self.left -= 1
        if self.gap < 0:
            raise _TooFar
        if self.left < 0:
            raise SearchStopped

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
        self._count = int(self.parts["COUNT"]) if "COUNT" in self.parts else None
        self.until = _until(self.parts.pop("UNTIL", None), where)
        self._steps: ClockSteps | None = None
        try:
            # Without an interval, for dateutil checks some combinations by itself and would do so at length.
            self._rule = self._rule_of({name: one for name, one in self.parts.items() if name != "INTERVAL"})
            self._paced(self._anchor, _Paced(self._interval, _PERIODS[self._frequency]))
            if self._frequency in clock_steps.FREQUENCIES:
                self._steps = ClockSteps(self.parts, self._interval, self._anchor)
                days = {name: one for name, one in self.parts.items() if name not in _OF_A_DAY}
                self._rule = self._rule_of({"FREQ": "DAILY", **days})
        except (*_BROKEN, _TooFar) as error:
            reason = str(error)[:200].rstrip(".") or "it is not valid"
            raise ScheduleUnclear("rrule", f"The rule cannot be used: {reason}.") from error

    def _rule_of(self, parts: Mapping[str, str]) -> library.rrule:
        """dateutil's rule. Whatever it would take from its beginning is named, so that a search may begin anywhere."""
        named = dict(parts)
        if not _DAY_CHOOSERS & named.keys():
            if named["FREQ"] == "YEARLY":
                named.setdefault("BYMONTH", str(self._anchor.month))
            if named["FREQ"] in ("YEARLY", "MONTHLY"):
                named["BYMONTHDAY"] = str(self._anchor.day)
        rule = library.rrulestr(";".join(f"{name}={one}" for name, one in named.items()), dtstart=self._anchor)
        if not isinstance(rule, library.rrule):
            raise TypeError("it is more than one rule")
        return rule

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Due times; none after a search that passed all the periods that may lie between two of them."""
        last = moment
        try:
            for due in self._moments(moment):
                if self.until is not None and due > self.until:
                    return
                if due > last:
                    last = due
                    yield due
        except (*_BROKEN, _TooFar):
            return

    def _moments(self, moment: datetime) -> Iterator[datetime]:
        """Due times in order, from somewhat before `moment` on. Where the clock is put back, a rule by the hour or by
        the minute goes on through both hours; any other has its time once."""
        wall = on_the_wall(moment, self._zone)
        if self._steps is None:
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
        paced = _Paced(self._interval if self._steps is None else 1, _PERIODS[self._frequency])
        for wall in islice(self._all(from_, paced), self._count):
            paced.found()
            if wall >= from_:
                yield wall

    def _all(self, from_: datetime, paced: _Paced) -> Iterator[datetime]:
        """Due times on the wall from somewhere before `from_`; a rule that counts them, from its first."""
        start = self._anchor if self._count is not None else self._near(from_)
        if self._steps is None:
            yield from self._paced(start, paced)
            return
        days = self._paced(datetime.combine(start, time()), paced)
        for day in days.replace(byhour=0, byminute=0, bysecond=0):
            yield from (wall for clock in self._steps.of(day) if (wall := day + clock) >= self._anchor)

    def _near(self, from_: datetime) -> datetime:
        """Where a search may begin: whole periods on, the rule's pattern is the same. The first one may be cut off."""
        start, frequency = self._anchor, self._frequency if self._steps is None else "DAILY"
        length = _LENGTHS.get(frequency)
        interval = self._interval if self._steps is None else 1
        if length is not None:
            return start + max((from_ - start) // (length * interval) - 1, 0) * length * interval
        months = interval if frequency == "MONTHLY" else 12 * interval
        ahead = (from_.year - start.year) * 12 + from_.month - start.month
        on = max(ahead // months - 1, 0) * months
        if not on:
            return start
        years, month = divmod(start.month - 1 + on, 12)
        return start.replace(year=start.year + years, month=month + 1 if frequency == "MONTHLY" else 1, day=1)

    def _paced(self, start: datetime, interval: _Paced) -> library.rrule:
        return self._rule.replace(dtstart=start, interval=interval, count=None)


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
    if parts.get("FREQ") not in _PERIODS:
        raise ScheduleUnclear("rrule", f"The rule needs `FREQ`, one of {', '.join(_PERIODS)}.")
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
    _check_days(parts)
    if parts.get("BYSETPOS", "").count(",") >= MOST_POSITIONS or parts.get("BYSECOND", "").count(","):
        raise ScheduleUnclear("rrule", f"A rule has at most {MOST_POSITIONS} `BYSETPOS` and one `BYSECOND`.")
    if (parts.get("BYHOUR", "").count(",") + 1) * (parts.get("BYMINUTE", "").count(",") + 1) > MOST_TIMES:
        raise ScheduleUnclear("rrule", f"A rule names at most {MOST_TIMES} times of a day. Use `cron` for more.")


def _check_days(parts: dict[str, str]) -> None:
    """Days of the week, and which of them: a month has five at most, and only months and years have a first one."""
    most = 0
    if parts["FREQ"] in ("MONTHLY", "YEARLY"):
        most = 53 if parts["FREQ"] == "YEARLY" and "BYMONTH" not in parts else 5
    for one in parts["BYDAY"].split(",") if "BYDAY" in parts else ():
        match = _DAY_OF_WEEK.fullmatch(one)
        if match is None:
            raise ScheduleUnclear("rrule", f"`BYDAY` has days such as `MO` and `-1FR`; '{one[:20]}' is none.")
        if match[1] is not None and not most:
            raise ScheduleUnclear("rrule", f"'{one}' counts days of a month or a year: use `FREQ=MONTHLY` or `YEARLY`.")
        if match[1] is not None and not 1 <= abs(int(match[1])) <= most:
            raise ScheduleUnclear("rrule", f"`BYDAY` counts from 1 to {most} here, or from -1 to -{most}; not '{one}'.")


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
    try:
        return wall.replace(tzinfo=UTC) if match[3] else moment_of(wall, where)
    except OverflowError as error:
        raise ScheduleUnclear("rrule", "`UNTIL` is too far away. Leave it out for a rule that has no end.") from error
