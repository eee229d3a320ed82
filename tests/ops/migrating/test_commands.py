"""`weft db migrate`, `status`, `rollback`, `reset`, `environments`, `instances`, `data`: for people and programs."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.conftest import TestDatabase
from tests.ops.migrating.revisions import REVISIONS, write

from weft.cli import command_line, output
from weft.ops import preflight
from weft.ops.migrating import rollback_losses
from weft.ops.preflight import newest_revision


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


Weft = Callable[..., Said]


@pytest.fixture
def weft(
    test_database: TestDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Weft]:
    for name in [name for name in os.environ if name.startswith("WEFT_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEFT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WEFT_DATABASE_URL", test_database.app)
    monkeypatch.setenv("WEFT_DATABASE_OWNER_URL", test_database.owner)
    monkeypatch.setenv("WEFT_MIGRATE_DIRECTORIES", str(REVISIONS))
    monkeypatch.setenv("WEFT_MASTER_KEY", "00" * 32)

    def run(*words: str) -> Said:
        code = command_line.run(["db", *words])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    yield run
    output.use_json(False)


def execute(database: TestDatabase, statement: str) -> Any:
    async def run() -> Any:
        connection = await asyncpg.connect(database.admin)
        try:
            await connection.execute("set session_replication_role = replica")
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(run())


CLIENTS = """
with t as (insert into weft.tenants (id, slug, name) values (gen_random_uuid(), 'ada', 'Ada') returning id)
insert into weft.clients (tenant_id, id, name, name_key)
select t.id, gen_random_uuid(), n::text, n::text from t, generate_series(1, 150) n"""


def test_from_the_plan_to_the_end(weft: Weft, test_database: TestDatabase) -> None:
    """What somebody does who updates weft: look, migrate, fill, contract."""
    execute(test_database, CLIENTS)
    first = newest_revision()
    assert weft("status", "--check").code == 6
    shown = weft("migrate", "--dry-run")
    assert shown.code == 0
    assert f"From {first} to 9003:" in shown.out
    assert "  alter table weft.clients add column region text" in shown.out
    assert "      clients: access exclusive (stops reads and writes), about " in shown.out
    assert "9002  expand  Clients are found by region" in shown.out
    assert "  needs weft 0.1 or later everywhere; comes back from a backup only" in shown.out
    assert weft("status", "--json").json()[-1]["applied"] is False, "a dry run changes nothing"

    done = weft("migrate", "--to", "9002", "--json")
    assert (done.json()["before"], done.json()["applied"]) == (first, ["9001", "9002"])
    refused = weft("migrate")
    assert refused.code == 6
    assert "needs the data migration 'fill_region', which has 150 rows left" in refused.err

    assert "fill_region" in weft("data", "list").out
    assert weft("data", "status", "--json").json()[0]["state"] == "not begun"
    filled = weft("data", "run", "fill_region", "--rest", "0", "--rows", "50")
    assert "150 rows of 1 tenants were changed; nothing is left." in filled.out
    assert "50 of 150 rows" in filled.err
    assert weft("data", "status", "--json").json()[0]["state"] == "done"

    done = weft("migrate")
    assert "The database is at revision 9003." in done.out
    assert "applying 9003 (contract): Every client has a region" in done.err
    assert re.search(r"9003 done after \d+\.\d s", done.err), "it says how long it took"
    assert weft("status", "--check").code == 0
    assert all(row["seconds"] is not None for row in weft("status", "--json").json()[1:]), "and remembers it"
    assert "Nothing to do: revision 9003 is there." in weft("migrate").out
    assert weft("data", "run", "fill_region").out.strip() == "Nothing to do: no row is left."


def test_sql_for_somebody_elses_hands_keeps_the_books(weft: Weft, test_database: TestDatabase) -> None:
    """Applied by hand, the SQL leaves the same record as the command."""
    sql = weft("migrate", "--sql", "--to", "9001").out
    assert "alter table weft.clients add column region text" in sql

    async def by_hand() -> None:
        connection = await asyncpg.connect(test_database.owner)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    asyncio.run(by_hand())
    [row] = [row for row in weft("status", "--json").json() if row["revision"] == "9001"]
    assert (row["applied"], row["seconds"]) == (True, None)
    assert row["applied_at"]


def test_a_failed_migration_says_where_it_stands(weft: Weft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "more", "9101", "alter table weft.missing add column x text;", "select 1;")
    monkeypatch.setenv("WEFT_MIGRATE_DIRECTORIES", str(folder))
    refused = weft("migrate", "--json")
    assert refused.code == 6
    problem = json.loads(refused.err.splitlines()[-1])
    assert problem["type"] == "migration_failed"
    assert 'relation "weft.missing" does not exist' in problem["detail"]


def test_staging_migrates_without_asking_and_keeps_what_cannot_come_back(
    weft: Weft, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEFT_PROFILE", "staging")
    assert weft("migrate", "--to", "9001").code == 0
    for words in (["reset", "--yes"], ["push", "--yes"]):
        assert weft(*words).code == 4, words


def test_production_asks_and_wants_a_backup(weft: Weft, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEFT_PROFILE", "production")
    monkeypatch.setattr("weft.ops.migrating.run.backup_maker", lambda *_: None)
    asked = weft("migrate", "--to", "9001")
    assert (asked.code, "--yes" in asked.err) == (2, True)
    assert weft("migrate", "--yes", "--no-backup", " ").code == 2
    refused = weft("migrate", "--to", "9001", "--yes")
    assert (refused.code, "--no-backup 'the reason'" in refused.err) == (6, True)
    assert weft("migrate", "--to", "9001", "--yes", "--no-backup", "the provider makes them").code == 0
    [row] = [row for row in weft("status", "--json").json() if row["revision"] == "9001"]
    assert row["reason"] == "the provider makes them"
    assert "  9001  expand" in weft("rollback", "--to", newest_revision()).err, "it says what it would do"
    assert weft("rollback", "--to", newest_revision(), "--yes").code == 0
    assert weft("rollback", "--to", "base", "--yes").code == 4
    assert weft("reset", "--yes").code == 4


def test_going_back_and_beginning_again(
    weft: Weft, test_database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(test_database, CLIENTS)
    weft("migrate", "--to", "9002")
    refused = weft("rollback", "--to", "9001")
    assert refused.code == 2, "nobody is there to ask"
    back = weft("rollback", "--to", newest_revision(), "--yes")
    assert back.code == 0
    assert "alter table weft.clients drop column region" in back.err
    assert "taking back 9002 (expand): Clients are found by region." in back.err
    assert weft("rollback", "--to", newest_revision(), "--yes", "--json").json()["taken"] == []
    assert weft("reset").code == 2
    monkeypatch.delenv("WEFT_MIGRATE_DIRECTORIES")  # with them the seeds' clients would need a region
    again = weft("reset", "--yes", "--json")
    assert again.code == 0, again.err
    assert again.json()["revision"] == newest_revision()
    assert again.json()["seed"]["made"]
    assert execute(test_database, "select count(*) from weft.tenants where slug = 'ada'") == 0


def test_environments_and_instances(weft: Weft, test_database: TestDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = weft("environments")
    assert "development *" in shown.out
    assert "the database: nothing yet" in shown.err
    monkeypatch.setenv("WEFT_PROFILE", "staging")
    table = weft("environments", "--json").json()
    assert (table["profile"], table["configured"], table["database"]) == ("staging", "staging", None)
    assert {"action", "development", "staging", "production", "means"} == set(table["actions"][0])
    assert "No process of weft" in weft("instances").out
    execute(test_database, "select weft.beat(gen_random_uuid(), 'worker', 'oak', '0.1.0', '0001')")
    [one] = weft("instances", "--json").json()
    assert (one["kind"], one["host"], one["is_live"]) == ("worker", "oak", True)


def test_a_database_that_was_production_is_no_place_for_trying(weft: Weft, test_database: TestDatabase) -> None:
    """In a shell without WEFT_PROFILE, which means development, and with --yes on every line."""
    execute(test_database, "select weft.serve_as('production')")
    for words in (["seed"], ["reset", "--yes"], ["push", "--yes"], ["rollback", "--to", "base", "--yes"]):
        assert weft(*words).code == 4, words
    assert execute(test_database, "select count(*) from weft.tenants") == 0
    assert "--yes" in weft("migrate", "--to", "9001").err, "it asks, as production does"
    shown = weft("environments")
    assert "production *" in shown.out
    assert "WEFT_PROFILE: development" in shown.err
    assert "the database: production, since" in shown.err
    asked = weft("environments", "lower", "development")
    assert asked.code == 2
    assert "reset (refused, then asks): Drop everything" in asked.err
    assert weft("environments", "lower", "development", "--yes", "--json").json() == {
        "before": "production", "after": "development",
    }  # fmt: skip
    assert weft("environments", "--json").json()["database"]["profile"] == "development"
    assert weft("environments", "lower", "nonsense").code == 2
    assert weft("seed").code == 0


def test_environments_are_shown_without_a_database(weft: Weft, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEFT_DATABASE_URL", "postgresql://weft_app@127.0.0.1:1/weft")
    monkeypatch.delenv("WEFT_DATABASE_OWNER_URL")
    shown = weft("environments")
    assert shown.code == 0
    assert "could not be asked what it is kept as: No connection" in shown.err


def test_ctrl_c_pauses_a_data_migration(
    weft: Weft, test_database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(test_database, CLIENTS)
    weft("migrate", "--to", "9001")
    from weft.cli.database_data import _Bar

    with monkeypatch.context() as patched:
        patched.setattr(_Bar, "tell", lambda *_: os.kill(os.getpid(), signal.SIGINT))
        paused = weft("data", "run", "fill_region", "--rows", "40")
    assert paused.code == 130
    assert "Paused after 40 rows. `weft db data run fill_region` goes on from there." in paused.out
    assert weft("data", "status", "--json").json()[0]["state"] == "paused"
    assert weft("data", "run", "fill_region", "--json").json()["rows"] == 110
    assert weft("data", "run", "nothing").code == 5


def test_validate_says_what_is_wrong(weft: Weft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "more", "9101", "select 1;", kind="contract")
    monkeypatch.setenv("WEFT_MIGRATE_DIRECTORIES", str(folder))
    refused = weft("validate")
    assert refused.code == 6
    assert "fail  every revision says what it must" in refused.out
    assert "9101: a contract revision names the oldest version" in refused.out


LIVES = (
    "insert into weft.app_instances (id, kind, host, version, revision)"
    " values (gen_random_uuid(), 'worker', 'elm', '0.1.0', '0001')"
)


def test_nothing_is_dropped_under_what_runs(weft: Weft, test_database: TestDatabase) -> None:
    weft("migrate", "--to", "9001")
    execute(test_database, LIVES)
    for to in (newest_revision(), "base"):
        refused = weft("rollback", "--to", to, "--yes")
        assert (refused.code, "worker on elm" in refused.err) == (6, True)
    assert execute(test_database, "select version_num from weft.alembic_version") == "9001"
    weft("migrate", "--to", "9002")
    assert weft("rollback", "--to", "9001", "--yes").code == 0, "an index may go while they work"


def test_the_first_revision_goes_only_by_its_name(weft: Weft, test_database: TestDatabase) -> None:
    execute(test_database, "insert into weft.tenants (id, slug, name) values (gen_random_uuid(), 'kept', 'Kept')")
    execute(test_database, "analyze weft.tenants")
    execute(
        test_database,
        "insert into weft.audit_logs (tenant_id, id, action, resource_type)"
        " select t.id, gen_random_uuid(), 'x', 'y' from weft.tenants t, generate_series(1, 7)",
    )
    execute(test_database, "analyze weft.audit_logs")
    for words in ((), ("--to", "-7")):
        refused = weft("rollback", *words, "--yes")
        assert (refused.code, "`weft db rollback --to base`" in refused.err) == (6, True)
        assert execute(test_database, "select count(*) from weft.tenants") == 1
    asked = weft("rollback", "--to", "base")
    assert asked.code == 2
    assert f"down to base:\n  {newest_revision()}  " in asked.err
    assert "      tenants: about 1 rows\n" in asked.err
    assert "      audit_logs: about 7 rows\n" in asked.err, "a month is not counted with its parent again"
    assert "workflow_executions" in asked.err
    assert "..." not in asked.err
    told = weft("rollback", "--to", "base", "--json")
    problem = json.loads(told.err)
    assert (problem["type"], told.out) == ("not_confirmed", "")
    assert any("tenants" in note for note in problem["notes"])
    assert weft("rollback", "--to", "base", "--yes").code == 0


@pytest.mark.parametrize("emptied", [True, False], ids=["taken back", "never migrated"])
def test_without_a_schema_every_command_says_so(
    emptied: bool, weft: Weft, test_database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WEFT_MIGRATE_DIRECTORIES")
    if emptied:
        assert weft("rollback", "--to", "base", "--yes").code == 0
    else:
        execute(test_database, "drop schema weft cascade")
    for line in (["seed"], ["backup"], ["instances"]):
        refused = weft(*line)
        assert (refused.code in (6, 8), "`weft db migrate`" in refused.err) == (True, True), (line, refused.err)
        assert "bug" not in refused.err
    findings = asyncio.run(preflight.check(test_database.app))
    assert [finding.code for finding in findings] == ["schema_missing"]
    assert weft("migrate").code == 0
    assert asyncio.run(preflight.check(test_database.app)) == []


@pytest.mark.parametrize(
    ("drop", "tables"),
    [
        ("drop table weft.a, weft.b cascade", ["weft.a", "weft.b"]),
        ("DROP TABLE IF EXISTS weft.a;", ["weft.a"]),
        ("truncate table weft.a restart identity", ["weft.a"]),
        ("alter table weft.a drop column b", []),
        ("drop table ? (its SQL cannot be read beforehand)", []),
    ],
)
def test_the_tables_that_a_statement_drops(drop: str, tables: list[str]) -> None:
    assert rollback_losses.tables_of(drop) == tables
