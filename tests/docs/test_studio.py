"""The guide to the studio works as it is written; what it shows in pictures, tests/studio tries."""

from __future__ import annotations

from pathlib import Path

from tests.docs.documents import DOCS, blocks
from tests.docs.test_first_steps import Shell

PAGE = DOCS / "guides" / "studio.md"
LARGEST_PICTURE = 150_000


def test_the_refusal_is_the_one_that_the_page_shows(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    found = blocks(PAGE)
    for block in found:
        shell.run(block)
    assert [block.kind for block in found] == ["offline", "says"]


def test_its_pictures_are_there_and_small() -> None:
    pictures = list((DOCS / "pictures").glob("studio-*.png"))
    assert {picture.name for picture in pictures} == {"studio-list.png", "studio-row.png"}
    assert all(0 < picture.stat().st_size < LARGEST_PICTURE for picture in pictures)
