"""Answers of the guard to results: values put back where their expressions stood, failures with their places."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from weft.expressions.compile import Compiled, Expression, Literal, Refused, Template, Tree
from weft.expressions.errors import ExpressionFailed, ExpressionInvalid, failed
from weft.expressions.evaluate import copied, evaluate_simple, explained
from weft.expressions.views import CRASHED, TOO_LARGE, TOO_SLOW

Leaf = Expression | Template

NOT_JSON = "context_not_json"
DATA_TOO_LARGE = "context_too_large"

_SENTENCES: Mapping[str, str] = {
    TOO_SLOW: (
        "This did not finish within {cpu:g} s of processor time, or {wall:g} s in all. "
        "Loop over fewer items, or use a code step."
    ),
    TOO_LARGE: (
        "This needs more memory than the {memory} MB it may use, or gives a larger result than can be kept. "
        "Work on fewer items, and do not build long texts by repetition."
    ),
    CRASHED: "This brought the expression engine down. Write it in smaller, simpler parts.",
    NOT_JSON: "The data that this reads is not JSON: it holds half characters, or nests too deeply.",
    DATA_TOO_LARGE: "The data that this reads is larger than 32 MB. Read single fields instead of all.",
}


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one compiled value: `value`, or `error` when it is set."""

    value: Any = None
    error: ExpressionFailed | ExpressionInvalid | None = None

    def unwrap(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.value


def guarded_leaves(batch: Sequence[Compiled]) -> list[Leaf]:
    """What of the batch cannot be evaluated in this process, in order."""
    return [leaf for compiled in batch for leaf in compiled.leaves() if not leaf.is_simple]


def cause_of_death(status: int) -> str:
    """The code for how a child ended. The engine aborts when it is refused memory."""
    if not os.WIFSIGNALED(status):
        return CRASHED
    number = os.WTERMSIG(status)
    if number in {signal.SIGPROF, signal.SIGXCPU}:
        return TOO_SLOW
    return TOO_LARGE if number in {signal.SIGABRT, signal.SIGKILL} else CRASHED


def befell(code: str, leaves: Sequence[Leaf], *, cpu: float, wall: float, memory: int) -> ExpressionFailed:
    """The error of a batch that gave no answers at all, which one of its expressions caused."""
    sentence = _SENTENCES[code].format(cpu=cpu, wall=wall, memory=memory // 2**20)
    if len(leaves) == 1:
        return explained(code, sentence, None, None, leaves[0])
    sources = [leaf.source.strip()[:80] for leaf in leaves]
    return failed(code, f"One of {len(leaves)} expressions: {sentence}", {"expressions": sources})


@dataclass(slots=True)
class Assembly:
    """Builds results in the order of the batch. `answers` belong to its guarded leaves, or is their one error."""

    context: Mapping[str, Any]
    answers: Iterator[list[Any]] | ExpressionFailed
    limit: int
    _errors: list[ExpressionFailed] = field(default_factory=list, init=False)

    def result(self, compiled: Compiled) -> Result:
        if isinstance(compiled, Refused):
            return Result(error=ExpressionInvalid(compiled.issues))
        self._errors.clear()
        value = self._build(compiled)
        return Result(error=self._errors[0]) if self._errors else Result(value)

    def _build(self, compiled: Compiled) -> Any:
        if isinstance(compiled, Tree):
            if isinstance(compiled.children, dict):
                return {key: self._build(child) for key, child in compiled.children.items()}
            return [self._build(child) for child in compiled.children]
        if isinstance(compiled, Expression | Template):
            return self._leaf(compiled)
        return copied(compiled.value) if isinstance(compiled, Literal) else None

    def _leaf(self, leaf: Leaf) -> Any:
        error: ExpressionFailed
        if leaf.is_simple:
            try:
                return evaluate_simple(leaf, self.context, limit=self.limit)
            except ExpressionFailed as failure:
                error = failure
        elif isinstance(self.answers, ExpressionFailed):
            error = self.answers
        else:
            answer = next(self.answers)
            if len(answer) == 1:
                return answer[0]
            # five parts, unless the child has lost its mind
            code, message, start, end = answer[1:] if len(answer) == 5 else (CRASHED, _SENTENCES[CRASHED], None, None)
            error = explained(code, message, start, end, leaf)
        self._errors.append(error)
        return None
