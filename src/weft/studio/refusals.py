"""Why PostgreSQL refused a change, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg

from weft.studio.errors import ChangeRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from weft.studio.catalogue import TableFacts


def in_words(error: asyncpg.PostgresError, tables: Mapping[str, TableFacts]) -> ChangeRefused:
    """The refusal as a sentence that says what to do."""
    return ChangeRefused(_sentence(error, tables))


def _sentence(error: asyncpg.PostgresError, tables: Mapping[str, TableFacts]) -> str:
    other = getattr(error, "table_name", None) or ""
    title = tables[other].title if other in tables else other
    constraint = getattr(error, "constraint_name", None) or ""
    detail = (getattr(error, "detail", None) or "").rstrip(".")
    match error:
        case asyncpg.UniqueViolationError():
            return f"Another row has these values already ({detail or constraint}). Choose others."
        case asyncpg.ForeignKeyViolationError() if "still referenced" in detail:
            return f"Rows of '{title}' still refer to it. Delete or change those first."
        case asyncpg.ForeignKeyViolationError():
            return f"It would refer to a row that does not exist in this tenant ({detail or constraint})."
        case asyncpg.CheckViolationError():
            return f"The rule '{constraint}' of '{title}' does not allow these values."
        case asyncpg.NotNullViolationError():
            return f"'{getattr(error, 'column_name', None) or 'a column'}' cannot be left empty."
        case asyncpg.InsufficientPrivilegeError():
            return "The application's role may not change this. Use weft's own commands."
        case asyncpg.LockNotAvailableError() | asyncpg.DeadlockDetectedError() | asyncpg.SerializationError():
            return "Somebody else is changing the same rows, or the table, at this moment. Try again."
        case _:
            return f"PostgreSQL refused it: {str(error).strip().rstrip('.')}."
