"""Is the schema there at all? Whoever meets a database without it says so, and not that weft has a bug."""

from __future__ import annotations

from typing import Final

from weft.core.errors import Unavailable

_GONE: Final = frozenset(
    {
        "3F000",  # invalid_schema_name
        "42P01",  # undefined_table
        "42883",  # undefined_function
    }
)
_CLOSED: Final = "42501"  # insufficient_privilege: without its tables the schema is closed to the application, too
_NAMES: Final = ('"weft', " weft.")


class SchemaMissing(Unavailable):
    code = "schema_missing"

    def __init__(self, said: str | None = None) -> None:
        super().__init__(
            f"The database lacks what weft keeps there ({said}). Run `weft db migrate`; `weft db check` says what else "
            "differs."
            if said
            else "There is no schema here: run `weft db migrate` (it needs WEFT_DATABASE_OWNER_URL).",
            retry_after=30.0,
        )


def schema_missing(error: BaseException) -> SchemaMissing | None:
    """What to say if PostgreSQL did not find a table, a function or the schema of weft; None for anything else.

    Looks behind what the error was raised from, and into groups of errors.
    """
    pending: list[BaseException | None] = [error]
    seen: set[int] = set()
    while pending:
        one = pending.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        said = str(one)
        state = getattr(one, "sqlstate", None)
        is_gone = state in _GONE and any(name in said for name in _NAMES)
        if is_gone or (state == _CLOSED and "schema weft" in said):
            return SchemaMissing(said.splitlines()[0])
        pending += [one.__cause__, getattr(one, "orig", None)]
        if isinstance(one, BaseExceptionGroup):
            pending += one.exceptions
    return None
