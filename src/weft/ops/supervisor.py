"""Keeps a few child processes alive, and ends them in order.

One thread and one `select`: signals arrive as bytes on a pipe, so that a child that dies is noticed at once and not
at the next tick. Children stand in process groups of their own: Ctrl-C reaches us alone, and we tell them. They are
tied to our life by the kernel (`dies_with_us`), so that even kill -9 leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType, TracebackType
from typing import Self

from weft.core.errors import Unavailable
from weft.ops.processes import dies_with_us

HEALTHY_SECONDS = 20.0
"""A child that lived this long has started well: its earlier failures are forgotten."""

PAUSES = (0.1, 0.3, 1.0, 2.0, 5.0)
"""Seconds before each restart in a row; one more quick failure and we give up."""

PATIENT_PAUSE = 60.0
"""Seconds between restarts of a child that is not essential and keeps failing."""

REFUSALS = frozenset({2, 3, 4, 5, 6})
"""Exit codes by which a child refuses to start (`weft.cli.output`): trying again changes nothing."""


class ChildKeepsFailing(Unavailable):
    code = "child_keeps_failing"

    def __init__(self, name: str, ending: str, *, refused: bool) -> None:
        reason = "refused to start" if refused else "keeps failing"
        super().__init__(
            f"The {name} process {reason} ({ending}); its own lines above say why. Everything was stopped."
        )


@dataclass(slots=True)
class Child:
    """One process that must run."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    essential: bool = True
    """Whether its failure is the installation's. What is not is started again for as long as it takes, more slowly."""
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    restart_at: float | None = None

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process is not None and self.process.poll() is None else None

    def start(self) -> None:
        self.restart_at = None
        self.started = time.monotonic()
        self.process = subprocess.Popen(  # noqa: S603 - our own command
            list(self.command),
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            process_group=0,
            preexec_fn=dies_with_us(signal.SIGTERM),
        )


class Signals:
    """Turns SIGINT, SIGTERM, SIGHUP and SIGCHLD into something to wait for. `stops` counts requests to stop."""

    def __init__(self) -> None:
        self.stops = 0
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        wanted = [signal.SIGINT, signal.SIGTERM, signal.SIGCHLD]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup means it
            wanted.append(signal.SIGHUP)
        self._before = {number: signal.signal(number, self._handle) for number in wanted}
        self._wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._reader)
        os.close(self._writer)

    def wait(self, seconds: float) -> None:
        """Until a signal comes, at most so long."""
        select.select([self._reader], [], [], max(0.0, seconds))
        with contextlib.suppress(BlockingIOError):
            while os.read(self._reader, 512):
                pass

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self.stops += 1


@dataclass
class Supervisor:
    """Runs `children` until a signal asks it to stop.

    `tend` is called every time round with the time, and says in how many seconds it wants to be called again:
    the database's own restart and the wait for readiness live there. `changed` hears of every start.
    """

    signals: Signals
    children: Sequence[Child]
    tend: Callable[[float], float]
    changed: Callable[[], None]
    say: Callable[[str], None]
    drain_seconds: float = 10.0
    _hurried: bool = field(default=False, init=False)

    def run(self) -> None:
        """Start, watch, restart; comes back when asked to stop. Raises `ChildKeepsFailing` when it is hopeless.

        Either way all children have ended when it comes back.
        """
        try:
            for child in self.children:
                child.start()
            self.changed()
            while not self.signals.stops:
                now = time.monotonic()
                pause = min([self.tend(now), *(self._watch(child, now) for child in self.children)])
                if not self.signals.stops:
                    self.signals.wait(pause)
        finally:
            self.stop()

    def stop(self) -> None:
        """SIGTERM, time to drain, then SIGKILL. A second signal ends the patience."""
        patience = max(1, self.signals.stops)
        running = [child for child in self.children if child.pid is not None]
        _send(running, signal.SIGTERM)
        deadline = time.monotonic() + self.drain_seconds
        while running and time.monotonic() < deadline and self.signals.stops <= patience:
            self.signals.wait(min(0.5, deadline - time.monotonic()))
            running = [child for child in running if child.pid is not None]
        if running:
            names = ", ".join(child.name for child in running)
            self.say(f"not waiting for the {names} any longer; what it was doing is taken up at the next start")
            _send(running, signal.SIGKILL)
        for child in running:
            if child.process is not None:
                child.process.wait()

    def _watch(self, child: Child, now: float) -> float:
        """Look after one child; in how many seconds to look again (a death wakes us earlier)."""
        if child.pid is not None:
            if child.failures and now - child.started > HEALTHY_SECONDS:
                child.failures = 0
            return HEALTHY_SECONDS
        if child.restart_at is None:
            child.restart_at = now + self._pause_after_failure(child, now)
        if now < child.restart_at:
            return child.restart_at - now
        child.start()
        self.changed()
        return HEALTHY_SECONDS

    def _pause_after_failure(self, child: Child, now: float) -> float:
        status = child.process.returncode if child.process is not None else 0
        quick = now - child.started < HEALTHY_SECONDS
        child.failures = child.failures + 1 if quick else 1
        if not child.essential:
            pause = PAUSES[child.failures - 1] if child.failures <= len(PAUSES) else PATIENT_PAUSE
            self.say(f"the {child.name} ended ({_ending(status)}); starting it again in {pause:g} s")
            return pause
        refused = status in REFUSALS and quick
        if refused or child.failures > len(PAUSES):
            raise ChildKeepsFailing(child.name, _ending(status), refused=refused)
        pause = PAUSES[child.failures - 1]
        self.say(f"the {child.name} ended ({_ending(status)}); starting it again in {pause:g} s")
        return pause


def _send(children: Sequence[Child], order: signal.Signals) -> None:
    for child in children:
        if child.process is not None:
            with contextlib.suppress(ProcessLookupError):
                child.process.send_signal(order)


def _ending(status: int) -> str:
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-status).name}"
    return f"exit code {status}"
