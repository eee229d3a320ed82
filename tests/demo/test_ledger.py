"""The system that the demo's workflows call: what it knows, its bad moments, and books without repetition."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from weft.ops.demo.ledger import HOST, Ledger, LedgerPortBusy

FACTS: dict[str, Any] = {
    "suppliers": {"S-1": "active", "S-2": "stopped", "S-3": "active"},
    "orders": ["PO-1"],
    "moods": {
        "/suppliers/S-3": {"answers": 429, "times": 2, "retry_after": 1},
        "/payments/BUSY": {"answers": 503, "times": 1},
        "/payments/LOST": {"answers": 503, "times": 1, "booked": True},
        "/payments/NEVER": {"answers": 422, "times": 1000},
    },
}


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with Ledger(FACTS) as running:
        yield running


def ask(
    ledger: Ledger, path: str, body: Any = None, *, key: str | None = None
) -> tuple[int, dict[str, Any], str | None]:
    headers = {"Connection": "close"} | ({"Idempotency-Key": key} if key else {})
    with closing(http.client.HTTPConnection(HOST, ledger.port, timeout=60)) as connection:
        data = None if body is None else json.dumps(body)
        connection.request("GET" if body is None else "POST", path, data, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read()), response.getheader("Retry-After")


def entry(reference: str, amount: float = 12.5) -> dict[str, Any]:
    return {"supplier": "S-1", "reference": reference, "amount": amount, "currency": "EUR"}


def test_it_knows_suppliers_and_orders(ledger: Ledger) -> None:
    assert ask(ledger, "/suppliers/S-1")[:2] == (200, {"id": "S-1", "status": "active"})
    assert ask(ledger, "/suppliers/S-2")[1]["status"] == "stopped"
    assert ask(ledger, "/suppliers/S-9")[:2] == (404, {"id": "S-9", "status": "unknown"})
    assert ask(ledger, "/orders/PO-1")[0] == 200
    assert ask(ledger, "/orders/PO-2")[0] == 404
    assert ask(ledger, "/elsewhere")[0] == 404


def test_it_books_once_however_often_it_is_asked(ledger: Ledger) -> None:
    first = ask(ledger, "/payments", entry("N-1"), key="k1")
    assert first[0] == 201
    assert ask(ledger, "/payments", entry("N-1"), key="k1") == (200, first[1], None)
    assert [(one.kind, one.reference, one.amount) for one in ledger.books.values()] == [("payment", "N-1", 12.5)]
    assert ledger.recognised == 1


def test_a_key_stands_for_one_booking(ledger: Ledger) -> None:
    ask(ledger, "/payments", entry("N-1"), key="k1")
    assert ask(ledger, "/payments", entry("N-1", 99), key="k1")[0] == 409
    assert ledger.books["k1"].amount == 12.5


def test_credits_are_told_from_payments(ledger: Ledger) -> None:
    ask(ledger, "/credits", entry("N-1"), key="k1")
    assert ledger.books["k1"].kind == "credit"


@pytest.mark.parametrize("wrong", [{}, {**entry("N"), "amount": 0}, {**entry("N"), "amount": "12"}, [], "text"])
def test_half_a_booking_is_none(ledger: Ledger, wrong: Any) -> None:
    assert ask(ledger, "/payments", wrong, key="k")[0] == 400
    assert not ledger.books


def test_without_a_key_nothing_is_booked(ledger: Ledger) -> None:
    assert ask(ledger, "/payments", entry("N-1"))[0] == 400
    assert not ledger.books


def test_a_bad_moment_passes(ledger: Ledger) -> None:
    assert [ask(ledger, "/suppliers/S-3")[0] for _ in range(3)] == [429, 429, 200]
    assert ask(ledger, "/payments", entry("BUSY"), key="k")[0] == 503
    assert not ledger.books
    assert ask(ledger, "/payments", entry("BUSY"), key="k")[0] == 201
    assert (ledger.bad_moments, ledger.repeats) == (3, 3)


def test_it_says_when_to_come_again(ledger: Ledger) -> None:
    assert ask(ledger, "/suppliers/S-3")[2] == "1"


def test_a_lost_answer_is_a_booking_all_the_same(ledger: Ledger) -> None:
    assert ask(ledger, "/payments", entry("LOST"), key="k")[0] == 503
    assert len(ledger.books) == 1
    assert ask(ledger, "/payments", entry("LOST"), key="k")[0] == 200
    assert len(ledger.books) == 1


def test_a_refusal_is_neither_a_bad_moment_nor_repeated(ledger: Ledger) -> None:
    assert ask(ledger, "/payments", entry("NEVER"), key="k")[0] == 422
    assert ask(ledger, "/payments", entry("OTHER"), key="l")[0] == 201
    assert (ledger.bad_moments, ledger.repeats) == (0, 0)


def test_it_listens_only_as_long_as_its_block() -> None:
    with Ledger(FACTS) as ledger:
        assert ask(ledger, "/orders/PO-1")[0] == 200
    with pytest.raises(ConnectionRefusedError):
        ask(ledger, "/orders/PO-1")


def test_a_port_in_use_is_said(ledger: Ledger) -> None:
    with pytest.raises(LedgerPortBusy, match=str(ledger.port)), Ledger(FACTS, ledger.port):
        pass
