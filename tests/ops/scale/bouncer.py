"""A real PgBouncer in transaction mode before the tests' server, on a port of loopback, in a directory of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.conftest import PASSWORDS, TestDatabase
from tests.ports import free_port

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@dataclass(frozen=True)
class Bouncer:
    port: int
    process: subprocess.Popen[bytes]

    def dsn(self, database: str, user: str = "weft_app") -> str:
        return f"postgresql://{user}:{PASSWORDS[user]}@127.0.0.1:{self.port}/{database}"


@contextmanager
def bouncer(test_database: TestDatabase, *, connections: int) -> Iterator[Bouncer]:
    """`connections` is how many the pooler opens to the server for one role in one database."""
    assert PROGRAM is not None
    server = urlsplit(test_database.admin)
    host = parse_qs(server.query).get("host", [server.hostname or "127.0.0.1"])[0]
    port = parse_qs(server.query).get("port", [str(server.port or 5432)])[0]
    owner = Path(host).stat() if host.startswith("/") else None  # the socket's directory is closed to others
    with tempfile.TemporaryDirectory(prefix="weft-bouncer-", dir="/tmp") as place:
        free = free_port()
        _write(Path(place), f"* = host={host} port={port}", free, connections)
        run_as = {}
        if os.geteuid() == 0:  # PgBouncer does not run as root
            who = owner if owner is not None and owner.st_uid != 0 else None
            uid, gid = (who.st_uid, who.st_gid) if who is not None else (65534, 65534)
            for path in (place, *(str(p) for p in Path(place).iterdir())):
                os.chown(path, uid, gid)
            run_as = {"user": uid, "group": gid, "extra_groups": []}
        process = subprocess.Popen([PROGRAM, "-q", f"{place}/pgbouncer.ini"], cwd="/", **run_as)  # type: ignore[call-overload]  # a dict of options
        try:
            _until_it_listens(process, free, Path(place) / "log")
            yield Bouncer(free, process)
        finally:
            process.terminate()
            process.wait(60)


def _write(place: Path, databases: str, port: int, connections: int) -> None:
    (place / "users.txt").write_text("".join(f'"{role}" "{word}"\n' for role, word in PASSWORDS.items()))
    (place / "pgbouncer.ini").write_text(
        f"""[databases]
{databases}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {place}/users.txt
logfile = {place}/log
pool_mode = transaction
default_pool_size = {connections}
max_client_conn = 200
"""
    )
    for file in place.iterdir():
        file.chmod(0o600)


def _until_it_listens(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"PgBouncer does not listen: {log.read_text() if log.exists() else 'no log'}")
