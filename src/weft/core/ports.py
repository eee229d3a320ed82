"""Protocols that adapters fulfil: what weft needs of the outside world, in its own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
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


@dataclass(frozen=True, slots=True)
class CodeRequest:
    """One run of a tenant's code. `inputs` are its variables; `seconds` and `memory` (bytes) bound it.

    `now` and `seed` are all that it learns of time and chance: the same request gives the same answer. `tenant` is
    only told apart, so that nobody waits behind another tenant's runs for longer than a turn.
    """

    code: str
    inputs: Mapping[str, object]
    seconds: float
    memory: int
    now: datetime
    seed: str
    tenant: UUID


@dataclass(frozen=True, slots=True)
class CodeResult:
    """`value` is JSON. `printed` is what the code printed, cut off at a limit."""

    value: object
    printed: str


class CodeError(Exception):
    """The code did not come to a result. `kind` is a word for `retry.on`.

    `code_timeout`, `code_memory`, `code_output` (what it gave is no JSON, or too much), `code_error` (it raised, at
    `line` and `column` where they are known), `code_crashed` (the sandbox died; worth another try).
    """

    def __init__(
        self, kind: str, message: str, *, line: int | None = None, column: int | None = None, printed: str = ""
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.line = line
        self.column = column
        self.printed = printed


class CodeRunner(Protocol):
    async def run(self, request: CodeRequest) -> CodeResult:
        """Raises `CodeError`."""
        ...


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Somebody's address, with the name beside it where there is one. Both are one line, `address` is ASCII."""

    address: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Email:
    """A message, its sender apart: that is the installation's. `message_id` is the same each time it is sent."""

    message_id: str
    at: datetime
    to: Sequence[Mailbox]
    subject: str
    text: str
    html: str | None = None
    cc: Sequence[Mailbox] = ()
    bcc: Sequence[Mailbox] = ()
    reply_to: Sequence[Mailbox] = ()

    @property
    def recipients(self) -> list[str]:
        return list(dict.fromkeys(box.address for box in (*self.to, *self.cc, *self.bcc)))


@dataclass(frozen=True, slots=True)
class RecipientRefused:
    address: str
    code: int
    message: str


@dataclass(frozen=True, slots=True)
class MailDelivery:
    """The server has taken the message for `accepted`, at least one."""

    accepted: Sequence[str]
    refused: Sequence[RecipientRefused] = ()


class MailError(Exception):
    """The server has taken the message for nobody, or nobody knows. `kind` is a word for `retry.on`.

    `mail_unconfigured`, `connection`, `timeout`, `tls`, `smtp_auth`, `smtp_4xx` (worth another try), `smtp_5xx`.
    """

    def __init__(self, kind: str, message: str, *, retryable: bool, refused: Sequence[RecipientRefused] = ()) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.retryable = retryable
        self.refused = tuple(refused)


class Mailer(Protocol):
    async def send(self, email: Email) -> MailDelivery:
        """Raises `MailError`."""
        ...


@dataclass(frozen=True, slots=True)
class RenderedMessage:
    """A message template, filled in. `version` is the one that was used."""

    version: int
    subject: str
    text: str
    html: str | None


class TemplateError(Exception):
    """The template does not exist, or does not work out with this data; trying again would change nothing."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


class MessageTemplates(Protocol):
    async def render(
        self, tenant_id: UUID, name: str, version: int | None, data: Mapping[str, object]
    ) -> RenderedMessage:
        """The tenant's template of that name, the newest without `version`. Raises `TemplateError`."""
        ...
