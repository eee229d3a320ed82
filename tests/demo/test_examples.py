"""The showcase's files: they are what they claim to be, before anything runs."""

from __future__ import annotations

import json
import shutil
import unicodedata
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from weft.cli import workflow_files
from weft.core.errors import Invalid
from weft.engine.plans import InputInvalid, Plan, compile_plan
from weft.ops.demo import examples
from weft.ops.demo.examples import OUTCOMES, Examples, ExamplesMissing, ExamplesUnsound, Invoice
from weft.ops.demo.showcase import field_of

FOUND = examples.load()
BY_KEY = {invoice.key: invoice for invoice in FOUND.invoices}
CENT = Decimal("0.01")


def of(outcome: str) -> list[Invoice]:
    return [invoice for invoice in FOUND.invoices if FOUND.expected[invoice.key]["outcome"] == outcome]


def plan() -> Plan:
    return compile_plan(
        FOUND.workflows["invoice"], version_id=UUID(int=1), workflow_id=UUID(int=2), number=1, step_ids={}
    )


def test_there_are_enough_invoices_and_each_has_an_expectation() -> None:
    assert len(FOUND.invoices) >= 60
    assert FOUND.expected.keys() == BY_KEY.keys()


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_outcome_is_expected_of_some_invoice(outcome: str) -> None:
    assert of(outcome)


def test_an_invoice_says_nothing_of_what_is_expected_of_it() -> None:
    for invoice in FOUND.invoices:
        assert not invoice.document.keys() & {"outcome", "expected", "reasons", "field", "of"}, invoice.key


@pytest.mark.parametrize("name", ["invoice", "settle-invoice"])
def test_the_workflows_are_sound_and_nothing_is_to_be_said_about_them(name: str) -> None:
    report = workflow_files.check(workflow_files.read(str(FOUND.place / "workflows" / f"{name}.yaml")))
    assert [issue.message for issue in (*report.errors, *report.warnings)] == []


def test_the_workflows_show_every_step_kind() -> None:
    kinds = set()

    def visit(steps: list[dict[str, Any]]) -> None:
        for step in steps:
            kinds.add(step["type"])
            visit(step.get("config", {}).get("body", {}).get("steps", []))

    for document in FOUND.workflows.values():
        visit(document["steps"])
    assert kinds == {
        "set", "transform", "condition", "switch", "parallel", "join",
        "for_each", "delay", "sub_workflow", "http", "end", "fail",
    }  # fmt: skip


def test_the_schema_refuses_what_is_expected_to_be_refused_with_the_field_named() -> None:
    compiled = plan()
    for invoice in of("refused"):
        with pytest.raises(InputInvalid) as refused:
            compiled.check_input(invoice.document)
        issue = refused.value.issues[0]
        assert field_of(issue.path, issue.message) == FOUND.expected[invoice.key]["field"], invoice.key


def test_the_schema_lets_everything_else_in() -> None:
    compiled = plan()
    for invoice in FOUND.invoices:
        if FOUND.expected[invoice.key]["outcome"] != "refused":
            compiled.check_input(invoice.document)


def test_what_is_to_be_paid_is_the_sum_of_its_lines_reckoned_by_hand() -> None:
    for invoice in [*of("paid"), *of("credited")]:
        total = Decimal(0)
        for line in invoice.document["lines"]:
            net = _cents(Decimal(str(line["quantity"])) * Decimal(str(line["unit_price"])))
            total += net + _cents(net * Decimal(str(line.get("tax_percent", 0))) / 100)
        wanted = FOUND.expected[invoice.key]
        assert abs(total - Decimal(str(invoice.document["total"]))) <= Decimal("0.05"), invoice.key
        assert abs(Decimal(str(invoice.document["total"]))) == Decimal(str(wanted["amount"])), invoice.key
        assert invoice.document["currency"] == wanted["currency"], invoice.key


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(CENT, ROUND_HALF_EVEN)


def test_the_edge_cases_are_there() -> None:
    totals = [invoice.document.get("total") for invoice in FOUND.invoices]
    numbers = [total for total in totals if isinstance(total, int | float)]
    names = "".join(_name(invoice) for invoice in FOUND.invoices)
    lines = [len(invoice.document.get("lines", ())) for invoice in FOUND.invoices]
    assert 0 in numbers
    assert min(numbers) < 0
    assert 10**15 in numbers
    assert any(isinstance(total, str) for total in totals)
    assert {0, 200} <= set(lines)
    assert {"R", "AL"} <= {unicodedata.bidirectional(sign) for sign in names}  # Hebrew, Arabic
    assert any(unicodedata.combining(sign) for sign in names)
    assert any(unicodedata.category(sign) == "So" for sign in names)  # emoji
    assert "\u200d" in names  # joined emoji
    assert len({invoice.document.get("currency") for invoice in of("paid")}) == 8
    assert {"number", "supplier", "supplier.country", "lines", "total"} <= {
        FOUND.expected[invoice.key]["field"] for invoice in of("refused")
    }


def _name(invoice: Invoice) -> str:
    return str(invoice.document.get("supplier", {}).get("name", ""))


def test_what_is_sent_again_is_the_same_paper_and_a_conflict_is_not() -> None:
    for invoice in of("duplicate"):
        first = BY_KEY[FOUND.expected[invoice.key]["of"]]
        assert invoice.document == first.document
        assert invoice.identity == first.identity
    for invoice in of("conflict"):
        first = BY_KEY[FOUND.expected[invoice.key]["of"]]
        assert invoice.document != first.document
        assert invoice.identity == first.identity


def test_otherwise_no_two_invoices_are_the_same() -> None:
    once = [one.identity for one in FOUND.invoices if "of" not in FOUND.expected[one.key] and one.identity]
    assert len(once) == len(set(once))


def test_the_ledger_moves_to_where_it_listens() -> None:
    host, port = FOUND.address
    assert (host, port) == ("127.0.0.1", 8765)
    moved = FOUND.definitions("127.0.0.1:9999")
    assert moved["invoice"]["steps"][0]["config"]["vars"]["ledger"] == "http://127.0.0.1:9999"
    assert FOUND.workflows["invoice"]["steps"][0]["config"]["vars"]["ledger"] == "http://127.0.0.1:8765"


# -- files that do not fit together --------------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOUND.place, tmp_path / "examples"))


def expectations(place: Path) -> dict[str, Any]:
    return dict(json.loads((place / "expected.json").read_text()))


def test_a_copy_is_as_good(copy: Path) -> None:
    assert examples.load(copy).expected == FOUND.expected


def test_no_examples_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ExamplesMissing, match="--examples"):
        examples.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda all_: all_["invoices"].pop("001-paper"), "expects nothing of 001-paper"),
        (lambda all_: all_["invoices"].update({"999-none": {"outcome": "paid"}}), "999-none"),
        (lambda all_: all_["invoices"].update({"001-paper": {"outcome": "lost"}}), "an outcome other than"),
        (lambda all_: all_["invoices"].update({"080-paper-again": {"outcome": "duplicate"}}), "repeats an invoice"),
        (lambda all_: all_.update(journal_of="999-none"), "wants to show the journal"),
    ],
)
def test_expectations_that_do_not_fit_are_refused(copy: Path, change: Any, said: str) -> None:
    wanted = expectations(copy)
    change(wanted)
    (copy / "expected.json").write_text(json.dumps(wanted))
    with pytest.raises(ExamplesUnsound, match=said):
        examples.load(copy)


def test_a_broken_file_is_named(copy: Path) -> None:
    (copy / "invoices" / "001-paper.json").write_text("{")
    with pytest.raises(ExamplesUnsound, match=r"001-paper\.json"):
        examples.load(copy)


def test_a_broken_workflow_is_refused(copy: Path) -> None:
    (copy / "workflows" / "invoice.yaml").write_text("steps: [")
    with pytest.raises(Invalid):
        examples.load(copy)


def test_the_identity_needs_supplier_and_number() -> None:
    assert Invoice("a", {"number": "N-1", "supplier": {"id": "S-1"}}).identity == "S-1/N-1"
    assert Invoice("a", {"number": "N-1"}).identity is None
    assert Invoice("a", {"number": 7, "supplier": {"id": "S-1"}}).identity is None


def test_examples_are_values() -> None:
    assert isinstance(FOUND, Examples)
    assert FOUND.place == examples.directory()
