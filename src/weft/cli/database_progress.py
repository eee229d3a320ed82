"""Showing how far long work is: a moving line where a terminal reads standard error, a plain note a part elsewhere."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from datetime import timedelta
from types import FrameType
from typing import TYPE_CHECKING

from weft.cli import output

if TYPE_CHECKING:
    from weft.ops.backup.telling import Tell

_BYTES = ("dumping", "checking", "fetching")


@contextlib.contextmanager
def shown() -> Iterator[Tell]:
    """What to hand to the work as its `tell`. SIGTERM then ends it tidily: what was unpacked does not stay behind."""
    before = signal.signal(signal.SIGTERM, _end)
    try:
        if output.as_json() or not sys.stderr.isatty():
            yield _Notes()
            return
        from rich.console import Console

        with Console(stderr=True).status("") as status:
            yield lambda what, done=0, total=0: status.update(_sentence(what, done, total))
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


class _Notes:
    """Each part of the work once, for logs."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def __call__(self, what: str, done: int = 0, total: int = 0) -> None:  # noqa: ARG002 - those move
        if what not in self._said:
            self._said.add(what)
            if not output.as_json():
                output.note(what)


def _sentence(what: str, done: int, total: int) -> str:
    if not done and not total:
        return what
    if what in _BYTES:
        return f"{what}: {size(done)}" + (f" of {size(total)}" if total else "")
    return f"{what}: {done}" + (f" of {total}" if total else "")


def size(count: int) -> str:
    """Bytes for people."""
    if count < 1000:
        return f"{count} B"
    amount, units = float(count), iter(("kB", "MB", "GB"))
    for unit in units:
        amount /= 1000
        if amount < 1000:
            return f"{amount:.1f} {unit}"
    return f"{amount / 1000:.1f} TB"


def age(span: timedelta) -> str:
    """How long ago, for people."""
    seconds = max(0, int(span.total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
