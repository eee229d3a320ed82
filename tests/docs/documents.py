"""The documents of this repository, and the blocks in them that are marked as tested.

<!-- tested: file NAME -->           the block is the content of a file that later blocks use
<!-- tested: offline [exit N] -->    a shell script that needs no server
<!-- tested: online [curl] [exit N] -->    a shell script for a weft that answers at http://127.0.0.1:8080
<!-- tested: says -->                every line of the block stands somewhere in what the script before it said
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GENERATED = {
    "api.md",
    "cli.md",
    "definition.md",
    "drift.md",
    "errors.md",
    "patterns.md",
    "permissions.md",
    "seed-documents.md",
    "settings.md",
    "simulation.md",
    "steps.md",
}

_BLOCK = re.compile(r"<!-- tested: (?P<mark>.+?) -->\n```\w+\n(?P<text>.*?)\n```", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One marked block. `words` are those of its mark, `line` is where it stands."""

    words: tuple[str, ...]
    text: str
    line: int

    @property
    def kind(self) -> str:
        return self.words[0]

    @property
    def exit_code(self) -> int:
        return int(self.words[self.words.index("exit") + 1]) if "exit" in self.words else 0


def blocks(page: Path) -> list[Block]:
    """The marked blocks of a page, in order. Raises `ValueError` for a mark without a block after it."""
    text = page.read_text(encoding="utf-8")
    found = [
        Block(tuple(match["mark"].split()), match["text"], text.count("\n", 0, match.start()) + 1)
        for match in _BLOCK.finditer(text)
    ]
    if len(found) != text.count("<!-- tested:"):
        raise ValueError(f"{page.name} has a mark that no fenced block follows")
    return found


def pages() -> list[Path]:
    """Every page that people read, the generated ones included."""
    return [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]


def handwritten() -> list[Path]:
    return [page for page in pages() if page.name not in GENERATED]
