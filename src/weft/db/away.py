"""What asyncpg's pool says of a server that is away: a line, and not a traceback for every try."""

from __future__ import annotations

import logging
import time
from typing import Final

_POOL: Final = "asyncpg.pool"
_SAID: Final = "Failed to restore the pool connection"
_EVERY: Final = 60.0
"""Seconds between two lines. The pool tries every second at first, and then ever less often."""


class _OneLine(logging.Filter):
    """The pool mends itself; only that it has to is worth saying."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        if not str(record.msg).startswith(_SAID):
            return True
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + _EVERY
        record.msg, record.args, record.exc_info, record.exc_text = "the database is away; trying again", (), None, None
        return True


def say_briefly() -> None:
    """For the whole process; safe to repeat."""
    logger = logging.getLogger(_POOL)
    if not any(isinstance(one, _OneLine) for one in logger.filters):
        logger.addFilter(_OneLine())
