"""The examples about long lists and large values work as they are written."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.conftest import TestDatabase
from tests.docs.documents import DOCS, blocks
from tests.docs.test_first_steps import Shell, serving

from weft.ops import seed

PAGES = ("workflows.md", "executions.md")


@pytest.mark.parametrize("name", PAGES)
def test_the_examples_of_a_guide_work(name: str, tmp_path: Path, test_database: TestDatabase) -> None:
    asyncio.run(seed.run(test_database.app, "development", ["ai-workflow-platform"], master_key=bytes(32)))
    ran = 0
    with serving(test_database.app) as url:
        shell = Shell(tmp_path, url)
        for block in blocks(DOCS / "guides" / name):
            shell.run(block)
            ran += block.kind == "says"
    assert ran >= 1
