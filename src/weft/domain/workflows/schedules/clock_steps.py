"""Times of day of a rule by the hour or by the minute.

Such a rule counts its steps on from its beginning, whatever days lie between. Which times of a day that makes depends
only on how far after midnight the day's first step is, so a day costs nothing but what is due on it: a rule that names
one hour of one day in the month is found as fast as any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

_DAY: Final = 86_400
_PERIODS: Final = {"HOURLY": 3_600, "MINUTELY": 60}
FREQUENCIES: Final = frozenset(_PERIODS)


class ClockSteps:
    """`parts` are those of the rule, which were checked before; `anchor` is its beginning, on the wall."""

    def __init__(self, parts: Mapping[str, str], interval: int, anchor: datetime) -> None:
        self._period = _PERIODS[parts["FREQ"]]
        self._step = interval * self._period
        since_midnight = anchor - anchor.replace(hour=0, minute=0, second=0)
        self._begin = anchor - since_midnight % timedelta(seconds=self._period)
        self._hours = _numbers(parts, "BYHOUR")
        self._minutes = _numbers(parts, "BYMINUTE")
        self._second = next(iter(_numbers(parts, "BYSECOND") or [anchor.second]))
        self._minute = anchor.minute
        self._positions = _numbers(parts, "BYSETPOS")
        self._known: dict[int, Sequence[timedelta]] = {}

    def of(self, day: datetime) -> Sequence[timedelta]:
        """When the rule is due on a day that begins at `day`, as time since midnight."""
        first = int((self._begin - day).total_seconds()) % self._step
        if first >= _DAY:
            return ()
        if first not in self._known:
            self._known[first] = self._from(first)
        return self._known[first]

    def _from(self, first: int) -> Sequence[timedelta]:
        found: list[int] = []
        for begin in range(first, _DAY, self._step):
            hour, minute = begin // 3_600, begin // 60 % 60
            if self._hours and hour not in self._hours:
                continue
            if self._period == _PERIODS["HOURLY"]:
                found += self._chosen([begin + 60 * one + self._second for one in self._minutes or [self._minute]])
            elif not self._minutes or minute in self._minutes:
                found += self._chosen([begin + self._second])
        return [timedelta(seconds=one) for one in found]

    def _chosen(self, times: Sequence[int]) -> Sequence[int]:
        """Those of one period that BYSETPOS names."""
        if not self._positions:
            return times
        places = {one - 1 if one > 0 else len(times) + one for one in self._positions}
        return [time for place, time in enumerate(times) if place in places]


def _numbers(parts: Mapping[str, str], name: str) -> list[int]:
    """The numbers of a part, in order; none when the rule does not have it."""
    return sorted({int(one) for one in parts[name].split(",")}) if name in parts else []
