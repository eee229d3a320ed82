"""Five fields of cron, with the habits of Debian's cron at the change of the clock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from weft.domain.workflows.schedules.problems import ScheduleUnclear

_FIELDS: Final = 5
_PARSED_AT: Final = datetime(2024, 1, 1, tzinfo=UTC)


class Cron:
    """A cron expression in a zone."""

    def __init__(self, text: str, where: ZoneInfo) -> None:
        fields = len(text.split())
        if text.strip().startswith("@"):
            raise ScheduleUnclear("cron", "Words such as `@daily` are not known here. Write `0 0 * * *` instead.")
        if fields != _FIELDS:
            raise ScheduleUnclear(
                "cron",
                f"A cron expression has five fields (minute, hour, day of the month, month, day of the week); "
                f"this one has {fields}. Example: `0 9 * * 1-5`.",
            )
        try:
            self._sentence = CronSim(text, _PARSED_AT).explain()
        except CronSimError as error:
            raise ScheduleUnclear(
                "cron", f"The cron expression '{text[:100]}' cannot be used: {str(error).lower()}."
            ) from error
        self._text = text
        self._zone = where

    def after(self, moment: datetime) -> Iterator[datetime]:
        for due in CronSim(self._text, moment.astimezone(self._zone)):
            found = due.astimezone(UTC)
            # Times that a change of the clock skips fall together; where it is put back, the wall is behind the past.
            if found > moment:
                moment = found
                yield found

    def sentence(self) -> str:
        return self._sentence
