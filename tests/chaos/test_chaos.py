"""Processes are killed with -9 at random moments, PostgreSQL too, while executions with side effects run. One worker
is cut off from the database for longer than its leases last, and its clock is set by an hour and back.

None is lost, no completed step runs twice, every effect is recognisable by its key. `WEFT_CHAOS_ROUNDS` and
`WEFT_CHAOS_EXECUTIONS` choose the size; the size that CI runs is small.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from benches import lab as labs
from tests.chaos.harness import (
    EXPECTED_STEPS,
    Client,
    Effects,
    Installation,
    Network,
    ask,
    insist,
    prepare,
    socket_directory,
    until_done,
    wait_until,
)
from tests.ports import reserved

ROUNDS = int(os.environ.get("WEFT_CHAOS_ROUNDS", "12"))
EXECUTIONS = int(os.environ.get("WEFT_CHAOS_EXECUTIONS", str(20 * ROUNDS)))
DATABASE_KILLS = max(1, ROUNDS // 20)
CLIENTS = 4
CUT_OFF = 6.0
"""Seconds without a network: twice as long as a lease."""
CLOCKS_DIFFER = 0.5
"""Seconds. Calls are noted by this machine's clock, ends by the database's as far as a worker knows it."""


@pytest.mark.chaos
def test_nothing_is_lost_and_nothing_completed_runs_twice() -> None:
    seed = int(os.environ.get("WEFT_CHAOS_SEED", str(time.time_ns() % 100_000)))
    print(f"seed {seed}: {EXECUTIONS} executions, {ROUNDS} rounds, PostgreSQL killed {DATABASE_KILLS} times")
    effects = Effects()
    try:
        with labs.lab() as lab, reserved() as port:
            _run(lab, port, effects, random.Random(seed))
    finally:
        effects.close()


def _run(lab: labs.Lab, port: int, effects: Effects, dice: random.Random) -> None:
    _, _, token = asyncio.run(prepare(lab, effects.port))
    network, clock = _far_machine(lab)
    installation = Installation(lab, effects, port, network=network, clock=clock)
    for name in ("serve", "worker", "far"):
        installation.start(name)
    labs.wait_for(f"http://127.0.0.1:{port}/healthz", installation.running["serve"], seconds=120)
    url = f"http://127.0.0.1:{port}/hooks/{token}"
    pace = 0.7 * ROUNDS * CLIENTS / EXECUTIONS  # starts go on for as long as things break
    clients = [Client(url, list(range(n, EXECUTIONS, CLIENTS)), pace) for n in range(CLIENTS)]
    for client in clients:
        client.start()
    _break_things(installation, network, clock, dice)
    until_done(clients, installation, 600, "not every start was accepted")
    accepted = {number: found for client in clients for number, found in client.accepted.items()}
    assert len(accepted) == EXECUTIONS, "every start was accepted in the end"

    def over() -> bool:
        installation.revive()
        rows = ask(lab, "select count(*) from weft.workflow_executions where status = 'COMPLETED'")
        return bool(rows) and rows[0][0] >= EXECUTIONS

    try:
        wait_until(over, 600, "not all completed")
    except AssertionError as late:
        raise AssertionError(f"{late}: {_statuses(lab)}") from late
    _check(lab, effects, accepted)
    print(f"killed {installation.kills}; starts repeated {sum(c.repeated for c in clients)} times")


def _far_machine(lab: labs.Lab) -> tuple[Network, Path]:
    """A network of its own to the server's socket, and a clock of its own."""
    near = lab.home / "network"
    near.mkdir()
    clock = lab.home / "clock"
    clock.write_text("0")
    return Network(near, Path(socket_directory(lab.app_dsn))), clock


def _break_things(installation: Installation, network: Network, clock: Path, dice: random.Random) -> None:
    """Kills in most rounds; once the far worker is cut off, once its clock goes wrong by an hour, and back."""
    database_rounds = set(dice.sample(range(1, ROUNDS), min(DATABASE_KILLS, ROUNDS - 1)))
    cut, wrong, right = ROUNDS // 4, ROUNDS // 2, ROUNDS * 3 // 4
    for number in range(ROUNDS):
        time.sleep(dice.uniform(0.2, 1.5))
        installation.revive()
        if number == cut:
            network.cut(installation.revive)
            time.sleep(CUT_OFF)
            network.mend()
        elif number in (wrong, right):
            clock.write_text("3600" if number == wrong else "0")
        elif number in database_rounds:
            installation.kill_postgres()
        else:
            installation.kill(dice.choice(["serve", "worker", "worker", "far"]))
    assert network.swallowed, "nothing was under way when the network was cut"


def _statuses(lab: labs.Lab) -> Any:
    return [tuple(row) for row in ask(lab, "select status, count(*) from weft.workflow_executions group by 1")]


def _check(lab: labs.Lab, effects: Effects, accepted: dict[int, str]) -> None:
    executions = insist(lab, "select id, status, input, output, idempotency_key from weft.workflow_executions")
    assert len(executions) == EXECUTIONS, "one execution for each start, however often it was repeated"
    assert Counter(row["status"] for row in executions) == {"COMPLETED": EXECUTIONS}
    assert {str(row["id"]) for row in executions} == set(accepted.values())
    rows = insist(
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
    late = {k: calls for k, calls in effects.calls.items() if k in succeeded and max(calls) > ended[k] + CLOCKS_DIFFER}
    assert not late, f"called again after it had completed: {late}"
    repeated = sum(len(calls) - 1 for calls in effects.calls.values())
    print(f"{len(effects.calls)} effects, {repeated} delivered again under their key, {len(rows)} journal rows")
