"""The files of the showcase. An invoice's file is its input and nothing else; what is expected of it stands apart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import weft
from weft.core.errors import Invalid, NotFound
from weft.domain.workflows.parsing import parse

OUTCOMES: Final = (
    "paid",
    "credited",
    "nothing due",
    "needs attention",
    "failed",
    "refused",
    "duplicate",
    "conflict",
)
"""Everything that can be expected, in the order in which it is told."""

WORKFLOWS: Final = ("settle-invoice", "invoice")
"""File names without `.yaml`; a workflow stands behind those that it runs."""

SETTINGS_STEP: Final = "settings"


class ExamplesMissing(NotFound):
    code = "examples_missing"

    def __init__(self, place: Path) -> None:
        super().__init__(
            f"The demo's invoices are not in {place}. They come with a clone of weft; name their directory with "
            "--examples."
        )


class ExamplesUnsound(Invalid):
    code = "examples_unsound"

    def __init__(self, place: Path, said: str) -> None:
        super().__init__(f"{place} {said}.")


@dataclass(frozen=True, slots=True)
class Invoice:
    """One input, named by its file."""

    key: str
    document: Mapping[str, Any]

    @property
    def identity(self) -> str | None:
        """Supplier and number: what makes two papers the same invoice. None when either is missing."""
        supplier = self.document.get("supplier")
        number = self.document.get("number")
        if not isinstance(supplier, Mapping) or not isinstance(number, str):
            return None
        return f"{supplier.get('id')}/{number}"


@dataclass(frozen=True, slots=True)
class Examples:
    """What the directory holds."""

    place: Path
    invoices: tuple[Invoice, ...]
    expected: Mapping[str, Mapping[str, Any]]
    journal_of: str
    workflows: Mapping[str, Mapping[str, Any]]
    ledger: Mapping[str, Any]

    def definitions(self, address: str) -> dict[str, dict[str, Any]]:
        """The workflows, with the ledger at this address."""
        return {name: _addressed(document, address) for name, document in self.workflows.items()}

    @property
    def address(self) -> tuple[str, int]:
        """Host and port where the workflows, as they are written, look for the ledger."""
        for document in self.workflows.values():
            for step in document["steps"]:
                if step["key"] == SETTINGS_STEP:
                    host, _, port = str(step["config"]["vars"]["ledger"]).removeprefix("http://").partition(":")
                    return host, int(port)
        raise ExamplesUnsound(self.place, f"has no workflow with a step '{SETTINGS_STEP}' that names the ledger")


def directory() -> Path:
    """Where a clone, or a package that carries them, has the examples."""
    package = Path(weft.__file__).parent
    beside = package / "examples"
    return beside if beside.is_dir() else package.parents[1] / "examples"


def load(place: Path | None = None) -> Examples:
    """Read everything. Raises `ExamplesMissing`, or `ExamplesUnsound` when the files do not fit together."""
    place = place or directory()
    try:
        invoices = tuple(Invoice(path.stem, _json(place, path)) for path in sorted((place / "invoices").glob("*.json")))
        wanted = _json(place, place / "expected.json")
        ledger = _json(place, place / "ledger.json")
        workflows = {
            name: parse((place / "workflows" / f"{name}.yaml").read_bytes(), "yaml").document for name in WORKFLOWS
        }
    except FileNotFoundError as error:
        raise ExamplesMissing(place) from error
    if not invoices:
        raise ExamplesMissing(place)
    examples = Examples(place, invoices, wanted.get("invoices", {}), str(wanted.get("journal_of")), workflows, ledger)
    _require_agreement(examples)
    return examples


def _json(place: Path, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ExamplesUnsound(place, f"has a file {path.name} that cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise ExamplesUnsound(place, f"has a file {path.name} that is not a JSON object")
    return value


def _require_agreement(examples: Examples) -> None:
    """Every invoice has an expectation, every expectation an invoice, and says something that can happen."""
    keys = {invoice.key for invoice in examples.invoices}
    if lacking := sorted(keys - examples.expected.keys()):
        raise ExamplesUnsound(examples.place, f"expects nothing of {', '.join(lacking)}; add it to expected.json")
    if spare := sorted(examples.expected.keys() - keys):
        raise ExamplesUnsound(examples.place, f"expects something of {', '.join(spare)}, but has no such invoice")
    for key, wanted in examples.expected.items():
        if wanted.get("outcome") not in OUTCOMES:
            raise ExamplesUnsound(examples.place, f"expects of {key} an outcome other than {', '.join(OUTCOMES)}")
        if wanted["outcome"] in ("duplicate", "conflict") and wanted.get("of") not in keys:
            raise ExamplesUnsound(examples.place, f"says of {key} that it repeats an invoice that is not there")
    if examples.journal_of not in keys:
        raise ExamplesUnsound(examples.place, "wants to show the journal of an invoice that is not there")


def _addressed(document: Mapping[str, Any], address: str) -> dict[str, Any]:
    """A copy whose settings step names this ledger."""
    copy: dict[str, Any] = json.loads(json.dumps(document))
    for step in copy["steps"]:
        if step["key"] == SETTINGS_STEP:
            step["config"]["vars"]["ledger"] = f"http://{address}"
    return copy
