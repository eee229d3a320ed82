"""The commands as an operator calls them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.conftest import TestDatabase, make_tenant
from tests.ops.upkeep.conftest import EMPTY, serving_metrics

from weft.cli import command_line, output
from weft.db.database import Database
from weft.ops.insight import slow
from weft.ops.upkeep.run import LOCK

Weft = Callable[..., tuple[int, str, str]]


@pytest.fixture
def weft(
    test_database: TestDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Weft]:
    """Run a command against the test's database; its exit code, its answer and what it said beside."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "WEFT_HOME": str(tmp_path / "home"),
        "WEFT_DATABASE_URL": test_database.app,
        "WEFT_DATABASE_OWNER_URL": test_database.owner,
        "WEFT_METRICS_PORT": "0",
        "WEFT_WORKER_METRICS_PORT": "0",
    }.items():
        monkeypatch.setenv(name, value)

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = command_line.run(words)
        said = capsys.readouterr()
        return code, said.out, said.err

    yield run
    output.use_json(False)


def planted(test_database: TestDatabase, *statements: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(test_database.owner)
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    asyncio.run(run())


def test_maintenance_from_the_plan_to_what_is_remembered(weft: Weft, test_database: TestDatabase) -> None:
    planted(test_database, *EMPTY)
    code, out, _ = weft("db", "maintain", "--status")
    assert (code, out) == (0, "It was never done.\nNo schedule: WEFT_MAINTAIN_SCHEDULE sets one.\n")
    code, out, _ = weft("db", "maintain", "--task", "vacuum", "--dry-run")
    assert code == 0
    assert "vacuum  planted: 18,000 dead rows beside 2,000 - planned" in out
    assert "Nothing was done" in out
    code, out, err = weft("db", "maintain", "--task", "vacuum", "--task", "analyze", "--json")
    assert code == 0
    report = json.loads(out)
    assert {step["what"]: step["outcome"] for step in report["steps"] if step["task"] == "vacuum"}["planted"] == "done"
    assert list(report["seconds"]) == ["vacuum", "analyze"]
    assert "vacuum:" in err
    code, out, _ = weft("db", "maintain", "--status")
    assert "Last done on" in out
    assert "vacuum" in out
    due = report["started_at"][:19]
    assert weft("db", "maintain", "--due", due)[1] == "It was done since then: nothing to do.\n"


def test_what_maintenance_refuses(weft: Weft, test_database: TestDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, err = weft("db", "maintain", "--task", "hoover")
    assert (code, "partitions, retention" in err) == (2, True)

    async def held() -> int:
        connection = await asyncpg.connect(test_database.owner)
        await connection.execute("select pg_advisory_lock($1)", LOCK)
        code = await asyncio.to_thread(lambda: weft("db", "maintain")[0])
        await connection.close()
        return code

    assert asyncio.run(held()) == 6
    monkeypatch.delenv("WEFT_DATABASE_OWNER_URL")
    code, _, err = weft("db", "maintain")
    assert (code, "WEFT_DATABASE_OWNER_URL" in err) == (2, True)


def test_a_step_that_fails_is_an_exit_code(weft: Weft, test_database: TestDatabase) -> None:
    planted(test_database, "revoke select on weft.payloads from weft_owner")
    code, out, _ = weft("db", "maintain", "--task", "orphans")
    assert code == 1
    assert "failed" in out


def test_stats_for_people_and_for_programs(weft: Weft) -> None:
    code, out, _ = weft("db", "stats")
    assert code == 0
    for words in ("PostgreSQL", "Pages found in memory", "Partitions last: audit_logs", "Tables", "Indexes"):
        assert words in out
    found = json.loads(weft("db", "stats", "--json")[1])
    assert len(found["tables"]) > 20
    assert found["server"]["bytes"] > 0


def test_slow_statements_of_a_running_process(
    weft: Weft, test_database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow, "PATIENCE", 60.0)
    code, out, _ = weft("db", "slow", "--sample", "0.1")
    assert code == 0
    assert "In 0.1 seconds no statement was seen running." in out
    assert "No API and no worker answered" in out
    assert "Nothing is to be said about indexes." in out
    with serving_metrics(test_database.app) as address:
        code, out, _ = weft("db", "slow", "--metrics", address, "--metrics", "http://127.0.0.1:9", "--sample", "0.1")
        assert code == 0
        assert "monitoring.server" in out
        found = json.loads(weft("db", "slow", "--metrics", address, "--json")[1])
        by_name = {one["statement"]: one for one in found["measured"]}
        assert by_name["monitoring.server"]["calls"] >= 1
        code, out, _ = weft("db", "slow", "--metrics", address, "--explain", "monitoring.tables")
        assert code == 0
        assert "cost=" in out
        code, _, err = weft("db", "slow", "--metrics", address, "--explain", "no.such")
        assert (code, "no.such" in err) == (5, True)
    code, _, err = weft("db", "slow", "--enable")
    assert (code, "WEFT_DATABASE_ADMIN_URL" in err) == (6, True)


def test_storage_of_all_and_of_one(weft: Weft, test_database: TestDatabase) -> None:
    async def make() -> None:
        database = await Database.open(test_database.app, size=1, hot_size=1)
        await make_tenant(database, "acme")
        await database.close()

    asyncio.run(make())
    code, out, _ = weft("db", "storage")
    assert code == 0
    assert "Tenants" in out
    assert "acme" in out
    found: dict[str, Any] = json.loads(weft("db", "storage", "--tenant", "acme", "--json")[1])
    assert [one["tenant"] for one in found["tenants"]] == ["acme"]
    assert "acme: " in weft("db", "storage", "--tenant", "acme")[1]
    code, _, err = weft("db", "storage", "--tenant", "nobody")
    assert (code, "nobody" in err) == (5, True)
