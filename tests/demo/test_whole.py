"""`weft demo` as a person runs it: a process, a real installation, an exit code."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from weft.ops.demo import examples
from weft.ops.demo.temporary import Temporary, TemporaryFailed, TemporaryLate

pytestmark = pytest.mark.slow


@pytest.fixture
def place() -> Iterator[Path]:
    """Where the demo keeps its weft. Not pytest's own directory, which the server's account may not enter."""
    with tempfile.TemporaryDirectory(prefix="weft-") as directory:
        yield Path(directory)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "weft", "demo", *arguments]


def environment(place: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WEFT_")}
    return {
        **kept,
        "TMPDIR": str(place),
        "WEFT_TENANT": "somewhere-else",
        "WEFT_DATABASE_URL": "postgresql://nowhere/x",
    }


def run(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), env=environment(place), cwd=place, capture_output=True, text=True, timeout=600, check=False
    )


def processes_of(place: Path) -> list[str]:
    """Command lines and environments of what still runs in that place."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if str(place).encode() in words and int(process.name) != os.getpid():
            found.append(words.decode(errors="replace"))
    return found


def assert_clean(place: Path) -> None:
    """Nothing runs and nothing lies there any more; what has been told to end may need a moment for it."""
    deadline = time.monotonic() + 30
    while left := [*processes_of(place), *map(str, place.glob("weft-demo-*"))]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def test_every_invoice_comes_out_as_expected_and_nothing_is_left(place: Path) -> None:
    done = run(place, "--json")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    report = json.loads(done.stdout)
    assert report["passed"] is True
    assert report["differences"] == []
    assert len(report["outcomes"]) == len(examples.load().invoices)
    numbers = report["numbers"]
    assert (numbers["bookings"], numbers["recognised"]) == (44, 1)
    assert (numbers["not_now"], numbers["retries"]) == (12, 10)
    tried = [line["attempt"] for line in report["journal"]["lines"] if line["step"] == "supplier"]
    assert tried == [1, 2, 3]
    assert any(line["step"] == "settle > book" for line in report["journal"]["lines"])
    assert report["audit"]["entries"] > 0
    assert_clean(place)


def test_a_tampered_expectation_makes_it_fail(place: Path) -> None:
    copy = Path(shutil.copytree(examples.directory(), place / "examples"))
    wanted: dict[str, Any] = json.loads((copy / "expected.json").read_text())
    wanted["invoices"]["001-paper"]["amount"] += 1
    (copy / "expected.json").write_text(json.dumps(wanted))
    done = run(place, "--examples", str(copy))
    assert done.returncode == 1, done.stdout[-3000:] + done.stderr
    assert "001-paper: expected amount 751.05; came amount 750.05" in done.stdout
    assert "Not everything is as expected" in done.stdout
    assert_clean(place)


@pytest.mark.parametrize("order", [signal.SIGINT, signal.SIGTERM])
def test_stopped_in_the_middle_it_leaves_nothing(place: Path, order: signal.Signals) -> None:
    copy = Path(shutil.copytree(examples.directory(), place / "examples"))
    ledger: dict[str, Any] = json.loads((copy / "ledger.json").read_text())
    # One supplier asks to be left alone for an hour: it does not end by itself before it has been told to.
    ledger["moods"]["/suppliers/S-1001"] = {"answers": 429, "times": 1000, "retry_after": 3600}
    (copy / "ledger.json").write_text(json.dumps(ledger))
    with subprocess.Popen(
        command("--examples", str(copy)),
        env=environment(place),
        cwd=place,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "sending the invoices" in line:
                process.send_signal(order)
                break
        said = process.stderr.read()
        assert process.wait(60) == 130
    assert "nothing of it is left" in said
    assert_clean(place)


def test_a_weft_that_refuses_to_start_is_quoted(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    with pytest.raises(TemporaryFailed, match="WEFT_HTTP_ALLOW"), Temporary(allow="no:place:at:all/x", say=print):
        pass
    assert_clean(place)


def test_a_weft_that_is_not_ready_in_time_is_taken_down(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    with pytest.raises(TemporaryLate, match="--here"), Temporary(allow="127.0.0.1:1", say=print, patience=0.5):
        pass
    assert_clean(place)


def test_without_invoices_it_says_what_to_do(place: Path) -> None:
    done = run(place, "--examples", str(place))
    assert done.returncode == 5
    assert "--examples" in done.stderr
