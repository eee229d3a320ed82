"""Hands a recovering server the WAL that it asks for: fetched, decrypted and unpacked a few segments ahead.

The server's `restore_command` is a few lines of shell that leave a note in a directory and wait for the file. Work
is done here, where the keys are: the server's account needs neither them nor our Python, and starting a program of
ours for each segment would cost more than replaying it.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from weft.core.errors import WeftError
from weft.ops.backup.errors import ArtefactMissing
from weft.ops.postgres_user import RunAs, hand_over, let_in
from weft.ops.recovery.errors import SegmentMissing
from weft.ops.recovery.plan import Reach
from weft.ops.recovery.segments import Segment, is_history
from weft.ops.recovery.vault import State, Vault

AHEAD: Final = 6
_KEPT_BEHIND: Final = 2
_POLL: Final = 0.01
_FAILED: Final = 200  # above 125 the server gives up instead of believing that the log ends here

_SCRIPT: Final = """#!/bin/sh
# Written by weft for one recovery. $1: the file that is wanted, $2: where to put it.
cd "${{0%/*}}" || exit {failed}
to=$2
: > "ask.$1" || exit {failed}
tries=0
while [ "$tries" -lt 72000 ]; do
  if [ -f "have.$1" ]; then rm -f "ask.$1"; cp "have.$1" "$to" || exit {failed}; exit 0; fi
  if [ -f "none.$1" ]; then rm -f "ask.$1"; exit 1; fi
  if [ -f "failed" ]; then exit {failed}; fi
  sleep 0.025; tries=$((tries + 1))
done
exit {failed}
"""


class Relay:
    """One recovery's; a context manager."""

    def __init__(
        self, vault: Vault, reach: Reach, place: Path, run_as: RunAs | None, *, fetched: Callable[[str], None]
    ) -> None:
        self._vault, self._reach, self._place, self._run_as = vault, reach, place, run_as
        self._fetched = fetched
        self._size = reach.base.segment_bytes
        self._state: State | None = None
        self._missing: set[str] = set()
        self._histories: frozenset[str] = frozenset()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="weft wal relay", daemon=True)
        self.error: Exception | None = None
        self.segments = 0

    def __enter__(self) -> Self:
        self._place.mkdir(mode=0o700, parents=True)
        hand_over(self._place, self._run_as)
        let_in(self._place, self._run_as)
        script = self._place / "fetch"
        script.write_text(_SCRIPT.format(failed=_FAILED))
        script.chmod(0o700)
        hand_over(script, self._run_as)
        # What is the newest is settled now: what the archiver brings later belongs to a later restore.
        # (A state that cannot be believed was said by whoever planned this.)
        self._state = self._vault.state([])
        self._histories = frozenset(self._vault.histories())
        if self._state is not None and self._state.partial is not None:
            self._bring_partial()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def position(self) -> int | None:
        """How far the archive went when this began."""
        return self._state.position if self._state is not None else None

    @property
    def command(self) -> str:
        """The server's `restore_command`."""
        quoted = str(self._place / "fetch").replace("'", "'\\''").replace("%", "%%")
        return f"/bin/sh '{quoted}' %f \"$PWD/%p\""

    def _run(self) -> None:
        last: Segment | None = None
        while not self._stop.is_set():
            try:
                asked = [path.name.removeprefix("ask.") for path in self._place.glob("ask.*")]
                for name in asked:
                    last = Segment.named(name, self._size) or last
                    self._bring(name)
                if last is None or not self._look_ahead(last):
                    self._stop.wait(_POLL)
            except (WeftError, OSError) as error:
                self.error = error
                (self._place / "failed").touch()
                return

    def _look_ahead(self, last: Segment) -> bool:
        """Bring one of the next segments; False when they are here."""
        for number in range(last.number + 1, min(last.number + AHEAD, self._reach.last.number) + 1):
            name = Segment(last.timeline, number).name(self._size)
            if not self._is_here(name):
                self._bring(name)
                return True
        behind = Segment(last.timeline, last.number - _KEPT_BEHIND)
        for path in self._place.glob("have.*"):
            segment = Segment.named(path.name.removeprefix("have."), self._size)
            if segment is not None and segment < behind:
                path.unlink(missing_ok=True)
        return False

    def _is_here(self, name: str) -> bool:
        return name in self._missing or (self._place / f"have.{name}").exists()

    def _bring(self, name: str) -> None:
        if (self._place / f"have.{name}").exists():
            return
        if name in self._missing or (is_history(name) and name not in self._histories):
            self._say_none(name)
            return
        try:
            self._fetch(name)
        except ArtefactMissing:
            self._nothing(name)

    def _fetch(self, name: str) -> None:
        piece = self._vault.piece(f"wal/{name}")
        hidden = self._place / f".{name}"
        with contextlib.ExitStack() as stack:
            stack.callback(lambda: hidden.unlink(missing_ok=True))
            with hidden.open("wb") as file:
                self._vault.open_to(piece, file)
            self._show(hidden, name)
        if not is_history(name):
            self.segments += 1
            self._fetched(name)

    def _bring_partial(self) -> None:
        """The beginning of the newest segment, at once: the archiver may replace it while the rest is replayed."""
        state = self._state
        if state is None or state.partial is None or state.partial_segment is None:
            return
        name = state.partial_segment.name(self._size)
        hidden = self._place / f".{name}"
        try:
            with hidden.open("wb") as file:
                self._vault.open_to(state.partial, file)
        except ArtefactMissing:  # replaced between the two: what it says now is newer
            self._state = self._vault.state()
            if self._state != state:
                self._bring_partial()
            return
        hidden.rename(self._place / f"partial.{name}")

    def _nothing(self, name: str) -> None:
        """A segment that is not there whole: its beginning, the end of the log, or a hole."""
        partial = self._place / f"partial.{name}"
        if partial.exists():
            hidden = self._place / f".{name}"
            hidden.write_bytes(partial.read_bytes())
            self._show(hidden, name)
            return
        segment = Segment.named(name, self._size)
        carried = Segment.at(self._reach.base.timeline, max(self._reach.base.end_lsn - 1, 0), self._size)
        if segment is not None and segment.timeline == carried.timeline and carried < segment <= self._reach.last:
            raise SegmentMissing(name, self._reach.until)
        self._missing.add(name)
        self._say_none(name)

    def _say_none(self, name: str) -> None:
        (self._place / f"none.{name}").touch()

    def _show(self, hidden: Path, name: str) -> None:
        hand_over(hidden, self._run_as)
        hidden.replace(self._place / f"have.{name}")
