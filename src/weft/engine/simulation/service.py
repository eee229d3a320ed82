"""A simulation from its definition to its result: what the command, the API and the benchmark have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from weft.engine.simulation.report import Tally, compile_assertions, judge
from weft.engine.simulation.runs import Played, Simulation
from weft.expressions.guard import Guard


async def simulated(
    simulation: Simulation,
    guard: Guard,
    *,
    assertions: Sequence[str] = (),
    seen: Callable[[Played], None] | None = None,
) -> dict[str, Any]:
    """The result document, with the verdict on each assertion. `seen` gets every run, in order.

    Raises `AssertionUnclear`, before anything is played where that can be known.
    """
    compiled = compile_assertions(assertions)
    tally = Tally(simulation.plan, simulation.wanted.seed)
    async for played in simulation.played():
        tally.add(played)
        if seen is not None:
            seen(played)
    result = tally.result()
    paths = [step.path for step in simulation.plan.definition.all_steps()]
    result["script_unused"] = simulation.wanted.script.unused(paths)
    result["assertions"] = await judge(compiled, result, guard)
    result["passed"] = passed(result)
    return result


def passed(result: Mapping[str, Any]) -> bool:
    """Whether every assertion holds."""
    return all(one["holds"] for one in result["assertions"])
