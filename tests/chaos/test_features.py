"""Schedules, limits, events and retention while four workers, the API and PostgreSQL are killed with -9.

Each due time is one execution and none is missing; never more executions at work than the limit; each event wakes the
step that waits for it, once; what is too old is archived before it goes, whoever died meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from benches import lab as labs
from tests.chaos import features
from tests.chaos.features import Made, Sender
from tests.chaos.harness import Effects, Installation, ask, insist, until_done, wait_until
from tests.ports import reserved

from weft.ops import archives

ROUNDS = int(os.environ.get("WEFT_CHAOS_ROUNDS", "12"))
DATABASE_KILLS = max(1, ROUNDS // 20)
WORKERS = ("worker", "worker-2", "worker-3", "worker-4")
WAITS = 5 * ROUNDS
OLD_EACH = 40
OLD = OLD_EACH * ROUNDS
SECOND = timedelta(seconds=1)


@pytest.mark.chaos
def test_promises_of_schedules_limits_events_and_retention_hold_when_processes_are_killed() -> None:
    seed = int(os.environ.get("WEFT_CHAOS_SEED", str(time.time_ns() % 100_000)))
    print(f"seed {seed}: {ROUNDS} rounds, {len(WORKERS)} workers, PostgreSQL killed {DATABASE_KILLS} times")
    effects = Effects()
    try:
        with labs.lab() as lab, reserved() as port:
            _run(lab, port, effects, random.Random(seed))
    finally:
        effects.close()


def _run(lab: labs.Lab, port: int, effects: Effects, dice: random.Random) -> None:
    made = asyncio.run(features.prepare(lab, effects.port))
    installation = Installation(lab, effects, port, more={"WEFT_RETENTION_EVERY_MINUTES": "0.01"})
    for name in ("serve", *WORKERS):
        installation.start(name)
    address = f"http://127.0.0.1:{port}"
    labs.wait_for(f"{address}/healthz", installation.running["serve"], seconds=120)
    asyncio.run(features.arm(lab, made))
    armed = datetime.now(UTC)
    sender = Sender(address, made, WAITS, pace=0.8 * ROUNDS / WAITS)
    sender.start()
    rounds = set(dice.sample(range(1, ROUNDS), min(DATABASE_KILLS, ROUNDS - 1)))
    for number in range(ROUNDS):
        time.sleep(dice.uniform(0.2, 1.5))
        installation.revive()
        asyncio.run(features.finished_long_ago(lab, made, OLD_EACH, number * OLD_EACH))
        if number in rounds:
            installation.kill_postgres()
        else:
            installation.kill(dice.choice(["serve", *WORKERS]))
    until = datetime.now(UTC)

    def caught_up() -> bool:
        """A schedule whose scheduler died is taken over when its claim lapses; a pause would forget what is due."""
        installation.revive()
        return len(ask(lab, features.CAUGHT_UP, until)) == len(made.schedules)

    wait_until(caught_up, 600, "the schedules were not caught up with")
    asyncio.run(features.disarm(lab, made))
    until_done([sender], installation, 600, "not every start and every event was accepted")
    assert sender.is_done, "every start and every event was accepted in the end"

    def over() -> bool:
        installation.revive()
        rows = ask(lab, features.UNFINISHED)
        return bool(rows) and rows[0]["unfinished"] == 0

    try:
        wait_until(over, 600, "not all came to an end")
    except AssertionError as late:
        raise AssertionError(f"{late}: {[dict(row) for row in ask(lab, features.STANDING)]}") from late
    _schedules(lab, made, armed, until)
    _limits(lab, effects, made)
    _events(lab, made)
    _retention(lab, made)
    print(f"killed {installation.kills}; {sender.repeated} requests repeated")


def _schedules(lab: labs.Lab, made: Made, armed: datetime, until: datetime) -> None:
    """What was decided when the schedules were paused, and not started yet, is skipped: nothing due before that is."""
    runs = insist(lab, "select trigger_id, due_at, status, execution_id, open from weft.schedule_runs order by due_at")
    assert {row["status"] for row in runs if row["due_at"] <= until} == {"STARTED"}
    assert {row["status"] for row in runs} <= {"STARTED", "SKIPPED"}
    for trigger in made.schedules:
        times = [row["due_at"] for row in runs if row["trigger_id"] == trigger]
        assert len(times) >= (until - armed) // SECOND - 1, "as many as there were seconds, whatever a round took"
        gaps = {later - earlier for earlier, later in pairwise(times)}
        assert gaps == {SECOND}, f"a due time is missing or was made up: {gaps}"
    started = insist(
        lab,
        "select id, trigger_id, metadata ->> 'scheduled_at' as due from weft.workflow_executions"
        " where trigger_id = any($1)",
        made.schedules,
    )
    assert Counter(row["id"] for row in started) == Counter(
        row["execution_id"] for row in runs if row["status"] == "STARTED"
    )
    assert max(Counter((row["trigger_id"], row["due"]) for row in started).values()) == 1
    print(f"{len(runs)} due times of {len(made.schedules)} schedules, each one execution")


def _limits(lab: labs.Lab, effects: Effects, made: Made) -> None:
    """Counted by whoever was called: calls that an execution had open at the same time as others."""
    at_once = effects.most_at_once("limited")
    assert 0 < at_once <= features.PLACES, f"{at_once} executions were at work at once"
    assert not insist(lab, "select 1 from weft.execution_places"), "every place was given back"
    print(f"at most {at_once} executions at work at once, as the limit says; {len(made.schedules)} schedules filled it")


def _events(lab: labs.Lab, made: Made) -> None:
    rows = insist(
        lab, "select status, input, output from weft.workflow_executions where workflow_id = $1", made.waiting
    )
    assert Counter(row["status"] for row in rows) == {"COMPLETED": WAITS}
    events = insist(lab, "select count(*) as events from weft.events where type = 'chaos.go'")
    assert events[0]["events"] == WAITS, "an event that was sent again is the same event"
    print(f"{WAITS} executions waited for an event of their own, and had it")


def _retention(lab: labs.Lab, made: Made) -> None:
    def gone() -> bool:
        rows = ask(lab, "select count(*) as left from weft.workflow_executions where workflow_id = $1", made.old)
        return bool(rows) and rows[0]["left"] == 0

    wait_until(gone, 600, "what is too old did not go")
    told = insist(lab, "select file, sha256, executions from weft.archives")
    assert sum(row["executions"] for row in told) == OLD, "each went once"
    found: Counter[str] = Counter()
    for row in told:
        path = archives.find_file(row["file"], lab.home / "archive")
        assert archives.verify(path, row["sha256"]).executions == row["executions"]
        found.update(line["execution"]["id"] for line in archives.lines(path))
    assert len(found) == OLD
    assert set(found.values()) == {1}, "and lies in one archive"
    print(f"{OLD} old executions in {len(told)} archives")
