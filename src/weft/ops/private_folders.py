"""Folders for what is plain for a while: a backup unpacked, a data directory, a tenant's rows.

Nothing runs after kill -9, so each folder has a lock file that its process holds, and the system lets go of. Whoever
makes a folder first removes those of which nobody holds the lock. They lie where the system keeps temporary files, or
beside what they are for.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PREFIX: Final = "weft-private-"
LOCK: Final = ".lock"


@contextlib.contextmanager
def private_folder(directory: Path | None = None) -> Iterator[Path]:
    """A folder that only we enter, gone afterwards; what processes left that were killed goes first."""
    sweep(directory)
    folder, lock = _made(directory)
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):  # the next one looks at it again
            _remove(folder)
        os.close(lock)


def sweep(directory: Path | None = None) -> None:
    """Remove the folders of processes that are no more. What cannot be removed is left for the next one."""
    for folder in (directory or Path(tempfile.gettempdir())).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            facts = folder.lstat()
            if facts.st_uid != os.geteuid() or not stat.S_ISDIR(facts.st_mode):
                continue
            if (lock := _held(folder, os.O_RDWR)) is not None:
                try:
                    _remove(folder)
                finally:
                    os.close(lock)


def _made(directory: Path | None) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=directory))
        # Somebody's sweep may come between each of these steps, and takes the folder for one that was left.
        with contextlib.suppress(FileNotFoundError):
            lock = _held(folder, os.O_RDWR | os.O_CREAT)
            if lock is not None and _is_there(folder / LOCK, lock):
                return folder, lock
            if lock is not None:
                os.close(lock)


def _held(folder: Path, how: int) -> int | None:
    """Its lock, taken; None when another holds it. A folder that never got a lock file is empty, and goes here."""
    try:
        lock = os.open(folder / LOCK, how | os.O_NOFOLLOW, 0o600)
    except FileNotFoundError:
        folder.rmdir()
        raise
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _is_there(path: Path, descriptor: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False


def _remove(folder: Path) -> None:
    """The lock file last: without it nobody would look at what is left."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        elif entry.name != LOCK:
            entry.unlink(missing_ok=True)
    if [entry.name for entry in folder.iterdir()] == [LOCK]:
        (folder / LOCK).unlink()
        folder.rmdir()
