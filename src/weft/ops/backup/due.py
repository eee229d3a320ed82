"""When a backup is due. Imports little: the supervisor asks it for as long as an installation runs."""

from __future__ import annotations

from datetime import datetime

from weft.core.errors import Invalid
from weft.domain.workflows.schedules import Calendar, ScheduleUnclear, read
from weft.ops.backup.health import AHEAD
from weft.settings import Settings


class BackupScheduleInvalid(Invalid):
    code = "backup_schedule_invalid"

    def __init__(self, said: str) -> None:
        super().__init__(f"WEFT_BACKUP_SCHEDULE cannot be used: {said}")


class BackupScheduleMissing(Invalid):
    code = "backup_schedule_missing"

    def __init__(self) -> None:
        super().__init__(
            "No schedule says when a backup is due: set WEFT_BACKUP_SCHEDULE, such as '0 2 * * *', "
            "or make one now with `weft db backup`."
        )


def calendar(settings: Settings, now: datetime) -> Calendar:
    """The schedule of the settings. Raises `BackupScheduleMissing` or `BackupScheduleInvalid`."""
    said = settings.backup
    if said.schedule is None:
        raise BackupScheduleMissing
    try:
        return read({"cron": said.schedule, "timezone": said.timezone}, now)
    except ScheduleUnclear as error:
        raise BackupScheduleInvalid(error.message) from error


def is_due(when: Calendar, last: datetime | None, now: datetime) -> bool:
    """Whether a time of the schedule has passed since the last backup began. Without any, one is due at once; so it is
    when the last one is of the future, for it says nothing about now."""
    if last is None or last > now + AHEAD:
        return True
    following = when.next_after(last)
    return following is not None and following <= now
