"""What was plain in a temporary folder is gone: at the end, or after kill -9 as soon as the next one begins."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from weft.ops.private_folders import LOCK, PREFIX, private_folder, sweep

CHILD = """
import sys
from weft.ops.private_folders import private_folder
with private_folder() as folder:
    (folder / "data").mkdir()
    (folder / "data" / "plain").write_text("secret")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def child(place: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD],
        env=os.environ | {"TMPDIR": str(place)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield process
        process.kill()


def test_it_is_ours_alone_and_gone_afterwards(place: Path) -> None:
    with contextlib.suppress(RuntimeError), private_folder() as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "deep" / "er").mkdir(parents=True)
        (folder / "deep" / "er" / "plain").write_text("secret")
        (folder / "away").symlink_to(place)
        raise RuntimeError
    assert list(place.iterdir()) == []


def test_it_may_lie_beside_what_it_is_for(place: Path) -> None:
    beside = place / "beside"
    left = beside / f"{PREFIX}left"
    (left / "work").mkdir(parents=True)
    (left / LOCK).touch()
    with private_folder(beside) as folder:
        assert (folder.parent, left.exists()) == (beside, False)
    assert list(beside.iterdir()) == []


def test_what_a_killed_process_left_goes_with_the_next_one(place: Path, child: subprocess.Popen[str]) -> None:
    assert child.stdout is not None
    left = Path(child.stdout.readline().strip())
    with private_folder() as folder:
        assert (left / "data" / "plain").read_text() == "secret", "its process lives"
        assert folder != left
    child.send_signal(signal.SIGKILL)
    child.wait()
    with private_folder() as folder:
        assert list(place.iterdir()) == [folder]


def test_what_is_not_ours_stays(place: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / LOCK).touch()
    (elsewhere / "data").touch()
    (place / f"{PREFIX}link").symlink_to(elsewhere)
    (place / f"{PREFIX}file").touch()
    without = place / f"{PREFIX}without-lock"
    without.mkdir()
    (without / "data").touch()
    (place / f"{PREFIX}empty").mkdir()
    sweep()
    assert {path.name for path in place.iterdir()} == {f"{PREFIX}link", f"{PREFIX}file", without.name}
    assert (elsewhere / "data").exists()


def test_a_sweep_that_was_killed_is_ended_by_the_next(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = place / f"{PREFIX}left"
    (left / "data").mkdir(parents=True)
    (left / LOCK).touch()
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", lambda *_, **__: None)  # a server still writes there
        sweep()
    assert (left / LOCK).exists()
    sweep()
    assert not left.exists()


def test_a_sweep_of_others_while_it_is_made_takes_nothing_away(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has its lock file, and does not hold it yet: another sweep takes it for one that was left."""
    flock, swept = fcntl.flock, [False]

    def held(descriptor: Any, operation: int) -> None:
        if not swept[0]:
            swept[0] = True
            sweep()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", held)
    with private_folder() as folder:
        assert list(place.iterdir()) == [folder]
        assert (folder / LOCK).exists()
    assert list(place.iterdir()) == []
