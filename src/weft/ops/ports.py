"""TCP ports: is one free, who else is there, which may we use instead."""

from __future__ import annotations

import contextlib
import errno
import http.client
import ipaddress
import socket

from weft.core.errors import Conflict, Invalid


class PortBusy(Conflict):
    code = "port_busy"

    def __init__(self, host: str, port: int, suggestion: int, *, by_weft: bool) -> None:
        who = "another weft" if by_weft else "another program"
        super().__init__(
            f"Port {port} on {host} is in use by {who}. Stop that, or choose another port: weft up --port {suggestion}"
        )


class HostInvalid(Invalid):
    code = "host_invalid"

    def __init__(self, host: str, said: str) -> None:
        super().__init__(f"weft cannot listen on '{host}': {said}. Use an address of this machine, such as 127.0.0.1.")


def choose(host: str, port: int) -> int:
    """The port itself if it is free; any free one for 0. Raises `PortBusy`."""
    if port == 0:
        return _any(host)
    if not is_free(host, port):
        by_weft = health("127.0.0.1" if host in ("0.0.0.0", "::") else host, port, "/healthz") == 200  # noqa: S104  compared, not bound
        raise PortBusy(host, port, _next_free(host, port), by_weft=by_weft)
    return port


def choose_near(host: str, port: int, *, besides: int = 0) -> int:
    """The port, or the next free one that is not `besides`: for listeners whose number nobody typed. 0 stays 0."""
    if port == 0 or (port != besides and is_free(host, port)):
        return port
    return _next_free(host, port, besides)


def is_free(host: str, port: int) -> bool:
    """Whether we could listen there now."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise HostInvalid(host, error.strerror or str(error)) from error
    with socket.socket(family, kind, protocol) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(address)
            trial.listen(1)  # on Linux two may bind with SO_REUSEADDR, but only one may listen
        except PermissionError as error:
            raise HostInvalid(f"{host}:{port}", "ports below 1024 are for root") from error
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise HostInvalid(host, "it is not an address of this machine") from error
            return False
    return True


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listener there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def health(host: str, port: int, path: str, *, timeout: float = 1.0) -> int | None:
    """The status with which a server answers, or None."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    with contextlib.closing(connection):
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None


def _any(host: str) -> int:
    family, kind, protocol, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as trial:
        trial.bind(address)
        return int(trial.getsockname()[1])


def _next_free(host: str, port: int, besides: int = 0) -> int:
    near = (p for p in range(port + 1, min(port + 100, 65536)) if p != besides)
    return next((p for p in near if is_free(host, p)), 0) or _any(host)
