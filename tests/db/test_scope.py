"""A scope is one actor, one tenant, one transaction, and the only way to rows."""

from __future__ import annotations

import asyncpg
import pytest
from sqlalchemy import select, text
from tests.conftest import Enter, TestDatabase

from weft.core.actor import Actor
from weft.core.errors import NotFound
from weft.db.database import Database, DatabaseUnavailable, NoScope
from weft.db.scope import enter
from weft.domain.audit.models import AuditLog
from weft.domain.clients.models import Client


async def test_a_row_is_there_after_a_clean_exit(as_ada: Enter) -> None:
    async with as_ada() as scope:
        client = await scope.add(Client(name="Grace"))
    async with as_ada() as scope:
        found = await scope.one(select(Client).where(Client.id == client.id), missing=NotFound("gone"))
        assert found.name == "Grace"
        assert found.tenant_id == scope.tenant_id


async def test_an_exception_takes_everything_back(as_ada: Enter) -> None:
    async def break_down() -> None:
        async with as_ada() as scope:
            await scope.add(Client(name="Grace"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await break_down()
    async with as_ada() as scope:
        assert await scope.all(select(Client)) == []


async def test_another_tenant_sees_nothing(as_ada: Enter, as_bob: Enter) -> None:
    async with as_ada() as scope:
        await scope.add(Client(name="Grace"))
    async with as_bob() as scope:
        assert await scope.all(select(Client)) == []


async def test_no_scope_no_query(database: Database) -> None:
    async with database.engine.connect() as connection:
        with pytest.raises(NoScope, match="open one with"):
            await connection.execute(text("select 1"))


async def test_a_pooled_connection_carries_nothing_over(test_database: TestDatabase, as_ada: Enter) -> None:
    """One connection for everybody: what one transaction set, the next does not see."""
    one = await Database.open(test_database.app, size=1, hot_size=1)
    try:
        async with as_ada() as scope:
            await scope.add(Client(name="Grace"))
            actor = scope.actor
        async with enter(one, actor) as scope:
            assert len(await scope.all(select(Client))) == 1
        async with one.engine.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            assert raw is not None
            assert await raw.fetchval("select count(*) from weft.clients") == 0
            assert await raw.fetchval("select coalesce(current_setting('app.tenant_id', true), '')") == ""
    finally:
        await one.close()


async def test_what_is_deleted_is_hidden_unless_asked_for(as_ada: Enter) -> None:
    async with as_ada() as scope:
        client = await scope.add(Client(name="Grace"))
        client.deleted_at = scope.now()
    async with as_ada() as scope:
        assert await scope.all(select(Client)) == []
        assert len(await scope.all(select(Client).execution_options(include_deleted=True))) == 1


async def test_an_update_counts_the_row_version_and_tells_the_object(as_ada: Enter) -> None:
    async with as_ada() as scope:
        client = await scope.add(Client(name="Grace"))
        first = client.updated_at
        client.name = "Grace Hopper"
        await scope.flush()
        assert client.row_version == 2
        assert client.updated_at > first


async def test_the_audit_log_names_actor_and_change(as_ada: Enter) -> None:
    async with as_ada() as scope:
        client = await scope.add(Client(name="Grace", notes="first"))
        client.notes = "second"
    async with as_ada() as scope:
        rows = await scope.all(select(AuditLog).where(AuditLog.resource_type == "clients").order_by(AuditLog.at))
        assert [row.action for row in rows] == ["insert", "update"]
        assert (rows[1].before, rows[1].after) == ({"notes": "first"}, {"notes": "second"})
        assert {row.actor_name for row in rows} == {"ada"}
        assert rows[0].resource_id == str(client.id)


async def test_the_application_cannot_touch_the_audit_log(as_ada: Enter) -> None:
    async with as_ada() as scope:
        await scope.add(Client(name="Grace"))
    for statement in (
        "delete from weft.audit_logs",
        "update weft.audit_logs set actor_name = 'nobody'",
        "insert into weft.audit_logs select * from weft.audit_logs",
        "truncate weft.audit_logs",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with as_ada() as scope:
                await scope.raw.execute(statement)


async def test_not_even_the_owner_rewrites_the_audit_log(as_ada: Enter, test_database: TestDatabase) -> None:
    async with as_ada() as scope:
        await scope.add(Client(name="Grace"))
    owner = await asyncpg.connect(test_database.owner)
    try:
        await owner.execute("set app.maintenance = 'on'")
        assert await owner.fetchval("select count(*) from weft.audit_logs") >= 1
        for statement in ("delete from weft.audit_logs", "truncate weft.audit_logs"):
            with pytest.raises(asyncpg.RaiseError, match="append-only"):
                await owner.execute(statement)
    finally:
        await owner.close()


async def test_names_with_quotes_reach_the_audit_log_whole(database: Database, as_ada: Enter) -> None:
    from dataclasses import replace

    async with as_ada() as scope:
        actor = replace(scope.actor, name="O'Hara'; drop table weft.clients; --", user_agent="x\0'y")
    async with enter(database, actor) as scope:
        await scope.add(Client(name="Grace"))
        row = (await scope.all(select(AuditLog).where(AuditLog.resource_type == "clients")))[0]
        assert row.actor_name == "O'Hara'; drop table weft.clients; --"
        assert row.user_agent == "x'y"


async def test_connections_that_lost_their_server_are_replaced_and_nobody_notices(
    database: Database, test_database: TestDatabase, ada: Actor
) -> None:
    """All of the pool's at once, as after a restart of the server."""
    async with enter(database, ada) as one, enter(database, ada) as two:
        pids = {await scope.raw.fetchval("select pg_backend_pid()") for scope in (one, two)}
    admin = await asyncpg.connect(test_database.admin)
    try:
        await admin.execute("select pg_terminate_backend(pid, 60000) from unnest($1::int[]) as pid", pids)
    finally:
        await admin.close()
    async with enter(database, ada) as one, enter(database, ada) as two:
        assert not pids & {await scope.raw.fetchval("select pg_backend_pid()") for scope in (one, two)}
        await one.add(Client(name="Grace"))
    assert database.engine.sync_engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # a QueuePool
    async with enter(database, ada) as scope:
        assert [client.name for client in await scope.all(select(Client))] == ["Grace"]


@pytest.mark.parametrize("error", [asyncpg.ConnectionDoesNotExistError, ConnectionResetError, TimeoutError])
async def test_a_scope_that_cannot_begin_says_so_and_holds_nothing(
    database: Database, ada: Actor, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    async def execute(*_: object) -> None:
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(asyncpg.Connection, "execute", execute)
        with pytest.raises(DatabaseUnavailable):
            async with enter(database, ada):
                raise AssertionError("it did not begin")
    assert database.engine.sync_engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # a QueuePool
    async with enter(database, ada) as scope:
        assert await scope.raw.fetchval("select 1") == 1
