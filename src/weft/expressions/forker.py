"""The parent's end of the guard's processes: starting the forker, asking it for children, ending it."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import minijinja
import msgspec

from weft.expressions.errors import GuardUnavailable
from weft.expressions.guard_child import QUIT, REPORT, REQUEST

START_SECONDS = 20.0
"""How long a fork may take on a machine under heavy load; usually it is some milliseconds."""


class Forker:
    """One forker process. `lost` is called once when it ends without being asked to."""

    def __init__(self, *, memory_limit: int, answer_limit: int, cpu_limit: float, lost: Callable[[], None]) -> None:
        self._limits = [str(memory_limit), str(answer_limit), str(cpu_limit)]
        self._lost = lost
        self._reports: dict[int, asyncio.Future[int]] = {}
        self._buffer = b""
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process. The first `child` waits until it is ready. Raises GuardUnavailable."""
        mine, theirs = _pair()
        child = Path(__file__).with_name("guard_child.py")
        directories = {str(Path(module.__file__ or "").parent.parent) for module in (minijinja, msgspec)}
        command = [sys.executable, "-I", "-S", "-X", "utf8", str(child), str(theirs.fileno())]
        command += [str(child.parent), *self._limits, *directories]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own file, no shell, no tenant input
                command,
                pass_fds=(theirs.fileno(),),
                env={},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the parent, which ends the guard in its own time
            )
        except OSError as error:
            mine.close()
            raise GuardUnavailable(f"The guard's process cannot be started: {error}.") from error
        finally:
            theirs.close()
        self._control = mine
        asyncio.get_running_loop().add_reader(mine.fileno(), self._read)

    async def child(self, slot: int) -> tuple[socket.socket, int]:
        """A fresh child for the slot, in place of the one before. Gives its socket, and how that one ended.

        The second is a wait status, 0 when there was none. Raises GuardUnavailable.
        """
        control = self._control
        if control is None:
            raise GuardUnavailable("The guard's process is not running. Try again.")
        mine, theirs = _pair()
        report = asyncio.get_running_loop().create_future()
        self._reports[slot] = report
        try:
            with theirs:
                socket.send_fds(control, [REQUEST.pack(slot)], [theirs.fileno()])
            async with asyncio.timeout(START_SECONDS):
                status = await report
        except BaseException as error:
            mine.close()
            if isinstance(error, OSError):  # TimeoutError is one too
                raise GuardUnavailable("The guard cannot start a process now. Try again.") from error
            raise
        finally:
            self._reports.pop(slot, None)
        return mine, status

    def _read(self) -> None:
        control = self._control
        if control is None:
            return
        try:
            received = control.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            self._close_control()
            self._lost()
            return
        self._buffer += received
        while len(self._buffer) >= REPORT.size:
            slot, _, status = REPORT.unpack_from(self._buffer)
            self._buffer = self._buffer[REPORT.size :]
            report = self._reports.get(slot)
            if report is not None and not report.done():
                report.set_result(status)

    def _close_control(self) -> None:
        control, self._control = self._control, None
        if control is None:
            return
        asyncio.get_running_loop().remove_reader(control.fileno())
        control.close()
        for report in self._reports.values():
            if not report.done():
                report.set_exception(GuardUnavailable("The guard's process ended. Try again."))

    async def stop(self) -> None:
        """End the forker and all its children, and wait until they are gone."""
        if self._control is not None:
            with suppress(OSError):  # gone already, it may be
                # said aloud, because a copy of the socket in a forked process would keep it open
                self._control.send(REQUEST.pack(QUIT))
            self._close_control()
        process, self._process = self._process, None
        if process is not None:
            await asyncio.to_thread(_reap, process)


def _reap(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(timeout=2.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _pair() -> tuple[socket.socket, socket.socket]:
    try:
        mine, theirs = socket.socketpair()
    except OSError as error:
        raise GuardUnavailable(f"The guard cannot open a connection: {error}.") from error
    mine.setblocking(False)
    return mine, theirs
