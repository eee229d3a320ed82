"""Showing how far long work is: a moving line where a terminal reads standard error, a plain note per part elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from weft.cli import output

if TYPE_CHECKING:
    from weft.ops.backup.telling import Tell

_BYTES = ("dumping", "checking", "fetching")


@contextlib.contextmanager
def shown() -> Iterator[Tell]:
    """What to hand to the work as its `tell`."""
    if output.as_json() or not sys.stderr.isatty():
        yield _Notes()
        return
    from rich.console import Console

    with Console(stderr=True).status("") as status:

        def tell(what: str, done: int = 0, total: int = 0) -> None:
            status.update(_sentence(what, done, total))

        yield tell


class _Notes:
    """Each part of the work once, for logs."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def __call__(self, what: str, done: int = 0, total: int = 0) -> None:
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
    amount, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):  # noqa: B007 - the last one is used below
        if amount < 1000 or unit == "TB":
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
