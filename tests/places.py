"""Where tests put what they throw away: in memory, where there is room for it.

A database is made and dropped for each of thousands of tests, 600 files at a time. On a disk that costs 150 to 450 ms,
in memory 40. What a test keeps in `tmp_path` stays on the disk: pytest leaves the last of it for people to look at.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

import psutil

MEMORY: Final = Path("/dev/shm")  # noqa: S108  what is made there has a name of tempfile
NEEDED_BYTES: Final = 4 * 2**30
"""What the servers of one run may take, with much to spare; containers often have 64 MB there."""


def prefer_memory() -> None:
    """Let temporary directories, also of processes started from here, be in memory, unless TMPDIR says where."""
    if os.environ.get("TMPDIR") or not has_room():
        return
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    os.environ["TMPDIR"] = str(MEMORY)
    tempfile.tempdir = None


def is_memory(directory: Path) -> bool:
    return directory.resolve().is_relative_to(MEMORY)


def has_room() -> bool:
    if not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK | os.X_OK):
        return False
    return min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available) >= NEEDED_BYTES
