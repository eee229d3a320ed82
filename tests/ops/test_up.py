"""`weft up`: from nothing to ready, through crashes, to a clean end. The children are tiny, the database is real."""

from __future__ import annotations

import asyncio
import http.client
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.ops.waiting import until
from tests.ports import free_port

from weft.ops.home import Home
from weft.ops.installation import reach
from weft.ops.postgres import ephemeral_cluster, status_of
from weft.ops.postgres_files import Programs
from weft.ops.prepare import prepare
from weft.ops.processes import is_alive
from weft.ops.recovery import status
from weft.settings import load_settings

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Installation:
    """One `weft up` in a process of its own, with everything it says."""

    process: subprocess.Popen[bytes]
    home: Home
    port: int
    output: Path
    notes: Path

    @property
    def shown(self) -> str:
        return self.output.read_text()

    @property
    def said(self) -> str:
        return self.notes.read_text()

    def until_ready(self) -> None:
        def ready_or_over() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"it ended with {self.process.returncode}: {self.said}")
            return "END" in self.shown

        until(ready_or_over, seconds=120, what="the ready line")

    def until_stubborn(self) -> int:
        """Its worker's process id, once that has got as far as to refuse to end."""
        worker = self.pids()["worker"]
        until(lambda: _ignores(worker, signal.SIGTERM), what="the worker's stubbornness")
        return worker

    def pids(self) -> dict[str, int]:
        facts = self.home.running()
        assert facts is not None
        return dict(facts["pids"])

    def stop(self, order: signal.Signals = signal.SIGTERM, *, seconds: float = 60) -> int:
        self.process.send_signal(order)
        return self.process.wait(seconds)

    def is_gone(self) -> bool:
        return not status_of(self.home.data).running


def _ignores(pid: int, order: signal.Signals) -> bool:
    ignored = re.search(r"(?m)^SigIgn:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text())
    return ignored is not None and bool(int(ignored[1], 16) >> (order - 1) & 1)


Start = Callable[..., Installation]


@pytest.fixture(scope="session")
def prepared() -> Iterator[Path]:
    """A home that was started once, to be copied."""
    with tempfile.TemporaryDirectory(prefix="weft-up-") as directory:
        home = Path(directory) / "home"
        settings = load_settings({"WEFT_HOME": str(home)}, directory=home.parent)
        with reach(settings) as addresses:
            asyncio.run(prepare(settings, addresses))
        yield home


@pytest.fixture
def start(place: Path, prepared: Path) -> Iterator[Start]:
    started: list[Installation] = []

    def run(
        kind: str = "patient",
        *,
        port: int | None = None,
        home: str = "home",
        fresh: bool = False,
        seed: bool = False,
        **environ: str,
    ) -> Installation:
        if not fresh and not (place / home).exists():
            subprocess.run(["cp", "-a", str(prepared), str(place / home)], check=True)
        port = port if port is not None else free_port()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WEFT_")}
        environment = {**kept, "WEFT_HOME": str(place / home), "WEFT_METRICS_PORT": "0"}
        environment |= {"WEFT_WORKER_METRICS_PORT": "0", "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", **environ}
        output, notes = place / f"{len(started)}.out", place / f"{len(started)}.err"
        with output.open("wb") as shown, notes.open("wb") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.ops.fake_installation", str(port), kind, *(["--seed"] if seed else [])],
                env=environment,
                cwd=place,
                stdout=shown,
                stderr=said,
            )
        started.append(Installation(process, Home(place / home), port, output, notes))
        return started[-1]

    yield run
    for installation in started:
        if installation.process.poll() is None:
            installation.process.kill()
            installation.process.wait()
        until(installation.is_gone, what="the end of PostgreSQL")


def test_from_nothing_to_ready_to_a_clean_end(start: Start) -> None:
    weft = start(fresh=True, seed=True)
    weft.until_ready()
    text = weft.shown
    assert f"http://127.0.0.1:{weft.port}" in text
    assert "admin@example.com / admin123" in text
    assert "demo@example.com / demo123" in text
    pids = weft.pids()
    assert pids.keys() == {"API", "worker", "postgres"}

    assert weft.stop(signal.SIGINT) == 0
    assert not any(is_alive(pid) for pid in pids.values())
    assert not weft.home.run_file.exists()
    assert "migrated the schema to revision" in weft.said


def test_the_second_start_keeps_the_data_and_has_nothing_to_make(start: Start) -> None:
    first = start(fresh=True)
    first.until_ready()
    assert first.stop() == 0
    second = start()
    second.until_ready()
    assert "migrated" not in second.said
    assert "making" not in second.said
    assert "in use" not in second.said
    assert second.stop() == 0


@pytest.mark.parametrize("name", ["API", "worker"])
def test_a_killed_child_is_back_at_once(start: Start, name: str) -> None:
    weft = start()
    weft.until_ready()
    before = weft.pids()
    os.kill(before[name], signal.SIGKILL)
    until(lambda: weft.pids()[name] not in (None, before[name]), what="the restart")
    assert weft.pids() == {**before, name: weft.pids()[name]}
    assert f"the {name} ended (killed by SIGKILL); starting it again in 0.1 s" in weft.said
    assert weft.stop() == 0


def test_the_wal_is_kept_and_a_failing_archiver_stops_nothing(start: Start) -> None:
    weft = start(WEFT_WAL_ARCHIVE="true", WEFT_WAL_SHIP_SECONDS="1", WEFT_WAL_BASE_HOURS="0")
    weft.until_ready()
    place = status.directory(weft.home.path)
    until(lambda: (last := status.read(place)) and last.complete_to, what="the WAL on its target")
    before = weft.pids()
    (place / "lock").unlink()
    (place / "lock").mkdir()  # from now on it fails at once, whenever it is started
    os.kill(before["WAL archiver"], signal.SIGKILL)
    until(lambda: weft.said.count("the WAL archiver ended") > 3, what="its failures")
    assert weft.process.poll() is None
    assert {name: pid for name, pid in weft.pids().items() if name != "WAL archiver"} == {
        name: pid for name, pid in before.items() if name != "WAL archiver"
    }
    (place / "lock").rmdir()
    assert weft.stop() == 0


def test_wal_of_a_server_without_an_address_for_replication_is_refused(start: Start) -> None:
    weft = start(WEFT_WAL_ARCHIVE="true", WEFT_DATABASE_URL="postgresql://weft_app@127.0.0.1:1/weft")
    assert weft.process.wait(60) == 2
    assert "WEFT_DATABASE_REPLICATION_URL" in weft.said


def test_a_killed_postgresql_is_back_with_its_data(start: Start) -> None:
    weft = start()
    weft.until_ready()
    before = weft.pids()
    os.kill(before["postgres"], signal.SIGKILL)
    until(lambda: weft.pids()["postgres"] not in (None, before["postgres"]), what="the restart of PostgreSQL")
    until(lambda: status_of(weft.home.data).ready)
    assert weft.stop() == 0


def test_without_the_seed_no_sign_ins_are_promised(start: Start) -> None:
    weft = start()
    weft.until_ready()
    assert "admin123" not in weft.shown
    assert weft.stop() == 0


def test_a_database_that_was_production_stays_it(start: Start) -> None:
    """The second start has no WEFT_PROFILE: it makes no sign-ins, and its processes are production, too."""
    first = start(WEFT_PROFILE="production")
    first.until_ready()
    assert first.stop() == 0
    again = start(seed=True)
    again.until_ready()
    assert "this database is kept as production, so this is production" in again.said
    assert "admin123" not in again.shown
    environ = Path(f"/proc/{again.pids()['API']}/environ").read_text(encoding="utf-8")
    assert "WEFT_PROFILE=production" in environ
    assert again.stop() == 0


def test_nothing_lingers_when_the_supervisor_is_killed_and_the_next_one_takes_over(start: Start) -> None:
    weft = start()
    weft.until_ready()
    pids = weft.pids()
    weft.process.kill()
    weft.process.wait()
    again = start(port=weft.port)
    again.until_ready()
    assert not any(is_alive(pid) for pid in pids.values())
    assert again.stop() == 0


def test_children_that_outlive_a_killed_supervisor_are_ended_by_the_next_one(start: Start) -> None:
    weft = start("stubborn", WEFT_WORKER_DRAIN_SECONDS="0")
    weft.until_ready()
    worker = weft.until_stubborn()
    weft.process.kill()
    weft.process.wait()
    assert is_alive(worker)
    again = start(port=weft.port, WEFT_WORKER_DRAIN_SECONDS="0")
    again.until_ready()
    assert not is_alive(worker)
    assert "an earlier weft was killed" in again.said
    assert again.stop() == 0


def test_a_second_signal_does_not_wait(start: Start) -> None:
    weft = start("stubborn", WEFT_WORKER_DRAIN_SECONDS="600")
    weft.until_ready()
    pids = weft.pids()
    assert weft.until_stubborn() == pids["worker"]
    weft.process.send_signal(signal.SIGTERM)
    until(lambda: not is_alive(pids["API"]), what="the end of the API")
    assert is_alive(pids["worker"])
    assert weft.stop(signal.SIGINT) == 0
    assert not is_alive(pids["worker"])
    assert "not waiting for the worker" in weft.said


def test_a_child_that_does_not_drain_is_killed_in_time(start: Start) -> None:
    weft = start("stubborn", WEFT_WORKER_DRAIN_SECONDS="0")
    weft.until_ready()
    worker = weft.until_stubborn()
    assert weft.stop() == 0
    assert not is_alive(worker)


def test_a_child_that_refuses_ends_everything_at_once(start: Start) -> None:
    weft = start("refusing")
    assert weft.process.wait(60) == 8
    assert "The worker process refused to start (exit code 6)" in weft.said
    assert not status_of(weft.home.data).running


@pytest.mark.slow
def test_a_child_that_keeps_failing_ends_everything(start: Start) -> None:
    weft = start("failing")
    assert weft.process.wait(120) == 8
    assert "The worker process keeps failing (exit code 1)" in weft.said


def test_two_of_one_home_are_refused(start: Start) -> None:
    weft = start()
    weft.until_ready()
    other = start()
    assert other.process.wait(60) == 6
    until(lambda: f"process {weft.process.pid}" in other.said)
    assert weft.process.poll() is None
    assert weft.stop() == 0


def test_a_busy_port_is_refused_before_anything_is_made(start: Start) -> None:
    weft = start()
    weft.until_ready()
    other = start(port=weft.port, home="other", fresh=True)
    assert other.process.wait(60) == 6
    until(lambda: f"Port {weft.port} on 127.0.0.1 is in use by another weft" in other.said)
    assert not other.home.data.exists()


@pytest.mark.debian
def test_a_server_of_the_operators_is_used_and_left_running(start: Start, place: Path) -> None:
    programs = Path("/usr/lib/postgresql/15/bin")
    if not (programs / "postgres").exists():
        pytest.skip("the distribution's PostgreSQL 15 is not installed")
    with ephemeral_cluster(place / "cluster", programs=Programs(programs)) as facts:
        url = facts.dsn("weft_app", None, "weft")
        refused = start(fresh=True, WEFT_DATABASE_URL=url)
        assert refused.process.wait(60) == 8
        assert "weft db init" in refused.said

        weft = start(WEFT_DATABASE_URL=url, WEFT_DATABASE_ADMIN_URL=facts.superuser_dsn)
        weft.until_ready()
        assert weft.pids().keys() == {"API", "worker"}
        assert not weft.home.data.exists()
        assert weft.stop() == 0
        assert is_alive(facts.pid)

        again = start(WEFT_DATABASE_URL=url)  # nothing to migrate: the application's address is enough
        again.until_ready()
        assert again.stop() == 0


def test_the_children_know_the_database_but_not_its_owner(start: Start) -> None:
    weft = start()
    weft.until_ready()
    connection = http.client.HTTPConnection("127.0.0.1", weft.port, timeout=60)
    connection.request("GET", "/")
    assert connection.getresponse().read().startswith(b"postgresql://weft_app:")
    connection.close()
    environment = Path(f"/proc/{weft.pids()['API']}/environ").read_bytes()
    assert weft.home.password("weft_owner").encode() not in environment
    assert weft.home.password("postgres").encode() not in environment
    assert str(weft.home.master_key_file).encode() in environment
    assert weft.stop() == 0
