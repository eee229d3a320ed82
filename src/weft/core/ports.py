"""Protocols that adapters fulfil: what weft needs of the outside world, in its own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """`timeout` covers the whole exchange, in seconds; `max_bytes` bounds the body after decompression."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None
    timeout: float = 30.0
    max_bytes: int = 1_000_000
    follow_redirects: bool = True


@dataclass(frozen=True, slots=True)
class HttpResponse:
    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


class HttpError(Exception):
    """The exchange did not happen or did not finish. `kind` is a word for `retry.on`.

    `blocked` (an address that may not be called, never retryable), `dns`, `connection`, `tls`, `timeout`,
    `too_large` (never retryable), `redirect` (too many, or to a forbidden place; never retryable), `protocol`.
    """

    def __init__(self, kind: str, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.retryable = retryable


class HttpClient(Protocol):
    async def send(self, request: HttpRequest) -> HttpResponse:
        """Raises `HttpError`."""
        ...


class SecretStore(Protocol):
    async def reveal(
        self, tenant_id: UUID, execution_id: UUID, names: Sequence[str], *, correlation_id: str
    ) -> Mapping[str, str]:
        """The values of those of the tenant's secrets that exist, and a line in the audit log that they were read."""
        ...
