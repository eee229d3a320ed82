"""Ports that nobody else gets while a test counts on them.

A port that the system hands out for 0 may be handed out again before a server listens there: to a listener, or to any
connection of another test. So a port is held by a socket that does not listen (`reserved`), or comes from below the
range that the system hands out (`free_port`): each test process has a part of that, and no number comes twice.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def reserved() -> Iterator[int]:
    """A port of 127.0.0.1 at which nothing listens, and which the system gives to nobody who asks for any port.

    It is bound, and that is all: connections to it are refused. Whoever asks for this very port, with `SO_REUSEADDR`
    as servers do, may listen there meanwhile. A port that was closed again instead could be another test's by then.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])
