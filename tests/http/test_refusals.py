"""What PostgreSQL refuses, in words, without anybody's values."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import pytest
from sqlalchemy import select, text
from tests.conftest import Enter, TestDatabase

from weft.core.actor import Actor
from weft.core.errors import Kind, WeftError
from weft.core.ids import new_id
from weft.db.database import Database
from weft.db.scope import Scope, enter
from weft.domain.clients.models import Client
from weft.domain.identity.models import Role
from weft.domain.workflows.models import Workflow
from weft.http.refusals import fields_of, refusal

Mistake = Callable[[Scope], Awaitable[object]]


async def refused(as_ada: Enter, mistake: Mistake) -> WeftError:
    with pytest.raises(Exception) as caught:
        async with as_ada() as scope:
            await mistake(scope)
    found = refusal(caught.value)
    assert found is not None, caught.value
    assert "hunter2" not in found.message
    return found


async def test_a_value_that_is_taken_is_named_by_its_field(as_ada: Enter) -> None:
    async def mistake(scope: Scope) -> None:
        await scope.add(Role(name="hunter2"))
        await scope.add(Role(name="hunter2"))

    found = await refused(as_ada, mistake)
    assert (found.kind, found.code) == (Kind.conflict, "value_taken")
    assert "`name`" in found.message
    assert [issue.path for issue in found.issues] == [("name",)]


async def test_a_reference_to_nothing(as_ada: Enter) -> None:
    async def mistake(scope: Scope) -> None:
        await scope.raw.execute(
            "insert into weft.sessions (tenant_id, id, user_id, secret_hash, expires_at) "
            "values ($1, $2, $2, '\\x00', now())",
            scope.tenant_id,
            new_id(),
        )

    found = await refused(as_ada, mistake)
    assert (found.kind, found.code) == (Kind.conflict, "reference_broken")
    assert "`user_id`" in found.message


async def test_a_word_that_a_check_does_not_know(as_ada: Enter) -> None:
    async def mistake(scope: Scope) -> None:
        await scope.raw.execute("update weft.tenants set tier = 'hunter2'")

    found = await refused(as_ada, mistake)
    assert (found.kind, found.code) == (Kind.invalid, "value_refused")
    assert "`tier`" in found.message


@pytest.mark.parametrize(
    "statement",
    [
        "select cast(cast(:value as text) as uuid)",
        "select cast(cast(:value as text) as jsonb)",
    ],
)
async def test_a_value_of_the_wrong_shape(as_ada: Enter, statement: str) -> None:
    async def mistake(scope: Scope) -> None:
        await scope.session.execute(text(statement), {"value": "hunter2"})

    assert (await refused(as_ada, mistake)).code == "value_unstorable"


@pytest.mark.parametrize("name", ["nul \0", "half \ud800"], ids=["NUL", "half a surrogate pair"])
async def test_text_that_cannot_be_stored(as_ada: Enter, name: str) -> None:
    async def mistake(scope: Scope) -> None:
        await scope.add(Client(name="x", notes=name))

    found = await refused(as_ada, mistake)
    assert (found.kind, found.code) == (Kind.invalid, "value_unstorable")


async def test_a_number_out_of_range(as_ada: Enter) -> None:
    async def in_the_driver(scope: Scope) -> None:
        await scope.all(select(Client).where(Client.row_version == 2**40))

    async def in_the_server(scope: Scope) -> None:
        await scope.session.execute(text("select 2000000000 * 2"))

    for mistake in (in_the_driver, in_the_server):
        assert (await refused(as_ada, mistake)).code == "value_unstorable"


async def test_an_index_entry_that_is_too_long(as_ada: Enter) -> None:
    async def mistake(scope: Scope) -> None:
        # Random, because a repetitive text is compressed into the limit.
        long = "".join(str(new_id()) for _ in range(400))
        await scope.add(Client(name=long))

    assert (await refused(as_ada, mistake)).code == "value_unstorable"


async def test_a_statement_that_takes_too_long(as_ada: Enter) -> None:
    async def mistake(scope: Scope) -> None:
        await scope.raw.execute("set local statement_timeout = '20ms'")
        await scope.raw.execute("select pg_sleep(5)")

    found = await refused(as_ada, mistake)
    assert (found.kind, found.code) == (Kind.unavailable, "query_timeout")


async def test_a_row_that_somebody_else_holds(as_ada: Enter) -> None:
    async with as_ada() as scope:
        client = await scope.add(Client(name="Grace"))
    query = select(Client).where(Client.id == client.id)
    async with as_ada() as holder:
        await holder.all(query.with_for_update())

        async def mistake(scope: Scope) -> None:
            await scope.all(query.with_for_update(nowait=True))

        found = await refused(as_ada, mistake)
    assert (found.kind, found.code) == (Kind.conflict, "transaction_conflict")
    assert found.retry_after is not None


async def test_two_that_wait_for_each_other(as_ada: Enter) -> None:
    async with as_ada() as scope:
        ids = [(await scope.add(Client(name=name))).id for name in ("Grace", "Hedy")]
    both_hold = asyncio.Barrier(2)

    async def lock(first: int, second: int) -> None:
        async with as_ada() as scope:
            await scope.all(select(Client).where(Client.id == ids[first]).with_for_update())
            await both_hold.wait()
            await scope.all(select(Client).where(Client.id == ids[second]).with_for_update())

    ends = await asyncio.gather(lock(0, 1), lock(1, 0), return_exceptions=True)
    errors = [refusal(end) for end in ends if isinstance(end, BaseException)]
    assert [error.code for error in errors if error is not None] == ["transaction_conflict"]


async def test_a_pool_without_a_free_connection(test_database: TestDatabase, ada: Actor) -> None:
    one = await Database.open(test_database.app, size=1, hot_size=1)
    try:
        one.engine.pool._timeout = 0.01  # type: ignore[attr-defined]  # the pool's patience, 10 s in production
        async with enter(one, ada):
            with pytest.raises(Exception) as caught:
                async with enter(one, ada):
                    pass
        found = refusal(caught.value)
        assert found is not None
        assert (found.kind, found.code) == (Kind.unavailable, "database_busy")
    finally:
        await one.close()


async def test_a_connection_that_the_server_ended(as_ada: Enter, database: Database) -> None:
    async def mistake(scope: Scope) -> None:
        async with database.pool.acquire() as other:
            await other.fetchval("select pg_terminate_backend($1, 60000)", scope.raw.get_server_pid())
        await scope.all(select(Client))

    assert (await refused(as_ada, mistake)).code == "database_unavailable"


@pytest.mark.parametrize(
    "bug",
    [
        ZeroDivisionError(),
        asyncpg.UndefinedTableError("relation does not exist"),
        asyncpg.InsufficientPrivilegeError("new row violates row-level security policy"),
        asyncpg.ReadOnlySQLTransactionError("cannot execute INSERT in a read-only transaction"),
        FileNotFoundError("weft.toml"),
    ],
)
def test_our_own_bugs_stay_bugs(bug: Exception) -> None:
    assert refusal(bug) is None


def test_fields_are_named_as_people_know_them() -> None:
    assert fields_of("workflows", "workflows_name_key") == ("name",)
    assert fields_of("workflows", "workflows_status_check") == ("status",)
    assert fields_of("workflows", "nobody_knows") == ()
    assert fields_of("nowhere", "workflows_name_key") == ()
    assert fields_of(None, None) == ()
    assert Workflow.__tablename__ == "workflows"


def test_a_connection_that_was_broken_before_it_was_asked_is_no_bug() -> None:
    found = refusal(asyncpg.InternalClientError("cannot switch to state 11; another operation (2) is in progress"))
    assert found is not None
    assert found.code == "database_unavailable"
