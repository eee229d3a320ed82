"""The ledger that the showcase's workflows call: it knows suppliers and orders, books payments, and has bad moments.

It listens on loopback for as long as the block does, and remembers every call, so that the demo can prove what the
outside world has seen: that every payment was booked, and none twice.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Final, Self

from weft.core.errors import Conflict

HOST: Final = "127.0.0.1"
_KINDS: Final = {"/payments": "payment", "/credits": "credit"}
_FIELDS: Final[Mapping[str, type | tuple[type, ...]]] = {
    "supplier": str,
    "reference": str,
    "amount": (int, float),
    "currency": str,
}
_LARGEST_BODY: Final = 1_000_000

Answer = tuple[int, dict[str, Any], dict[str, str]]
"""Status, body and headers."""


class LedgerPortBusy(Conflict):
    code = "ledger_port_busy"

    def __init__(self, port: int) -> None:
        super().__init__(
            f"Port {port} on {HOST}, at which the demo's workflows look for the ledger, is in use by another program. "
            "Stop that and start the demo again."
        )


@dataclass(frozen=True, slots=True)
class Call:
    """One request, and how it was answered. `about` is its path, for a booking with the reference behind it."""

    method: str
    about: str
    status: int


@dataclass(frozen=True, slots=True)
class Booking:
    """One entry of the books. `key` is the idempotency key under which it was asked for."""

    kind: str
    supplier: str
    reference: str
    amount: float
    currency: str
    key: str
    receipt: str


@dataclass(slots=True)
class Ledger:
    """A server in a thread of this process. Use it as a context manager.

    `facts` are the suppliers with their status, the orders, and the moods: which path answers how often with what
    before it answers as it should. `port` 0 takes a free one.
    """

    facts: Mapping[str, Any]
    port: int = 0
    calls: list[Call] = field(default_factory=list)
    books: dict[str, Booking] = field(default_factory=dict)
    recognised: int = 0  # bookings that were asked for again, under the same key
    _tried: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _server: ThreadingHTTPServer | None = None
    _thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    def __enter__(self) -> Self:
        handler = type("_Bound", (_Handler,), {"ledger": self})
        try:
            self._server = _Server((HOST, self.port), handler)
        except OSError as error:
            raise LedgerPortBusy(self.port) from error
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="ledger", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join(2.0)

    def answer(self, method: str, path: str, key: str, body: bytes) -> Answer:
        """What the ledger says to a request; remembered as a call."""
        with self._lock:
            said = self._answer(method, path, key, body)
            entry = _entry(body) if path in _KINDS else None
            about = f"{path}/{entry['reference']}" if entry else path
            self.calls.append(Call(method, about, said[0]))
        return said

    @property
    def bad_moments(self) -> int:
        """Calls that were answered with "not now"."""
        return sum(call.status in (429, 503) for call in self.calls)

    @property
    def repeats(self) -> int:
        """Calls that came again after "not now"."""
        waiting: set[str] = set()
        found = 0
        for call in self.calls:
            place = f"{call.method} {call.about}"
            found += place in waiting
            if call.status in (429, 503):
                waiting.add(place)
            else:
                waiting.discard(place)
        return found

    def _answer(self, method: str, path: str, key: str, body: bytes) -> Answer:
        if method == "GET" and path.startswith("/suppliers/"):
            return self._in_a_mood(path) or self._supplier(path.removeprefix("/suppliers/"))
        if method == "GET" and path.startswith("/orders/"):
            number = path.removeprefix("/orders/")
            known = number in self.facts["orders"]
            return (200, {"number": number, "status": "open"}, {}) if known else (404, {"status": "unknown"}, {})
        if method == "POST" and path in _KINDS:
            return self._book(_KINDS[path], path, key, body)
        return 404, {"error": f"there is nothing at {path}"}, {}

    def _supplier(self, supplier: str) -> Answer:
        status = self.facts["suppliers"].get(supplier)
        if status is None:
            return 404, {"id": supplier, "status": "unknown"}, {}
        return 200, {"id": supplier, "status": status}, {}

    def _in_a_mood(self, place: str) -> Answer | None:
        """What is answered instead, as long as the bad moment lasts."""
        mood = self.facts["moods"].get(place)
        if mood is None:
            return None
        self._tried[place] += 1
        if self._tried[place] > mood["times"]:
            return None
        wish = {"Retry-After": str(mood["retry_after"])} if "retry_after" in mood else {}
        words = {422: "the ledger does not take this booking", 429: "slow down", 503: "the ledger is busy"}
        return mood["answers"], {"error": words[mood["answers"]]}, wish

    def _book(self, kind: str, path: str, key: str, body: bytes) -> Answer:
        entry = _entry(body)
        if entry is None or not key:
            return 400, {"error": f"a {kind} has an Idempotency-Key and the fields {', '.join(_FIELDS)}"}, {}
        place = f"{path}/{entry['reference']}"
        refused = self._in_a_mood(place)
        if refused is not None and not self.facts["moods"][place].get("booked"):
            return refused
        before = self.books.get(key)
        booking = before or Booking(kind=kind, key=key, receipt=f"R-{10001 + len(self.books)}", **entry)
        if before is not None and {name: getattr(before, name) for name in _FIELDS} != entry:
            return 409, {"error": "this Idempotency-Key was used for another booking"}, {}
        self.books[key] = booking
        self.recognised += before is not None
        return refused or (201 if before is None else 200, {"receipt": booking.receipt}, {})


def _entry(body: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(body)
    except ValueError:
        return None
    if not isinstance(entry, dict) or entry.keys() != _FIELDS.keys():
        return None
    fits = all(isinstance(entry[name], types) for name, types in _FIELDS.items())
    return entry if fits and entry["amount"] > 0 else None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a kept connection must not hold up the end of the demo
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    ledger: ClassVar[Ledger]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one packet
    timeout = 30

    def do_GET(self) -> None:
        self._respond(b"")

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        self._respond(self.rfile.read(min(size, _LARGEST_BODY)))

    def _respond(self, body: bytes) -> None:
        key = self.headers.get("Idempotency-Key", "")
        status, document, headers = self.ledger.answer(self.command, self.path, key, body)
        content = json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's name
        """Nothing: the demo tells what was called, and standard error belongs to the command."""
