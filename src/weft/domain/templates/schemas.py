"""What may come in and go out about message templates."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from weft.domain.templates.rules import LONGEST_SUBJECT, LONGEST_TEXT
from weft.http.bodies import Input, Output


class TemplatePut(Input):
    """Texts with expressions in `{{ }}` that read `data`, such as `{{ data.name }}`."""

    text: Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT)]
    subject: Annotated[str, Field(max_length=LONGEST_SUBJECT)] = ""
    html: Annotated[
        str | None,
        Field(max_length=LONGEST_TEXT, description="The message as HTML; values in it are escaped by themselves."),
    ] = None
    description: Annotated[str, Field(max_length=500)] = ""


class TemplateRead(Output):
    id: UUID
    name: str
    version: int
    subject: str
    text: str
    html: str | None
    description: str
    is_newest: bool
    created_by: UUID | None
    created_at: datetime
