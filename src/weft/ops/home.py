"""One installation's directory: the embedded database, its passwords, the master key, and what runs at the moment.

credentials.json   passwords of the database roles, made once       only we may read it
master_key         from which weft derives its other keys           only we may read it
postgres/          the embedded PostgreSQL's data
postgres.log       what that server says
lock               held by the one `weft up` that uses the directory
run.json           address and process ids while `weft up` runs
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import stat
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weft.core.errors import Conflict, Unavailable
from weft.ops.processes import command_of, is_alive, started_at


class HomeInUse(Conflict):
    code = "home_in_use"

    def __init__(self, home: Path, pid: int | None) -> None:
        who = f"process {pid}" if pid else "another process"
        super().__init__(
            f"Another weft ({who}) uses {home}. Use that one, stop it first, "
            "or give this one a directory of its own with WEFT_HOME."
        )
        self.pid = pid


class HomeNotWritable(Unavailable):
    code = "home_not_writable"

    def __init__(self, home: Path, reason: str) -> None:
        super().__init__(
            f"weft keeps its data in {home}, but cannot write there ({reason}). "
            "Make it yours, or choose another directory with WEFT_HOME."
        )


@dataclass(frozen=True, slots=True)
class Home:
    """Paths of an installation, and the small files that it keeps."""

    path: Path

    @property
    def data(self) -> Path:
        return self.path / "postgres"

    @property
    def log(self) -> Path:
        return self.path / "postgres.log"

    @property
    def lock_file(self) -> Path:
        return self.path / "lock"

    @property
    def run_file(self) -> Path:
        return self.path / "run.json"

    @property
    def credentials_file(self) -> Path:
        return self.path / "credentials.json"

    @property
    def master_key_file(self) -> Path:
        return self.path / "master_key"

    def ensure(self) -> None:
        """Make the directory, for us alone; refuse one in which we cannot write."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            raise HomeNotWritable(self.path, error.strerror or str(error)) from error

    def password(self, role: str) -> str:
        """The password of a database role; the first question makes it."""
        known = _read_json(self.credentials_file)
        if role not in known:
            known[role] = secrets.token_urlsafe(32)
            write_private(self.credentials_file, json.dumps(known, indent=2) + "\n")
        return str(known[role])

    def knows_password(self, role: str) -> bool:
        return role in _read_json(self.credentials_file)

    def ensure_master_key(self) -> Path:
        """The file with this installation's master key (32 random bytes, base64); made once, never replaced."""
        if not self.master_key_file.exists():
            write_private(self.master_key_file, secrets.token_urlsafe(32) + "\n")
        return self.master_key_file

    def write_run(self, facts: dict[str, Any]) -> None:
        """Say what runs, for commands that look for it."""
        write_private(self.run_file, json.dumps(facts, indent=2) + "\n")

    def running(self) -> dict[str, Any] | None:
        """What `weft up` wrote about itself, if the process that wrote it still lives."""
        facts = self.last_run()
        pid = facts.get("pid")
        if not isinstance(pid, int) or not is_alive(pid) or facts.get("started") != started_at(pid):
            return None
        return facts

    def last_run(self) -> dict[str, Any]:
        """What `weft up` wrote last, whether it still lives or was killed; empty after a clean end."""
        return _read_json(self.run_file)

    def forget_run(self) -> None:
        self.run_file.unlink(missing_ok=True)

    def lock(self) -> HomeLock:
        """Take the directory for this process, or raise `HomeInUse`. The system frees it if we are killed."""
        return HomeLock(self)


class HomeLock:
    """Held from construction to `release()`."""

    def __init__(self, home: Home) -> None:
        self._descriptor = os.open(home.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = _holder(self._descriptor)
            os.close(self._descriptor)
            raise HomeInUse(home.path, holder) from None
        os.ftruncate(self._descriptor, 0)
        content = {"pid": os.getpid(), "started": started_at(os.getpid()), "since": int(time.time())}
        os.pwrite(self._descriptor, json.dumps(content).encode(), 0)
        self._held = True

    def release(self) -> None:
        if self._held:
            self._held = False
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; nobody else can read it, and a crash leaves the old or the new one."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w") as file:  # mkstemp makes it 0600
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def is_private(path: Path) -> bool:
    """Whether a secret's file is closed to the group and to others."""
    return not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)


def _holder(descriptor: int) -> int | None:
    with contextlib.suppress(ValueError):
        facts = json.loads(os.pread(descriptor, 4096, 0))
        pid = int(facts["pid"])
        if is_alive(pid) and command_of(pid):
            return pid
    return None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
