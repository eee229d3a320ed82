"""Sends every invoice to the workflow, as a program with an API key would, and compares what came of it.

Nothing here knows what weft should answer: that stands in `expected.json`. Besides the answers, the ledger's books
are compared, because an execution that says "paid" is no proof that anything was paid, or paid once.
"""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol
from urllib.parse import quote
from uuid import uuid4

from weft.core.errors import Forbidden, Invalid, Unavailable, WeftError
from weft.ops.demo.examples import Examples, Invoice
from weft.ops.demo.ledger import Ledger
from weft.ops.demo.report import AuditNote, JournalLine, Numbers, Outcome, Report

SENDERS: Final = 12
"""Invoices that are under way at the same time."""
_WAIT: Final = "10s"
_ANSWER_SECONDS: Final = 40.0
_LATEST_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.2
_FINAL: Final = ("COMPLETED", "FAILED", "CANCELLED")
_FACTS: Final = ("outcome", "amount", "currency", "order", "reasons")


class Api(Protocol):
    """weft over HTTP. Everything raises `WeftError`s only; may be called from several threads."""

    url: str

    def get(self, path: str, **query: Any) -> Any: ...

    def post(self, path: str, body: Any = None, **options: Any) -> Any: ...

    def listed(self, path: str, *, limit: int | None = None, **query: Any) -> list[dict[str, Any]]: ...


class Watcher(Protocol):
    """Hears how far the demo is."""

    def phase(self, text: str) -> None: ...

    def expect(self, invoices: int) -> None: ...

    def came(self, invoice: str) -> None: ...


class LedgerOutOfReach(Invalid):
    code = "ledger_out_of_reach"

    def __init__(self, address: str) -> None:
        super().__init__(
            f"The worker may not call the demo's ledger at {address}: addresses of this machine are closed to "
            f"workflows unless the operator opens them. Start weft with WEFT_HTTP_ALLOW={address} and repeat, or let "
            "the demo bring its own: `weft demo`."
        )


class WorkerSilent(Unavailable):
    code = "worker_silent"

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"The first invoice was accepted, but nobody has finished it within {seconds:.0f} seconds. Is a worker "
            "running? `weft up` starts one, `weft worker` another."
        )


@dataclass(slots=True)
class Showcase:
    """One run. `run_id` keeps its idempotency keys apart from those of an earlier run in the same installation."""

    api: Api
    ledger: Ledger
    examples: Examples
    watcher: Watcher
    run_id: str = field(default_factory=lambda: uuid4().hex[:8])
    _started: dict[str, str] = field(default_factory=dict)  # execution id -> the invoice that started it
    _workflows: dict[str, str] = field(default_factory=dict)  # file name -> workflow id

    def run(self) -> Report:
        """Everything, in order. Raises `WeftError` when the installation cannot do it at all."""
        began, clock = datetime.now(UTC), time.monotonic()
        self.watcher.phase("publishing the workflows")
        self._publish()
        self.watcher.phase("sending the invoices")
        self.watcher.expect(len(self.examples.invoices))
        outcomes = self._send_all()
        seconds = time.monotonic() - clock
        self.watcher.phase("comparing")
        shown = outcomes[self.examples.journal_of]
        ordered = [outcomes[invoice.key] for invoice in self.examples.invoices]
        return Report(
            outcomes=ordered,
            faults=self._faults_of_books(),
            journal_of=shown,
            journal=self._journal(shown.execution_id) if shown.execution_id else [],
            numbers=self._numbers(began, seconds),
            audit=self._audit(began),
        )

    # -- sending -------------------------------------------------------------------------------------------

    def _publish(self) -> None:
        for name, definition in self.examples.definitions(self.ledger.address).items():
            workflow = self.api.post("/workflows/import", definition)["workflow"]
            if workflow["status"] != "ACTIVE":
                self.api.post(f"/workflows/{workflow['id']}/activate")
            self._workflows[name] = workflow["id"]

    def _send_all(self) -> dict[str, Outcome]:
        """The invoice whose journal is shown first, alone, as a probe; then the rest; then what is sent again."""
        wanted = self.examples.expected
        again = [one for one in self.examples.invoices if "of" in wanted[one.key]]
        probe = next(one for one in self.examples.invoices if one.key == self.examples.journal_of)
        first = [one for one in self.examples.invoices if "of" not in wanted[one.key] and one is not probe]
        outcomes = {probe.key: self._probe(probe)}
        for wave in (first, again):
            for outcome in in_parallel(self._send, wave, SENDERS):
                self.watcher.came(outcome.key)
                outcomes[outcome.key] = outcome
        return outcomes

    def _probe(self, invoice: Invoice) -> Outcome:
        outcome = self._send(invoice)
        if not self.ledger.calls:
            if outcome.got["outcome"] == "unfinished":
                raise WorkerSilent(_LATEST_SECONDS)
            raise LedgerOutOfReach(self.ledger.address)
        self.watcher.came(invoice.key)
        return outcome

    def _send(self, invoice: Invoice) -> Outcome:
        """One invoice, and what came of it."""
        began = time.monotonic()
        identity = invoice.identity
        # Supplier and number say which invoice it is: sent twice, it is started once.
        headers = {"Idempotency-Key": f"demo:{self.run_id}:{quote(identity, safe='/')}"} if identity else {}
        execution_id = None
        try:
            started = self.api.post(
                f"/workflows/{self._workflows['invoice']}/executions",
                {"input": invoice.document},
                query={"wait": _WAIT},
                headers=headers,
                timeout=_ANSWER_SECONDS,
            )
        except WeftError as error:
            got = self._refusal(invoice, error)
        else:
            execution_id = str(started["id"])
            got = self._result(invoice, self._ended(started, began))
        seconds = time.monotonic() - began
        return Outcome(invoice.key, self.examples.expected[invoice.key], got, execution_id, seconds)

    def _ended(self, started: Mapping[str, Any], began: float) -> Mapping[str, Any]:
        """The execution when it has ended, or as it stands when that takes too long."""
        while started["status"] not in _FINAL and time.monotonic() - began < _LATEST_SECONDS:
            time.sleep(_LOOK_SECONDS)
            started = self.api.get(f"/executions/{started['id']}")
        return started

    def _result(self, invoice: Invoice, execution: Mapping[str, Any]) -> dict[str, Any]:
        first = self._started.setdefault(str(execution["id"]), invoice.key)
        if first != invoice.key:
            return {"outcome": "duplicate", "of": first}
        output = execution["output"]
        match execution["status"]:
            case "COMPLETED" if isinstance(output, Mapping):
                return {name: output[name] for name in _FACTS if name in output}
            case "FAILED":
                error = execution["error"] or {}
                return {"outcome": "failed", "step": error.get("step"), "message": error.get("message")}
            case status if status in _FINAL:
                return {"outcome": str(status).lower(), "message": f"its output is {output!r}"}
            case status:
                return {"outcome": "unfinished", "message": f"it is {status}"}

    def _refusal(self, invoice: Invoice, error: WeftError) -> dict[str, Any]:
        if error.code == "input_invalid" and error.issues:
            issue = error.issues[0]
            return {"outcome": "refused", "field": field_of(issue.path, issue.message), "message": issue.message}
        if error.code == "idempotency_key_reused":
            same = (one.key for one in self.examples.invoices if one.identity == invoice.identity)
            return {"outcome": "conflict", "of": next(same), "message": error.message}
        return {"outcome": "error", "code": error.code, "message": error.message}

    # -- comparing -----------------------------------------------------------------------------------------

    def _faults_of_books(self) -> list[str]:
        """What the ledger's books say, against what should stand there: each booking once, and nothing else."""
        kinds = {"paid": "payment", "credited": "credit"}
        wanted: dict[str, tuple[Any, ...]] = {}
        for invoice in self.examples.invoices:
            facts = self.examples.expected[invoice.key]
            if facts["outcome"] in kinds and invoice.identity:
                wanted[invoice.identity] = (kinds[facts["outcome"]], facts["amount"], facts["currency"])
        booked = {key: (one.kind, one.amount, one.currency) for key, one in self.ledger.books.items()}
        return [
            f"the ledger's books say of {key} {_said(booked.get(key))}, expected was {_said(wanted.get(key))}"
            for key in sorted(wanted.keys() | booked.keys())
            if wanted.get(key) != booked.get(key)
        ]

    # -- showing -------------------------------------------------------------------------------------------

    def _journal(self, execution_id: str, *, within: str = "", since: datetime | None = None) -> list[JournalLine]:
        """An execution as it happened, with what its sub-workflows did under the step that they belong to."""
        rows = self.api.listed(f"/executions/{execution_id}/logs", order="asc")
        since = since or min((datetime.fromisoformat(row["started_at"]) for row in rows), default=datetime.now(UTC))
        lines = [JournalLine.of(row, within, since) for row in rows]
        steps = {row["visit"]: row["step"] for row in rows}
        for summary in self.api.listed("/executions", parent_id=execution_id):
            child = self.api.get(f"/executions/{summary['id']}")
            lines += self._journal(child["id"], within=steps[child["parent_visit"]], since=since)
        return sorted(lines, key=lambda line: line.began)

    def _numbers(self, began: datetime, seconds: float) -> Numbers:
        totals = [
            self.api.get("/executions/counts", workflow_id=workflow, created_from=began.isoformat())["total"]
            for workflow in self._workflows.values()
        ]
        return Numbers(
            invoices=len(self.examples.invoices),
            executions=sum(totals),
            calls=len(self.ledger.calls),
            not_now=self.ledger.bad_moments,
            retries=self.ledger.repeats,
            bookings=len(self.ledger.books),
            recognised=self.ledger.recognised,
            seconds=seconds,
        )

    def _audit(self, began: datetime) -> AuditNote | None:
        """None when whoever is signed in may not read the audit log."""
        since: dict[str, Any] = {"from": began.isoformat()}  # a word of Python's own
        try:
            return AuditNote.of(self.api.listed("/audit", **since))
        except Forbidden:
            return None


def field_of(path: Sequence[str | int], message: str) -> str:
    """The field that a refusal names. One that should not be there has no place in the schema: the sentence says it."""
    if path:
        return ".".join(str(part) for part in path)
    quoted = re.search(r"'([^']+)'", message)
    return quoted.group(1) if quoted else ""


def in_parallel(work: Callable[[Invoice], Outcome], items: Sequence[Invoice], workers: int) -> Iterator[Outcome]:
    """The results as they come. The threads are daemons: Ctrl-C need not wait for answers that nobody wants."""
    waiting: queue.SimpleQueue[Invoice] = queue.SimpleQueue()
    finished: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()
    for item in items:
        waiting.put(item)

    def serve() -> None:
        while True:
            try:
                item = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                finished.put(work(item))
            except BaseException as error:  # handed to whoever waits
                finished.put(error)

    for number in range(min(workers, len(items))):
        threading.Thread(target=serve, name=f"sender {number}", daemon=True).start()
    for _ in items:
        result = finished.get()
        if isinstance(result, BaseException):
            raise result
        yield result


def _said(booking: tuple[Any, ...] | None) -> str:
    return "nothing" if booking is None else " ".join(map(str, booking))
