"""`weft execution pause | resume | replay | migrate` against a real server with an engine in it."""

from __future__ import annotations

import json
from uuid import UUID

import pytest
from tests.cli.conftest import Weft
from tests.cli.test_execution import CONFLICT, actor  # noqa: F401  the fixture
from tests.factories import executions
from tests.factories.executions import CALL, SET

from weft.cli import execution_control, execution_text
from weft.core.actor import Actor
from weft.db.database import Database

PAY = {**CALL, "key": "pay"}


@pytest.fixture
async def workflow(database: Database, actor: Actor) -> UUID:  # noqa: F811  the fixture
    made = await executions.workflow(database, actor, steps=[SET, CALL], name="Invoice")
    await executions.renew(database, actor, made, steps=[SET, PAY], name="Invoice")
    return made


def begun(weft: Weft) -> str:
    said = weft("execution", "start", "Invoice", "--version", "1", "--input", '{"amount": 7}', "--wait", "0", "--json")
    return str(json.loads(said.out)["id"])


async def test_pausing_and_resuming(workflow: UUID, weft: Weft) -> None:
    which = begun(weft)
    said = weft("execution", "pause", which, "--reason", "A check.")
    assert (said.code, said.out.split()[0]) == (0, "PAUSED")
    assert "A check." in weft("execution", "logs", which).out
    assert weft("execution", "list", "--status", "paused", "--json").json()[0]["id"] == which
    assert weft("execution", "resume", which, "--json").json()["status"] == "RUNNING"
    assert weft("execution", "resume", which).code == CONFLICT


async def test_replaying(workflow: UUID, weft: Weft) -> None:
    which = begun(weft)
    said = weft("execution", "replay", which, "--from", "call")
    assert said.out.startswith("Execution 2 repeats it from step 'call'.\n`weft execution show ")
    again = weft(
        "execution", "replay", which, "--from", "answer", "--recompute", "--version", "2", "--input", '{"amount": 8}',
        "--reason", "The mended version.", "--idempotency-key", "k", "--json",
    ).json()  # fmt: skip
    shown = weft("execution", "show", again["id"])
    assert f"repeats execution 1 ({which}) from the start" in shown.out
    found = weft("execution", "show", again["id"], "--json").json()
    assert (found["version"], found["input"]) == (2, {"amount": 8})
    unknown = weft("execution", "replay", which, "--from", "nothing")
    assert (unknown.code, "no step 'nothing'" in unknown.err) == (2, True)


def test_a_replay_says_what_it_will_not_undo() -> None:
    started = {"id": "x", "number": 2, "not_undone": ["car", "hotel"]}
    assert execution_control.replayed(started, "pay", recompute=False).splitlines()[1] == (
        "If it fails, it will not undo what car, hotel did: that is up to the execution that did it."
    )
    link = {"of": "y", "number": 1, "from": "pay", "before": "keep", "not_undone": [{"step": "car"}]}
    assert execution_text.repeated(link) == "repeats execution 1 (y) from step 'pay'; does not undo car"


async def test_moving_shows_what_becomes_of_each_and_asks(workflow: UUID, weft: Weft) -> None:
    which = begun(weft)
    begun(weft)
    arguments = ("execution", "migrate", "Invoice", "--from", "1", "--to", "2")
    refused = weft(*arguments)
    assert refused.code == 0
    assert refused.out.splitlines()[1].split()[:8] == ["2", "call", "->", "?", "A", "token", "stands", "at"]
    asked = weft(*arguments, "--map", "call=pay")
    assert (asked.code, "Say --yes" in asked.err) == (2, True), "nobody can answer here"
    assert asked.out.splitlines()[1].split() == ["2", "call", "->", "pay", "-"]
    assert weft("execution", "show", which, "--json").json()["version"] == 1
    preview = weft(*arguments, "--map", "call=pay", "--dry-run", "--json").json()
    assert (preview["movable"], preview["moved"], len(preview["items"])) == (2, 0, 2)
    one = weft(*arguments, "--map", "call=pay", "--execution", which, "--yes")
    assert one.out == "Moved 1 execution to version 2; 0 stayed.\n"
    rest = weft(*arguments, "--map", "call=pay", "--status", "running", "--yes", "--json").json()
    assert (rest["moved"], weft("execution", "show", which, "--json").json()["version"]) == (1, 2)
    nothing = weft(*arguments)
    assert nothing.out == "No execution of that version is under way.\n"
    wrong = weft(*arguments, "--map", "call")
    assert (wrong.code, "OLD=NEW" in wrong.err) == (2, True)
    assert weft(*arguments, "--drop", "nothing").code == 2


def test_a_failure_far_below_says_where() -> None:
    cause = {"execution_id": "e-3", "step": "refuse", "kind": "fail", "message": "Too dear."}
    error = {"step": "down", "kind": "sub_workflow", "message": "Too dear.", "data": {"cause": cause}}
    assert execution_text.failure(error).splitlines() == [
        "Failed at step 'down' (sub_workflow): Too dear.",
        "The cause is in execution e-3, at step 'refuse'.",
    ]
