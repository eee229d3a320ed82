"""What PostgreSQL refuses, in words for the person who asked. Values are never repeated: they may be another's.

Constraint names are looked up in our own tables, so that the sentence can name the fields. SQLSTATE codes are from
the manual's appendix "PostgreSQL Error Codes". What is not listed here is a bug and stays one.
"""

from __future__ import annotations

from typing import Any, Final

import asyncpg
from sqlalchemy import Index, Table
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.sql.schema import ColumnCollectionConstraint

from weft.core.errors import Conflict, Invalid, Issue, Unavailable, WeftError
from weft.db.base import SCHEMA, Base
from weft.db.database import DatabaseUnavailable
from weft.db.missing import schema_missing
from weft.db.pools import RETRY_SOON, DatabaseBusy


class ValueTaken(Conflict):
    code = "value_taken"

    def __init__(self, table: str | None, fields: tuple[str, ...]) -> None:
        named = " and ".join(f"`{field}`" for field in fields)
        where = f" in {table.replace('_', ' ')}" if table else ""
        super().__init__(
            f"Something with the same {named or 'values'} exists already{where}. Choose another, or change that one.",
            issues=[Issue("is taken", (field,), ValueTaken.code) for field in fields],
        )


class ReferenceBroken(Conflict):
    code = "reference_broken"

    def __init__(self, fields: tuple[str, ...]) -> None:
        named = f" (`{'`, `'.join(fields)}`)" if fields else ""
        super().__init__(
            f"This refers to something that does not exist here, or something else still refers to it{named}. "
            "Check the ids, or remove what depends on it first."
        )


class ValueRefused(Invalid):
    code = "value_refused"

    def __init__(self, fields: tuple[str, ...]) -> None:
        named = f" for `{'`, `'.join(fields)}`" if fields else ""
        super().__init__(f"The database does not allow this value{named}. See the limits of the field in /docs.")


class ValueUnstorable(Invalid):
    code = "value_unstorable"

    def __init__(self) -> None:
        super().__init__(
            "A value cannot be stored: a number or date is out of range, a text is too long, or it contains "
            "characters that are no text (NUL, half a surrogate pair). Correct it and send it again."
        )


class TransactionConflict(Conflict):
    code = "transaction_conflict"

    def __init__(self) -> None:
        super().__init__(
            "Somebody else is changing the same thing right now, and nothing of yours was changed. Try again.",
            retry_after=RETRY_SOON,
        )


class QueryTimeout(Unavailable):
    code = "query_timeout"

    def __init__(self) -> None:
        super().__init__(
            "This took longer than weft allows and was stopped; nothing was changed. Narrow it (filters, a smaller "
            "`limit`) or try again when less is going on.",
            retry_after=5.0,
        )


_UNSTORABLE: Final = frozenset(
    {
        "22001",  # string_data_right_truncation
        "22003",  # numeric_value_out_of_range
        "22007",  # invalid_datetime_format
        "22008",  # datetime_field_overflow
        "22021",  # character_not_in_repertoire
        "22026",  # string_data_length_mismatch
        "22P02",  # invalid_text_representation
        "22P03",  # invalid_binary_representation
        "22P05",  # untranslatable_character
        "54000",  # program_limit_exceeded: an index entry that is too long
        "54001",  # statement_too_complex: JSON nested too deeply
    }
)
_CONTENDED: Final = frozenset(
    {
        "40001",  # serialization_failure
        "40P01",  # deadlock_detected
        "55P03",  # lock_not_available
    }
)
_STOPPED: Final = frozenset(
    {
        "57014",  # query_canceled: statement_timeout
        "25P03",  # idle_in_transaction_session_timeout
        "25P04",  # transaction_timeout
    }
)
_REFERENCES: Final = frozenset({"23001", "23503"})  # restrict_violation, foreign_key_violation
_DOWN: Final = ("08", "57P")  # connection exceptions; shutdown, crash, not yet up
_OURS: Final = frozenset({"tenant_id", "deleted_at"})  # columns that nobody sends
_FULL: Final = "53"  # insufficient resources: connections, memory, disk


_RAISED: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, ConnectionError)

DATABASE_ERRORS: Final = (
    SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)
"""What `refusal` may know an answer to."""


def refusal(error: BaseException) -> WeftError | None:
    """The error to show for what the database said, or None when it is a bug of ours."""
    if isinstance(error, PoolTimeout):
        return DatabaseBusy()
    driver = _driver_error(error)
    if driver is None:
        return None
    if isinstance(driver.__cause__, OverflowError | UnicodeError):
        return ValueUnstorable()  # the driver could not encode an argument; the server never saw it
    if isinstance(driver, asyncpg.InternalClientError):
        return DatabaseUnavailable()  # the connection was broken before it was asked anything
    if isinstance(driver, asyncpg.InterfaceError):
        return DatabaseUnavailable() if _lost(driver) else None
    if isinstance(driver, OSError):
        return DatabaseUnavailable()
    return _by_state(driver)


def _driver_error(error: BaseException) -> Any:
    """asyncpg's own exception, from under SQLAlchemy's two wrappers."""
    if isinstance(error, DBAPIError):
        return error.orig.__cause__ if error.orig is not None else None
    return error if isinstance(error, _RAISED) else None


def _lost(error: asyncpg.InterfaceError) -> bool:
    return "closed" in str(error) or "connection" in str(error)


def _by_state(error: Any) -> WeftError | None:
    state: str = getattr(error, "sqlstate", None) or ""
    table: str | None = getattr(error, "table_name", None)
    fields = fields_of(table, getattr(error, "constraint_name", None))
    if state == "23505":
        return ValueTaken(table, fields)
    if state in _REFERENCES:
        return ReferenceBroken(fields)
    if state == "23514":
        return ValueRefused(fields)
    if state in _UNSTORABLE:
        return ValueUnstorable()
    if state in _CONTENDED:
        return TransactionConflict()
    if state in _STOPPED:
        return QueryTimeout()
    if state.startswith(_DOWN):
        return DatabaseUnavailable()
    return DatabaseBusy() if state.startswith(_FULL) else schema_missing(error)


def fields_of(table: str | None, constraint: str | None) -> tuple[str, ...]:
    """The fields that a constraint or unique index of ours is about, without the tenant."""
    known = Base.metadata.tables.get(f"{SCHEMA}.{table}")
    if known is None or constraint is None:
        return ()
    for part in (*known.constraints, *known.indexes):
        if isinstance(part, ColumnCollectionConstraint | Index) and str(part.name) == constraint:
            fields = [_field(known, column.key) for column in part.columns if column.key not in _OURS]
            return tuple(fields) or _checked(known, constraint)
    return ()


def _field(table: Table, column: str) -> str:
    """`name_key` is how `name` is compared; people know the latter."""
    shown = column.removesuffix("_key")
    return shown if shown in table.columns else column


def _checked(table: Table, name: str) -> tuple[str, ...]:
    """Check constraints are named for their column."""
    column = name.removeprefix(f"{table.name}_").removesuffix("_check")
    return (column,) if column in table.columns else ()
