"""Ports that nobody else gets while a test counts on them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager


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
