"""Whether a process lives, asked while it goes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from weft.ops import processes
from weft.ops.processes import is_alive


def test_one_that_runs_is_alive_and_one_that_has_ended_is_not() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert is_alive(process.pid)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody took note
        assert not is_alive(process.pid)
        process.wait()
        assert not is_alive(process.pid)


def test_one_that_goes_between_two_looks_is_not_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes note of its end may do so at any moment: then /proc has nothing of it any more."""
    fields = processes._stat_fields
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:

        def gone(pid: int) -> list[str]:
            process.kill()
            process.wait()
            return fields(pid)

        monkeypatch.setattr(processes, "_stat_fields", gone)
        assert not is_alive(process.pid)


def test_where_proc_says_nothing_the_id_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_stat_fields", lambda _pid: [])
    assert is_alive(os.getpid())
    assert not is_alive(0)
