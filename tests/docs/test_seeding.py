"""The guide to seeding works as it is written, on a database of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.conftest import TestDatabase
from tests.docs.documents import DOCS, blocks
from tests.docs.test_first_steps import Shell


def test_the_whole_page_works(tmp_path: Path, test_database: TestDatabase) -> None:
    shell = Shell(tmp_path)
    shell._environment |= {"WEFT_DATABASE_URL": test_database.app, "WEFT_MASTER_KEY": "A" * 43}
    ran = 0
    for block in blocks(DOCS / "guides" / "seeding.md"):
        if block.kind == "seed":
            block = replace(block, words=("offline", *block.words[1:]))
            ran += 1
        shell.run(block)
    assert ran == 3
