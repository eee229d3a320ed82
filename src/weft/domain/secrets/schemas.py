"""What may come in and go out about secrets. A value only ever comes in."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from weft.domain.secrets.rules import LONGEST_VALUE, SHORTEST_VALUE
from weft.http.bodies import Input, Output


class SecretPut(Input):
    value: Annotated[
        str,
        Field(
            min_length=SHORTEST_VALUE,
            max_length=LONGEST_VALUE,
            repr=False,
            json_schema_extra={"format": "password", "writeOnly": True},
            description="The value itself. It is encrypted, and never shown again.",
        ),
    ]
    description: Annotated[
        str | None, Field(max_length=500, description="What it is for; left out, the one before stays.")
    ] = None


class SecretRead(Output):
    id: UUID
    name: str
    description: str
    version: int = Field(description="How many values there have been.")
    rotated_at: datetime = Field(description="When the value was last set.")
    created_by: UUID | None
    created_at: datetime
    updated_at: datetime
    row_version: int
