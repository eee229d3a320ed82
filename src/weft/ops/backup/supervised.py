"""Backups by the clock under `weft up`: at its start and at every time of the schedule a child asks what is due.

The child (`weft db backup --due`) decides, locks and works; here it is only started, one at a time, and told to stop.
A child that failed is started again after a while. It is told the operator's addresses, which workers are not.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from weft.ops.backup.due import calendar
from weft.ops.processes import dies_with_us
from weft.settings import Settings

COMMAND: Final = (sys.executable, "-m", "weft", "db", "backup", "--due")
AGAIN: Final = timedelta(minutes=10)
"""How soon a child that failed is started again."""
LONGEST: Final = 60.0
"""Seconds after which the clock is looked at anew: it may have been set."""
PATIENCE: Final = 10.0

Start = Callable[[Sequence[str], Mapping[str, str]], "subprocess.Popen[bytes]"]


def _start(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own command
        list(command),
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        process_group=0,
        preexec_fn=dies_with_us(signal.SIGTERM),
    )


class ScheduledBackups:
    """`tend` it whenever something happens; it says in how many seconds it wants to be asked again."""

    def __init__(self, settings: Settings, now: datetime, say: Callable[[str], None], *, start: Start = _start) -> None:
        """Raises `BackupScheduleInvalid`."""
        self._calendar = calendar(settings, now)
        self._environment = {**os.environ, "WEFT_HOME": str(settings.home)}
        self._say = say
        self._start = start
        self._child: subprocess.Popen[bytes] | None = None
        self._next: datetime | None = now  # what was missed while nothing ran is caught up with

    def tend(self, now: datetime) -> float:
        if self._child is not None:
            code = self._child.poll()
            if code is None:
                return LONGEST  # its end wakes the supervisor
            self._child = None
            self._next = self._calendar.next_after(now)
            if code != 0:
                self._say(
                    f"the scheduled backup failed (exit code {code}); trying again in {AGAIN.seconds // 60} minutes"
                )
                self._next = now + AGAIN
        if self._next is None:
            return LONGEST
        if self._next <= now:
            self._child = self._start(COMMAND, self._environment)
            return LONGEST
        return min(LONGEST, (self._next - now).total_seconds())

    def stop(self) -> None:
        """End a backup that is being made; the next start makes it anew."""
        child, self._child = self._child, None
        if child is None or child.poll() is not None:
            return
        child.terminate()
        try:
            child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
