"""The PostgreSQL that weft brings along, so that `weft up` needs nothing else.

One server per home directory, reached through a socket in a directory that only we enter; it listens on no
address. It is our child: it stops with us, even when we are killed, and what a crash left behind (a stale
`postmaster.pid`, a server that is still stopping) is tidied by the next start. The package's own launcher is not
used: it opens other people's directories, trusts every connection and leaves the server behind.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from weft.core.errors import Unavailable
from weft.ops import postgres_files as files
from weft.ops import postgres_user
from weft.ops.home import Home, HomeLock
from weft.ops.postgres_files import PORT, SUPERUSER, Programs, ServerOptions
from weft.ops.postgres_user import RunAs
from weft.ops.processes import LINUX, command_of, dies_with_us, is_alive

_POLL = 0.005
_LARGEST_LOG = 8 * 1024 * 1024


class ServerDidNotStart(Unavailable):
    code = "server_did_not_start"

    def __init__(self, log: Path, said: str) -> None:
        super().__init__(f"The embedded PostgreSQL did not start. Its log ({log}) ends with:\n{said.strip()}")


@dataclass(frozen=True, slots=True)
class ConnectionFacts:
    """How to reach a running server."""

    sockets: Path
    password: str | None
    pid: int

    def dsn(self, user: str, password: str | None, database: str) -> str:
        """A connection string of one role, for asyncpg and (with its driver's name) for SQLAlchemy."""
        secret = f":{quote(password, safe='')}" if password else ""
        place = quote(str(self.sockets), safe="")
        return f"postgresql://{quote(user, safe='')}{secret}@/{quote(database, safe='')}?host={place}&port={PORT}"

    @property
    def superuser_dsn(self) -> str:
        return self.dsn(SUPERUSER, self.password, "postgres")


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What `postmaster.pid` says, checked against the process itself."""

    pid: int | None
    ready: bool
    sockets: Path | None = None

    @property
    def running(self) -> bool:
        return self.pid is not None


class EmbeddedPostgres:
    """The server of one home directory; a context manager that starts and stops it.

    Start it from the main thread: the kernel ties the server's life to the thread that started it.
    """

    def __init__(
        self, home: Path | Home, *, options: ServerOptions | None = None, lock: HomeLock | None = None
    ) -> None:
        """`lock` is the home's lock if the caller holds it already; then the caller also releases it."""
        self.home = home if isinstance(home, Home) else Home(home)
        self._options = options or ServerOptions()
        self._server: _Server | None = None
        self._lock = lock
        self._lock_is_ours = lock is None

    def __enter__(self) -> ConnectionFacts:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> ConnectionFacts:
        """Start the server, making its data directory at first, and wait until it answers.

        Starting a running server only repeats the facts; starting one that crashed recovers it. Raises
        `HomeInUse`, `DataVersionDiffers`, `DiskFull` or `ServerDidNotStart`, each before anything is harmed.
        """
        if self._server is not None and self._server.is_running():
            return self._facts(self._server)
        if self._lock is None:
            self.home.ensure()
            self._lock = self.home.lock()
        try:
            self._server = self._start()
        except BaseException:
            self._server = None
            self._release()
            raise
        return self._facts(self._server)

    def stop(self, *, timeout: float = 30.0) -> None:
        """Stop the server (open transactions roll back) and free the directory; harmless when nothing runs."""
        if self._server is not None:
            self._server.stop(timeout=timeout)
            self._server = None
        self._release()

    def status(self) -> ServerStatus:
        """What runs on this home's data, whoever started it."""
        return status_of(self.home.data)

    def is_running(self) -> bool:
        """Whether the server that we started still lives."""
        return self._server is not None and self._server.is_running()

    def _start(self) -> _Server:
        home, programs = self.home, Programs.embedded()
        files.refuse_full_disk(home.path)
        run_as = postgres_user.choose(home.data)
        programs.open_to(run_as)
        if (home.data / "PG_VERSION").exists():
            files.refuse_other_version(home.data, programs.major())
            postgres_user.let_in(home.data, run_as)
            clear_the_way(home.data)
            if not home.knows_password(SUPERUSER):
                self._choose_new_password(programs, run_as)
        else:
            files.create_data(
                programs, home.data, run_as, password=home.password(SUPERUSER), durable=self._options.durable
            )
        sockets = files.socket_directory(home.path / "run", run_as)
        files.write_settings(programs, home.data, sockets, self._options)
        server = _Server(programs, home.data, home.log, sockets, run_as)
        server.start()
        return server

    def _choose_new_password(self, programs: Programs, run_as: RunAs | None) -> None:
        """`credentials.json` is lost: whoever owns the data may set a new password while no server runs."""
        statement = f"alter role {SUPERUSER} password '{self.home.password(SUPERUSER)}';\n"
        command = [str(programs.postgres), "--single", "-D", str(self.home.data), "postgres"]
        files.run_program(command, run_as, input=statement)

    def _facts(self, server: _Server) -> ConnectionFacts:
        return ConnectionFacts(server.sockets, self.home.password(SUPERUSER), server.pid)

    def _release(self) -> None:
        if self._lock is not None and self._lock_is_ours:
            self._lock.release()
            self._lock = None


def find_running(home: Home) -> ConnectionFacts | None:
    """The server of a home directory that another process keeps running, if there is one."""
    found = status_of(home.data)
    if found.pid is None or found.sockets is None or not found.ready:
        return None
    return ConnectionFacts(found.sockets, home.password(SUPERUSER), found.pid)


@contextlib.contextmanager
def ephemeral_cluster(directory: Path, *, programs: Programs | None = None) -> Iterator[ConnectionFacts]:
    """A throw-away server in `directory`: fast, forgetful (no fsync), every role believed without a password.

    For tests and drafts. `programs` chooses another build than the embedded one.
    """
    programs = programs or Programs.embedded()
    data = directory / "data"
    run_as = postgres_user.choose(data)
    programs.open_to(run_as)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (data / "PG_VERSION").exists():
        files.create_data(programs, data, run_as, password=None, durable=False)
    postgres_user.let_in(data, run_as)
    clear_the_way(data)
    sockets = files.socket_directory(directory / "run", run_as)
    options = ServerOptions(durable=False, max_connections=200, shared_buffers="64MB")
    files.write_settings(programs, data, sockets, options)
    server = _Server(programs, data, directory / "postgres.log", sockets, run_as)
    server.start()
    try:
        yield ConnectionFacts(sockets, None, server.pid)
    finally:
        server.stop(timeout=10.0, patient=False)


@contextlib.contextmanager
def serving(
    programs: Programs, data: Path, log: Path, sockets: Path, *, arguments: Sequence[str], timeout: float
) -> Iterator[ConnectionFacts]:
    """Run a server on data that somebody else prepared, with settings that only hold now; from the main thread.

    `timeout` is how long it may take to be ready: recovery to a moment replays what may be days. Raises
    `ServerDidNotStart`.
    """
    server = _Server(programs, data, log, sockets, postgres_user.choose(data), arguments)
    server.start(timeout=timeout)
    try:
        yield ConnectionFacts(sockets, None, server.pid)
    finally:
        server.stop(timeout=60.0)


def status_of(data: Path) -> ServerStatus:
    """Whether a server runs on a data directory. A stale or reused process id does not count."""
    lines = _pid_file(data)
    if len(lines) < 2 or not lines[0].lstrip("-").isdigit():
        return ServerStatus(None, ready=False)
    pid = abs(int(lines[0]))
    if not is_alive(pid) or not _serves(pid, data):
        return ServerStatus(None, ready=False)
    # Lines: pid, data directory, start, port, socket directory, address, shared memory, state.
    sockets = Path(lines[4]) if len(lines) > 4 and lines[4] else None
    return ServerStatus(pid, ready=len(lines) > 7 and lines[7].strip() == "ready", sockets=sockets)


def clear_the_way(data: Path) -> None:
    """Before a start, under the home's lock: end a server that lost its supervisor, disarm a stale `postmaster.pid`."""
    left = status_of(data)
    if left.pid is not None:
        _end(left.pid, timeout=30.0)
    lines = _pid_file(data)
    if lines and lines[0].isdigit() and is_alive(int(lines[0])):
        # The id now belongs to somebody else, and PostgreSQL would refuse. With its parent's id in the file it
        # goes on to what matters, whether a backend is still attached to the shared memory; removing the file
        # would skip that check.
        lines[0] = str(os.getpid())
        files.replace_in_data(data / "postmaster.pid", "\n".join(lines) + "\n")


class _Server:
    """One server process."""

    def __init__(
        self,
        programs: Programs,
        data: Path,
        log: Path,
        sockets: Path,
        run_as: RunAs | None,
        arguments: Sequence[str] = (),
    ) -> None:
        self.sockets = sockets
        self._arguments = arguments
        self._programs = programs
        self._data = data
        self._log = log
        self._run_as = run_as
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server was started"  # noqa: S101 - a fact, for the type checker
        return self._process.pid

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, *, timeout: float = 60.0) -> None:
        """Wait until the server is ready. Recovery after a crash counts: hence the minute."""
        _rotate(self._log)
        deadline = time.monotonic() + timeout
        while True:
            said_before = self._log.stat().st_size if self._log.exists() else 0
            self._spawn()
            if self._becomes_ready(deadline):
                return
            said = _text_from(self._log, said_before)
            # Backends of a killed server need a moment to notice that it is gone.
            if "shared memory block" in said and time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            self.stop(timeout=5.0, patient=False)
            raise ServerDidNotStart(self._log, "\n".join(said.strip().splitlines()[-6:]))

    def stop(self, *, timeout: float, patient: bool = True) -> None:
        """Fast shutdown, with a checkpoint when `patient`; then harder."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        orders = [signal.SIGINT] if patient else []
        for order in (*orders, signal.SIGQUIT, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(order)
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                continue
            return

    def _spawn(self) -> None:
        descriptor = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [str(self._programs.postgres), "-D", str(self._data), *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                cwd="/",
                env=files.environment(),
                start_new_session=True,  # Ctrl-C in a terminal is for the supervisor, which stops us last
                preexec_fn=dies_with_us(signal.SIGINT),
                **files.identity(self._run_as),
            )
        finally:
            os.close(descriptor)

    def _becomes_ready(self, deadline: float) -> bool:
        while time.monotonic() < deadline:
            lines = _pid_file(self._data)
            if len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() == "ready":
                return True
            if not self.is_running():
                return False
            time.sleep(_POLL)
        return False


def _end(pid: int, *, timeout: float) -> None:
    """Stop a server that is not our child."""
    for order in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, order)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if not is_alive(pid):
                return
            time.sleep(_POLL)


def _pid_file(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return []


def _serves(pid: int, data: Path) -> bool:
    if LINUX:
        try:
            return Path(f"/proc/{pid}/cwd").samefile(data)
        except OSError:
            return False
    return "postgres" in command_of(pid)


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > _LARGEST_LOG:
        log.replace(log.with_suffix(".log.1"))


def _text_from(log: Path, offset: int) -> str:
    with log.open("rb") as file:
        file.seek(offset)
        return file.read().decode(errors="replace")
