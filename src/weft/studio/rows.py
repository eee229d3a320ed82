"""The studio's way to rows: as the application role, in a transaction of one tenant, for a bounded time."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import asyncpg

from weft.core.actor import Actor
from weft.db.database import Connection, Database, DatabaseUnavailable
from weft.db.hot import transaction
from weft.studio import rules, statements
from weft.studio.catalogue import Reference, TableFacts
from weft.studio.errors import QuestionInvalid, ReadOnly, RowChanged, RowMissing, TooSlow
from weft.studio.keyset import cursor, row_name
from weft.studio.refusals import in_words
from weft.studio.statements import Question, Statement

COUNTED: Final = 1000
"""Rows that are counted one by one; beyond them the planner is asked."""
COUNTING_SECONDS: Final = 1.0
_GONE: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)
_SEARCHING: Final = (
    "Filter by a column that an index begins with (an id, a status, a time), or search for a whole id: "
    "in a table of this size the rest means reading all of it."
)
_UNREADABLE: Final = (
    "PostgreSQL cannot compare the rows with a value of this address: it is too large, or nothing that the column "
    "can hold. Correct the filter, or take it away."
)
_CHANGING: Final = "Something else may hold the rows. Try again in a moment."


@dataclass(frozen=True, slots=True)
class Row:
    """Values as the statement gave them; `sizes` are those of values that may have been cut."""

    table: TableFacts
    values: Mapping[str, Any]
    sizes: Mapping[str, int | None]
    version: str = ""

    @property
    def why_kept(self) -> str | None:
        """Why this row stays as it is, though others of its table can be changed."""
        is_kept = self.table.kept_if is not None and self.values[self.table.kept_if]
        return rules.KEPT_IF[self.table.name][1] if is_kept else None

    @property
    def name(self) -> str:
        return row_name(self.table, [self.values[key] for key in self.table.key])


@dataclass(frozen=True, slots=True)
class Page:
    rows: list[Row]
    before: str | None
    """The place before the first row, if anything is there."""
    after: str | None


@dataclass(frozen=True, slots=True)
class Total:
    """How many rows there are. Not exact: an estimate. None: nobody knows."""

    count: int | None
    exact: bool


@asynccontextmanager
async def looking(
    database: Database, actor: Actor, seconds: float, *, is_long: bool = False
) -> AsyncIterator[Connection]:
    """A read-only transaction whose statements may take this long. Raises `TooSlow`, and `DatabaseUnavailable`.

    `is_long`: the reader may take its time between two statements.
    """
    try:
        async with transaction(database, actor, read_only=True) as connection:
            patience = ["idle_in_transaction_session_timeout"] if is_long else []
            if is_long and connection.get_server_version().major >= 17:
                patience.append("transaction_timeout")
            settings = [f"statement_timeout = {int(seconds * 1000)}", *(f"{name} = '15min'" for name in patience)]
            await connection.execute("; ".join(f"set local {setting}" for setting in settings))
            yield connection
    except asyncpg.QueryCanceledError as error:
        raise TooSlow(seconds, _SEARCHING) from error
    except asyncpg.LockNotAvailableError as error:
        raise in_words(error, {}) from error
    except _GONE as error:
        raise DatabaseUnavailable from error
    except (asyncpg.DataError, asyncpg.ProgramLimitExceededError, asyncpg.InterfaceError) as error:
        # The driver's own refusal of a value is an InterfaceError, as are faults of a connection; those are no values.
        if isinstance(error, asyncpg.InterfaceError) and not isinstance(error, ValueError):
            raise
        raise QuestionInvalid(_UNREADABLE) from error


@asynccontextmanager
async def writing(
    database: Database, actor: Actor, seconds: float, tables: Mapping[str, TableFacts]
) -> AsyncIterator[Connection]:
    """A transaction for a change: the audit trail is told who makes it. Refusals come in words."""
    try:
        async with transaction(database, actor) as connection:
            await connection.execute(f"set local statement_timeout = {int(seconds * 1000)}")
            yield connection
    except asyncpg.QueryCanceledError as error:
        raise TooSlow(seconds, _CHANGING) from error
    except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError, asyncpg.RaiseError) as error:
        raise in_words(error, tables) from error
    except (asyncpg.InsufficientPrivilegeError, asyncpg.LockNotAvailableError) as error:
        raise in_words(error, tables) from error
    except asyncpg.TransactionRollbackError as error:
        raise in_words(error, tables) from error
    except _GONE as error:
        raise DatabaseUnavailable from error


async def page(
    connection: Connection, table: TableFacts, tenant: UUID | None, question: Question, columns: Sequence[str]
) -> Page:
    """The rows after, or before, the question's place."""
    found = await _fetch(connection, statements.page(table, tenant, question, columns))
    more = len(found) > question.limit
    found = found[: question.limit]
    if question.back:
        found.reverse()
    sorting, _ = statements.order_columns(table, question.order)

    def place(record: Any) -> str | None:
        return cursor([record[f"{column.name}#place"] for column in sorting])

    has_before = more if question.back else question.place is not None
    has_after = True if question.back else more
    return Page(
        [_row(table, record) for record in found],
        place(found[0]) if found and has_before else None,
        place(found[-1]) if found and has_after else None,
    )


async def total(connection: Connection, table: TableFacts, tenant: UUID | None, question: Question) -> Total:
    """How many rows a list has: counted up to a bound, then estimated. Never slower than a second."""
    await connection.execute(f"savepoint counting; set local statement_timeout = {int(COUNTING_SECONDS * 1000)}")
    try:
        counting = statements.count(table, tenant, question, COUNTED + 1)
        counted = int(await connection.fetchval(counting.text, *counting.values))
    except asyncpg.QueryCanceledError:
        await connection.execute("rollback to savepoint counting")
        counted = COUNTED + 1
    if counted <= COUNTED:
        return Total(counted, exact=True)
    planning = statements.estimate(table, tenant, question)
    plan = json.loads(await connection.fetchval(planning.text, *planning.values))
    expected = int(plan[0]["Plan"]["Plan Rows"])
    return Total(expected, exact=False) if expected > COUNTED else Total(None, exact=False)


async def one(connection: Connection, table: TableFacts, tenant: UUID | None, key: Sequence[Any]) -> Row:
    """The row with that key. Raises `RowMissing`, also for rows of other tenants."""
    found = await _fetch(connection, statements.row(table, tenant, key))
    if not found:
        raise RowMissing
    return _row(table, found[0])


async def value(
    connection: Connection, table: TableFacts, tenant: UUID | None, key: Sequence[Any], column: str, most: int
) -> tuple[int, bytes | None]:
    """Size and content of one value; no content when it is larger than `most`. Raises `RowMissing`."""
    found = await _fetch(connection, statements.value(table, tenant, key, table.columns[column], most))
    if not found or found[0]["size"] is None:
        raise RowMissing
    return found[0]["size"], found[0]["value"]


async def update(
    connection: Connection,
    table: TableFacts,
    tenant: UUID | None,
    key: Sequence[Any],
    values: Mapping[str, Any],
    version: str,
) -> None:
    """Change a row that is still what it was. Raises `RowChanged`, and `RowMissing` when it is gone."""
    if await _run(connection, statements.update(table, tenant, key, values, version)) == 0:
        await one(connection, table, tenant, key)
        raise RowChanged


async def delete(connection: Connection, table: TableFacts, tenant: UUID | None, keys: Sequence[Sequence[Any]]) -> int:
    """Delete rows, all or none; those that are gone already do not count. Returns how many went."""
    return sum([await _run(connection, statements.delete(table, tenant, key)) for key in keys])


async def require_free(
    connection: Connection, table: TableFacts, tenant: UUID | None, keys: Sequence[Sequence[Any]]
) -> None:
    """Raise `ReadOnly` if one of these rows stays as it is."""
    if table.kept_if is not None:
        asking = statements.kept(table, tenant, keys)
        if await connection.fetchval(asking.text, *asking.values):
            raise ReadOnly(rules.KEPT_IF[table.name][1])


async def referring(
    connection: Connection,
    table: TableFacts,
    target: TableFacts,
    reference: Reference,
    tenant: UUID | None,
    keys: Sequence[Sequence[Any]],
) -> int:
    """How many rows of `table` refer to those rows of `target`, counted no further than one more than `COUNTED`."""
    counting = statements.referring(table, target, reference, tenant, keys, COUNTED + 1)
    return int(await connection.fetchval(counting.text, *counting.values))


async def _fetch(connection: Connection, statement: Statement) -> list[Any]:
    return list(await connection.fetch(statement.text, *statement.values))


async def _run(connection: Connection, statement: Statement) -> int:
    """How many rows it touched."""
    return int((await connection.execute(statement.text, *statement.values)).rpartition(" ")[2])


def _row(table: TableFacts, record: Any) -> Row:
    values, sizes, version = {}, {}, ""
    for name, given in record.items():
        column, _, what = name.partition("#")
        if not what:
            values[column] = UUID(int=given.int) if isinstance(given, UUID) else given
        elif what == "size":
            sizes[column] = given
        elif what == "version":
            version = given
    return Row(table, values, sizes, version)
