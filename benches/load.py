"""A client in its own process, which prints its figures as JSON:

    python -m benches.load URL CLIENTS SECONDS [METHOD [HEADERS]] < body

HEADERS is a JSON object.

Raw HTTP/1.1 over kept connections, so that what is measured is the server. Bounded by time; ends by itself.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from functools import partial
from urllib.parse import urlsplit

import uvloop


class Caller(asyncio.Protocol):
    """One connection: sends the same request again as soon as it was answered."""

    def __init__(self, request: bytes, until: float, latencies: list[float], over: asyncio.Future[None]) -> None:
        self.request = request
        self.until = until
        self.latencies = latencies
        self.over = over
        self.received = b""
        self.failures = 0
        self.sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._send()

    def _send(self) -> None:
        self.sent_at = time.perf_counter()
        self.transport.write(self.request)  # type: ignore[attr-defined]  # a stream transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, found, body = self.received.partition(b"\r\n\r\n")
        if not found:
            return
        lower = head.lower()
        at = lower.index(b"content-length:") + 15
        length = int(lower[at : lower.find(b"\r\n", at) if lower.find(b"\r\n", at) > 0 else len(lower)])
        if len(body) < length:
            return
        now = time.perf_counter()
        self.latencies.append(now - self.sent_at)
        if not head.startswith(b"HTTP/1.1 2"):
            self.failures += 1
        self.received = b""
        if now < self.until:
            self._send()
        else:
            self.transport.close()
            if not self.over.done():
                self.over.set_result(None)

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.over.done():
            self.failures += 1
            self.over.set_result(None)


def _same(caller: Caller) -> Caller:
    return caller


async def run(
    url: str, clients: int, seconds: float, body: bytes, method: str = "POST", headers: Mapping[str, str] | None = None
) -> dict[str, object]:
    place = urlsplit(url)
    address = place.path + (f"?{place.query}" if place.query else "")
    sent = {
        "Host": place.netloc,
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **(headers or {}),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    request = f"{method} {address} HTTP/1.1\r\n{lines}\r\n".encode() + body
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    begun = time.perf_counter()
    callers = [Caller(request, begun + seconds, latencies, loop.create_future()) for _ in range(clients)]
    for caller in callers:
        await loop.create_connection(partial(_same, caller), place.hostname or "", place.port or 80)
    await asyncio.gather(*(caller.over for caller in callers))
    took = time.perf_counter() - begun
    ordered = sorted(latencies)
    return {
        "requests": len(ordered),
        "failures": sum(caller.failures for caller in callers),
        "per_second": len(ordered) / took,
        "p50_ms": ordered[len(ordered) // 2] * 1000,
        "p99_ms": ordered[int(len(ordered) * 0.99)] * 1000,
    }


if __name__ == "__main__":
    uvloop.install()
    given = sys.argv[4:]
    found = asyncio.run(
        run(
            sys.argv[1],
            int(sys.argv[2]),
            float(sys.argv[3]),
            sys.stdin.buffer.read(),
            given[0] if given else "POST",
            json.loads(given[1]) if len(given) > 1 else None,
        )
    )
    print(json.dumps(found))
