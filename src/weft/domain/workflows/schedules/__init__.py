"""When a schedule is due, and what becomes of each due time. Pure: every time arrives as a value.

    calendar = read({"cron": "0 9 * * 1-5", "timezone": "Europe/Berlin"}, now)
    calendar.next_after(now)

`zones` are time zones and their changes of the clock; `cron`, `interval` and `recurrence` are the three ways to say
when; `calendar` puts them together; `wording` says it in a sentence; `due` decides after a pause and under overlap.
"""

from weft.domain.workflows.schedules.calendar import Calendar, read
from weft.domain.workflows.schedules.problems import ScheduleUnclear

__all__ = ["Calendar", "ScheduleUnclear", "read"]
