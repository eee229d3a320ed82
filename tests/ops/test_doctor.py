"""`weft doctor` finds what an operator would look for, says what to do about it, and changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import json
import os
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta
from importlib import metadata
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.conftest import Enter, TestDatabase

from weft.cli import command_line
from weft.core.clock import utc_now
from weft.core.ids import new_id
from weft.db import migrate, secrets
from weft.domain.workflows.kinds import KindRegistry
from weft.engine import registry
from weft.expressions.errors import GuardUnavailable
from weft.expressions.guard import Guard
from weft.ops import profiles, seed
from weft.ops.doctor import Answer, Report, Verdict, database, environment, examine, installation, machine
from weft.ops.home import Home
from weft.ops.installation import DATABASE, Addresses, embedded_addresses, login_passwords
from weft.ops.postgres import EmbeddedPostgres
from weft.ops.postgres_files import NEEDED_BYTES
from weft.ops.roles import OWNER, bootstrap
from weft.ops.seeds import well_known
from weft.settings import load_settings

OK, WARNING, FAIL, SKIPPED = Verdict.ok, Verdict.warning, Verdict.fail, Verdict.skipped


def about(answers: Sequence[Answer], topic: str) -> Answer:
    """The one answer about a topic."""
    [answer] = [answer for answer in answers if answer.topic == topic]
    return answer


def verdicts(answers: Sequence[Answer]) -> dict[str, Verdict]:
    return {answer.topic: answer.verdict for answer in answers}


class TestThisMachine:
    @pytest.fixture
    def home(self, tmp_path: Path) -> Home:
        home = Home(tmp_path / "home")
        home.ensure()
        home.password("weft_app")
        home.ensure_master_key()
        return home

    def test_a_home_of_our_own_is_fine(self, home: Home) -> None:
        assert verdicts(machine.home(home)) == {"home": OK, "secrets": OK, "disk": OK}

    def test_a_home_that_others_may_look_into_is_said(self, home: Home) -> None:
        home.path.chmod(0o755)
        answer = about(machine.home(home), "home")
        assert answer.verdict is WARNING
        assert answer.next_step == f"chmod go-rw '{home.path}'"

    def test_a_directory_that_the_servers_account_may_pass_is_fine(self, home: Home) -> None:
        home.path.chmod(0o711)
        assert about(machine.home(home), "home").verdict is OK

    def test_a_secret_that_others_can_read_fails(self, home: Home) -> None:
        home.master_key_file.chmod(0o644)
        answer = about(machine.home(home), "secrets")
        assert answer.verdict is FAIL
        assert "master_key" in answer.sentence
        assert "credentials.json" not in answer.sentence
        assert answer.next_step == f"chmod 600 '{home.master_key_file}'"

    def test_a_home_that_does_not_exist_yet_is_not_made(self, tmp_path: Path) -> None:
        answers = machine.home(Home(tmp_path / "deep" / "home"))
        assert verdicts(answers) == {"home": OK, "disk": OK}
        assert list(tmp_path.iterdir()) == []

    def test_a_home_of_somebody_else_fails_only_where_it_is_needed(
        self, home: Home, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "access", lambda *_: False)
        assert verdicts(machine.home(home)) == {"home": FAIL}
        assert verdicts(machine.home(home, needed=False)) == {"home": WARNING}
        assert verdicts(machine.home(Home(home.path / "other"))) == {"home": FAIL}

    @pytest.mark.parametrize(
        ("free", "verdict"), [(NEEDED_BYTES - 1, FAIL), (NEEDED_BYTES, WARNING), (5 * NEEDED_BYTES, OK)]
    )
    def test_disk_space(self, home: Home, free: int, verdict: Verdict, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(machine, "free_bytes", lambda _: free)
        assert machine.disk(home.path).verdict is verdict

    def test_the_guard_starts(self) -> None:
        assert verdicts(machine.guard()) == {"expressions": OK}

    def test_a_guard_that_cannot_start_fails(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def start(_: Guard) -> None:
            raise GuardUnavailable("no process ids left")

        monkeypatch.setattr(Guard, "start", start)
        [answer] = machine.guard()
        assert (answer.verdict, answer.sentence) == (FAIL, "no process ids left")

    def test_all_our_step_kinds_are_usable(self) -> None:
        assert about(machine.step_kinds(), "step kinds").verdict is OK

    def test_a_plug_in_that_cannot_be_loaded_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        point = metadata.EntryPoint("pigeon", "no_such_module:STEP", "weft.step_kinds")
        monkeypatch.setattr(metadata, "entry_points", lambda **_: [point])
        monkeypatch.setattr(registry, "INSTALLED", registry.Registry(KindRegistry(plugins=True), lambda: [point]))
        answer = about(machine.step_kinds(), "step kinds")
        assert answer.verdict is FAIL
        assert "pigeon" in answer.sentence
        assert "no_such_module" in answer.next_step


class TestTheMasterKey:
    def look(self, place: Path, **environ: str) -> tuple[Answer | None, bytes | None]:
        settings = load_settings({"WEFT_HOME": str(place), **environ}, directory=place)
        return machine.master_key(settings, Home(place))

    def test_a_key_in_the_home_is_taken(self, tmp_path: Path) -> None:
        Home(tmp_path).ensure_master_key()
        answer, key = self.look(tmp_path)
        assert answer is None
        assert key is not None
        assert len(key) == 32

    def test_none_is_made(self, tmp_path: Path) -> None:
        answer, key = self.look(tmp_path)
        assert answer is not None
        assert (answer.verdict, key) == (SKIPPED, None)
        assert not Home(tmp_path).master_key_file.exists()

    def test_a_database_without_its_key_fails(self, tmp_path: Path) -> None:
        Home(tmp_path).data.mkdir()
        answer, _ = self.look(tmp_path)
        assert answer is not None
        assert answer.verdict is FAIL
        assert "backup" in answer.next_step

    def test_a_key_that_is_none_fails(self, tmp_path: Path) -> None:
        answer, key = self.look(tmp_path, WEFT_MASTER_KEY="short")
        assert answer is not None
        assert (answer.verdict, key) == (FAIL, None)
        assert "openssl rand" in answer.next_step

    def test_production_with_a_database_of_its_own_needs_one_set(self, tmp_path: Path) -> None:
        Home(tmp_path).ensure_master_key()
        url = "postgresql://weft_app@db/weft"
        answer, _ = self.look(tmp_path, WEFT_PROFILE="production", WEFT_DATABASE_URL=url)
        assert answer is not None
        assert answer.verdict is FAIL
        assert "WEFT_MASTER_KEY_FILE" in answer.sentence


class TestTheDatabase:
    @pytest.fixture
    async def admin(self, test_database: TestDatabase) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(test_database.admin)
        yield connection
        await connection.close()

    async def look(self, test_database: TestDatabase, **changed: Any) -> list[Answer]:
        addresses = Addresses(test_database.app, test_database.owner, None, embedded=False)
        options: dict[str, Any] = {"listen_dsn": None, "running": False, "clock": utc_now}
        return await database.look(addresses, **(options | changed))

    async def test_a_fresh_one_is_fine_but_for_the_worker(self, test_database: TestDatabase) -> None:
        found = verdicts(await self.look(test_database))
        assert found.pop("worker") is WARNING
        assert set(found.values()) <= {OK, WARNING}  # a server shared by all tests may be short of connections
        assert list(found) == [
            "server", "roles", "schema", "row security", "connections", "clock", "partitions", "queue",
            "oldest transaction", "transaction ids", "dead rows",
        ]  # fmt: skip

    async def test_one_that_does_not_answer_says_so_once(self, tmp_path: Path) -> None:
        addresses = Addresses(f"postgresql://weft_app:hush@/weft?host={tmp_path}", None, None, embedded=False)
        [answer] = await database.look(addresses, listen_dsn=None, running=True, clock=utc_now)
        assert (answer.topic, answer.verdict) == ("server", FAIL)
        assert "hush" not in answer.sentence
        assert "Check that the server runs" in answer.next_step

    async def test_a_superuser_is_not_safe(self, test_database: TestDatabase) -> None:
        addresses = Addresses(test_database.admin, None, None, embedded=False)
        answers = await database.look(addresses, listen_dsn=None, running=False, clock=utc_now)
        assert about(answers, "roles").verdict is FAIL
        assert "weft db init" in about(answers, "roles").next_step

    async def test_a_schema_that_is_not_there(self, test_database: TestDatabase, admin: asyncpg.Connection) -> None:
        await admin.execute("drop schema weft cascade")
        answers = await self.look(test_database)
        assert about(answers, "schema").verdict is FAIL
        assert "weft db migrate" in about(answers, "schema").next_step
        assert {"row security", "partitions", "queue"}.isdisjoint(verdicts(answers))

    @pytest.mark.parametrize("change", ["disable row level security", "no force row level security"])
    async def test_row_security_is_looked_at_on_every_table(
        self, test_database: TestDatabase, admin: asyncpg.Connection, change: str
    ) -> None:
        await admin.execute(f"alter table weft.clients {change}")
        answer = about(await self.look(test_database), "row security")
        assert answer.verdict is FAIL
        assert "clients" in answer.sentence
        assert "workflows" not in answer.sentence

    @pytest.mark.parametrize(("ahead", "verdict"), [(0, FAIL), (2, WARNING), (3, OK)])
    async def test_partitions(
        self, test_database: TestDatabase, admin: asyncpg.Connection, ahead: int, verdict: Verdict
    ) -> None:
        assert "3 months ahead" in about(await self.look(test_database), "partitions").sentence
        month = await admin.fetchval(
            "select to_char(now() at time zone 'utc' + make_interval(months => $1), 'YYYYMM')", ahead
        )
        await admin.execute(f"drop table weft.audit_logs_{month}")
        answer = about(await self.look(test_database), "partitions")
        assert answer.verdict is verdict
        assert (f"audit_logs_{month}" in answer.sentence) is (verdict is not OK)
        assert ("2 months ahead" in answer.sentence) is (verdict is OK)

    @pytest.mark.parametrize(("minutes", "verdict"), [(0, OK), (2, WARNING), (20, FAIL)])
    async def test_what_waits(self, test_database: TestDatabase, as_ada: Enter, minutes: int, verdict: Verdict) -> None:
        async with as_ada() as scope:
            await scope.enqueue("start", run_at=scope.now() - timedelta(minutes=minutes))
            await scope.enqueue("timer", run_at=scope.now() + timedelta(days=1))
        answers = await self.look(test_database)
        assert about(answers, "queue").verdict is verdict
        assert "1 ready, 1 scheduled" in about(answers, "queue").sentence
        assert about(answers, "worker").verdict is FAIL  # there is work, and nobody to do it

    async def test_a_worker_is_seen_by_its_connections(
        self, test_database: TestDatabase, admin: asyncpg.Connection
    ) -> None:
        assert about(await self.look(test_database, running=True), "worker").verdict is FAIL
        working = await self.connect(test_database, "weft worker")
        assert about(await self.look(test_database), "worker").verdict is WARNING
        listening = await self.connect(test_database, "weft worker listen")
        assert about(await self.look(test_database, running=True), "worker").verdict is OK
        await working.close()
        await listening.close()

    async def connect(self, test_database: TestDatabase, name: str) -> asyncpg.Connection:
        return await asyncpg.connect(test_database.app, server_settings={"application_name": name})

    @pytest.mark.parametrize(("seconds", "verdict"), [(0, OK), (-10, WARNING), (10, WARNING), (90, FAIL)])
    async def test_clocks(self, test_database: TestDatabase, seconds: int, verdict: Verdict) -> None:
        answers = await self.look(test_database, clock=lambda: utc_now() + timedelta(seconds=seconds))
        assert about(answers, "clock").verdict is verdict

    async def test_the_address_for_notifications_is_tried(self, test_database: TestDatabase, tmp_path: Path) -> None:
        good = await self.look(test_database, listen_dsn=test_database.app)
        assert about(good, "notifications").verdict is OK
        bad = await self.look(test_database, listen_dsn=f"postgresql://weft_app@/weft?host={tmp_path}")
        assert about(bad, "notifications").verdict is FAIL

    async def across(self, test_database: TestDatabase, master: bytes | None = bytes(32)) -> list[Answer]:
        addresses = Addresses(test_database.app, test_database.owner, None, embedded=False)
        return await database.across_tenants(addresses, master)

    async def test_nothing_given_up_and_nothing_stored_is_fine(self, test_database: TestDatabase) -> None:
        assert verdicts(await self.across(test_database)) == {"dead jobs": OK, "master key": OK}

    async def test_dead_jobs_of_every_tenant_are_counted(
        self, test_database: TestDatabase, as_ada: Enter, as_bob: Enter
    ) -> None:
        for enter in (as_ada, as_bob):
            async with enter() as scope:
                await scope.raw.execute(
                    "insert into weft.dispatch_dead (tenant_id, id, kind, reason, created_at)"
                    " values ($1, $2, 'step', 'its worker died five times', now())",
                    scope.tenant_id,
                    new_id(),
                )
        answer = about(await self.across(test_database), "dead jobs")
        assert answer.verdict is WARNING
        assert answer.sentence.startswith("2 jobs of 2 tenants were given up")

    async def test_the_master_key_is_tried_on_what_is_stored(
        self, test_database: TestDatabase, as_ada: Enter, as_bob: Enter
    ) -> None:
        for enter in (as_ada, as_bob):
            async with enter() as scope:
                await secrets.seal(scope, "workflow_triggers", "secret", new_id(), b"a secret")
        right = about(await self.across(test_database), "master key")
        assert (right.verdict, "2 tried" in right.sentence) == (OK, True)
        wrong = about(await self.across(test_database, bytes(31) + b"x"), "master key")
        assert wrong.verdict is FAIL
        assert wrong.sentence.startswith("2 of 2 stored tenant keys do not open")

    async def test_passwords_that_everybody_knows_are_tried_outside_development(
        self, test_database: TestDatabase
    ) -> None:
        addresses = Addresses(test_database.app, None, None, embedded=False)
        await seed.run(test_database.app, "development", master_key=bytes(32))
        assert verdicts(await environment.look(addresses, "development")) == {"environment": OK}
        await profiles.keep(test_database.app, "staging")
        found = await environment.look(addresses, "development")
        assert verdicts(found) == {"environment": WARNING, "known passwords": FAIL}
        assert "kept as staging" in about(found, "environment").sentence
        known = about(found, "known passwords").sentence
        for email, _password in well_known.sign_ins():
            assert email in known
        admin = await asyncpg.connect(test_database.admin)
        await admin.execute("update weft.users set password_hash = '!'")
        await admin.close()
        assert verdicts(await environment.look(addresses, "staging")) == {"environment": OK, "known passwords": OK}

    async def test_without_the_owner_it_says_what_it_cannot_see(self, test_database: TestDatabase) -> None:
        addresses = Addresses(test_database.app, None, None, embedded=False)
        answers = await database.across_tenants(addresses, bytes(32))
        assert verdicts(answers) == {"dead jobs": SKIPPED, "master key": SKIPPED}
        assert "WEFT_DATABASE_OWNER_URL" in answers[0].next_step

    async def test_an_owner_of_another_database_is_found(self, test_database: TestDatabase) -> None:
        elsewhere = test_database.cluster.dsn("postgres", "weft_owner")
        addresses = Addresses(test_database.app, elsewhere, None, embedded=False)
        assert verdicts(await database.across_tenants(addresses, None)) == {"owner": FAIL}


class Answering(http.server.BaseHTTPRequestHandler):
    status, body = 200, b"{}"

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/readyz" else 404)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@contextlib.contextmanager
def answering(status: int, document: object) -> Iterator[str]:
    """Something on a loopback port that answers `/readyz` like this."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    handler = type("Handler", (Answering,), {"status": status, "body": body})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def nobody() -> Iterator[str]:
    """A loopback port at which nobody listens, and cannot meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


class TestTheApi:
    def ask(self, place: Path, run: dict[str, Any] | None, **environ: str) -> Answer:
        return installation.api(load_settings({"WEFT_HOME": str(place), **environ}, directory=place), run)

    def test_ready(self, tmp_path: Path) -> None:
        with answering(200, {"status": "ready", "checks": {"database": "ok"}}) as url:
            assert self.ask(tmp_path, {"url": url}).verdict is OK

    def test_not_ready_says_why(self, tmp_path: Path) -> None:
        with answering(503, {"status": "unready", "checks": {"database": "ok", "schema": "differs"}}) as url:
            answer = self.ask(tmp_path, {"url": url})
        assert answer.verdict is FAIL
        assert answer.sentence.endswith("schema differs.")

    @pytest.mark.parametrize("document", [b"<html>", {"hello": "world"}, [1]])
    def test_somebody_else_on_the_port(self, tmp_path: Path, document: object) -> None:
        with answering(200, document) as url:
            answer = self.ask(tmp_path, {"url": url})
        assert answer.verdict is FAIL
        assert "does not seem to be weft" in answer.sentence

    def test_the_address_for_others_may_not_be_reachable_from_here(self, tmp_path: Path) -> None:
        with answering(200, {"checks": {}}) as url, nobody() as gone:
            port = url.rpartition(":")[2]
            assert self.ask(tmp_path, {"url": gone}, WEFT_PORT=port).verdict is OK

    def test_one_that_should_run_and_does_not_fails(self, tmp_path: Path) -> None:
        elsewhere = "postgresql://weft_app@db/weft"
        with nobody() as url:
            port = url.rpartition(":")[2]
            assert self.ask(tmp_path, {"url": url, "pid": 1}, WEFT_PORT=port).verdict is FAIL
            assert self.ask(tmp_path, None, WEFT_PORT=port, WEFT_DATABASE_URL=elsewhere).verdict is WARNING

    def test_where_nothing_was_started_nobody_is_asked(self, tmp_path: Path) -> None:
        with answering(200, {"checks": {}}) as url:
            answer = self.ask(tmp_path, None, WEFT_PORT=url.rpartition(":")[2])
        assert (answer.verdict, answer.sentence) == (WARNING, "Nothing runs here.")


class TestTheWhole:
    @pytest.fixture(autouse=True)
    def no_settings(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in [name for name in os.environ if name.startswith("WEFT_") and name != "WEFT_TEST_CLUSTER"]:
            monkeypatch.delenv(name)
        monkeypatch.chdir(tmp_path)

    def test_wrong_settings_are_said(self) -> None:
        report = examine({"WEFT_WORKER_BATHC": "1"})
        assert about(report.answers, "settings").verdict is FAIL
        assert "WEFT_WORKER_BATCH" in about(report.answers, "settings").sentence
        assert not report.healthy

    def test_it_says_where_the_settings_come_from_and_where_the_database_is(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text("WEFT_PROFILE=staging\nWEFT_API_KEY=hush\n")
        (tmp_path / "weft.toml").write_text("[api]\nport = 1\n")
        url = "postgresql+asyncpg://ann:hush@127.0.0.1:1/shop?password=hush&schema=public"
        report = examine({"WEFT_HOME": str(tmp_path / "home"), "WEFT_DATABASE_URL": url})
        said, ignored = (answer for answer in report.answers if answer.topic == "settings")
        assert said.sentence.startswith("Valid; the profile is staging. Read from the environment, and from ")
        assert said.sentence.endswith(f"{tmp_path / '.env'} and {tmp_path / 'weft.toml'}.")
        assert (
            about(report.answers, "address").sentence == "postgresql+asyncpg://ann@127.0.0.1:1/shop?password=%2A%2A%2A"
        )
        assert (ignored.verdict, "WEFT_API_KEY" in ignored.sentence) == (WARNING, True)
        assert "hush" not in json.dumps(report.as_json())

    def test_before_the_first_start(self, tmp_path: Path) -> None:
        report = examine({"WEFT_HOME": str(tmp_path / "home")})
        found = verdicts(report.answers)
        assert report.healthy
        assert about(report.answers, "address").sentence.startswith("The embedded server's, in ")
        assert (found["database"], found["master key"], found["API"]) == (SKIPPED, SKIPPED, WARNING)
        assert not (tmp_path / "home").exists()

    def test_a_home_without_its_passwords(self, tmp_path: Path) -> None:
        home = Home(tmp_path)
        home.data.mkdir()
        (home.data / "PG_VERSION").write_text("18\n")
        home.ensure_master_key()
        report = examine({"WEFT_HOME": str(tmp_path)})
        assert about(report.answers, "database").verdict is FAIL
        assert not home.credentials_file.exists()

    def test_an_installation_of_its_own(self, place: Path) -> None:
        """Running and stopped; and what is not there is not made."""
        home = Home(place / "home")
        home.ensure()
        home.ensure_master_key()
        environ = {"WEFT_HOME": str(home.path)}
        with EmbeddedPostgres(home) as facts:
            asyncio.run(bootstrap(facts.superuser_dsn, DATABASE, login_passwords(home)))
            asyncio.run(migrate.upgrade(facts.dsn(OWNER, home.password(OWNER), DATABASE)))
            running = examine(environ)
            addresses = embedded_addresses(home, facts)
        stopped = examine(environ)
        assert about(running.answers, "database").sentence == "The embedded server runs."
        assert "was started for this check" in about(stopped.answers, "database").sentence
        for report in (running, stopped):
            assert report.healthy
            bad = {topic for topic, verdict in verdicts(report.answers).items() if verdict is not OK}
            assert bad == {"worker", "API", "backups"}, report
        with pytest.raises(OSError, match=r"No such file|refused"):
            asyncio.run(asyncpg.connect(addresses.app))

    def test_an_operators_database(
        self, test_database: TestDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.delenv("XDG_DATA_HOME", raising=False)
        monkeypatch.setenv("WEFT_DATABASE_URL", test_database.app)
        monkeypatch.setenv("WEFT_MASTER_KEY", "00" * 32)
        with answering(200, {"checks": {"database": "ok"}}) as url:
            monkeypatch.setenv("WEFT_PORT", url.rpartition(":")[2])
            assert command_line.run(["doctor", "--json"]) == 0
            document = json.loads(capsys.readouterr().out)
            assert document["healthy"] is True
            assert {a["topic"]: a["verdict"] for a in document["answers"]}["API"] == "ok"
            assert "embedded server" not in {answer["topic"] for answer in document["answers"]}

            monkeypatch.setenv("WEFT_DATABASE_URL", test_database.app.replace("app-of-tests", "wrong"))
            monkeypatch.setenv("WEFT_DATABASE_LISTEN_URL", "nowhere")
            assert command_line.run(["doctor"]) == 1
        out = capsys.readouterr().out
        assert "fail     settings" in out
        assert "1 failure." in out
        assert list(tmp_path.iterdir()) == []


def test_a_report_counts() -> None:
    report = Report([Answer("a", OK, "Fine."), Answer("b", WARNING, "Hm.", "Look."), Answer("c", SKIPPED, "Dark.")])
    assert report.healthy
    assert report.count(WARNING) == 1
    assert report.as_json()["answers"][1] == {"topic": "b", "verdict": "warning", "sentence": "Hm.", "next": "Look."}
    assert not Report([*report.answers, Answer("d", FAIL, "No.", "Mend.")]).healthy
