"""The guide to simulation works as it is written, and its reference is current."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.conftest import TestDatabase
from tests.docs.documents import DOCS, Block, blocks
from tests.docs.test_first_steps import Shell, serving

from weft.engine.simulation import reference
from weft.ops import seed

SIGN_IN = "echo admin123 | weft login --email admin@example.com --password-stdin"
"""What the first steps have done before."""
PAGE = DOCS / "guides" / "simulation.md"


def test_the_whole_page_works(tmp_path: Path, test_database: TestDatabase) -> None:
    asyncio.run(seed.run(test_database.app, "development", ["ai-workflow-platform"], master_key=bytes(32)))
    ran = 0
    with serving(test_database.app) as url:
        shell = Shell(tmp_path, url)
        shell.run(Block(("online",), SIGN_IN, 0))
        for block in blocks(PAGE):
            shell.run(block)
            ran += block.kind in ("offline", "online")
    assert ran >= 7


def test_the_reference_is_written_from_the_code() -> None:
    page = (DOCS / "reference" / "simulation.md").read_text(encoding="utf-8")
    advice = "run: python -m weft.engine.simulation.reference > docs/reference/simulation.md"
    assert page == reference.reference(), advice
