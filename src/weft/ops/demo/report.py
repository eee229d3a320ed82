"""What a demo found: values, and the verdict. How it looks in a terminal is in `telling.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

_LONGEST: Final = 90


@dataclass(frozen=True, slots=True)
class Outcome:
    """One invoice: what was expected of it, and what came."""

    key: str
    wanted: Mapping[str, Any]
    got: Mapping[str, Any]
    execution_id: str | None
    seconds: float

    @property
    def as_expected(self) -> bool:
        return all(self.got.get(name) == value for name, value in self.wanted.items())

    @property
    def difference(self) -> str:
        """A sentence for whoever looks into it; the words for people stand at its end."""
        names = [name for name, value in self.wanted.items() if self.got.get(name) != value]
        wanted = ", ".join(f"{name} {self.wanted[name]}" for name in names)
        got = ", ".join(f"{name} {self.got.get(name, 'not said')}" for name in names)
        message = f" ({self.got['message']})" if self.got.get("message") else ""
        return f"{self.key}: expected {wanted}; came {got}{message}"


@dataclass(frozen=True, slots=True)
class JournalLine:
    """One attempt of one step. `after` and `took` are milliseconds; `after` counts from the execution's first step."""

    step: str
    attempt: int
    status: str
    after: int
    took: int | None
    words: str
    began: datetime

    @classmethod
    def of(cls, row: Mapping[str, Any], within: str, since: datetime) -> JournalLine:
        began = datetime.fromisoformat(row["started_at"])
        step = row["step"] or "(the execution)"
        return cls(
            step=f"{within} > {step}" if within else step,
            attempt=row["attempt"],
            status=row["status"],
            after=round((began - since).total_seconds() * 1000),
            took=row["duration_ms"],
            words=_words(row),
            began=began,
        )


@dataclass(frozen=True, slots=True)
class Numbers:
    invoices: int
    executions: int
    calls: int
    not_now: int
    retries: int
    bookings: int
    recognised: int
    seconds: float


@dataclass(frozen=True, slots=True)
class AuditNote:
    """What the audit log wrote meanwhile, by table and action, and who is named as the one who did it."""

    entries: int
    kinds: Mapping[str, int]
    actors: tuple[str, ...]

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> AuditNote:
        rows = list(rows)
        kinds = Counter(f"{row['resource_type']} {row['action']}" for row in rows)
        actors = sorted({str(row["actor_name"]) for row in rows if row["actor_name"]})
        return cls(len(rows), dict(kinds.most_common()), tuple(actors))


@dataclass(frozen=True, slots=True)
class Report:
    """Everything. `faults` are those that no single invoice shows; `audit` is None when it may not be read."""

    outcomes: list[Outcome]
    faults: list[str]
    journal_of: Outcome
    journal: list[JournalLine]
    numbers: Numbers
    audit: AuditNote | None

    @property
    def differences(self) -> list[str]:
        return [one.difference for one in self.outcomes if not one.as_expected] + self.faults

    @property
    def passed(self) -> bool:
        return not self.differences

    def as_json(self) -> dict[str, Any]:
        return {
            "passed": self.passed,
            "differences": self.differences,
            "numbers": asdict(self.numbers),
            "outcomes": [
                {
                    "invoice": one.key,
                    "as_expected": one.as_expected,
                    "expected": dict(one.wanted),
                    "got": dict(one.got),
                    "execution_id": one.execution_id,
                    "milliseconds": round(one.seconds * 1000),
                }
                for one in self.outcomes
            ],
            "journal": {
                "invoice": self.journal_of.key,
                "execution_id": self.journal_of.execution_id,
                "lines": [
                    {
                        "step": line.step,
                        "attempt": line.attempt,
                        "status": line.status,
                        "after_ms": line.after,
                        "took_ms": line.took,
                        "words": line.words,
                    }
                    for line in self.journal
                ],
            },
            "audit": asdict(self.audit) if self.audit is not None else None,
        }


def _words(row: Mapping[str, Any]) -> str:
    """The few words about an attempt that fit into a line."""
    error = row["error"]
    if error:
        text = str(error.get("message") or error.get("kind"))
        if str(row["message"] or "").startswith("Tried again"):
            text = f"{text.partition(',')[0]}; tried again"
    elif row["message"]:
        text = str(row["message"])
    else:
        text = _shown(row["data"])
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _shown(data: Any) -> str:
    """A step's output for people: without the parts that nobody reads."""
    if data is None:
        return ""
    if isinstance(data, Mapping):
        if "status" in data and "body" in data:
            return f"{data['status']}: {_shown(data['body'])}"
        return ", ".join(f"{name} {_shown(value) or 'none'}" for name, value in data.items())
    if isinstance(data, list):
        return f"{len(data)} items"
    return str(data)
