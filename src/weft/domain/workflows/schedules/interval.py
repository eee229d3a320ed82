"""Every so often, counted from an anchor. Elapsed time: no change of the clock touches it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from weft.domain.workflows.schedules.problems import ScheduleUnclear
from weft.interpreter.durations import DurationUnclear, parse_duration

SHORTEST: Final = 1
LONGEST: Final = 366 * 86_400
_UNITS: Final = (("week", 604_800), ("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


class Interval:
    def __init__(self, every: object, anchor: datetime) -> None:
        try:
            seconds = parse_duration(every)
        except DurationUnclear as error:
            raise ScheduleUnclear("every", f"`every` cannot be read: {error}.") from error
        if seconds != int(seconds) or not SHORTEST <= seconds <= LONGEST:
            raise ScheduleUnclear("every", "`every` must be a whole number of seconds, from `1s` to `366d`.")
        self._step = timedelta(seconds=int(seconds))
        self._anchor = anchor

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The anchor itself is the first."""
        due = self._anchor + max((moment - self._anchor) // self._step + 1, 0) * self._step
        while True:
            yield due
            due += self._step

    def sentence(self) -> str:
        rest, parts = int(self._step.total_seconds()), []
        for word, size in _UNITS:
            count, rest = divmod(rest, size)
            if count:
                parts.append(f"{count} {word}{'s' if count > 1 else ''}")
        if len(parts) == 1 and parts[0].startswith("1 "):
            return f"Every {parts[0][2:]}"
        return f"Every {' '.join(parts)}"
