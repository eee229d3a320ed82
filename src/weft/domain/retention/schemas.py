"""What may come in and what goes out of the retention room."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from weft.domain.retention.models import ArchiveKind
from weft.http.bodies import Input, Output

MOST_DAYS = 36_600
Days = Annotated[int, Field(ge=1, le=MOST_DAYS)] | Literal["forever"]


class RetentionUpdate(Input):
    """The whole policy of the tenant; what is left out is the installation's business."""

    executions_days: Days | None = Field(
        default=None, description='Days that an execution is kept after its end, or `"forever"`.'
    )
    journal_days: Days | None = Field(
        default=None,
        description="Days that its journal and its steps' outputs are kept after its end, if they shall go before the "
        'execution itself; `"forever"`: they go with it.',
    )
    archive: bool | None = Field(
        default=None, description="Whether executions are written to an archive before they go. `false` must be said."
    )


class RetentionEffective(Output):
    executions_days: int | None = Field(description="null: nothing goes.")
    journal_days: int | None = Field(description="null: a journal goes with its execution.")
    archive: bool


class RetentionBounds(Output):
    default_days: int | None = Field(description="For tenants that say nothing; null: nothing goes.")
    default_journal_days: int | None = Field(description="Likewise, of journals.")
    shortest_days: int
    longest_days: int | None
    archive: bool


class RetentionRead(Output):
    executions_days: int | Literal["forever"] | None = Field(description="What the tenant said.")
    journal_days: int | Literal["forever"] | None = Field(description="What the tenant said.")
    archive: bool | None = Field(description="What the tenant said.")
    effective: RetentionEffective = Field(description="What holds, the installation's part included.")
    installation: RetentionBounds


class RetentionDue(Output):
    """What the next round would take, as of now."""

    cutoff: datetime | None = Field(description="What had ended before this is too old; null: nothing goes.")
    executions: int = Field(description="Executions that are too old, sub-workflows not counted; 10,000 at most.")
    is_more: bool = Field(description="There are more than were counted.")
    oldest: datetime | None = Field(description="When the oldest of them was created.")
    journal_cutoff: datetime | None = Field(
        description="The journal of what had ended before this goes; null: none goes before its execution."
    )
    journals: int = Field(description="Executions whose journals are too old; looked for in the 10,000 oldest rows.")
    journals_is_more: bool = Field(description="The journal has more old rows than were looked at.")


class ArchiveRead(Output):
    id: UUID
    kind: ArchiveKind = Field(description="JOURNALS: the executions themselves are still there.")
    period_from: datetime = Field(description="When the first of its executions was created.")
    period_to: datetime = Field(description="When the last of them was created.")
    executions: int
    rows: int = Field(description="Rows that went with them: their journal, and what else belongs to them.")
    file: str | None = Field(description="Within the archive directory; null: deleted without an archive.")
    bytes: int | None
    sha256: str | None
    created_at: datetime
