"""What a check-up answers: one line for each question, and what to do where the answer is not good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from weft.core.errors import WeftError
from weft.ops.preflight import Finding


class Verdict(StrEnum):
    ok = "ok"
    warning = "warning"  # it works, but somebody should know
    fail = "fail"  # it does not work, or is not safe
    skipped = "skipped"  # not to be seen from here; the next step says from where


@dataclass(frozen=True, slots=True)
class Answer:
    """One question answered. `next_step` is empty where nothing is to be done."""

    topic: str
    verdict: Verdict
    sentence: str
    next_step: str = ""

    def as_json(self) -> dict[str, Any]:
        return {
            "topic": self.topic,
            "verdict": self.verdict.value,
            "sentence": self.sentence,
            "next": self.next_step or None,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """Every answer, in the order in which they build on each other."""

    answers: Sequence[Answer]

    @property
    def healthy(self) -> bool:
        """Nothing failed. Warnings do not count."""
        return not any(answer.verdict is Verdict.fail for answer in self.answers)

    def count(self, verdict: Verdict) -> int:
        return sum(answer.verdict is verdict for answer in self.answers)

    def as_json(self) -> dict[str, Any]:
        return {"healthy": self.healthy, "answers": [answer.as_json() for answer in self.answers]}


def ok(topic: str, sentence: str) -> Answer:
    return Answer(topic, Verdict.ok, sentence)


def warning(topic: str, sentence: str, next_step: str) -> Answer:
    return Answer(topic, Verdict.warning, sentence, next_step)


def fail(topic: str, sentence: str, next_step: str) -> Answer:
    return Answer(topic, Verdict.fail, sentence, next_step)


def skipped(topic: str, sentence: str, next_step: str) -> Answer:
    return Answer(topic, Verdict.skipped, sentence, next_step)


def refused(topic: str, error: WeftError) -> Answer:
    """A refusal as an answer: its sentences say the fact first and what to do after it."""
    return fail(topic, *_fact_and_remedy(error.message))


def found(topic: str, finding: Finding) -> Answer:
    """What the preflight found, as an answer."""
    fact, remedy = _fact_and_remedy(finding.sentence)
    return Answer(topic, Verdict.warning if finding.warning else Verdict.fail, fact, remedy)


def _fact_and_remedy(message: str) -> tuple[str, str]:
    fact, stop, remedy = message.partition(". ")
    return (f"{fact}.", remedy) if stop else (message, "")
