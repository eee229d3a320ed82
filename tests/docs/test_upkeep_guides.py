"""The guides about maintenance and monitoring work as they are written."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path

import pytest
from tests.conftest import TestDatabase
from tests.docs.documents import DOCS, blocks
from tests.docs.test_first_steps import Shell, serving
from tests.factories import identity

from weft.db.database import Database
from weft.ops.monitoring import checks
from weft.ops.upkeep.run import TASKS

MAINTENANCE = DOCS / "guides" / "maintenance.md"
MONITORING = DOCS / "guides" / "monitoring.md"


async def token_in(test_database: TestDatabase) -> str:
    """Somebody's token, in a tenant of theirs."""
    database = await Database.open(test_database.app, size=1, hot_size=1, master_key=bytes(32))
    try:
        owner = await identity.tenant(database, "acme")
        return (await identity.bearer(database, owner))["Authorization"].removeprefix("Bearer ")
    finally:
        await database.close()


def test_maintenance(test_database: TestDatabase, tmp_path: Path) -> None:
    asyncio.run(token_in(test_database))
    shell = Shell(tmp_path)
    shell._environment |= {
        "WEFT_DATABASE_URL": test_database.app,
        "WEFT_DATABASE_OWNER_URL": test_database.owner,
        "WEFT_METRICS_PORT": "0",
        "WEFT_WORKER_METRICS_PORT": "0",
    }
    marked = list(blocks(MAINTENANCE))
    assert sum(block.kind == "offline" for block in marked) == 3
    for block in marked:
        shell.run(block)


@pytest.mark.skipif(shutil.which("curl") is None, reason="the page uses curl, which is not installed here")
def test_monitoring(test_database: TestDatabase, tmp_path: Path) -> None:
    key = asyncio.run(token_in(test_database))
    with serving(test_database.app) as url:
        shell = Shell(tmp_path, url)
        shell._environment["WEFT_API_KEY"] = key
        marked = list(blocks(MONITORING))
        assert len(marked) == 2
        for block in marked:
            shell.run(block)


def test_every_task_and_every_check_has_its_line() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", MAINTENANCE.read_text(), re.MULTILINE)
    assert rows == list(TASKS)
    text = MONITORING.read_text()
    listed = re.findall(r"^\| ([a-z ]+) \|", text[text.index("| check |") :], re.MULTILINE)
    assert listed[1 : 1 + len(checks.names())] == list(checks.names())
