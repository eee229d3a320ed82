"""What a statement takes with it, as far as its text tells: whole tables, or some of their rows and columns.

What is only defined is not run: the body of a function, a rule or a comment takes nothing. What cannot be read, the
body of a `do`, is taken for the worst that it says.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from weft.ops.schema.script import Statement


class Loss(StrEnum):
    tables = "tables"
    """Everything in a table, or in many."""
    some = "some"
    """Columns, or some of the rows."""


_WITH: Final = r"(?:with\b.*\b)?"
_ALTER: Final = r"alter (?:(?:foreign )?table|type|domain|materialized view)\b"
_KEPT: Final = r"(?:constraint|not null|default|expression|identity)\b"
_OURS: Final = re.compile(r"delete from weft\.alembic_version where .*|drop table weft\.alembic_version")
"""Alembic's own bookkeeping."""
_TABLES: Final = re.compile(
    r"drop (?:(?:foreign )?table|schema|owned|database|tablespace)\b|truncate\b"
    rf"|{_WITH}delete from\b(?!.*\bwhere\b)|(?:do|call)\b.*\b(?:drop|truncate|delete|execute)\b"
)
_SOME: Final = re.compile(
    rf"{_WITH}delete from\b|merge\b.*\bthen delete\b|drop\b.*\bcascade\b|{_ALTER}.*?\bdrop (?!{_KEPT})"
)


def loss(statement: Statement) -> Loss | None:
    """What goes when this statement is run."""
    text = statement.plain().lower()
    if _OURS.fullmatch(text):
        return None
    if _TABLES.match(text):
        return Loss.tables
    return Loss.some if _SOME.match(text) else None
