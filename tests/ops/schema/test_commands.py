"""`weft db generate`, `push`, `pull`, `diff` and `check --sql` at the command line."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from tests.conftest import Cluster, TestDatabase

from weft.cli import command_line, output
from weft.ops import drift
from weft.ops.schema import authoring, pull, revision, source

TOUCHED = ("new.updated_at := clock_timestamp();", "new.updated_at := statement_timestamp();")


@dataclass
class Server:
    """The tests' server in the place of the one that the commands would start."""

    cluster: Cluster
    template: str
    made: list[str]

    async def _create(self, options: str = "") -> str:
        self.made.append(f"weft_test_{uuid4().hex}")
        await self._run(f"create database {self.made[-1]} owner weft_owner {options}")
        return self.cluster.dsn(self.made[-1], "weft_owner")

    async def _run(self, sql: str) -> None:
        admin = await asyncpg.connect(self.cluster.dsn("postgres"))
        await admin.execute(sql)
        await admin.close()

    async def models(self, database: str = "", sql: str | None = None) -> str:
        address = await self._create()
        connection = await asyncpg.connect(address)
        await source.create_models(connection, sql)
        await connection.close()
        return address

    async def migrations(self, revision: str = "head", database: str = "") -> str:
        return await self._create(f"template {self.template} strategy {self.cluster.strategy}")

    async def drop(self) -> None:
        for name in self.made:
            await self._run(f"drop database {name} with (force)")


Weft = Callable[..., tuple[int, str, str]]


@pytest.fixture
def weft(
    test_database: TestDatabase, cluster: Cluster, template: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> Iterator[Weft]:  # fmt: skip
    """Runs a command against a database of its own: exit code, what it said, and what it noted."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "WEFT_HOME": str(tmp_path / "home"), "WEFT_DATABASE_URL": test_database.app,
        "WEFT_DATABASE_OWNER_URL": test_database.owner, "WEFT_PROFILE": "development",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    server = Server(cluster, template, [])

    @contextmanager
    def throwaway() -> Iterator[Server]:
        yield server

    for module in (authoring, drift):
        monkeypatch.setattr(module, "throwaway", throwaway)

    def run(*words: str) -> tuple[int, str, str]:
        code = command_line.run(words)
        said = capsys.readouterr()
        return code, said.out, said.err

    yield run
    output.use_json(False)
    asyncio.run(server.drop())


@pytest.fixture
def touched(monkeypatch: pytest.MonkeyPatch) -> None:
    """The models have another function and another index."""
    sql = source.models_sql().replace(*TOUCHED) + "create index extra_idx on weft.clients (tenant_id, company);\n"
    monkeypatch.setattr(source, "models_sql", lambda: sql)


def ask(dsn: str, query: str) -> Any:
    async def run() -> Any:
        connection = await asyncpg.connect(dsn)
        try:
            return await (connection.execute(query) if ";" in query else connection.fetchval(query))
        finally:
            await connection.close()

    return asyncio.run(run())


@pytest.mark.usefixtures("touched")
def test_generate_writes_revisions_and_shows_them(weft: Weft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revision, "VERSIONS", tmp_path)
    code, said, _ = weft("db", "generate", "-m", "Touch", "--dry-run")
    assert (code, list(tmp_path.glob("*.sql"))) == (0, [])
    assert "-- Not written." in said
    code, said, noted = weft("db", "generate", "-m", "Touch")
    assert code == 0
    assert "on a server of their own" in noted
    assert "-- Touch (expand)" in said
    assert "-- Touch: indexes (expand)" in said
    assert "create index concurrently if not exists extra_idx" in said
    assert "Read the SQL" in said
    assert len(list(tmp_path.glob("*_touch*.py"))) == 2
    assert len(list(tmp_path.glob("*_touch*.down.sql"))) == 2


def test_generate_has_nothing_to_write_and_says_so(weft: Weft) -> None:
    assert weft("db", "generate", "-m", "Nothing", "--json")[:2] == (0, "[]\n")
    assert "say the same" in weft("db", "generate", "-m", "Nothing")[1]


@pytest.mark.usefixtures("touched")
def test_push_shows_asks_and_changes_the_database(weft: Weft, test_database: TestDatabase) -> None:
    body = "select prosrc from pg_proc where oid = 'weft.touch()'::regprocedure"
    code, _, noted = weft("db", "push")
    assert code == 2
    assert "CREATE OR REPLACE FUNCTION weft.touch()" in noted
    assert "Say --yes" in noted
    assert "statement_timestamp" not in ask(test_database.owner, body)
    code, said, _ = weft("db", "push", "--yes")
    assert code == 0
    assert said.startswith("3 differences are gone: the database is what the models say. `weft db generate` writes")
    assert "statement_timestamp" in ask(test_database.owner, body)
    assert "nothing to do" in weft("db", "push", "--yes")[1]


@pytest.mark.parametrize("profile", ["staging", "production"])
def test_push_is_for_development(profile: str, weft: Weft, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEFT_PROFILE", profile)
    code, _, noted = weft("db", "push", "--yes")
    assert code in (4, 6)
    assert "weft db generate" in noted


@pytest.mark.parametrize("emptied", ["drop schema weft cascade;", None])
def test_push_onto_an_empty_database_says_what_to_do_first(
    emptied: str | None, weft: Weft, test_database: TestDatabase
) -> None:
    """As it was made, and as a rollback of everything leaves it."""
    if emptied:
        ask(test_database.owner, emptied)
    else:
        assert weft("db", "rollback", "--to", "base", "--yes")[0] == 0
    code, said, noted = weft("db", "push", "--yes")
    assert (code, said) == (6, "")
    assert "Nothing was changed" in noted
    assert "Run `weft db migrate` first." in noted


def test_what_only_an_administrator_may_push_is_refused_in_its_own_words(
    weft: Weft, test_database: TestDatabase, cluster: Cluster
) -> None:
    database = test_database.admin.rpartition("/")[2]
    ask(cluster.dsn(database), "alter table weft.clients owner to current_user;")
    code, _, noted = weft("db", "push", "--yes")
    assert code == 6
    assert "Nothing was changed" in noted
    assert "alter table weft.clients owner to weft_owner;" in noted
    assert "No revision" not in noted


_QUERY = """
import asyncio, sys
import models, sqlalchemy
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import configure_mappers

async def main():
    configure_mappers()
    engine = create_async_engine(sys.argv[1].replace("postgresql://", "postgresql+asyncpg://"))
    async with AsyncSession(engine) as session:
        query = sqlalchemy.select(models.ExecutionPlaces).join(models.ExecutionPlaces.workflow_executions)
        print((await session.scalars(query)).all())
    await engine.dispose()

asyncio.run(main())
"""


def test_pull_writes_models_that_python_understands(weft: Weft, tmp_path: Path, test_database: TestDatabase) -> None:
    code, said, _ = weft("db", "pull", "--out", "models.py")
    assert (code, said.startswith("models.py has the models of ")) == (0, True)
    models = (tmp_path / "models.py").read_text()
    assert "class Clients(Base):" in models
    assert "alembic_version" not in models
    assert "audit_logs_2" not in models
    assert "class ExecutionPlaces(Base):" in models  # a key that is also a reference is no inheritance
    (tmp_path / "query.py").write_text(_QUERY)
    ran = subprocess.run(
        [sys.executable, "query.py", test_database.owner], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (0, "[]\n"), ran.stderr
    code, _, noted = weft("db", "pull", "--out", "models.py")
    assert code == 6
    assert "left alone" in noted
    code, _, noted = weft("db", "pull", "--schema", "nowhere")
    assert (code, "has no tables" in noted) == (5, True)


def test_pull_writes_to_standard_output_otherwise(
    weft: Weft, test_database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def models(dsn: str, schema: str) -> str:
        return f"# {schema} of {dsn == test_database.owner}\n"

    monkeypatch.setattr(pull, "models", models)
    assert weft("db", "pull")[:2] == (0, "# weft of True\n")
    assert weft("db", "pull", "--from", "postgresql://elsewhere", "--schema", "old")[:2] == (0, "# old of False\n")


def test_diff_tells_compares_and_repairs(weft: Weft, test_database: TestDatabase) -> None:
    assert weft("db", "diff", "live", "migrations")[:2] == (0, "The schemas are the same.\n")
    ask(test_database.owner, "drop policy tenant_rw on weft.clients")
    ask(test_database.owner, "create table weft.extra (id int)")
    code, said, noted = weft("db", "diff", "live", "migrations")
    assert code == 6
    assert "The policy clients.tenant_rw is missing in the live database. In the migrations: " in said
    assert (
        "The table extra is only in the live database: kind table, owner weft_owner, logged yes. With it: 1 column."
        in said
    )
    assert "differ in 3 places" in noted
    code, said, _ = weft("db", "diff", test_database.owner, "models", "--sql")
    assert code == 6
    assert "-- As weft_owner:\nbegin;\n" in said
    assert "create policy tenant_rw on weft.clients to weft_app" in said
    assert "-- Look here: All rows of extra go.\ndrop table weft.extra;" in said
    assert "owner-of-tests" not in weft("db", "diff", test_database.owner, "models")[1]


def test_diff_asks_for_schemas_that_exist(weft: Weft) -> None:
    code, _, noted = weft("db", "diff", "modles", "live")
    assert (code, "Name one of: models, migrations" in noted) == (2, True)
    code, _, noted = weft("db", "diff", "migrations@9999", "live")
    assert (code, "9999" in noted, "Name one of" in noted) == (2, True, False)


def test_check_prints_the_sql_that_repairs(weft: Weft, test_database: TestDatabase) -> None:
    code, said, _ = weft("db", "check", "--sql")
    assert (code, said) == (0, "-- The schema is exactly what the migrations make.\n")
    ask(test_database.owner, "alter table weft.clients no force row level security")
    code, said, noted = weft("db", "check", "--json")
    assert code == 6
    (found,) = json.loads(said)
    assert (found["kind"], found["name"]) == ("table", "clients")
    assert found["sql"] == ["alter table weft.clients force row level security"]
    assert json.loads(noted)["type"] == "schema_drifted"
    _, said, noted = weft("db", "check")
    assert said == "The table clients differs: row security forced no, should be yes.\n"
    assert "weft db check --sql" in noted
    _, said, _ = weft("db", "check", "--sql")
    ask(test_database.owner, said)
    assert weft("db", "check")[0] == 0


def test_check_says_that_a_database_was_never_migrated(weft: Weft, test_database: TestDatabase) -> None:
    ask(test_database.owner, "drop schema weft cascade")
    code, said, noted = weft("db", "check")
    assert (code, said) == (6, "")
    assert "Run `weft db migrate` first." in noted
