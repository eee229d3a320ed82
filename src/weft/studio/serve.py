"""Runs the studio: one event loop, one listener on this machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import uvicorn

from weft.core.clock import utc_now
from weft.core.errors import Unavailable
from weft.db.database import Database
from weft.ops import preflight
from weft.ops.installation import Addresses
from weft.ops.ports import is_loopback
from weft.studio.admin import application
from weft.studio.doors import Doors
from weft.studio.errors import HostNotLoopback
from weft.studio.frame import Bounds
from weft.studio.viewers import AGENT, prepare

_CONNECTIONS = 8


class StudioPortTaken(Unavailable):
    code = "studio_port_taken"

    def __init__(self, host: str, port: int, said: str) -> None:
        super().__init__(
            f"The studio cannot listen on {host}:{port}: {said}. Perhaps one runs already; choose another port "
            "with --port."
        )


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line asks for."""

    tenant: str | None
    email: str | None
    writes: bool
    operator: str
    bounds: Bounds
    role: str | None = None


class _Server(uvicorn.Server):
    """uvicorn without its signals: it would end the process by the signal after a clean stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """A listening socket that only this machine reaches. Raises `HostNotLoopback` and `StudioPortTaken`."""
    if not is_loopback(host):
        raise HostNotLoopback(host)
    name = "127.0.0.1" if host == "localhost" else host
    try:
        return socket.create_server((name, port), family=socket.AF_INET6 if ":" in name else socket.AF_INET)
    except OSError as error:
        raise StudioPortTaken(host, port, error.strerror or str(error)) from error


async def serve(
    addresses: Addresses,
    listener: socket.socket,
    wish: Wish,
    *,
    opened: Callable[[str], None],
    announce: Callable[[str], None],
) -> None:
    """Serve until a signal comes. `opened` is told the first address, `announce` each later one."""
    preflight.require(await preflight.check(addresses.app))
    database = await Database.open(addresses.app, application_name=AGENT, size=2, hot_size=_CONNECTIONS)
    try:
        viewers = await prepare(
            database,
            owner=addresses.owner,
            tenant=wish.tenant,
            email=wish.email,
            role=wish.role,
            writes=wish.writes,
            operator=wish.operator,
        )
        host, port = listener.getsockname()[:2]
        doors = Doors(host, port, utc_now, announce)
        app = application(viewers, doors, secret=secrets.token_hex(32), bounds=wish.bounds)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, proxy_headers=False, lifespan="off",
            timeout_graceful_shutdown=5,
        )  # fmt: skip
        server = _Server(config)
        with _ended_by_signals(server):
            opened(doors.address)
            await server.serve(sockets=[listener])
    finally:
        await database.close()


@contextlib.contextmanager
def _ended_by_signals(server: _Server) -> Iterator[None]:
    """The first one ends it when running requests are done, the second at once."""

    def stop() -> None:
        server.force_exit = server.should_exit
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
