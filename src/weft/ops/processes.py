"""What an operating system knows of processes, in the few words that the supervisor needs.

A process is named by its id *and* its start: ids are reused, the pair is not.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

LINUX = sys.platform.startswith("linux")

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_ENDED = ("Z", "X")  # proc(5): waited for by nobody yet, and on its way out


def is_alive(pid: int) -> bool:
    """Whether a process with this id exists and has not ended (a zombie has ended)."""
    if pid <= 0 or not _exists(pid):
        return False
    state = _stat_fields(pid)[:1]
    if not state:  # /proc says nothing here, or the process went this moment
        return _exists(pid)
    return state[0] not in _ENDED


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def started_at(pid: int) -> str:
    """An opaque stamp of when the process began; empty when the system does not tell or it is gone."""
    if LINUX:
        fields = _stat_fields(pid)
        return fields[19] if len(fields) > 19 else ""  # field 22 of proc(5): starttime
    return _ask_ps(pid, "lstart=")


def command_of(pid: int) -> str:
    """The program behind a process id, as far as we may know; empty when it is gone."""
    if LINUX:
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            return ""
    return _ask_ps(pid, "command=")


def dies_with_us(with_signal: signal.Signals) -> Callable[[], None] | None:
    """A `preexec_fn`: the kernel sends `with_signal` to the child when its parent ends, even by kill -9.

    Linux only, and only from the main thread: the kernel means the *thread* that started the child. Elsewhere
    None, and whoever starts next takes over what was left.
    """
    if not LINUX or threading.current_thread() is not threading.main_thread():
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def ask_the_kernel() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(with_signal), 0, 0, 0)
        if os.getppid() != parent:  # it died between the fork and the request
            os.kill(os.getpid(), signal.SIGKILL)

    return ask_the_kernel


def _stat_fields(pid: int) -> list[str]:
    """/proc/<pid>/stat after the program's name (which may hold spaces and brackets): state first."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _ask_ps(pid: int, column: str) -> str:
    answer = subprocess.run(  # noqa: S603 - a fixed program and a number
        ["/bin/ps", "-o", column, "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return answer.stdout.strip()
