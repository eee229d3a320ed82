"""`weft db backup`, `backups`, `verify` and `restore` as an operator meets them: what they say and how they exit."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.cli.conftest import Result
from tests.conftest import TestDatabase

from weft.cli import command_line, output
from weft.cli.database_restore import _tenant_text
from weft.ops import seed
from weft.ops.backup.schedules import Held
from weft.ops.backup.tenants import Plan

Weft = Callable[..., Result]


@pytest.fixture
def weft(
    test_database: TestDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Weft]:
    """The command on a seeded database of the operator's own."""
    for name, value in {
        "WEFT_HOME": str(tmp_path / "home"),
        "WEFT_MASTER_KEY": "00" * 32,
        "WEFT_DATABASE_URL": test_database.app,
        "WEFT_DATABASE_OWNER_URL": test_database.owner,
        "WEFT_DATABASE_ADMIN_URL": test_database.admin,
    }.items():
        monkeypatch.setenv(name, value)
    asyncio.run(seed.run(test_database.app, "development", master_key=bytes(32)))

    def run(*words: str, json_: bool = False) -> Result:
        code = command_line.run(["db", *words, *(["--json"] if json_ else [])])
        said = capfd.readouterr()
        return Result(code, said.out, said.err)

    yield run
    output.use_json(False)


def test_from_the_first_backup_to_a_restored_tenant(weft: Weft, tmp_path: Path) -> None:
    nothing = weft("backups")
    assert "There is no backup yet" in nothing.out
    assert weft("verify").code == 5
    made = weft("backup", "--reason", "before the upgrade")
    assert made.code == 0, made.err
    for words in ("not proved yet", "Keep a copy of it offline", "signed with"):
        assert words in made.out
    verified = weft("verify", json_=True).json()
    assert verified["ok"]
    (row,) = weft("backups", json_=True).json()
    assert (row["reason"], row["failure"], row["keeps"][0]) == ("before the upgrade", None, "latest")
    assert row["verified_at"] is not None
    listed = weft("backups").out
    assert "before the upgrade" in listed
    assert "ago" in listed
    assert weft("backups", "--prune", "--dry-run").out == "Nothing goes. Kept: 1.\n"
    assert weft("restore", "latest").code == 6, "it holds a tenant"
    dry = weft("restore", "latest", "--tenant", "default", "--dry-run")
    assert dry.code == 0
    assert "Nothing was changed." in dry.out
    assert "In the way:" in dry.out
    assert weft("restore", "latest", "--tenant", "default", "--replace").code == 2, "nobody confirmed"
    copy = weft("restore", "latest", "--tenant", "default", "--as", "twin", json_=True).json()
    assert copy["done"]
    assert copy["copy"]
    assert weft("restore", "latest", "--as", "twin").code == 2, "--as is for a tenant"
    assert weft("verify", "--place", "nowhere").code == 5


def test_by_the_clock(weft: Weft, monkeypatch: pytest.MonkeyPatch) -> None:
    assert weft("backup", "--due").code == 2
    monkeypatch.setenv("WEFT_BACKUP_SCHEDULE", "every night")
    assert "five fields" in weft("backup", "--due").err
    far = datetime.now(UTC) + timedelta(hours=12)  # so that nothing falls due while this runs
    monkeypatch.setenv("WEFT_BACKUP_SCHEDULE", f"0 {far.hour} * * *")
    monkeypatch.setenv("WEFT_BACKUP_VERIFY", "false")
    first: dict[str, Any] = weft("backup", "--due", json_=True).json()
    assert first["made"] is not None
    again = weft("backup", "--due", json_=True).json()
    assert (again["due"], again["made"]) == (False, None)
    assert "The next is due" in weft("backup", "--due").out


def test_what_is_held_is_named_with_the_command_that_lets_it_go() -> None:
    one = uuid4()
    held = [Held("invoices", "nightly", uuid4()), Held("reports", "weekly", uuid4())]
    said = _tenant_text(Plan("20261125T020000Z-4f2a9c01", one, one, "ada", held_schedules=held, done=True))
    assert "2 schedules are off" in said
    assert "`weft workflow trigger enable`" in said
    assert "  invoices: nightly\n  reports: weekly" in said


def test_refusals_are_problems(weft: Weft) -> None:
    refused = weft("verify", "19990101", json_=True)
    assert refused.code == 5
    assert json.loads(refused.err)["type"] == "backup_not_found"
