"""A call as the engine would make it, and a client that answers what a test says."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from weft.core.ports import HttpError, HttpRequest, HttpResponse
from weft.engine.kinds import Call, Ports

NOW = datetime(2030, 6, 1, 12, 0, tzinfo=UTC)
EXECUTION = UUID("01890000-0000-7000-8000-000000000001")


def call_of(config: dict[str, Any], *, timeout: float | None = None, now: datetime = NOW) -> Call:
    return Call(
        tenant_id=UUID("01890000-0000-7000-8000-00000000000a"),
        execution_id=EXECUTION,
        step="lines.pay",
        visit=4,
        attempt=2,
        config=config,
        now=now,
        timeout=timeout,
        correlation_id="corr-1",
    )


@dataclass
class FakeHttp:
    """Fulfils `HttpClient`."""

    answer: HttpResponse | HttpError = field(default_factory=lambda: answer_of(200, b'{"ok": true}'))
    sent: list[HttpRequest] = field(default_factory=list)

    async def send(self, request: HttpRequest) -> HttpResponse:
        self.sent.append(request)
        if isinstance(self.answer, HttpError):
            raise self.answer
        return self.answer

    @property
    def ports(self) -> Ports:
        return Ports(http=self)


def answer_of(status: int, body: bytes = b"", content_type: str = "application/json", **headers: str) -> HttpResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpResponse(status, {"content-type": content_type, **named}, body, "http://api.test/")
