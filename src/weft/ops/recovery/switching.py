"""From the data directory that is to the one that was restored: both change places in one step, and both are kept."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from weft.ops.connections import connect
from weft.ops.home import Home, HomeInUse
from weft.ops.postgres import ConnectionFacts, status_of
from weft.ops.postgres_files import SUPERUSER
from weft.ops.processes import LINUX
from weft.ops.recovery import status
from weft.ops.recovery.errors import SwitchRefused
from weft.ops.roles import scram_verifier

_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2  # linux/fs.h


@dataclass(frozen=True, slots=True)
class Switched:
    """Where the directory that was used until now lies."""

    before: Path | None


async def take_over_password(facts: ConnectionFacts, home: Home) -> None:
    """Give the restored server's superuser the password that this home knows: it may come from another machine."""
    home.ensure()
    connection = await connect(facts.dsn(SUPERUSER, None, "postgres"))
    try:
        await connection.execute(f"alter role {SUPERUSER} password '{scram_verifier(home.password(SUPERUSER))}'")
    finally:
        await connection.close()


def refuse_running(home: Home) -> None:
    """Before the long work: a switch needs everything to be stopped."""
    if home.running() is not None or status_of(home.data).running:
        raise SwitchRefused("`weft up` runs here. Stop it (Ctrl-C, or its service), then repeat this.")


def switch(home: Home, data: Path, now: datetime) -> Switched:
    """Put `data` in the place of the home's data. The old one is kept beside it, named for the time."""
    home.ensure()
    try:
        lock = home.lock()
    except HomeInUse as error:
        raise SwitchRefused("`weft up` runs here. Stop it (Ctrl-C, or its service), then repeat this.") from error
    try:
        refuse_running(home)
        before: Path | None = None
        if home.data.exists():
            before = home.path / f"postgres.before-{now:%Y%m%dT%H%M%S}"
            _exchange(data, home.data)
            data.rename(before)
        else:
            data.rename(home.data)
        _sync(home.path)
        _set_spool_aside(home, now)
    finally:
        lock.release()
    return Switched(before)


def _exchange(new: Path, old: Path) -> None:
    """Two directories change names at once, so that a crash leaves one of them in the right place, never none."""
    if LINUX:
        libc = ctypes.CDLL(None, use_errno=True)
        rename = getattr(libc, "renameat2", None)
        if rename is not None and not rename(
            _AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(old), _RENAME_EXCHANGE
        ):
            return
    aside = old.with_name(f"{old.name}.switching")
    old.rename(aside)
    try:
        new.rename(old)
    except OSError:
        aside.rename(old)
        raise
    aside.rename(new)


def _set_spool_aside(home: Home, now: datetime) -> None:
    """WAL of the life that was left: not part of the one that begins. Kept, because it is the rest of that life."""
    place = status.directory(home.path)
    last = status.read(place)
    if last is not None and (spool := place / last.system).is_dir() and any(spool.iterdir()):
        spool.rename(place / f"{last.system}.before-{now:%Y%m%dT%H%M%S}")


def _sync(directory: Path) -> None:
    number = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


__all__ = ["Switched", "refuse_running", "switch", "take_over_password"]
