"""Backtest: past executions, with the answers that the world gave them, through another version of their workflow."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from weft.engine.evaluate import Evaluator
from weft.engine.plans import InputInvalid, Plan
from weft.engine.run import Facts, Run
from weft.engine.simulation.comparing import differences, plain
from weft.engine.simulation.errors import SimulationTooLong
from weft.engine.simulation.memory import RememberingGuard
from weft.engine.simulation.play import Limits, Part, Play
from weft.engine.simulation.positions import Position
from weft.engine.simulation.recorded import RecordedStage, Recording, offset
from weft.engine.simulation.runs import SIDE_BY_SIDE, UNFINISHED, nothing_to_fetch
from weft.engine.simulation.script import Script
from weft.engine.simulation.stage import ScriptStage
from weft.engine.simulation.statistics import distribution
from weft.expressions.guard import Guard

REFUSED: Final = "REFUSED"
"""What becomes of an execution whose input the version does not accept."""


@dataclass(frozen=True, slots=True)
class Past:
    """A finished execution: how it began, how it ended, and its journal."""

    facts: Facts
    plan: Plan
    status: str
    output: Any
    error: Mapping[str, Any] | None
    started_at: datetime
    completed_at: datetime
    cost: float
    recording: Recording


@dataclass(slots=True)
class Compared:
    """One row of the answer, and what the summary needs of it."""

    row: dict[str, Any]
    before: float = 0.0
    after: float = 0.0
    cost_before: float = 0.0
    cost_after: float = 0.0


class Backtest:
    """Plays past executions through `plan`. One guard serves all of them."""

    def __init__(
        self,
        plan: Plan,
        guard: Guard,
        script: Script,
        *,
        limits: Limits | None = None,
        seconds: float | None = None,
        side_by_side: int = SIDE_BY_SIDE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan = plan
        self._guard = RememberingGuard(guard)
        self._script = ScriptStage(script, self._guard)
        self._evaluator = Evaluator(self._guard, nothing_to_fetch)
        self._limits = limits or Limits()
        self._seconds = seconds
        self._side_by_side = side_by_side
        self._clock = clock
        self._deadline: float | None = None

    async def compared(self, pasts: AsyncIterator[Sequence[Past]], *, wanted: int) -> list[Compared]:
        """Each with its verdict, in the order given. Raises `SimulationTooLong` when the time is over."""
        begun = self._clock()
        found: list[Compared] = []
        async for group in pasts:
            for first in range(0, len(group), self._side_by_side):
                part = group[first : first + self._side_by_side]
                found += await asyncio.gather(*(self.compare(past) for past in part))
                if self._seconds is not None and self._clock() - begun > self._seconds:
                    raise SimulationTooLong(self._seconds, len(found), wanted)
                await asyncio.sleep(0)
        return found

    async def compare(self, past: Past) -> Compared:
        """One execution, played again."""
        took = offset(past.completed_at, past.started_at)
        before = {"status": past.status, "seconds": took, "error": past.error}
        row: dict[str, Any] = {
            "id": past.facts.id, "number": past.facts.number, "verdict": "skipped", "reason": None,
            "before": before, "after": None, "changes": [], "parts_at": None, "not_recorded": [],
        }  # fmt: skip
        if past.facts.trigger == "REPLAY":
            row["reason"] = "It is a replay, which begins with what another execution had reached."
            return Compared(row)
        if past.recording.by_hand is not None or (past.error or {}).get("kind") == "abandoned":
            row["reason"] = past.recording.by_hand or "The engine had given it up."
            return Compared(row)
        try:
            self._plan.check_input(past.facts.input)
        except InputInvalid as invalid:
            row["verdict"] = "different"
            error = {"kind": invalid.code, "message": invalid.message}
            row["after"] = {"status": REFUSED, "seconds": 0.0, "error": error}
            row["changes"] = differences(_end(past.status, past.error), _end(REFUSED, error))
            return Compared(row, took, 0.0, past.cost, 0.0)
        return await self._played(past, row)

    async def _played(self, past: Past, row: dict[str, Any]) -> Compared:
        stage = RecordedStage(past.recording, past.plan, self._script)
        play = Play(self._evaluator, stage, number=past.facts.number or 0, seed=past.facts.id.int, limits=self._limits)
        root = await play.play(Run(past.facts, self._plan, None), past.started_at)
        run = root.run
        finished = root.is_over and play.exceeded is None
        status = run.state.status.value if finished else UNFINISHED
        seconds = offset(run.completed_at, past.started_at) if run.completed_at is not None else 0.0
        after = {"status": status, "seconds": seconds, "error": run.error}
        row["after"] = after
        row["changes"] = differences(
            _end(past.status, past.error, past.output), _end(status, plain(run.error), plain(run.output))
        )
        row["verdict"] = "different" if row["changes"] else "same"
        row["parts_at"] = parting(past, root)
        row["not_recorded"] = sorted(stage.not_recorded)
        new_cost = float(sum(answered.cost for answered in root.told.answers.values()))
        return Compared(row, row["before"]["seconds"], seconds, past.cost, past.cost + new_cost)


def _end(status: str, error: Mapping[str, Any] | None, output: Any = None) -> dict[str, Any]:
    """What is compared: an error by its kind, step and sentence."""
    told = {name: error.get(name) for name in ("kind", "step", "message")} if error else None
    return {"status": status, "error": told, "output": output}


def parting(past: Past, root: Part) -> dict[str, Any] | None:
    """The first attempt that went another way: it ended differently, is not made any more, or was not made before."""
    rows = [row for row in root.run.rows.values() if row.step_key is not None]
    now = {(root.told.positions.of(row.visit), row.attempt): row for row in rows}
    then = {(entry.position, entry.attempt): entry for entry in past.recording.entries}
    found: list[tuple[float, int, dict[str, Any]]] = []
    for place, (key, entry) in enumerate(then.items()):
        row = now.get(key)
        what = None
        if row is None:
            what = "is not reached any more"
        elif row.status != entry.status:
            what = f"ended as {entry.status}, now as {row.status}"
        elif entry.status == "COMPLETED" and differences(entry.data, plain(row.data)):
            what = "puts out something else"
        elif (entry.error or {}).get("kind") != (row.error or {}).get("kind"):
            what = "fails with another error"
        if what is not None:
            found.append((offset(entry.began, past.started_at), place, _parts(key, what)))
            break
    for place, (key, row) in enumerate(now.items()):
        if key not in then:
            found.append((offset(row.started_at, past.started_at), place, _parts(key, "was not reached before")))
            break
    return min(found, key=lambda one: one[:2])[2] if found else None


def _parts(key: tuple[Position, int], what: str) -> dict[str, Any]:
    position, attempt = key
    found: dict[str, Any] = {"step": position.path, "attempt": attempt, "what": what}
    if position.around:
        found["item"] = position.around[-1][2]
    return found


def summary(name: str, to: str, compared: Sequence[Compared]) -> dict[str, Any]:
    """The whole answer: counts, distributions before and after, and a row for each execution."""
    rows = [one.row for one in compared]
    measured = [one for one in compared if one.row["verdict"] != "skipped"]
    verdicts = Counter(row["verdict"] for row in rows)
    became = Counter(f"{one.row['before']['status']} -> {one.row['after']['status']}" for one in measured)
    parts = Counter(row["parts_at"]["step"] for row in rows if row["parts_at"])
    missing = Counter(step for row in rows for step in row["not_recorded"])
    return {
        "workflow": name,
        "to": to,
        "executions": len(rows),
        "same": verdicts["same"],
        "different": verdicts["different"],
        "skipped": verdicts["skipped"],
        "statuses": dict(sorted(became.items())),
        "parts_at": dict(parts.most_common()),
        "duration": {
            "before": distribution([one.before for one in measured]),
            "after": distribution([one.after for one in measured]),
        },
        "cost": {
            "before": sum(one.cost_before for one in measured),
            "after": sum(one.cost_after for one in measured),
        },
        "not_recorded": dict(missing.most_common()),
        "rows": rows,
    }
