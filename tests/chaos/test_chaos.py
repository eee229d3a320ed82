"""Processes are killed with -9 at random moments, PostgreSQL too, while executions with side effects run.

None is lost, no completed step runs twice, every effect is recognisable by its key. `WEFT_CHAOS_ROUNDS` and
`WEFT_CHAOS_EXECUTIONS` choose the size; the size that CI runs is small.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from typing import Any

import pytest
from benches import lab as labs
from tests.chaos.harness import (
    EXPECTED_STEPS,
    Client,
    Effects,
    Installation,
    ask,
    prepare,
    wait_until,
)

ROUNDS = int(os.environ.get("WEFT_CHAOS_ROUNDS", "12"))
EXECUTIONS = int(os.environ.get("WEFT_CHAOS_EXECUTIONS", str(20 * ROUNDS)))
DATABASE_KILLS = max(1, ROUNDS // 10)
CLIENTS = 4


@pytest.mark.chaos
def test_nothing_is_lost_and_nothing_completed_runs_twice() -> None:
    seed = int(os.environ.get("WEFT_CHAOS_SEED", str(time.time_ns() % 100_000)))
    print(f"seed {seed}: {EXECUTIONS} executions, {ROUNDS} rounds, PostgreSQL killed {DATABASE_KILLS} times")
    effects = Effects()
    try:
        with labs.lab() as lab:
            _run(lab, effects, random.Random(seed))
    finally:
        effects.close()


def _run(lab: labs.Lab, effects: Effects, dice: random.Random) -> None:
    _, _, token = asyncio.run(prepare(lab, effects.port))
    installation = Installation(lab, effects)
    installation.start("serve")
    installation.start("worker")
    labs.wait_for(f"http://127.0.0.1:{installation.port}/healthz", installation.running["serve"])
    url = f"http://127.0.0.1:{installation.port}/hooks/{token}"
    pace = 0.7 * ROUNDS * CLIENTS / EXECUTIONS  # starts go on for as long as things break
    clients = [Client(url, list(range(n, EXECUTIONS, CLIENTS)), pace) for n in range(CLIENTS)]
    for client in clients:
        client.start()
    _break_things(lab, installation, dice)
    for client in clients:
        client.join(240)
    accepted = {number: found for client in clients for number, found in client.accepted.items()}
    assert len(accepted) == EXECUTIONS, "every start was accepted in the end"

    def over() -> bool:
        installation.revive()
        rows = ask(lab, "select count(*) from weft.workflow_executions where status = 'COMPLETED'")
        return bool(rows) and rows[0][0] >= EXECUTIONS

    wait_until(over, 240, f"not all completed: {_statuses(lab)}")
    _check(lab, effects, accepted)
    print(f"killed {installation.kills}; starts repeated {sum(c.repeated for c in clients)} times")


def _break_things(lab: labs.Lab, installation: Installation, dice: random.Random) -> None:
    database_rounds = set(dice.sample(range(1, ROUNDS), min(DATABASE_KILLS, ROUNDS - 1)))
    for number in range(ROUNDS):
        time.sleep(dice.uniform(0.2, 1.5))
        installation.revive()
        if number in database_rounds:
            installation.kill_postgres()
        else:
            installation.kill(dice.choice(["serve", "worker", "worker"]))


def _statuses(lab: labs.Lab) -> Any:
    return [tuple(row) for row in ask(lab, "select status, count(*) from weft.workflow_executions group by 1")]


def _check(lab: labs.Lab, effects: Effects, accepted: dict[int, str]) -> None:
    executions = ask(lab, "select id, status, input, output, idempotency_key from weft.workflow_executions")
    assert len(executions) == EXECUTIONS, "one execution for each start, however often it was repeated"
    assert Counter(row["status"] for row in executions) == {"COMPLETED": EXECUTIONS}
    assert {str(row["id"]) for row in executions} == set(accepted.values())
    rows = ask(
        lab,
        "select execution_id, step_key, visit, attempt, status, completed_at from weft.execution_logs order by visit",
    )
    assert max(Counter((r["execution_id"], r["visit"], r["attempt"]) for r in rows).values()) == 1
    open_rows = [tuple(row) for row in rows if row["completed_at"] is None]
    assert not open_rows, f"a completed execution has no open journal row: {open_rows[:5]}"
    completed: dict[str, list[str]] = {}
    ended: dict[str, float] = {}
    for row in rows:
        key = f"{row['execution_id']}:{row['step_key']}:{row['visit']}:{row['attempt']}"
        ended[key] = row["completed_at"].timestamp()
        if row["status"] == "COMPLETED":
            completed.setdefault(str(row["execution_id"]), []).append(row["step_key"])
    wrong = {i: steps for i, steps in completed.items() if sorted(steps) != EXPECTED_STEPS}
    assert not wrong, f"each step completed exactly once: {wrong}"
    assert set(effects.calls) <= set(ended), "every effect carries the key of a journal row"
    needed = {key for key in ended if any(f":{step}:" in key for step in ("first", "left", "right", "items.each"))}
    succeeded = {
        f"{r['execution_id']}:{r['step_key']}:{r['visit']}:{r['attempt']}" for r in rows if r["status"] == "COMPLETED"
    }
    assert needed & succeeded <= set(effects.calls), "nothing is called done that never happened"
    late = {key: calls for key, calls in effects.calls.items() if key in succeeded and max(calls) > ended[key] + 0.05}
    assert not late, f"called again after it had completed: {late}"
    repeated = sum(len(calls) - 1 for calls in effects.calls.values())
    print(f"{len(effects.calls)} effects, {repeated} delivered again under their key, {len(rows)} journal rows")
