"""The operating-system user under whom PostgreSQL runs when weft itself is started by root.

PostgreSQL refuses to run as root, rightly. So root gets an account of its own for it, which may enter exactly the
directories on the way to its data and its programs: an access control entry for that one account where the file
system knows them, else the right to pass through (never to list) for everybody. Nothing is made readable.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import stat
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from weft.core.errors import Unavailable

ACCOUNT = "weft-postgres"

_ACL = "system.posix_acl_access"
# linux/posix_acl_xattr.h: a version, then (tag, permissions, id) each; ids of unnamed entries are undefined.
_ACL_VERSION = 2
_ENTRY = struct.Struct("<HHI")
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_NO_ID = 0xFFFFFFFF
_ENTER = 1

_Entry = tuple[int, int, int]


class DatabaseAccountMissing(Unavailable):
    code = "database_account_missing"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"PostgreSQL does not run as root, and the account '{ACCOUNT}' for it could not be made ({reason}). "
            f"Make it (useradd --system {ACCOUNT}), start weft as an ordinary user, "
            "or point WEFT_DATABASE_URL at a server."
        )


@dataclass(frozen=True, slots=True)
class RunAs:
    """Whose process PostgreSQL becomes."""

    uid: int
    gid: int


def choose(data: Path) -> RunAs | None:
    """Who runs the server on `data`: None is whoever we are; under root the owner of the data, or our account."""
    if os.geteuid() != 0:
        return None
    if data.exists():
        owner = data.stat()
        if owner.st_uid != 0:
            return RunAs(owner.st_uid, owner.st_gid)
    return _account()


def hand_over(path: Path, run_as: RunAs | None) -> None:
    """Give one file or directory to the server's account; without one it is ours already."""
    if run_as is not None:
        os.chown(path, run_as.uid, run_as.gid)


def let_in(path: Path, run_as: RunAs | None) -> None:
    """Let the server's account reach `path` (resolved), through every directory above it."""
    if run_as is None:
        return
    for directory in reversed(path.resolve().parents):
        if not _may_enter(directory, run_as):
            _allow_entering(directory, run_as)


def _account() -> RunAs:
    for attempt in range(3):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(ACCOUNT)
            return RunAs(entry.pw_uid, entry.pw_gid)
        reason = _make_account()
        if reason and attempt == 2:
            raise DatabaseAccountMissing(reason)
    try:
        entry = pwd.getpwnam(ACCOUNT)
    except KeyError:
        raise DatabaseAccountMissing("it was made, but the system does not list it") from None
    return RunAs(entry.pw_uid, entry.pw_gid)


def _make_account() -> str:
    """Make the account with what the system has; why not, or nothing when it worked."""
    if program := shutil.which("useradd"):
        command = [program, "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
        command += ["--shell", "/usr/sbin/nologin", ACCOUNT]
    elif program := shutil.which("adduser"):  # busybox
        command = [program, "-S", "-D", "-H", "-s", "/sbin/nologin", ACCOUNT]
    else:
        return "neither useradd nor adduser is installed"
    made = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed arguments
    return "" if made.returncode == 0 else (made.stderr.strip() or f"{program} ended with {made.returncode}")


def _may_enter(directory: Path, run_as: RunAs) -> bool:
    facts = directory.stat()
    if facts.st_uid == run_as.uid:
        return bool(facts.st_mode & stat.S_IXUSR)
    entries = _entries(directory)
    mask = next((bits for tag, bits, _ in entries if tag == _MASK), 7)  # a later chmod narrows this, not the entry
    for tag, permissions, identifier in entries:
        if tag == _USER and identifier == run_as.uid:
            return bool(permissions & mask & _ENTER)
    return bool(facts.st_mode & stat.S_IXOTH)


def _allow_entering(directory: Path, run_as: RunAs) -> None:
    entries = [e for e in _entries(directory) if not (e[0] == _USER and e[2] == run_as.uid)]
    entries = [(tag, bits | _ENTER if tag == _MASK else bits, who) for tag, bits, who in entries]
    if not any(tag == _MASK for tag, _, _ in entries):
        group = next(bits for tag, bits, _ in entries if tag == _GROUP_OBJ)
        entries.append((_MASK, group | _ENTER, _NO_ID))
    entries.append((_USER, _ENTER, run_as.uid))
    packed = struct.pack("<I", _ACL_VERSION) + b"".join(
        _ENTRY.pack(*entry) for entry in sorted(entries, key=lambda entry: (entry[0], entry[2]))
    )
    try:
        os.setxattr(directory, _ACL, packed)
    except (OSError, AttributeError):  # no access control lists here
        directory.chmod(stat.S_IMODE(directory.stat().st_mode) | stat.S_IXOTH)


def _entries(path: Path) -> list[_Entry]:
    """The access control list of a path; made from its mode when it has none."""
    with contextlib.suppress(OSError, AttributeError):
        raw = os.getxattr(path, _ACL)
        return [(tag, bits, who) for tag, bits, who in _ENTRY.iter_unpack(raw[4:])]
    mode = path.stat().st_mode
    return [
        (_USER_OBJ, mode >> 6 & 7, _NO_ID),
        (_GROUP_OBJ, mode >> 3 & 7, _NO_ID),
        (_OTHER, mode & 7, _NO_ID),
    ]
