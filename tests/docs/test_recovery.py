"""The guide to recovery works as it is written, in a home of its own."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.docs.documents import DOCS, blocks
from tests.docs.test_first_steps import Shell


def test_the_guide_to_recovery_works_as_it_is_written() -> None:
    marked = blocks(DOCS / "guides" / "recovery.md")
    assert [block.kind for block in marked].count("offline") == 3
    # Not pytest's own directory: the server's account must be able to enter it.
    with tempfile.TemporaryDirectory(prefix="weft-docs-") as place:
        shell = Shell(Path(place))
        for block in marked:
            shell.run(block)
