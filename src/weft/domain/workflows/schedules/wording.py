"""A schedule as a sentence, so that people see whether it says what they meant."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from weft.domain.workflows.schedules.cron import Cron
from weft.domain.workflows.schedules.interval import Interval
from weft.domain.workflows.schedules.recurrence import Recurrence

_UNITS: Final = {"YEARLY": "year", "MONTHLY": "month", "WEEKLY": "week", "DAILY": "day", "HOURLY": "hour",
                 "MINUTELY": "minute"}  # fmt: skip
_DAYS: Final = {"MO": "Monday", "TU": "Tuesday", "WE": "Wednesday", "TH": "Thursday", "FR": "Friday",
                "SA": "Saturday", "SU": "Sunday"}  # fmt: skip
_MONTHS: Final = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
                  "November", "December")  # fmt: skip
_SAID: Final = frozenset(
    {"FREQ", "INTERVAL", "COUNT", "BYDAY", "BYMONTH", "BYMONTHDAY", "BYHOUR", "BYMINUTE", "BYSECOND", "WKST"}
)
_DAY: Final = re.compile(r"([+-]?\d+)?(MO|TU|WE|TH|FR|SA|SU)")


def sentence_of(
    way: object, zone_name: str, starts_at: datetime | None, ends_at: datetime | None, where: ZoneInfo
) -> str:
    match way:
        case Recurrence():
            said = _rule(way.parts)
        case Cron() | Interval():
            said = way.sentence()
        case _:
            said = "At its own times"
    if not isinstance(way, Interval):
        said += f" ({zone_name})"
    if starts_at is not None:
        said += f", from {_shown(starts_at, where)}"
    if isinstance(way, Recurrence) and way.until is not None:
        ends_at = min(way.until, ends_at or way.until)
    if ends_at is not None:
        said += f", until {_shown(ends_at, where)}"
    return said + "."


def _shown(moment: datetime, where: ZoneInfo) -> str:
    return moment.astimezone(where).strftime("%Y-%m-%d %H:%M")


def _rule(parts: Mapping[str, str]) -> str:
    unit, interval = _UNITS[parts["FREQ"]], parts.get("INTERVAL", "1")
    said = f"Every {unit}" if interval == "1" else f"Every {interval} {unit}s"
    if "BYDAY" in parts:
        said += f" on {_listed([_day(one) for one in parts['BYDAY'].split(',')])}"
    if "BYMONTHDAY" in parts:
        said += f" on {_listed([_month_day(one) for one in parts['BYMONTHDAY'].split(',')])}"
    if "BYMONTH" in parts:
        said += f" in {_listed([_month(one) for one in parts['BYMONTH'].split(',')])}"
    said += _times(parts)
    others = [f"{name}={value}" for name, value in parts.items() if name not in _SAID]
    if others:
        said += f", by {_listed(others)}"
    return said + (f", {parts['COUNT']} times" if "COUNT" in parts else "")


def _times(parts: Mapping[str, str]) -> str:
    hours, minutes = parts.get("BYHOUR"), parts.get("BYMINUTE")
    if hours is None:
        return f" at minute {_listed(minutes.split(','))}" if minutes is not None else ""
    if minutes is None and parts["FREQ"] in ("HOURLY", "MINUTELY"):
        return f" in the hours {_listed(hours.split(','))}"
    if minutes is None:
        return f" at the hours {_listed(hours.split(','))}"
    return f" at {_listed([f'{int(h):02}:{int(m):02}' for h in hours.split(',') for m in minutes.split(',')])}"


def _day(text: str) -> str:
    match = _DAY.fullmatch(text)
    if match is None:
        return text
    return f"the {_ordinal(int(match[1]))} {_DAYS[match[2]]}" if match[1] else _DAYS[match[2]]


def _month_day(text: str) -> str:
    number = int(text)
    return "the last day" if number == -1 else f"the {_ordinal(number)}" + (" day" if number < 0 else "")


def _month(text: str) -> str:
    return _MONTHS[int(text) - 1]


def _ordinal(number: int) -> str:
    if number == -1:
        return "last"
    if number < 0:
        return f"{_ordinal(-number)} to last"
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
