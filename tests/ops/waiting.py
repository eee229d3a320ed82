"""Wait for a fact instead of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event
from typing import TypeVar

T = TypeVar("T")


def until(question: Callable[[], T | None], *, seconds: float = 60.0, what: str = "it") -> T:
    """The first answer that counts as true."""
    deadline = time.monotonic() + seconds
    never = Event()
    while time.monotonic() < deadline:
        if answer := question():
            return answer
        never.wait(0.01)
    raise AssertionError(f"{what} did not happen within {seconds} s")
