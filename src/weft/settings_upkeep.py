"""Settings of the database's upkeep: when it is done, and when the database is said to be unwell."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from weft.settings_sections import Section, Words

Task = Literal["partitions", "retention", "expired", "orphans", "vacuum", "analyze", "reindex", "bloat"]


class MaintainSettings(Section):
    """`weft db maintain` on a schedule. `weft up` and workers that know the owner's address keep it."""

    schedule: str | None = Field(
        default=None,
        description="When maintenance is done, as five fields of cron: `30 3 * * *` is every night at 3:30. "
        "Without it only `weft db maintain` does it.",
    )
    timezone: str = Field(default="UTC", description="The time zone of the schedule.")
    tasks: Words = Field(default=(), description="The tasks to do, separated by commas; all of them if it is empty.")
    statement_minutes: float = Field(
        default=60.0, ge=0.1, le=1440, description="How long one statement of maintenance may take."
    )

    @model_validator(mode="after")
    def _is_clear(self) -> Self:
        from typing import get_args

        for task in self.tasks:
            if task not in get_args(Task):
                raise ValueError(f"'{task}' is no task; there are {', '.join(get_args(Task))}")
        if self.schedule is None:
            return self
        from weft.core.clock import utc_now
        from weft.domain.workflows.schedules import ScheduleUnclear, read

        try:
            read({"cron": self.schedule, "timezone": self.timezone}, utc_now())
        except ScheduleUnclear as error:
            raise ValueError(str(error)) from error
        return self


class MonitorSettings(Section):
    """When the health of the database is worth a word."""

    every_seconds: float = Field(
        default=15.0,
        ge=0,
        le=3600,
        description="How old numbers about the database may be when they are asked for.",
    )
    transaction_warns_seconds: float = Field(
        default=300.0, ge=1, description="An open transaction older than this is a warning; six times that is red."
    )
    slot_lag_bytes: int = Field(
        default=1_000_000_000, ge=1, description="Write-ahead log that a slot may hold back before it is a warning."
    )
