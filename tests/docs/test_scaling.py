"""The guide on scaling: its commands work, its settings are taken, its sums are right."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest
from tests.docs.documents import DOCS, blocks
from tests.docs.test_first_steps import Shell
from tests.ops.scale.standby import pair

from weft.ops.scale.pools import Pools, demand, of_api, of_worker
from weft.settings import load_settings

PAGE = DOCS / "guides" / "scaling.md"


def test_the_commands_of_the_guide_work(tmp_path: Path) -> None:
    ran = 0
    with tempfile.TemporaryDirectory(prefix="weft-pair-") as place, pair(Path(place)) as both:
        shell = Shell(tmp_path)
        for block in blocks(PAGE):
            if block.kind == "file":
                continue  # it names servers that do not exist; the next test reads it
            if block.kind == "online":
                shell._environment |= {
                    "WEFT_DATABASE_URL": both.primary, "WEFT_DATABASE_REPLICA_URL": both.standby.app,
                }  # fmt: skip
            shell.run(block)
            ran += block.kind == "says"
    assert ran == 3


def test_the_pooler_s_settings_are_taken(tmp_path: Path) -> None:
    (block,) = [block for block in blocks(PAGE) if block.kind == "file"]
    (tmp_path / "weft.toml").write_text(block.text)
    database = load_settings({"HOME": str(tmp_path)}, directory=tmp_path).database
    assert database.pooler == "transaction"
    assert database.direct_url == database.listen_url
    assert database.direct_url != database.url


def row(process: str) -> Pools:
    found = re.search(rf"^\| {process} \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", PAGE.read_text(), re.MULTILINE)
    assert found is not None
    rooms, hot, listening, together = map(int, found.groups())
    assert rooms + hot + listening == together
    return Pools(rooms, hot, listening)


def test_the_sums_of_the_guide_are_right(tmp_path: Path) -> None:
    database = load_settings({"HOME": str(tmp_path)}, directory=tmp_path).database
    assert (row("API"), row("worker")) == (of_api(database), of_worker(database))
    said = re.search(r"3 . (\d+) \+ 4 . (\d+) = (\d+) connections", PAGE.read_text().replace("\n", " "))
    assert said is not None
    assert int(said[3]) == demand(database, api=3, workers=4, allowed=100).wanted
    assert (int(said[1]), int(said[2])) == (of_api(database).total, of_worker(database).total)


@pytest.mark.parametrize(("allowed", "fits"), [(104, True), (103, False)])
def test_what_does_not_fit_is_said(allowed: int, fits: bool, tmp_path: Path) -> None:
    database = load_settings({"HOME": str(tmp_path)}, directory=tmp_path).database
    sum_ = demand(database, api=3, workers=4, allowed=allowed)
    assert sum_.fits is fits
    assert sum_.sentence() == (f"3 API processes and 4 workers may open 104 connections; the server allows {allowed}.")
