"""The embedded server: its whole life, and everything that may go wrong with it."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.ops.waiting import until

from weft.ops import postgres_files
from weft.ops.home import Home, HomeInUse, HomeNotWritable
from weft.ops.postgres import EmbeddedPostgres, ServerDidNotStart, ephemeral_cluster, find_running, status_of
from weft.ops.postgres_files import DataVersionDiffers, DiskFull
from weft.ops.processes import is_alive


def ask(dsn: str, *statements: str) -> Any:
    """Run statements on a connection of their own; the value of the last."""

    async def run() -> Any:
        connection = await asyncpg.connect(dsn)
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return await connection.fetchval(statements[-1])
        finally:
            await connection.close()

    return asyncio.run(run())


@pytest.fixture
def home(place: Path) -> Home:
    return Home(place / "a home")


@pytest.fixture
def server(home: Home) -> Iterator[EmbeddedPostgres]:
    embedded = EmbeddedPostgres(home)
    yield embedded
    embedded.stop()


def test_data_outlives_a_restart(home: Home) -> None:
    with EmbeddedPostgres(home) as facts:
        ask(facts.superuser_dsn, "create table kept (n int)", "insert into kept values (7)", "select 1")
        assert status_of(home.data).ready
    assert not status_of(home.data).running
    with EmbeddedPostgres(home) as facts:
        assert ask(facts.superuser_dsn, "select n from kept") == 7


def test_starting_twice_is_starting_once(server: EmbeddedPostgres) -> None:
    assert server.start() == server.start()


def test_stopping_twice_is_stopping_once(server: EmbeddedPostgres) -> None:
    server.start()
    server.stop()
    server.stop()
    assert not server.is_running()


def test_it_is_durable_and_speaks_utc(server: EmbeddedPostgres) -> None:
    dsn = server.start().superuser_dsn
    settings = {
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "summarize_wal": "on",
        "jit": "off",
        "TimeZone": "UTC",
        "listen_addresses": "",
        "shared_preload_libraries": "pg_stat_statements",
        "server_encoding": "UTF8",
        "data_checksums": "on",
    }
    assert {name: ask(dsn, f"show {name}") for name in settings} == settings


def test_what_an_operator_adds_to_postgresql_conf_wins(home: Home, server: EmbeddedPostgres) -> None:
    server.start()
    server.stop()
    with (home.data / "postgresql.conf").open("a") as file:
        file.write("max_connections = 33\n")
    assert ask(server.start().superuser_dsn, "show max_connections") == "33"


def test_committed_rows_survive_kill_9_of_the_server(server: EmbeddedPostgres) -> None:
    facts = server.start()
    ask(facts.superuser_dsn, "create table kept (n int)", "insert into kept values (7)", "select 1")
    os.kill(facts.pid, signal.SIGKILL)
    until(lambda: not server.is_running(), what="the end of the server")
    recovered = server.start()
    assert recovered.pid != facts.pid
    assert ask(recovered.superuser_dsn, "select n from kept") == 7


def test_a_reused_process_id_in_postmaster_pid_does_not_stop_the_start(home: Home, server: EmbeddedPostgres) -> None:
    facts = server.start()
    os.kill(facts.pid, signal.SIGKILL)
    until(lambda: not server.is_running(), what="the end of the server")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as somebody:
        path = home.data / "postmaster.pid"
        rest = path.read_text().partition("\n")[2]
        path.write_text(f"{somebody.pid}\n{rest}")
        assert not status_of(home.data).running
        assert ask(server.start().superuser_dsn, "select 1") == 1
        assert somebody.poll() is None
        somebody.communicate(b"\n")


def test_every_role_must_prove_its_password(home: Home, server: EmbeddedPostgres) -> None:
    facts = server.start()
    assert facts.password is not None
    with pytest.raises(asyncpg.InvalidPasswordError):
        ask(facts.dsn("postgres", "wrong", "postgres"), "select 1")
    assert ask(facts.dsn("postgres", facts.password, "postgres"), "select 1") == 1


def test_a_lost_password_file_does_not_lose_the_data(home: Home, server: EmbeddedPostgres) -> None:
    ask(server.start().superuser_dsn, "create table kept ()", "select 1")
    server.stop()
    home.credentials_file.unlink()
    assert ask(server.start().superuser_dsn, "select count(*) from kept") == 0


def test_nobody_else_can_enter(home: Home, server: EmbeddedPostgres) -> None:
    facts = server.start()
    for path in (home.data, facts.sockets, home.credentials_file, home.log):
        assert path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO) == 0, path
    assert home.path.stat().st_mode & (stat.S_IRGRP | stat.S_IRWXO) == 0


def test_a_home_with_a_long_path_gets_a_short_socket(place: Path) -> None:
    with EmbeddedPostgres(place / ("long-" * 20) / ("name-" * 20)) as facts:
        assert len(str(facts.sockets)) < 80
        assert facts.sockets.stat().st_mode & 0o077 == 0
        assert ask(facts.superuser_dsn, "select 1") == 1


def test_a_short_socket_directory_of_somebody_else_is_not_used(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preferred = place / ("long-" * 30)
    ours = postgres_files.socket_directory(preferred, None)
    ours.chmod(0o777)
    try:
        other = postgres_files.socket_directory(preferred, None)
        assert other != ours
        assert other.stat().st_mode & 0o077 == 0
        other.rmdir()
    finally:
        ours.rmdir()


def test_a_second_instance_is_refused(home: Home, server: EmbeddedPostgres) -> None:
    server.start()
    with pytest.raises(HomeInUse, match=f"process {os.getpid()}"):
        EmbeddedPostgres(home).start()
    assert server.is_running()


def test_another_process_finds_the_running_server(home: Home, server: EmbeddedPostgres) -> None:
    assert find_running(home) is None
    facts = server.start()
    assert find_running(home) == facts


def test_data_of_another_version_is_refused_and_left_alone(home: Home, server: EmbeddedPostgres) -> None:
    server.start()
    server.stop()
    (home.data / "PG_VERSION").write_text("17\n")
    with pytest.raises(DataVersionDiffers, match="written by PostgreSQL 17"):
        server.start()
    assert (home.data / "PG_VERSION").read_text() == "17\n"
    (home.data / "PG_VERSION").write_text("18\n")
    assert server.start().pid


def test_a_full_disk_is_refused_before_anything_is_written(
    home: Home, server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_files, "free_bytes", lambda _path: 199 * 1024**2)
    with pytest.raises(DiskFull, match="Only 199 MB are free"):
        server.start()
    assert not home.data.exists()
    monkeypatch.undo()
    assert server.start().pid, "the refusal gave the home free again"


def test_an_interrupted_first_start_is_begun_anew(home: Home, server: EmbeddedPostgres) -> None:
    home.ensure()
    half = home.path / "postgres.new-half"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    assert ask(server.start().superuser_dsn, "select 1") == 1
    assert not half.exists()


def test_what_the_server_says_stands_in_the_refusal(home: Home, server: EmbeddedPostgres) -> None:
    server.start()
    server.stop()
    with (home.data / "postgresql.conf").open("a") as file:
        file.write("no_such_setting = 1\n")
    with pytest.raises(ServerDidNotStart, match="no_such_setting"):
        server.start()


def test_a_home_that_is_a_file_is_refused(place: Path) -> None:
    (place / "home").write_text("")
    with pytest.raises(HomeNotWritable, match="WEFT_HOME"):
        EmbeddedPostgres(place / "home").start()


START_AND_WAIT = """
import sys
from pathlib import Path
from weft.ops.postgres import EmbeddedPostgres
print(EmbeddedPostgres(Path(sys.argv[1])).start().pid, flush=True)
input()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a child's life to its parent's")
def test_the_server_ends_when_its_starter_is_killed_and_the_next_start_takes_over(
    home: Home, server: EmbeddedPostgres
) -> None:
    command = [sys.executable, "-c", START_AND_WAIT, str(home.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        starter.kill()
    facts = server.start()  # at once, while the other still stops
    assert facts.pid != pid
    assert not is_alive(pid)
    assert ask(facts.superuser_dsn, "select 1") == 1


def test_a_throw_away_server_asks_for_no_password_and_forgets(place: Path) -> None:
    with ephemeral_cluster(place) as facts:
        assert facts.password is None
        assert ask(facts.superuser_dsn, "show fsync") == "off"
        pid = facts.pid
    assert not is_alive(pid)
