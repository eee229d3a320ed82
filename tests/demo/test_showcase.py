"""Sending and comparing, against a weft that is only a few answers; and how the findings are told."""

from __future__ import annotations

import io
import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from weft.core.errors import Conflict, Forbidden, Invalid, Issue
from weft.ops.demo import examples
from weft.ops.demo.examples import Examples, Invoice
from weft.ops.demo.ledger import Booking, Call, Ledger
from weft.ops.demo.report import AuditNote, JournalLine, Numbers, Outcome, Report
from weft.ops.demo.showcase import LedgerOutOfReach, Showcase, field_of, in_parallel
from weft.ops.demo.telling import tell

NOW = datetime(2026, 9, 14, 12, tzinfo=UTC)


class Refused(Invalid):
    code = "input_invalid"


class KeyReused(Conflict):
    code = "idempotency_key_reused"


def invoice(key: str, number: str, total: float = 10) -> Invoice:
    return Invoice(key, {"number": number, "supplier": {"id": "S-1"}, "total": total})


PAID = {"outcome": "paid", "amount": 10, "currency": "EUR"}
SMALL = replace(
    examples.load(),
    invoices=(invoice("1", "A"), invoice("2", "B"), invoice("3", "A"), invoice("4", "A", 11), Invoice("5", {})),
    expected={
        "1": PAID,
        "2": {"outcome": "failed", "step": "stopped"},
        "3": {"outcome": "duplicate", "of": "1"},
        "4": {"outcome": "conflict", "of": "1"},
        "5": {"outcome": "refused", "field": "number"},
    },
    journal_of="1",
)


class FewAnswers:
    """A weft that answers by the invoice's number, and knows an idempotency key again."""

    url = "http://weft"

    def __init__(self, ledger: Ledger, *, reaches: bool = True, may_audit: bool = True) -> None:
        self._ledger = ledger
        self._reaches = reaches
        self._may_audit = may_audit
        self._started: dict[str, Any] = {}
        self._lock = threading.Lock()
        self.keys: list[str] = []

    def get(self, path: str, **query: Any) -> Any:
        return {"total": 2} if path.endswith("/counts") else {"parent_visit": 1}

    def listed(self, path: str, *, limit: int | None = None, **query: Any) -> list[dict[str, Any]]:
        if path == "/audit":
            if not self._may_audit:
                raise Forbidden("no")
            return [{"resource_type": "workflows", "action": "insert", "actor_name": "Ada"}]
        if path.endswith("/logs"):
            row = {"started_at": NOW.isoformat(), "duration_ms": 3, "status": "FAILED", "attempt": 1, "visit": 1}
            error = {"kind": "http_5xx", "message": "GET host answered 503, which the step does not expect."}
            return [{**row, "step": "supplier", "error": error, "message": "Tried again at noon.", "data": None}]
        return []

    def post(self, path: str, body: Any = None, **options: Any) -> Any:
        if path == "/workflows/import":
            return {"workflow": {"id": body["name"], "status": "ACTIVE"}}
        assert options["query"] == {"wait": "10s"}
        with self._lock:
            return self._start(body["input"], options["headers"].get("Idempotency-Key"))

    def _start(self, document: Any, key: str | None) -> Any:
        if key is None:
            raise Refused("no", issues=[Issue("the field 'number' is missing", ("number",))])
        self.keys.append(key)
        if self._started.get(key, document) != document:
            raise KeyReused("used before")
        self._started[key] = document
        if self._reaches:
            self._ledger.calls.append(Call("GET", "/suppliers/S-1", 200))
        if document["number"] == "B":
            error = {"step": "stopped", "message": "Payments are stopped."}
            return {"id": "b", "status": "FAILED", "output": None, "error": error}
        self._ledger.books["S-1/A"] = Booking("payment", "S-1", "A", 10, "EUR", "S-1/A", "R-1")
        return {"id": "a", "status": "COMPLETED", "output": {**PAID, "receipt": "R-1"}, "error": None}


class Silent:
    def __init__(self) -> None:
        self.seen: list[str] = []

    def phase(self, text: str) -> None: ...

    def expect(self, invoices: int) -> None: ...

    def came(self, invoice: str) -> None:
        self.seen.append(invoice)


def show(found: Examples = SMALL, **answers: Any) -> tuple[Report, FewAnswers]:
    ledger = Ledger(found.ledger)
    api = FewAnswers(ledger, **answers)
    return Showcase(api, ledger, found, Silent(), run_id="r").run(), api


def test_what_comes_as_expected_is_a_pass() -> None:
    report, api = show()
    assert report.differences == []
    assert report.passed
    assert [one.key for one in report.outcomes] == ["1", "2", "3", "4", "5"]
    assert set(api.keys) == {"demo:r:S-1/A", "demo:r:S-1/B"}
    assert report.numbers.executions == 4  # as the counts of both workflows say


@pytest.mark.parametrize(
    ("key", "tampered", "said"),
    [
        ("1", {**PAID, "amount": 11}, "1: expected amount 11; came amount 10"),
        ("2", PAID, "2: expected outcome paid, amount 10, currency EUR; came outcome failed"),
        ("3", {"outcome": "duplicate", "of": "2"}, "3: expected of 2; came of 1"),
        ("5", {"outcome": "refused", "field": "total"}, "5: expected field total; came field number"),
    ],
)
def test_another_expectation_is_a_difference(key: str, tampered: dict[str, Any], said: str) -> None:
    report, _ = show(replace(SMALL, expected={**SMALL.expected, key: tampered}))
    assert not report.passed
    assert any(line.startswith(said) for line in report.differences), report.differences


def test_the_books_are_compared_too() -> None:
    twice = Booking("payment", "S-1", "A", 10, "EUR", "another", "R-2")
    ledger = Ledger(SMALL.ledger, books={"S-1/another": twice})
    report = Showcase(FewAnswers(ledger), ledger, SMALL, Silent()).run()
    assert report.differences == [
        "the ledger's books say of S-1/another payment 10 EUR, expected was nothing",
    ]


def test_a_worker_that_may_not_call_the_ledger_is_told_from_a_wrong_outcome() -> None:
    with pytest.raises(LedgerOutOfReach, match=r"WEFT_HTTP_ALLOW=127\.0\.0\.1"):
        show(reaches=False)


def test_without_the_audit_log_the_rest_is_shown() -> None:
    report, _ = show(may_audit=False)
    assert report.passed
    assert report.audit is None
    assert "audit:read" in told(report)


def test_a_field_that_should_not_be_there_is_named_by_the_sentence() -> None:
    assert field_of(("lines", 0, "price"), "whatever") == "lines.0.price"
    assert field_of((), "Additional properties are not allowed ('discount' was unexpected)") == "discount"
    assert field_of((), "no") == ""


def test_a_fault_in_a_thread_reaches_whoever_waits() -> None:
    def fail(one: Invoice) -> Outcome:
        raise Conflict(one.key)

    with pytest.raises(Conflict):
        list(in_parallel(fail, SMALL.invoices, 3))


# -- telling -------------------------------------------------------------------------------------------------


def told(report: Report, *, encoding: str = "utf-8", everything: bool = False) -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors="replace")
    tell(Console(file=file, width=118), report, [("weft up " + "x" * 200, "words")], everything=everything)
    file.flush()
    return raw.getvalue().decode(encoding)


def report_of(*outcomes: Outcome, faults: tuple[str, ...] = ()) -> Report:
    numbers = Numbers(len(outcomes), 5, 7, 2, 2, 1, 1, 0.5)
    line = JournalLine("supplier", 2, "COMPLETED", 12, 3, "word\x1b[31m\u202eturned", NOW)
    return Report(list(outcomes), list(faults), outcomes[0], [line], numbers, AuditNote(1, {"workflows insert": 1}, ()))


GOOD = Outcome("001-a", PAID, {**PAID, "order": "none"}, "e", 0.1)
BAD = Outcome("002-b", PAID, {"outcome": "unfinished", "message": "it is RUNNING"}, "e", 0.1)


def test_a_pass_reads_so_without_colour() -> None:
    text = told(report_of(GOOD), everything=True)
    assert "All 1 invoices came out as expected" in text
    assert "✓" in text
    assert "\x1b" not in text


def test_differences_are_listed() -> None:
    text = told(report_of(GOOD, BAD))
    assert "✗" in text
    assert "002-b: expected outcome paid, amount 10, currency EUR; came outcome unfinished" in text
    assert "1 difference is listed above" in text


def test_what_came_from_elsewhere_cannot_command_the_terminal() -> None:
    text = told(report_of(GOOD))
    assert "word·[31m·turned" in text
    assert "\u202e" not in text


def test_a_command_is_never_cut() -> None:
    assert "weft up " + "x" * 200 in told(report_of(GOOD))


def test_an_old_terminal_gets_words_for_ticks() -> None:
    assert " ok " in told(report_of(GOOD), encoding="ascii")


def test_a_retry_is_said_in_the_journal() -> None:
    report, _ = show()
    assert report.journal[0].words == "GET host answered 503; tried again"


def test_the_report_is_json() -> None:
    document = report_of(GOOD, BAD, faults=("books",)).as_json()
    assert document["passed"] is False
    assert document["differences"][-1] == "books"
    assert document["outcomes"][0]["as_expected"] is True
    assert document["journal"]["lines"][0]["attempt"] == 2
