"""Ports for servers that want a number beforehand.

A port that the system hands out for 0 may be handed out again before the server listens there: to a listener, or to
any connection of another test. These lie below the range that the system hands out, each test process has a part of
its own, and no number comes twice.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from typing import Final

from weft.ops import ports

_FIRST: Final = 20_000
_EACH: Final = 1_000
_PARTS: Final = 12


def _numbers() -> Iterator[int]:
    """The part of this test process, from anywhere in it: another run of the tests may be at work on this machine."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    first = _FIRST + int(worker) % _PARTS * _EACH
    start = random.randrange(_EACH)
    for number in range(_EACH):
        yield first + (start + number) % _EACH


_left: Final = _numbers()


def free_port() -> int:
    """One of 127.0.0.1 that nobody listens at and nobody else is given."""
    return next(port for port in _left if ports.is_free("127.0.0.1", port))
