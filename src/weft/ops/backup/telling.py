"""How long work says how far it is. The command line draws it; a test or a schedule listens or does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Say = Callable[[str], None]
"""Whom to tell a sentence that is no error."""


class Tell(Protocol):
    """Called from any thread. `total` 0: nobody knows."""

    def __call__(self, what: str, done: int = 0, total: int = 0) -> None: ...


def silent(what: str, done: int = 0, total: int = 0) -> None:
    """Nobody listens."""


def unsaid(sentence: str) -> None:
    """Nobody listens to that either."""
