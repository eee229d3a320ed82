"""`weft demo --here`: what is refused before anything is made in somebody's installation."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from weft.cli import demo
from weft.cli.client import Client
from weft.ops.demo.examples import load
from weft.ops.demo.showcase import LedgerOutOfReach
from weft.ops.home import Home
from weft.ops.processes import started_at

HERE, ELSEWHERE = "http://127.0.0.1:1", "http://127.0.0.1:2"


@pytest.mark.parametrize(
    ("allowed", "url", "is_refused"),
    [
        ([], HERE, True),
        (["ledger.internal"], HERE, True),
        (["127.0.0.0/8"], HERE, False),
        ([], ELSEWHERE, False),
        (None, HERE, False),
    ],
)
def test_a_closed_ledger_is_known_beforehand(
    allowed: list[str] | None, url: str, is_refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`weft up` says which places its worker may call; of a weft elsewhere nothing is known."""
    monkeypatch.setenv("WEFT_HOME", str(tmp_path))
    facts: dict[str, Any] = {"url": HERE, "pid": os.getpid(), "started": started_at(os.getpid())}
    Home(tmp_path).write_run(facts if allowed is None else {**facts, "http_allow": allowed})
    with pytest.raises(LedgerOutOfReach, match=r"WEFT_HTTP_ALLOW=127\.0\.0\.1") if is_refused else nullcontext():
        demo._refuse_closed_ledger(Client(url), load(None))
