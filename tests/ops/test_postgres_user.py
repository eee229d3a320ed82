"""Under root the server gets an account of its own, which may pass but not look."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from weft.ops import postgres_user
from weft.ops.postgres_user import DatabaseAccountMissing, RunAs

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root starts programs as another user")
SOMEBODY = RunAs(54321, 54321)


@pytest.fixture
def outside() -> Iterator[Path]:
    """Not pytest's own: every pytest that starts closes that one. And on the disk, as the data of an installation."""
    with tempfile.TemporaryDirectory(prefix="weft-account-", dir="/tmp") as directory:
        yield Path(directory)


def can_stat(path: Path) -> bool:
    """Whether that account reaches a file."""
    done = subprocess.run(
        ["/usr/bin/stat", str(path)],
        user=SOMEBODY.uid,
        group=SOMEBODY.gid,
        extra_groups=[],
        capture_output=True,
        cwd="/",
    )
    return done.returncode == 0


def can_list(path: Path) -> bool:
    done = subprocess.run(
        ["/bin/ls", str(path)], user=SOMEBODY.uid, group=SOMEBODY.gid, extra_groups=[], capture_output=True, cwd="/"
    )
    return done.returncode == 0


@as_root
def test_it_may_enter_what_is_on_the_way_and_read_nothing(outside: Path) -> None:
    outer = outside / "closed"
    inner = outer / "also closed"
    inner.mkdir(parents=True)
    (inner / "file").write_text("")
    outer.chmod(0o700)
    inner.chmod(0o700)
    assert not can_stat(inner / "file")

    postgres_user.let_in(inner / "file", SOMEBODY)
    postgres_user.let_in(inner / "file", SOMEBODY)
    assert can_stat(inner / "file")
    assert not can_list(outer)
    assert outer.stat().st_mode & stat.S_IRWXO == 0, "nobody else was let in"

    outer.chmod(0o700)  # which masks the entry
    assert not can_stat(inner / "file")
    postgres_user.let_in(inner / "file", SOMEBODY)
    assert can_stat(inner / "file")


@as_root
def test_without_access_lists_everybody_may_pass_but_not_list(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_arguments: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "setxattr", unsupported)
    closed = outside / "closed"
    closed.mkdir(mode=0o700)
    (closed / "file").write_text("")
    for directory in (closed, outside):
        postgres_user.let_in(directory / "x", SOMEBODY)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o701
    assert not can_list(closed)


@as_root
def test_data_keeps_the_owner_it_has(tmp_path: Path) -> None:
    data = tmp_path / "postgres"
    data.mkdir()
    os.chown(data, SOMEBODY.uid, SOMEBODY.gid)
    assert postgres_user.choose(data) == SOMEBODY


def test_an_ordinary_user_runs_it_as_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert postgres_user.choose(tmp_path) is None


def test_a_machine_without_a_way_to_make_accounts_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(postgres_user, "ACCOUNT", "weft-no-such-account")
    monkeypatch.setattr("shutil.which", lambda _name: None)
    with pytest.raises(DatabaseAccountMissing, match="useradd --system weft-no-such-account"):
        postgres_user.choose(tmp_path / "postgres")
