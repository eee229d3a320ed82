"""A simulation, event by event, as JSON Lines. The same definition, inputs, script and seed give the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from weft.engine.simulation.runs import Played

_ENCODER = msgspec.json.Encoder(order="sorted")


def lines(played: Played) -> Iterator[bytes]:
    """A run's beginning, each attempt in the order in which it began, and its end. Seconds since the beginning."""
    yield _line({"run": played.number, "what": "began", "seed": played.seed, "input": played.input})
    for step in played.steps:
        found: dict[str, Any] = {
            "run": played.number,
            "what": "step",
            "step": step.path,
            "visit": step.visit,
            "attempt": step.attempt,
            "status": step.status,
            "from": step.began,
            "to": step.ended,
        }
        if step.frame:
            found["frame"] = step.frame
        if step.answered is not None:
            found["answered_by"] = step.answered.source
            if step.answered.cost:
                found["cost"] = float(step.answered.cost)
        found |= {
            name: value
            for name, value in (("output", step.data), ("error", step.error), ("message", step.message))
            if value is not None
        }
        yield _line(found)
    yield _line(
        {
            "run": played.number,
            "what": "ended",
            "status": played.status,
            "seconds": played.seconds,
            "cost": played.cost,
            "output": played.output,
            "error": played.error,
        }
    )


def _line(found: dict[str, Any]) -> bytes:
    return _ENCODER.encode(found) + b"\n"
