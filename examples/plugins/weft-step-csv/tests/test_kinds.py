"""The kinds by themselves: no server, no database, no network."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from weft_step_csv.fetch import CsvFetch
from weft_step_csv.parse import CsvParse
from weft_step_csv.table import MOST_ROWS

from weft.core.ports import HttpError, HttpRequest, HttpResponse
from weft.engine.kinds import Call, Ports
from weft.engine.outcomes import Done, Failed, Outcome


class Http:
    def __init__(self, answer: HttpResponse | HttpError) -> None:
        self.answer = answer
        self.sent: list[HttpRequest] = []

    async def send(self, request: HttpRequest) -> HttpResponse:
        self.sent.append(request)
        if isinstance(self.answer, HttpError):
            raise self.answer
        return self.answer


def call(**config: Any) -> Call:
    return Call(
        tenant_id=UUID(int=1), execution_id=UUID(int=2), step="rows", visit=1, attempt=1, config=config,
        now=datetime(2030, 1, 1, tzinfo=UTC), timeout=None, correlation_id="c",
    )  # fmt: skip


def parse(**config: Any) -> Outcome:
    return CsvParse().run(call(**config))


def test_rows_by_column() -> None:
    assert parse(text='name,net\n"Ada, Countess",2\n\nBob,3\n') == Done(
        {"columns": ["name", "net"], "rows": [{"name": "Ada, Countess", "net": "2"}, {"name": "Bob", "net": "3"}]}
    )
    assert parse(text="\ufeffa;b\n1;2", delimiter=";") == Done({"columns": ["a", "b"], "rows": [{"a": "1", "b": "2"}]})


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"text": ""}, "is empty"),
        ({"text": "a,a\n1,2"}, "two columns called 'a'"),
        ({"text": "a,b\n1"}, "Line 2 has 1 values"),
        ({"text": 'a\n"never closed'}, "Line 2 cannot be read"),
        ({"text": "a\n" + "1\n" * (MOST_ROWS + 1)}, "more than 10,000 rows"),
        ({"text": ",".join(f"c{n}" for n in range(201))}, "more than 200 columns"),
        ({"text": "x" * 1_000_001}, "more than 1,000,000"),
        ({"text": "a", "delimiter": ";;"}, "one character"),
        ({"text": 7}, "must be text"),
    ],
)
def test_what_is_no_table(config: dict[str, Any], words: str) -> None:
    failed = parse(**config)
    assert isinstance(failed, Failed)
    assert (failed.kind, failed.retryable, words in failed.message) == ("invalid", False, True), failed.message


async def fetch(answer: HttpResponse | HttpError, **config: Any) -> tuple[Outcome, Http]:
    http = Http(answer)
    return await CsvFetch().perform(call(url="https://a.test/x.csv", **config), Ports(http=http)), http


async def test_fetching() -> None:
    answer = HttpResponse(200, {}, b"a,b\n1,2\n", "https://a.test/x.csv")
    done, http = await fetch(answer, headers={"Authorization": "Bearer x"})
    assert done == Done({"columns": ["a", "b"], "rows": [{"a": "1", "b": "2"}]})
    assert http.sent[0].headers["Authorization"] == "Bearer x"
    assert http.sent[0].headers["Idempotency-Key"] == call().idempotency_key


@pytest.mark.parametrize(
    ("answer", "kind", "retryable"),
    [
        (HttpError("dns", "No such host.", retryable=True), "dns", True),
        (HttpResponse(503, {}, b"", ""), "http_5xx", True),
        (HttpResponse(404, {}, b"", ""), "http_4xx", False),
        (HttpResponse(200, {}, b"", ""), "response_invalid", False),
    ],
)
async def test_failures(answer: HttpResponse | HttpError, kind: str, retryable: bool) -> None:
    failed, _ = await fetch(answer)
    assert isinstance(failed, Failed)
    assert (failed.kind, failed.retryable) == (kind, retryable)
