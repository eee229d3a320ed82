"""Finds mistakes in code when a definition is saved: syntax, unknown names, types that do not fit.

Nothing is run. The type checker lives in Monty's processes, so it is bounded like code itself; one process serves
this one, is started when code is first checked, and stopped with the interpreter. What cannot be checked in time is
let pass: the check is a help for authors, the limits hold when the code runs.
"""

from __future__ import annotations

import atexit
import json
import threading
import time
from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pydantic_monty

PATIENCE: Final = 2.0
"""Seconds that the check of one text may take."""
BUDGET: Final = 5.0
"""Seconds of checking within `WINDOW` seconds; code that comes after is let pass unchecked."""
WINDOW: Final = 10.0
MEMORY: Final = 64_000_000
MOST_FAULTS: Final = 20

_STOP: Final = "weft_checks_only"
"""A function that the code is made to call first: the checker has looked at everything, and nothing has run yet."""


@dataclass(frozen=True, slots=True)
class CodeFault:
    """One mistake. `line` and `column` count from 1, in the code."""

    line: int
    column: int
    message: str


class Unchecked(Exception):
    """The budget was spent on others: nobody has looked at this code."""


def code_faults(code: str, names: tuple[str, ...]) -> tuple[CodeFault, ...]:
    """The mistakes in code whose variables have these names. Empty where there is no checker."""
    try:
        return _known_faults(code, names)
    except Unchecked:
        return ()  # and not remembered: next time there may be time for it


@lru_cache(maxsize=512)
def _known_faults(code: str, names: tuple[str, ...]) -> tuple[CodeFault, ...]:
    return _CHECKER.faults(code, names)


class _Checker:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: pydantic_monty.Monty | None = None
        self._spent: deque[tuple[float, float]] = deque()  # when, and how long

    def faults(self, code: str, names: tuple[str, ...]) -> tuple[CodeFault, ...]:
        with self._lock:
            began = time.monotonic()
            while self._spent and self._spent[0][0] < began - WINDOW:
                self._spent.popleft()
            if sum(seconds for _, seconds in self._spent) > BUDGET:
                raise Unchecked
            try:
                return self._ask(code, names)
            finally:
                self._spent.append((began, time.monotonic() - began))

    def close(self) -> None:
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.__exit__(None, None, None)

    def _ask(self, code: str, names: tuple[str, ...]) -> tuple[CodeFault, ...]:
        import pydantic_monty

        if self._pool is None:
            self._pool = pydantic_monty.Monty(min_processes=0, max_processes=1, request_timeout=PATIENCE)
            self._pool.__enter__()
            atexit.register(self.close)
        try:
            with self._pool.checkout(
                script_name="code",
                type_check=True,
                type_check_format="json",
                type_check_stubs=_stubs(names),
                limits={"max_feed_duration_secs": PATIENCE, "max_memory": MEMORY},
            ) as session:
                session.feed_start(f"{_STOP}()\n{code}", print_callback=lambda *_: None)
        except pydantic_monty.MontyTypingError as error:
            return tuple(_read(error.display()))
        except pydantic_monty.MontyCrashedError:
            return ()
        except (pydantic_monty.MontySyntaxError, pydantic_monty.MontyRuntimeError) as error:
            return _refused(error)
        return ()


def _stubs(names: tuple[str, ...]) -> str:
    lines = ["from typing import Any", f"def {_STOP}() -> None: ...", *(f"{name}: Any" for name in names)]
    return "\n".join(lines) + "\n"


def _read(written: str) -> list[CodeFault]:
    """The checker's own words, without the line that we put before the code."""
    return [
        CodeFault(found["location"]["row"] - 1, found["location"]["column"], str(found["message"]).rstrip("."))
        for found in json.loads(written)
        if found["severity"] == "error" and found["location"]["row"] > 1
    ][:MOST_FAULTS]


def _refused(error: Any) -> tuple[CodeFault, ...]:
    """What Monty cannot read at all: it says so before the code begins."""
    frames = error.traceback()
    if not frames or frames[-1].line < 2:
        return ()
    text = str(error).removeprefix("NotImplementedError: ").removeprefix("SyntaxError: ").rstrip(".")
    return (CodeFault(frames[-1].line - 1, frames[-1].column, text.replace("The monty syntax parser", "The sandbox")),)


_CHECKER: Final = _Checker()
