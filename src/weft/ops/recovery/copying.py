"""Bringing other targets up to date, beside the shipping to the first: a slow copy must not hold up what matters."""

from __future__ import annotations

import threading
from collections.abc import Callable

from weft.core.errors import WeftError
from weft.ops.recovery.vault import Vault, copy_missing

_GIVES_UP: float = 30.0


class Copying:
    """One other target's. Each catch-up has a thread of its own; there is never more than one."""

    def __init__(self, first: Vault, other: Vault, say: Callable[[str], None]) -> None:
        self._first, self._other, self._say = first, other, say
        self._known: set[str] = set()  # the running thread's alone
        self._thread: threading.Thread | None = None
        self._stops = threading.Event()
        self._error: Exception | None = None

    @property
    def address(self) -> str:
        return self._other.target.address

    def go_on(self) -> Exception | None:
        """Begin a catch-up unless one is under way. What ended the one before too early."""
        if self._thread is not None and self._thread.is_alive():
            return None
        error, self._error = self._error, None
        self._thread = threading.Thread(target=self._run, name="weft wal copy", daemon=True)
        self._thread.start()
        return error

    def stop(self) -> None:
        """Let it end behind the piece that it is at; a piece that takes longer is begun again with the next start."""
        self._stops.set()
        if self._thread is not None:
            self._thread.join(_GIVES_UP)

    def _run(self) -> None:
        try:
            copy_missing(self._first, self._other, self._known, self._say, should_stop=self._stops.is_set)
        except (WeftError, OSError) as error:
            self._known.clear()  # what came there before it failed is asked anew
            self._error = error
