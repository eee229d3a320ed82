"""The checks of the database's health: one list, read by `GET /v1/system/health`, by `weft doctor` and by alerts.

    @check("last verified backup")
    async def verified_backup(looking: Looking) -> Result | None: ...

A check says ok, warn or red, a sentence with the fact, and what to do next. It decides from `looking.facts`, which are
there already; where it must ask the database itself, `looking.connection` is the application role's. None means
that there is nothing to say: what nobody has set up is not unwell. A module with checks adds its name to `MODULES`.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from weft.ops.monitoring.facts import AWAY, Facts

if TYPE_CHECKING:
    from weft.db.database import Connection
    from weft.settings_upkeep import MonitorSettings

MODULES: Final[tuple[str, ...]] = ("weft.ops.monitoring.usual",)
"""Where checks are declared. A room with one adds a line."""


class State(StrEnum):
    ok = "ok"
    warn = "warn"  # it works, but somebody should know
    red = "red"  # it does not work, or soon will not


_ORDER: Final = (State.ok, State.warn, State.red)


@dataclass(frozen=True, slots=True)
class Result:
    """What a check found. `next_step` is empty where nothing is to be done."""

    name: str
    state: State
    sentence: str
    next_step: str = ""

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "state": self.state.value,
            "sentence": self.sentence,
            "next": self.next_step or None,
        }


@dataclass(frozen=True, slots=True)
class Looking:
    """What checks decide from."""

    facts: Facts
    now: datetime
    limits: MonitorSettings
    connection: Connection
    maintains: bool = False
    """Whether a schedule says that maintenance is done here."""


Check = Callable[[Looking], Awaitable[Result | None]]

_CHECKS: dict[str, Check] = {}


def check(name: str) -> Callable[[Check], Check]:
    """Declare a check, under a name that is shown."""

    def put(question: Check) -> Check:
        if name in _CHECKS:
            raise LookupError(f"two checks are called '{name}'")
        _CHECKS[name] = question
        return question

    return put


def names() -> tuple[str, ...]:
    """All checks, in the order in which they are shown."""
    _load()
    return tuple(_CHECKS)


async def run(looking: Looking) -> list[Result]:
    """Every answer. A check that cannot be asked is a warning, and does not stop the others."""
    _load()
    found = []
    for name, question in _CHECKS.items():
        try:
            result = await question(looking)
        except AWAY as error:
            result = Result(name, State.warn, f"This could not be asked: {type(error).__name__}.", "See the log.")
        if result is not None:
            found.append(result)
    return found


def worst(results: list[Result]) -> State:
    """The state of the whole."""
    return max((result.state for result in results), key=_ORDER.index, default=State.ok)


def _load() -> None:
    for module in MODULES:
        importlib.import_module(module)
