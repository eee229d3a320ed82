"""`weft retention`, `weft archive` and what operators have of it in `weft db`."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
from tests.cli.conftest import Result, Weft
from tests.cli.test_execution import EngineServer
from tests.conftest import TestDatabase
from tests.factories import executions, identity

from weft.cli.retention import _due
from weft.core.actor import Actor
from weft.db.database import Database

INVALID, NOT_FOUND = 2, 5


@pytest.fixture
async def actor(
    test_database: TestDatabase, database: Database, nobody: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Actor]:
    """Somebody whose API key the commands use, on the machine where the database can be reached, too."""
    owner = await identity.tenant(database, "acme")
    token = await identity.api_key(database, owner)
    with EngineServer(test_database.app) as server:
        monkeypatch.setenv("WEFT_URL", server.url)
        monkeypatch.setenv("WEFT_API_KEY", token)
        monkeypatch.setenv("WEFT_DATABASE_URL", test_database.app)
        # The server shares our standard output here, where only the commands' own words belong.
        structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
        handlers, level = logging.root.handlers[:], logging.root.level
        yield await identity.actor(database, owner)
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)
    structlog.reset_defaults()


async def here(weft: Weft, *words: str) -> Result:
    """A command that works on the database itself has an event loop of its own, hence a thread of its own."""
    return await asyncio.to_thread(weft, *words)


async def old(database: Database, actor: Actor, rows: int) -> None:
    workflow = await executions.workflow(database, actor, name="Invoice")
    await executions.fill(database, actor, workflow, rows, since=datetime.now(UTC) - timedelta(days=40))


async def test_a_policy_is_shown_and_set(actor: Actor, weft: Weft) -> None:
    assert "kept for ever" in weft("retention", "show").out
    said = weft("retention", "set", "--executions", "30")
    assert (said.code, said.out.splitlines()[0]) == (
        0,
        "Finished executions are archived and deleted 30 days after their end.",
    )
    refused = weft("retention", "set", "--archive", "no")
    assert (refused.code, "--yes" in refused.err) == (INVALID, True)
    assert "without an archive" in weft("retention", "set", "--archive", "no", "--yes").out
    assert weft("retention", "show", "--json").json()["effective"] == {
        "executions_days": 30,
        "journal_days": None,
        "archive": False,
    }
    weft("retention", "set", "--executions", "default", "--archive", "default")
    assert weft("retention", "show", "--json").json()["executions_days"] is None


@pytest.mark.parametrize("words", [("--executions", "soon"), ("--executions", "0"), ("--archive", "maybe"), ()])
async def test_what_is_no_policy(actor: Actor, weft: Weft, words: tuple[str, ...]) -> None:
    assert weft("retention", "set", *words).code == INVALID


async def test_a_journal_policy_is_told_even_where_it_changes_nothing(actor: Actor, weft: Weft) -> None:
    said = weft("retention", "set", "--executions", "90", "--journal", "30").out
    assert "Their journals are archived and deleted 30 days after their end." in said
    assert "Their journals go with them: 120 days are not fewer." in weft("retention", "set", "--journal", "120").out
    for wrong in ("0", "-1", "soon"):
        refused = weft("retention", "set", f"--journal={wrong}")
        assert (refused.code, "from 1 on, forever, or default" in refused.err) == (INVALID, True)
    assert weft("retention", "set", "--journal", "default").code == 0


def test_journals_that_would_go_are_counted() -> None:
    due = {"cutoff": None, "journal_cutoff": "2026-03-01T00:00:00Z", "journals": 7, "journals_is_more": False}
    assert "\n7 executions that had ended before" in _due(due)
    assert "would lose their journals." in _due(due)
    assert "\nAt least 7 executions" in _due({**due, "journals_is_more": True})


async def test_old_executions_are_counted_taken_and_read_back(database: Database, actor: Actor, weft: Weft) -> None:
    await old(database, actor, 3)
    assert "`weft retention set --executions DAYS`" in weft("retention", "run", "--dry-run").out
    weft("retention", "set", "--executions", "30")
    assert weft("retention", "run", "--dry-run").out.startswith("3 executions, and their sub-workflows, had ended")
    assert weft("archive", "list").out.startswith("No archives")

    done = (await here(weft, "retention", "run", "--json")).json()
    assert (done["executions"], done["archived"], done["is_done"]) == (3, 3, True)
    assert (await here(weft, "retention", "run")).out.startswith("No execution was too old.")
    assert "No execution would go: none had ended before" in weft("retention", "run", "--dry-run").out
    weft("retention", "set", "--journal", "10")
    assert "No journal would go: none is there of an execution that" in weft("retention", "run", "--dry-run").out
    assert weft("execution", "list", "--json").json() == []

    (row,) = weft("archive", "list", "--json").json()
    assert done["files"] == [row["file"]]
    assert weft("archive", "list").out.splitlines()[1].split()[2:4] == ["executions", "3"]
    assert "is whole: 3 executions" in weft("archive", "verify", row["file"], "--sha256", row["sha256"]).out
    held = weft("archive", "show", row["file"], "--json").json()
    assert len(held) == 3
    line = json.loads(weft("archive", "show", row["file"], held[0]["id"]).out)
    assert line["execution"]["id"] == held[0]["id"]
    assert weft("archive", "show", row["file"], "018f0000-0000-7000-8000-000000000000").code == NOT_FOUND
    assert weft("archive", "verify", "nothing.jsonl.gz").code == NOT_FOUND
    assert weft("archive", "verify", row["file"], "--sha256", "0").code == INVALID


async def test_operators_run_it_for_everybody_or_for_one(
    database: Database, actor: Actor, weft: Weft, monkeypatch: pytest.MonkeyPatch
) -> None:
    await old(database, actor, 2)
    monkeypatch.setenv("WEFT_RETENTION_EXECUTIONS_DAYS", "30")
    await identity.tenant(database, "other")
    assert (await here(weft, "db", "retention", "--tenant", "other", "--json")).json()["executions"] == 0
    assert (await here(weft, "db", "retention", "--tenant", "nobody")).code == NOT_FOUND
    said = (await here(weft, "db", "retention")).out.splitlines()
    assert said[0] == "2 executions are gone, 2 of them archived."
    assert said[1].strip().endswith(".jsonl.gz")


async def test_months_are_listed(actor: Actor, weft: Weft) -> None:
    rows = (await here(weft, "db", "partitions", "--json")).json()
    assert {row["table"] for row in rows} == {"audit_logs", "execution_logs"}
    this_month = f"execution_logs_{datetime.now(UTC):%Y%m}"
    assert this_month in {row["partition"] for row in rows}
    assert this_month in (await here(weft, "db", "partitions")).out
