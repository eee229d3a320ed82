"""What an evaluation costs: in this process, in the guard, and when a child has to be replaced.

    python -m benches.expressions

Prints one line of JSON for each scenario, times in microseconds (median of the rounds).
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

from weft.expressions.compile import compile_expression, compile_template, compile_value
from weft.expressions.context import safe_matches
from weft.expressions.evaluate import evaluate_condition, evaluate_simple
from weft.expressions.guard import Guard

ROUNDS = 7


def invoice(lines: int) -> dict[str, Any]:
    """About 100 bytes a line."""
    return {
        "input": {
            "amount": 1500,
            "customer": {"id": 7, "name": "Ada Lovelace", "tier": "gold", "email": "ada@example.com"},
            "lines": [
                {"sku": f"part-{number:05}", "quantity": number % 7, "price": number * 1.25, "text": "spare part " * 4}
                for number in range(lines)
            ],
        },
        "steps": {"review": {"output": {"approved": True}}},
    }


def report(scenario: str, microseconds: list[float], **facts: Any) -> None:
    line = {"bench": "expressions", "scenario": scenario, "us": round(statistics.median(microseconds), 2), **facts}
    print(json.dumps(line))


def measure(scenario: str, run: Callable[[], object], times: int = 10_000, **facts: Any) -> None:
    run()
    rounds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(times):
            run()
        rounds.append((time.perf_counter() - started) / times * 1e6)
    report(scenario, rounds, **facts)


async def measure_async(scenario: str, run: Callable[[], Awaitable[object]], times: int, **facts: Any) -> None:
    await run()
    rounds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(times):
            await run()
        rounds.append((time.perf_counter() - started) / times * 1e6)
    report(scenario, rounds, **facts)


def bench_simple() -> None:
    for lines in (50, 500):
        data = invoice(lines)
        size = len(json.dumps(data))
        condition = compile_expression("input.amount > 1000 and input.customer.tier == 'gold'")
        path = compile_expression("input.customer.id")
        product = compile_expression("input.amount * 1.19")
        total = compile_expression("input.lines | map(attribute='price') | sum")
        text = compile_template("Dear {{ input.customer.name }}, you owe {{ input.amount | money }} EUR.")
        mapping = compile_value(
            {"to": "{{ input.customer.email }}", "id": "{{ input.customer.id }}", "kind": "invoice"}
        )
        measure("condition", lambda: evaluate_condition(condition, data), bytes=size)  # noqa: B023 - run at once
        measure("path", lambda: evaluate_simple(path, data), bytes=size)  # noqa: B023  called at once
        measure("product", lambda: evaluate_simple(product, data), bytes=size)  # noqa: B023  called at once
        measure("text", lambda: evaluate_simple(text, data), bytes=size)  # noqa: B023  called at once
        measure("mapping", lambda: evaluate_simple(mapping, data), bytes=size)  # noqa: B023  called at once
        measure("sum of a field", lambda: evaluate_simple(total, data), 200, bytes=size)  # noqa: B023  called at once


def bench_compile() -> None:
    measure("compile condition", lambda: compile_expression("input.amount > 1000 and input.tier == 'gold'"), 1000)
    measure("compile template", lambda: compile_template("Dear {{ input.name }}, {{ input.amount | money }}"), 1000)
    measure("pattern", lambda: safe_matches("^INV-[0-9]{4}$", "INV-2026"))


async def bench_guard() -> None:
    data = invoice(50)
    loop = compile_template("{% for line in input.lines %}{{ line.sku }}: {{ line.price }}\n{% endfor %}")
    small = compile_expression("input.customer.name.split(' ') | last")
    crash = compile_expression("'%1000000000s' | format('a')")
    started = time.perf_counter()
    async with Guard() as guard:
        report("guard start", [(time.perf_counter() - started) * 1e6])
        await measure_async("guard call", lambda: guard.value(small, data), 500)
        await measure_async("guard loop over 50 lines", lambda: guard.value(loop, data), 200)
        await measure_async("guard batch of 10", lambda: guard.evaluate([small] * 10, data), 200)
        await measure_async("guard crash and next answer", lambda: _crash_then_answer(guard, crash, small, data), 20)
        await measure_async(
            "guard 50 callers at once", lambda: asyncio.gather(*(guard.value(small, data) for _ in range(50))), 20
        )


async def _crash_then_answer(guard: Guard, crash: Any, small: Any, data: dict[str, Any]) -> None:
    await guard.evaluate([crash], data)
    await guard.value(small, data)


if __name__ == "__main__":
    bench_simple()
    bench_compile()
    asyncio.run(bench_guard())
