"""Every way a simulation or a backtest says no."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from weft.core.errors import Exhausted, Invalid, Issue, NotFound

MOST_COST: Final = Decimal(1_000_000_000)


class ScriptInvalid(Invalid):
    code = "script_invalid"

    def __init__(self, issues: Sequence[Issue]) -> None:
        first = issues[0]
        place = ".".join(str(part) for part in first.path)
        super().__init__(
            f"The script cannot be used: {place + ': ' if place else ''}{first.message} "
            "`docs/reference/simulation.md` describes scripts.",
            issues=issues,
        )


class AssertionUnclear(Invalid):
    code = "assertion_unclear"

    def __init__(self, written: str, reason: str) -> None:
        super().__init__(f"The assertion `{written[:200]}` cannot be judged: {reason}")


class InputNotMade(Invalid):
    code = "input_not_made"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"No input could be made up that fits the workflow's input schema: {reason}. Give inputs of your own."
        )


class SimulationTooLong(Exhausted):
    code = "simulation_too_long"

    def __init__(self, seconds: float, done: int, runs: int) -> None:
        super().__init__(
            f"After {seconds:g} seconds {done} of {runs} runs were done. Ask for fewer runs, or simulate the file with "
            "`weft workflow simulate`, which has no such limit."
        )


class SimulationsBusy(Exhausted):
    code = "simulations_busy"

    def __init__(self) -> None:
        super().__init__(
            "Another simulation or backtest of this tenant is under way. Wait until it is done.", retry_after=5.0
        )


class BacktestEmpty(NotFound):
    code = "backtest_empty"

    def __init__(self) -> None:
        super().__init__(
            "There is no finished execution to compare with. Run the workflow first, or ask for another period or "
            "status."
        )


class CostUnclear(Invalid):
    code = "cost_unclear"

    def __init__(self, value: object) -> None:
        super().__init__(f"`cost` gave {str(value)[:80]!r}; it must be a number from 0 to {MOST_COST:,}.")


class SimulationUnavailable(Invalid):
    code = "simulation_unavailable"

    def __init__(self) -> None:
        super().__init__(
            "A simulated execution is not replayed: the new one would have real effects. Start another simulation "
            "(`weft execution start --simulate`), or replay a real execution."
        )
