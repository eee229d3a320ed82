"""What may come in and go out about clients."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from weft.core.forms import NOT_BLANK
from weft.http.bodies import Input, Output

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=NOT_BLANK)]
Email = Annotated[
    str, Field(min_length=3, max_length=320, examples=["office@example.com"], json_schema_extra={"format": "email"})
]
Phone = Annotated[str, Field(max_length=50)]
Company = Annotated[str, Field(max_length=200)]
Address = Annotated[str, Field(max_length=2000)]


class ClientCreate(Input):
    name: Name
    email: Email | None = None
    phone: Phone | None = None
    address: Address | None = None
    company: Company | None = None
    notes: str | None = None
    is_active: bool = True


class ClientUpdate(Input):
    """Only what is sent changes; null empties a field."""

    name: Name = Field(default_factory=str)
    email: Email | None = None
    phone: Phone | None = None
    address: Address | None = None
    company: Company | None = None
    notes: str | None = None
    is_active: bool = Field(default_factory=bool)


class ClientRead(Output):
    id: UUID
    name: str
    email: str | None
    phone: str | None
    address: str | None
    company: str | None
    notes: str | None
    is_active: bool
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    row_version: int
