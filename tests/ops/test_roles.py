"""Roles and database: made once, safe to repeat, on the newest and on the oldest server."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from weft.ops.connections import ServerUnreachable, with_database, with_role, without_password
from weft.ops.postgres import ConnectionFacts, ephemeral_cluster
from weft.ops.postgres_files import Programs
from weft.ops.roles import (
    APP,
    DEFINERS,
    OWNER,
    ROLES,
    AdministratorTooWeak,
    DatabaseEncodingDiffers,
    RoleUnsafe,
    bootstrap,
    existing_roles,
)

DEBIAN = Path("/usr/lib/postgresql/15/bin")
PASSWORDS = {OWNER: "o'wner \\ %", APP: "äpp/:@?"}


@pytest.fixture(scope="module", params=["embedded", pytest.param("debian", marks=pytest.mark.debian)])
def server(request: pytest.FixtureRequest) -> Iterator[ConnectionFacts]:
    programs = None
    if request.param == "debian":
        if not (DEBIAN / "postgres").exists():
            pytest.skip("the distribution's PostgreSQL 15 is not installed")
        programs = Programs(DEBIAN)
    with (
        tempfile.TemporaryDirectory(prefix="weft-roles-") as place,
        ephemeral_cluster(Path(place), programs=programs) as facts,
    ):
        yield facts


@pytest.fixture
def bare(server: ConnectionFacts) -> ConnectionFacts:
    """The server without anything of weft's."""
    asyncio.run(_wipe(server.superuser_dsn))
    return server


async def _wipe(dsn: str) -> None:
    async with connected(dsn) as connection:
        for name in ("weft", "latin"):
            await connection.execute(f"drop database if exists {name} with (force)")
        for role in (*ROLES, "chief", "weak", "group_of_people"):
            if await connection.fetchval("select to_regrole($1) is not null", role):
                await connection.execute(f"drop owned by {role} cascade; drop role {role}")


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def ask(dsn: str, query: str, *values: Any) -> Any:
    async with connected(dsn) as connection:
        return await connection.fetchval(query, *values)


async def test_it_makes_what_is_missing_and_nothing_twice(bare: ConnectionFacts) -> None:
    first = await bootstrap(bare.superuser_dsn, "weft", PASSWORDS)
    assert first.created == [*ROLES, "database weft"]
    second = await bootstrap(bare.superuser_dsn, "weft", PASSWORDS)
    assert second.created == []


async def test_no_role_is_above_row_security(bare: ConnectionFacts) -> None:
    await bootstrap(bare.superuser_dsn)
    async with connected(bare.superuser_dsn) as connection:
        found = await connection.fetch(
            "select rolname, rolsuper or rolbypassrls or rolcreaterole or rolcreatedb or rolreplication as mighty,"
            " rolcanlogin, rolinherit from pg_roles where rolname like 'weft%'"
        )
        assert {row["rolname"] for row in found} == set(ROLES)
        assert not any(row["mighty"] for row in found)
        assert {row["rolname"] for row in found if row["rolcanlogin"]} == {OWNER, APP}
        assert {row["rolname"] for row in found if not row["rolinherit"]} == {OWNER}
        for role in (OWNER, *DEFINERS):
            assert not await connection.fetchval("select pg_has_role($1, $2, 'member')", APP, role)


async def test_passwords_with_strange_letters_work(server: ConnectionFacts) -> None:
    await bootstrap(server.superuser_dsn, "weft", PASSWORDS)
    verifier = await ask(server.superuser_dsn, "select rolpassword from pg_authid where rolname = $1", APP)
    assert verifier.startswith("SCRAM-SHA-256$4096:")


async def test_the_owner_acts_as_a_definer_only_when_it_says_so(bare: ConnectionFacts) -> None:
    await bootstrap(bare.superuser_dsn, "weft", PASSWORDS)
    async with connected(bare.dsn(OWNER, None, "weft")) as owner:
        await owner.execute("create schema weft; create schema private; grant usage on schema private to weft_auth")
        await owner.execute("grant create on schema weft to weft_auth")
        await owner.execute("create function weft.f() returns int language sql as 'select 1'")
        await owner.execute("alter function weft.f() owner to weft_auth")
        await owner.execute("set role weft_auth")
        assert await owner.fetchval("select current_user") == "weft_auth"


async def test_the_application_may_connect_and_nothing_else(bare: ConnectionFacts) -> None:
    await bootstrap(bare.superuser_dsn, "weft", PASSWORDS)
    async with connected(bare.dsn(APP, None, "weft")) as app:
        for statement in (
            "create temp table t ()",
            "create table public.t ()",
            "create schema s",
            "set role weft_owner",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await app.execute(statement)
        assert await app.fetchval("show statement_timeout") == "15s"
        assert await app.fetchval("show lock_timeout") == "3s"
        assert await app.fetchval("show idle_in_transaction_session_timeout") == "30s"
        assert await app.fetchval("show search_path") == "weft, pg_temp"
        if int(await app.fetchval("show server_version_num")) >= 170_000:
            assert await app.fetchval("show transaction_timeout") == "1min"


async def test_others_may_not_connect(bare: ConnectionFacts) -> None:
    await bootstrap(bare.superuser_dsn)
    await ask(bare.superuser_dsn, "create role weak login")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await ask(bare.dsn("weak", None, "weft"), "select 1")


async def test_an_administrator_without_superuser_is_enough(bare: ConnectionFacts) -> None:
    await ask(bare.superuser_dsn, "create role chief login createrole createdb")
    chief = bare.dsn("chief", None, "postgres")
    assert (await bootstrap(chief, "weft", PASSWORDS)).created == [*ROLES, "database weft"]
    assert (await bootstrap(chief, "weft", PASSWORDS)).created == []
    owner = await ask(bare.superuser_dsn, "select datdba::regrole::text from pg_database where datname = 'weft'")
    assert owner == OWNER
    with pytest.raises(asyncpg.InsufficientPrivilegeError):  # what it borrowed it gave back
        await ask(bare.dsn("chief", None, "weft"), "create schema mine")


async def test_an_administrator_who_may_nothing_is_told_what_is_missing(bare: ConnectionFacts) -> None:
    await ask(bare.superuser_dsn, "create role weak login")
    with pytest.raises(AdministratorTooWeak, match="CREATEROLE and CREATEDB"):
        await bootstrap(bare.dsn("weak", None, "postgres"))


async def test_a_superuser_takes_away_what_an_existing_role_has_too_much(bare: ConnectionFacts) -> None:
    await ask(bare.superuser_dsn, "create role weft_app login superuser bypassrls")
    await bootstrap(bare.superuser_dsn)
    assert not await ask(bare.superuser_dsn, "select rolsuper or rolbypassrls from pg_roles where rolname = 'weft_app'")


async def test_an_administrator_who_cannot_says_what_a_superuser_must_run(bare: ConnectionFacts) -> None:
    await ask(bare.superuser_dsn, "create role weft_app login bypassrls")
    await ask(bare.superuser_dsn, "create role chief login createrole createdb")
    with pytest.raises(RoleUnsafe, match="alter role weft_app nobypassrls"):
        await bootstrap(bare.dsn("chief", None, "postgres"))


async def test_the_application_leaves_every_group(bare: ConnectionFacts) -> None:
    async with connected(bare.superuser_dsn) as connection:
        await connection.execute(
            "create role group_of_people; create role weft_app login; grant group_of_people to weft_app"
        )
    await bootstrap(bare.superuser_dsn)
    assert not await ask(bare.superuser_dsn, "select pg_has_role('weft_app', 'group_of_people', 'member')")


async def test_a_database_of_another_owner_is_taken_over(bare: ConnectionFacts) -> None:
    await ask(bare.superuser_dsn, "create database weft template template0 encoding 'UTF8'")
    await bootstrap(bare.superuser_dsn)
    owner = await ask(bare.superuser_dsn, "select datdba::regrole::text from pg_database where datname = 'weft'")
    assert owner == OWNER


async def test_a_database_in_another_encoding_is_refused(bare: ConnectionFacts) -> None:
    await ask(
        bare.superuser_dsn, "create database latin template template0 encoding 'LATIN1' locale 'C' locale_provider libc"
    )
    with pytest.raises(DatabaseEncodingDiffers, match="LATIN1"):
        await bootstrap(bare.superuser_dsn, "latin")


async def test_two_at_once_take_turns(bare: ConnectionFacts) -> None:
    reports = await asyncio.gather(*(bootstrap(bare.superuser_dsn, "weft", PASSWORDS) for _ in range(4)))
    assert sorted(len(report.created) for report in reports) == [0, 0, 0, len(ROLES) + 1]


async def test_it_knows_which_roles_are_there(bare: ConnectionFacts) -> None:
    assert await existing_roles(bare.superuser_dsn) == frozenset()
    await bootstrap(bare.superuser_dsn)
    assert await existing_roles(bare.superuser_dsn) == frozenset(ROLES)


async def test_a_server_that_is_not_there_is_named_without_its_password(tmp_path: Path) -> None:
    dsn = f"postgresql://admin:hush@/postgres?host={tmp_path}"
    with pytest.raises(ServerUnreachable, match="Check that the server runs") as refusal:
        await bootstrap(dsn)
    assert "hush" not in refusal.value.message


def test_addresses_change_in_one_place_only() -> None:
    dsn = "postgresql://ann:pw@db.example:5433/one?sslmode=require&dbname=two"
    assert with_database(dsn, "thrée") == "postgresql://ann:pw@db.example:5433/thr%C3%A9e?sslmode=require"
    assert with_role(dsn, "bob", "p/w") == "postgresql://bob:p%2Fw@db.example:5433/one?sslmode=require&dbname=two"
    assert without_password(dsn) == "postgresql://ann@db.example:5433/one?sslmode=require&dbname=two"
    assert "pw" not in without_password("postgresql:///one?host=/tmp&user=ann&password=pw")
