"""`weft execution` against a real server with an engine in it; nothing takes jobs."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import pytest
import structlog
import uvicorn
from tests.cli.conftest import Server, Weft
from tests.conftest import TestDatabase
from tests.factories import executions, identity
from tests.factories.executions import CALL, FAIL

from weft.api.assemble import assembled
from weft.cli import execution_text
from weft.cli.execution import InputUnreadable, read_input
from weft.core.actor import Actor
from weft.core.errors import Invalid
from weft.db.database import Database
from weft.domain.identity import access
from weft.http.state import Services

NOT_FOUND, CONFLICT, GOES_ON = 5, 6, 8


class EngineServer(Server):
    """The whole application, as `weft serve` runs it."""

    async def _serve(self) -> None:
        database = await Database.open(self._dsn, size=3, hot_size=2, master_key=bytes(32))
        try:
            services = Services(database, access.open_scope, cursor_key=bytes(32), public_url=self.url)
            async with assembled(services) as app:
                config = uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=5)
                self._server = uvicorn.Server(config)
                self._made.set()
                await self._server.serve(sockets=[self._socket])
        finally:
            self._made.set()
            await database.close()


@pytest.fixture
async def actor(
    test_database: TestDatabase, database: Database, nobody: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Actor]:
    """Somebody whose API key the commands use."""
    owner = await identity.tenant(database, "acme")
    token = await identity.api_key(database, owner)
    with EngineServer(test_database.app) as server:
        monkeypatch.setenv("WEFT_URL", server.url)
        monkeypatch.setenv("WEFT_API_KEY", token)
        # The server shares our standard output here, where only the commands' own words belong.
        structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
        yield await identity.actor(database, owner)
    structlog.reset_defaults()


async def test_a_start_says_where_to_look(database: Database, actor: Actor, weft: Weft) -> None:
    await executions.workflow(database, actor, name="Invoice")
    said = weft("execution", "start", "invoice", "--input", '{"amount": 7}')
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("Execution 1 of 'invoice' was started.\n`weft execution show ")
    row = weft("execution", "list", "--json").json()[0]
    assert weft("execution", "show", row["id"], "--json").json()["input"] == {"amount": 7}
    assert "None" not in weft("execution", "show", row["id"]).out, "what has not been yet is left out"


async def test_waiting_shows_the_output(database: Database, actor: Actor, weft: Weft) -> None:
    await executions.workflow(database, actor, name="Invoice", output={"total": "{{ input.amount }}"})
    said = weft("execution", "start", "Invoice", "--wait", "2m", "--input", "-", stdin='{"amount": 7}')
    assert (said.code, said.err) == (0, "")
    status, _, shown = said.out.partition("  ")
    assert (status, json.loads(shown.partition("\n")[2])) == ("COMPLETED", {"total": 7})
    answer = weft("execution", "start", "Invoice", "--wait", "120", "--input", '{"amount": 8}', "--json").json()
    assert (answer["status"], answer["output"], answer["number"]) == ("COMPLETED", {"total": 8}, 2)


async def test_a_large_output_is_hinted_at_and_fetched(database: Database, actor: Actor, weft: Weft) -> None:
    copies = {"key": "copies", "type": "transform", "config": {"output": ["{{ input }}"] * 3}}
    await executions.workflow(database, actor, name="Copies", steps=[copies], output="{{ steps.copies.output }}")
    value = ["a line of an invoice"] * 20_000
    said = weft("execution", "start", "Copies", "--wait", "2m", "--input", "-", "--json", stdin=json.dumps(value))
    assert said.json()["output"] == [value] * 3
    execution = said.json()["id"]
    shown = weft("execution", "show", execution).out
    payload = weft("execution", "show", execution, "--json").json()["payloads"]["output"]["id"]
    assert f"bytes: weft execution payload {execution} {payload}" in shown
    assert weft("execution", "payload", execution, payload).json() == [value] * 3
    assert weft("execution", "payload", execution, execution).code == NOT_FOUND
    assert "is not the id of a payload" in weft("execution", "payload", execution, "x").err
    used = weft("tenant", "usage", "--json").json()
    assert used["payloads"] == 2
    assert weft("tenant", "usage").out.startswith(f"2 values above 256 KB, {used['size']:,} bytes as JSON.\nThey take ")


async def test_waiting_for_a_failure_exits_with_one(database: Database, actor: Actor, weft: Weft) -> None:
    await executions.workflow(database, actor, name="Refuse", steps=[FAIL])
    said = weft("execution", "start", "Refuse", "--wait", "2m")
    assert said.code == 1
    assert "Failed at step 'refuse' (fail): The amount is not ours to pay." in said.out
    assert weft("execution", "start", "Refuse").code == 0


async def test_waiting_in_vain_says_so(database: Database, actor: Actor, weft: Weft) -> None:
    await executions.workflow(database, actor, name="Slow", steps=[CALL])
    said = weft("execution", "start", "Slow", "--wait", "10ms")
    assert (said.code, said.out.split()[0]) == (GOES_ON, "RUNNING")
    assert "It goes on. `weft execution show" in said.err


async def test_an_idempotency_key_starts_once(database: Database, actor: Actor, weft: Weft) -> None:
    await executions.workflow(database, actor, name="Invoice")
    first, again = (
        weft("execution", "start", "Invoice", "--idempotency-key", "k-1", "--json").json() for _ in range(2)
    )
    assert first["id"] == again["id"]
    refused = weft("execution", "start", "Invoice", "--idempotency-key", "k-1", "--input", "[1]")
    assert (refused.code, "Use a new key" in refused.err) == (CONFLICT, True)


async def test_executions_are_listed_shown_cancelled_and_retried(database: Database, actor: Actor, weft: Weft) -> None:
    await executions.workflow(database, actor, name="Refuse", steps=[FAIL])
    await executions.workflow(database, actor, name="Slow", steps=[CALL])
    failed = weft("execution", "start", "Refuse", "--wait", "2m", "--json")
    running = weft("execution", "start", "Slow", "--wait", "0", "--json")
    ids = [json.loads(said.out)["id"] for said in (failed, running)]

    table = weft("execution", "list").out.splitlines()
    assert table[0].split() == ["number", "workflow", "status", "created", "took", "trigger", "id"]
    assert [line.split()[1:3] for line in table[1:]] == [["Slow", "RUNNING"], ["Refuse", "FAILED"]]
    assert len(weft("execution", "list", "--workflow", "slow", "--since", "1h").out.splitlines()) == 2
    assert weft("execution", "list", "--status", "failed", "--json").json()[0]["id"] == ids[0]
    assert "`weft execution start WORKFLOW` makes one" in weft("execution", "list", "--status", "cancelled").out

    shown = weft("execution", "show", ids[0]).out
    assert shown.startswith(f"FAILED  Execution 1 of 'Refuse'  {ids[0]}\n")
    assert "A retry goes on from: refuse." in shown
    assert "call: running since" in weft("execution", "show", ids[1]).out

    journal = weft("execution", "logs", ids[0]).out.splitlines()
    assert journal[0].split() == ["at", "step", "attempt", "status", "took", "message"]
    assert journal[1].split()[2:5] == ["refuse", "1", "FAILED"]

    ended = weft("execution", "cancel", ids[1], "--reason", "Not needed.")
    assert (ended.code, ended.out.split()[0]) == (0, "CANCELLED")
    assert weft("execution", "cancel", ids[1]).code == CONFLICT
    assert "Not needed." in weft("execution", "logs", ids[1]).out
    again = weft("execution", "retry", ids[0], "--json").json()
    assert UUID(again["id"]) == UUID(ids[0])
    assert weft("execution", "retry", ids[1]).code == CONFLICT


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person who presses Ctrl-C as soon as a command waits."""

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("weft.cli.execution.time", SimpleNamespace(monotonic=time.monotonic, sleep=interrupt))


@pytest.mark.usefixtures("impatient")
async def test_whoever_stops_waiting_is_told_how_to_find_it(database: Database, actor: Actor, weft: Weft) -> None:
    await executions.workflow(database, actor, name="Slow", steps=[CALL])
    said = weft("execution", "start", "Slow", "--wait", "30s")
    running = weft("execution", "list", "--json").json()[0]["id"]
    assert said.code == GOES_ON
    assert said.err.startswith(f"Execution {running} has begun; waiting for its end ...\n")
    assert f"It goes on. `weft execution watch {running}` follows it." in said.err
    told = weft("execution", "start", "Slow", "--wait", "30s", "--json")
    assert (told.code, json.loads(told.out)["status"]) == (GOES_ON, "RUNNING")


async def test_whoever_stops_before_the_answer_is_told_where_to_look(
    database: Database, actor: Actor, weft: Weft, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("weft.cli.client.Client.post", interrupt)
    said = weft("execution", "start", "Slow one", "--wait", "30s")
    assert (said.code, "`weft execution list --workflow 'Slow one'` shows it" in said.err) == (GOES_ON, True)


async def test_what_does_not_exist(actor: Actor, weft: Weft) -> None:
    assert weft("execution", "start", "Nothing").code == NOT_FOUND
    assert weft("execution", "show", "018f0000-0000-7000-8000-000000000000").code == NOT_FOUND
    assert weft("execution", "list", "--workflow", "Nothing").code == NOT_FOUND
    unnamed = weft("execution", "show", "../workflows")
    assert (unnamed.code, "`weft execution list`" in unnamed.err) == (2, True)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("event show nope", "'nope' is not the id of an event. `weft event list` shows the ids."),
        ("question answer nope yes", "'nope' is not the id of a question. `weft question list` shows the ids."),
        ("question list --execution nope", "'nope' is not the id of an execution. `weft execution list` shows the ids"),
        ("dead show nope", "'nope' is not the id of a dead job. `weft dead list` shows the ids."),
        ("dead list --execution nope", "'nope' is not the id of an execution."),
        ("execution list --client nope", "'nope' is not the id of a client. `weft client list` shows the ids."),
        ("workflow list --client nope", "'nope' is not the id of a client."),
        ("workflow backtest x --to 1 --execution nope", "'nope' is not the id of an execution."),
        ("event send order.paid --payload {bad", "--payload is not valid JSON"),
        ("execution start x --simulate --script nofile.yaml", "--script: 'nofile.yaml' cannot be read"),
        ("execution start x --input ''", "--input is empty. Give JSON"),
        ("execution start x --input nofile.yaml", "--input: 'nofile.yaml' cannot be read"),
        ("event send a,b", "`type`: must be words with dots between them, as in order.paid"),
        ("db diff models migrations@0009", "This version of weft has no revision '0009'."),
    ],
)
async def test_what_is_written_wrong_is_said_in_the_words_of_the_line(
    line: str, sentence: str, actor: Actor, weft: Weft
) -> None:
    said = weft(*shlex.split(line))
    assert (said.code in (2, 5), sentence in said.err) == (True, True), said.err


async def test_a_priority_says_which_there_are(database: Database, actor: Actor, weft: Weft) -> None:
    await executions.workflow(database, actor, name="Ledger", steps=[CALL])
    for said, sentence in (("500", "at most 100"), ("loud", "a whole number")):
        refused = weft("limit", "set", "ledger", "--priority", said)
        assert (refused.code, refused.err) == (
            2,
            f"weft: `priority`: must be {sentence}, or 'low', 'normal' or 'high'.\n",
        )


def test_an_input_is_json_a_file_or_nothing(tmp_path: Path) -> None:
    written, notes = tmp_path / "order.json", tmp_path / "order.yaml"
    written.write_text('{"name": "Zoë"}')
    notes.write_text("name: Zoë\ndue: 2026-03-01\n")
    assert read_input(None) is None
    assert read_input('{"a": [1]}') == {"a": [1]}
    assert read_input(str(written)) == {"name": "Zoë"}
    assert read_input(str(notes)) == {"name": "Zoë", "due": "2026-03-01"}
    with pytest.raises(InputUnreadable):
        read_input(str(tmp_path / "missing.json"))
    with pytest.raises(Invalid, match="not valid JSON"):
        read_input("{")
    notes.write_text("a: [")
    with pytest.raises(Invalid, match="not valid YAML"):
        read_input(str(notes))


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [(None, None), (0, "0 ms"), (999, "999 ms"), (1_250, "1.2 s"), (125_000, "2 m 5 s"), (12_000_000, "3 h 20 m")],
)
def test_lengths_of_time_are_short(milliseconds: int | None, shown: str | None) -> None:
    assert execution_text.length(milliseconds) == shown
