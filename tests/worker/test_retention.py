"""The chore beside the worker: round after round, whatever goes wrong."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

import asyncpg
import pytest

from weft.ops.retention import Report, Sweep
from weft.worker.loop import Worker
from weft.worker.loops.retention import Retention
from weft.worker.measure import _Numbers

NOW = datetime(2026, 6, 1, tzinfo=UTC)


class Scripted:
    """A sweep whose rounds are told in advance."""

    def __init__(self, *rounds: Report | Exception) -> None:
        self.rounds = list(rounds)

    async def run(self, now: datetime, *, seconds: float | None = None) -> Report:
        assert (now, seconds) == (NOW, 60)
        found = self.rounds.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


def chore(pauses: list[float], *rounds: Report | Exception) -> Retention:
    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == len(rounds):
            raise asyncio.CancelledError

    script = cast("Sweep", Scripted(*rounds))
    return Retention(script, every_seconds=3600, round_seconds=60, clock=lambda: NOW, sleep=sleep)


async def test_it_goes_on_soon_after_a_round_that_had_to_stop_and_later_otherwise() -> None:
    pauses: list[float] = []
    kept = chore(
        pauses,
        Report(executions=500, archived=500, is_done=False),
        Report(executions=2, archived=0, failures=1),
        asyncpg.PostgresError("away"),
        RuntimeError("a bug"),
        OSError("gone"),
        Report(),
    )
    with pytest.raises(asyncio.CancelledError):
        await kept.keep()
    assert pauses == [10, 3600, 3600, 3600, 3600, 3600]
    numbers = kept.numbers
    assert (numbers.executions, numbers.archived, numbers.failures, numbers.last_run) == (502, 500, 4, NOW)


async def test_prometheus_hears_of_it() -> None:
    kept = chore([], Report(executions=5, archived=4, failures=1))

    class Idle:
        claimed = holding = 0

    numbers = _Numbers(cast("Worker", Idle()), kept.numbers)
    assert _values(numbers) | {"weft_retention_executions_deleted": 0.0} == _values(numbers)
    assert "weft_retention_last_run_seconds" not in _values(numbers)
    await kept.run_once(NOW)
    assert _values(numbers)["weft_retention_executions_archived"] == 4
    assert _values(numbers)["weft_retention_failures"] == 1
    assert _values(numbers)["weft_retention_last_run_seconds"] == NOW.timestamp()


def _values(numbers: Any) -> dict[str, float]:
    return {family.name: family.samples[0].value for family in numbers.collect()}
