"""When maintenance is due, and who sees to it: `weft up`, which knows the owner's address and starts the command.

API and worker are told no way to change the schema (`weft.ops.children`), so the supervisor starts `weft db maintain`
as a child of its own. A worker that runs alone keeps the schedule itself if it was given the owner's address
(`weft.worker.loops.maintenance`). However many do: one at a time works, and what was done since is not repeated.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final

from weft.core.clock import Clock, utc_now
from weft.ops.processes import dies_with_us

if TYPE_CHECKING:
    from weft.settings_upkeep import MaintainSettings

SELDOM: Final = 60.0
"""Seconds between two looks at the wall clock, which somebody may set."""


def next_due(settings: MaintainSettings, after: datetime) -> datetime | None:
    """When the schedule wants it next; None without one."""
    if settings.schedule is None:
        return None
    from weft.domain.workflows.schedules import read

    return read({"cron": settings.schedule, "timezone": settings.timezone}, after).next_after(after)


class ScheduledCommand:
    """Starts `weft db maintain --due TIME` when it is due; `tend` it from time to time. Never two at once."""

    def __init__(
        self,
        settings: MaintainSettings,
        environment: Mapping[str, str],
        say: Callable[[str], None],
        *,
        clock: Clock = utc_now,
        start: Callable[..., subprocess.Popen[bytes]] = subprocess.Popen,
    ) -> None:
        self._settings = settings
        self._environment = dict(environment)
        self._say = say
        self._clock = clock
        self._start = start
        self._process: subprocess.Popen[bytes] | None = None
        self._due = next_due(settings, clock())

    def tend(self) -> float:
        """Start it if it is due; in how many seconds to look again."""
        if self._process is not None and (code := self._process.poll()) is not None:
            self._process = None
            if code:
                self._say(f"maintenance ended with exit code {code}; `weft db maintain --status` says more")
        now = self._clock()
        if self._due is None:
            return SELDOM
        if now < self._due:
            return min(SELDOM, (self._due - now).total_seconds())
        if self._process is None:
            self._process = self._start(
                [sys.executable, "-m", "weft", "db", "maintain", "--due", self._due.strftime("%Y-%m-%dT%H:%M:%S")],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                process_group=0,
                preexec_fn=dies_with_us(signal.SIGTERM),
            )
        self._due = next_due(self._settings, now)
        return SELDOM

    def stop(self) -> None:
        """Break it off: the next run does what this one did not come to."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
