"""B12: what the check at save costs for a definition of 300 steps: every rule, soundness among them.

Three shapes: one after the other, ten lanes of 29 that join, and 298 side by side. The reference is what reading the
same definition from YAML costs, in the same run: a check of more than a second, or of many readings, is too dear.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import yaml

from benches.lab import middle
from weft.domain.workflows import parsing
from weft.domain.workflows.check import check
from weft.engine import registry

Definition = dict[str, Any]


def run(*, quick: bool) -> dict[str, Any]:
    rounds = 2 if quick else 9
    registry.kinds()  # makes them known to the check
    figures: dict[str, Any] = {}
    for name, definition in {"long": lanes(1, 300), "lanes": lanes(10, 29), "wide": lanes(298, 1)}.items():
        report = check(definition)
        if not report.sound:
            raise RuntimeError(f"{name}: the definition is not sound, so the check ended early: {report.errors[:1]}")
        written = yaml.safe_dump(definition).encode()
        checked = _middle(rounds, partial(check, definition))
        read = _middle(rounds, partial(parsing.parse, written))
        figures[name] = {
            "steps": report.stats.steps,
            "ms": round(checked * 1000, 1),
            "reading_ms": round(read * 1000, 1),
            "ratio": round(checked / read, 2),
        }
    return figures


def lanes(count: int, length: int) -> Definition:
    """So many lanes of so many steps; more than one begin in a step before all and join in one after them."""
    steps: list[dict[str, Any]] = []
    transitions: list[dict[str, Any]] = []
    for lane in range(count):
        keys = [f"s{lane}_{number}" for number in range(length)]
        for before, key in zip([None if count == 1 else "begin", *keys], keys, strict=False):
            text = "{{ input.amount }}" if before in (None, "begin") else f"{{{{ steps.{before}.output.x }}}}"
            steps.append({"key": key, "type": "transform", "config": {"output": {"x": text}}})
            if before is not None:
                transitions.append({"from": before, "to": key})
        if count > 1:
            transitions.append({"from": keys[-1], "to": "joined"})
    if count > 1:
        steps.insert(0, {"key": "begin", "type": "parallel", "config": {}})
        steps.append({"key": "joined", "type": "join", "config": {}})
    amount = {"type": "object", "required": ["amount"], "properties": {"amount": {"type": "number"}}}
    return {"name": f"{count} by {length}", "input": amount, "steps": steps, "transitions": transitions}


def _middle(rounds: int, work: Callable[[], Any]) -> float:
    """Seconds of one, the first left out."""
    took = []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        work()
        took.append(time.perf_counter() - begun)
    return middle(took[1:])
