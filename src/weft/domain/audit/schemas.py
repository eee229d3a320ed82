"""What goes out about the audit log. Nothing comes in."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from weft.http.bodies import Output


class EntryRead(Output):
    id: str
    at: datetime
    action: str = Field(description="`insert`, `update`, `delete`, or an event such as `session.created`.")
    resource_type: str
    resource_id: str | None
    before: dict[str, Any] | None = Field(description="The changed fields as they were; secrets show as `***`.")
    after: dict[str, Any] | None = Field(description="The changed fields as they are now; an event's details.")
    actor_id: str | None
    actor_kind: str | None
    actor_name: str | None
    ip: str | None
    user_agent: str | None
    correlation_id: str | None
