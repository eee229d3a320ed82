"""What may come in and what goes out of schedules."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from weft.domain.workflows.schedules.due import RunStatus
from weft.http.bodies import Input, Output

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
When = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40)]


class ScheduleConfig(Input):
    """When a schedule is due (one of `cron`, `every`, `rrule`), and what happens when it is late or overlaps."""

    cron: Words | None = Field(default=None, description="Five fields: minute, hour, day, month, day of the week.")
    every: Words | Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="A duration such as `5m` or `1h30m`, counted from `anchor`."
    )
    rrule: Words | None = Field(
        default=None, description="A recurrence rule of RFC 5545 without DTSTART: `FREQ=WEEKLY;BYDAY=MO,FR`."
    )
    anchor: When | None = Field(
        default=None,
        description="From where `every` and `rrule` count, in ISO 8601; the time when it is saved unless given.",
    )
    timezone: Annotated[str, StringConstraints(min_length=1, max_length=100)] = Field(
        default="UTC", description="An IANA name such as `Europe/Berlin`."
    )
    starts_at: When | None = Field(
        default=None, description="Not due before this time (ISO 8601; without an offset in `timezone`)."
    )
    ends_at: When | None = Field(default=None, description="Not due after this time.")
    overlap: Literal["skip", "queue", "cancel_previous", "allow"] = Field(
        default="skip", description="What happens when the execution before has not ended."
    )
    catch_up: Literal["none", "last", "all"] = Field(
        default="last", description="Which due times are run late, after a time in which no worker ran."
    )
    catch_up_limit: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=100, description="At most so many with `catch_up: all`, the newest of them."
    )
    catch_up_window: Words | None = Field(
        default=None, description="Nothing older than this is caught up with: `2h`, `1d`."
    )
    input: Any | None = Field(
        default=None,
        description="A mapping with expressions over `scheduled_at` and `trigger` that makes the input; "
        "without it the input is `{scheduled_at: ...}`.",
    )


class SchedulePreviewAsked(Input):
    config: ScheduleConfig
    count: Annotated[int, Field(ge=1, le=100)] = 10
    from_: datetime | None = Field(
        default=None, alias="from", description="Due times after this one; now unless given."
    )


class DueTime(Output):
    local: str = Field(description="As a clock in the zone shows it, with its offset.")
    utc: datetime


class SchedulePreview(Output):
    """When a schedule will be due. `due` is shorter than asked for when the schedule ends."""

    sentence: str = Field(description="The schedule in plain words.")
    timezone: str
    due: list[DueTime]


class ScheduleRunRead(Output):
    """What became of a due time. A MISSED one may stand for `times` of them up to `until`; 0: too many to count."""

    id: UUID
    due_at: datetime
    status: RunStatus
    reason: str | None
    until: datetime | None
    times: int
    execution_id: UUID | None
    decided_at: datetime
    started_at: datetime | None
