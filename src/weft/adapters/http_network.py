"""The network as a tenant's request may see it: every connection is made to an address that was checked.

The name is resolved once, every address it resolves to is checked, and the connection goes to one of exactly these,
so that a name server which answers differently a moment later (DNS rebinding) gains nothing. The URL's host is still
what stands in the Host header and in the TLS handshake.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import httpcore2
from httpcore2 import AsyncNetworkBackend, AsyncNetworkStream

from weft.adapters.addresses import BAD_PORTS, Address, Allow, is_public
from weft.core.ports import HttpError

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""A host and a port to addresses, in the order in which they should be tried. Raises OSError."""

FIRST_TRY: Final = 3.0
"""Seconds after which the next address of a host is tried, when it has more than one."""
MOST_ADDRESSES: Final = 16

log = logging.getLogger(__name__)


class SystemResolver:
    """The machine's own resolver, in threads of its own: a slow name server must not hold up other work."""

    def __init__(self, threads: int = 16) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="weft-resolve")

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        return await asyncio.get_running_loop().run_in_executor(self._threads, _look_up, host, port)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedNetwork(AsyncNetworkBackend):
    """Connects to public addresses, and to those the operator allows. Raises `HttpError` for all others."""

    def __init__(self, allow: Allow, resolve: Resolver) -> None:
        self._allow = allow
        self._resolve = resolve
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> AsyncNetworkStream:
        addresses = await self.addresses(host, port)
        for place, address in enumerate(addresses):
            is_last = place == len(addresses) - 1
            try:
                stream = await self._network.connect_tcp(
                    str(address),
                    port,
                    timeout=timeout if is_last else FIRST_TRY,
                    local_address=local_address,
                    socket_options=socket_options,
                )
                return _Stream(stream)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if is_last:
                    raise
        raise HttpError("dns", f"The name {host} has no address.", retryable=True)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's signature
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> AsyncNetworkStream:
        del path, timeout, socket_options
        raise HttpError("blocked", "Sockets of this machine cannot be called.", retryable=False)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def addresses(self, host: str, port: int) -> list[Address]:
        """What the host resolves to, if all of it may be called at this port.

        One forbidden address spoils the name: a public name that also points inside is a mistake or an attack. What
        it resolves to is said in the log only, because a tenant could otherwise read the inside's addresses.
        """
        found = await self._look_up(host, port)
        for address in found:
            if not self._allow.permits(host, port, address) and (port in BAD_PORTS or not is_public(address)):
                log.info("call to %s:%s refused: it leads to %s", host, port, address)
                raise HttpError("blocked", _refusal(host, port, is_public(address)), retryable=False)
        return found

    async def _look_up(self, host: str, port: int) -> list[Address]:
        try:
            return [ipaddress.ip_address(host)]
        except ValueError:
            pass  # a name, or a spelling of an address that only the resolver understands, such as 127.1
        try:
            found = await self._resolve(host, port)
        except UnicodeError as error:
            raise HttpError("dns", f"{host} cannot be the name of a host.", retryable=False) from error
        except OSError as error:
            raise HttpError("dns", f"The name {host} cannot be resolved: {_reason(error)}.", retryable=True) from error
        return [ipaddress.ip_address(address) for address in found[:MOST_ADDRESSES]]


class _Stream(AsyncNetworkStream):
    """A connection that is closed when its TLS handshake is given up. The library closes it only when the handshake
    fails, not when it is cancelled, so a server that stalls there would cost us a socket for every call."""

    def __init__(self, stream: AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - as above
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as above
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as above
    ) -> AsyncNetworkStream:
        try:
            return await self._stream.start_tls(ssl_context, server_hostname, timeout)
        except BaseException:
            await self._stream.aclose()
            raise

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _refusal(host: str, port: int, public: bool) -> str:
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if public:
        return f"Port {port} belongs to a service that does not speak HTTP, so {where} may not be called."
    return (
        f"{where} is not on the public internet, so it may not be called. "
        f"An operator can allow it with the setting WEFT_HTTP_ALLOW={where}."
    )


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).rstrip(".").lower()
