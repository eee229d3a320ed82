"""The pages of the API on a telephone, in a real Chromium: nothing is wider than the screen."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.api.conftest import Whole
from tests.studio import chromium

from weft.api.pages import STYLE

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(chromium.PROGRAM is None, reason="no Chromium is installed"),
]


@pytest.mark.parametrize("address", ["/docs", "/errors/cursor_invalid"])
async def test_nothing_is_wider_than_the_screen(address: str, whole: Whole, tmp_path: Path) -> None:
    async with whole.client({"Accept": "text/html"}) as client:
        text = (await client.get(address)).text
    text = text.replace('<link rel="stylesheet" href="/docs/style.css">', f"<style>{STYLE}</style>")
    file = tmp_path / "page.html"
    file.write_text(text.replace("<details ", "<details open "), encoding="utf-8")
    async with chromium.page(tmp_path / "browser") as page:
        await page.size(390, 800)
        await page.go(file.as_uri())
        assert await page.run("document.styleSheets.length") == 1
        assert await page.run("document.documentElement.scrollWidth") <= 390
