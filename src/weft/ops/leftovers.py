"""Children of a `weft up` that was killed: on Linux they are stopping already, elsewhere nobody told them.

Either way they may hold the port and, worse, still run steps, so the next `weft up` waits for their end. (The
embedded server is tidied by its own next start.)
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable

from weft.ops.home import Home
from weft.ops.processes import is_alive, started_at

_POLL = 0.02


def end_leftovers(home: Home, patience: float, say: Callable[[str], None]) -> None:
    """Under the home's lock: tell what an earlier `weft up` left behind to stop; after `patience` seconds end it."""
    left = _left(home)
    if not left:
        return
    say("an earlier weft was killed; waiting for what it left behind")
    for order in (signal.SIGTERM, signal.SIGKILL):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, order)
        deadline = time.monotonic() + patience
        while left and time.monotonic() < deadline:
            time.sleep(_POLL)
            left = [pid for pid in left if is_alive(pid)]
        if not left:
            return


def _left(home: Home) -> list[int]:
    facts = home.last_run()
    starts = facts.get("starts") or {}
    return [
        pid
        for name, pid in (facts.get("pids") or {}).items()
        if name != "postgres" and isinstance(pid, int) and is_alive(pid) and started_at(pid) == starts.get(name)
    ]
