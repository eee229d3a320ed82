"""A guard that remembers its answers: simulated runs ask the same questions again and again.

An expression is a function of the values that it reads, so a question that was answered is not asked twice. What befell
a whole batch (too slow, too large) is not kept: it may have been the machine's load.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, Final

from weft.expressions.guard import Guard

KEPT: Final = 4_000_000
"""Bytes of questions and answers, about."""
LARGEST: Final = 20_000
"""Bytes of a question that is worth keeping."""


class RememberingGuard(Guard):
    """Asks another guard, which is started and closed by its owner."""

    def __init__(self, guard: Guard) -> None:
        super().__init__(children=0)
        self._inner = guard
        self._known: OrderedDict[bytes, list[Any]] = OrderedDict()
        self._kept = 0

    async def ask(self, question: bytes, tenant: Hashable) -> list[Any] | str:
        """The answer that is known, or the other guard's."""
        known = self._known.get(question)
        if known is not None:
            self._known.move_to_end(question)
            return known
        answer = await self._inner.ask(question, tenant)
        if not isinstance(answer, str) and len(question) <= LARGEST:
            self._known[question] = answer
            self._kept += 2 * len(question)
            while self._kept > KEPT:
                old, _ = self._known.popitem(last=False)
                self._kept -= 2 * len(old)
        return answer
