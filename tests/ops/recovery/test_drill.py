"""The drill with everything real: `weft db wal run` in a process of its own, a disaster, a restore, and its numbers."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.ops.recovery.conftest import Installation, install
from tests.ops.waiting import until

from weft.cli import command_line
from weft.core.clock import utc_now
from weft.ops.backup.targets import targets_of
from weft.ops.connections import connect
from weft.ops.doctor import Verdict
from weft.ops.doctor import recovery as doctor
from weft.ops.installation import embedded_addresses
from weft.ops.recovery import drill, finding, health, status
from weft.ops.recovery.health import Promise

ENVIRONMENT = {"WEFT_WAL_ARCHIVE": "true", "WEFT_WAL_SHIP_SECONDS": "1"}


@pytest.fixture(scope="module")
def one(place: Path) -> Iterator[Installation]:
    for made in install(place, **ENVIRONMENT):
        made.said.append(str(place))
        yield made


@pytest.fixture(scope="module")
def environ(one: Installation, place: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WEFT_")}
    return {**kept, **ENVIRONMENT, "WEFT_HOME": str(one.home.path)}


@pytest.fixture(scope="module")
def keepers() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Every `weft db wal run` that a test began; the last one may still be at work."""
    begun: list[subprocess.Popen[bytes]] = []
    yield begun
    for process in begun:
        process.kill()
        process.wait()


@pytest.fixture
def keeper(
    one: Installation, environ: dict[str, str], place: Path, keepers: list[subprocess.Popen[bytes]]
) -> subprocess.Popen[bytes]:
    """`weft db wal run`, once it has made its first base backup by itself. A test before may have stopped the last."""
    if keepers and keepers[-1].poll() is None:
        return keepers[-1]
    with (place / "keeper.log").open("wb") as log:
        command = [sys.executable, "-m", "weft", "db", "wal", "run"]
        process = subprocess.Popen(command, env=environ, stderr=log, cwd=place)
    keepers.append(process)

    def is_at_work() -> bool:
        assert process.poll() is None, (place / "keeper.log").read_text()
        last = status.read(one.place)
        is_there = last is not None and last.pid == process.pid and last.state == "receiving"
        return is_there and last is not None and last.base_at is not None and not last.needs_base

    until(is_at_work, seconds=120, what="the first base backup")
    begins = json.loads((place / "keeper.log").read_text().splitlines()[0])
    assert begins["event"].startswith("bringing the WAL that the slot 'weft")
    return process


@pytest.fixture
def weft(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: Path
) -> Any:
    """The command line, in this process: its exit code, what it answered, and what it noted."""
    for name in [name for name in os.environ if name.startswith("WEFT_")]:
        monkeypatch.delenv(name)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(place)

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = command_line.run(words)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_a_drill_measures_loss_and_time_and_is_kept(
    one: Installation, keeper: subprocess.Popen[bytes], weft: Any
) -> None:
    before = one.ask("select count(*) from weft.recovery_drills where ok")
    kept = len(targets_of(one.settings)[0].listed("drills/"))
    began = time.monotonic()
    code, out, err = weft("db", "drill", "--exact", "--json")
    took = time.monotonic() - began
    assert code == 0, err
    report = json.loads(out)
    assert report["ok"]
    assert report["problems"] == []
    assert report["markers_found"] >= 1
    assert report["markers_written"] > report["markers_found"] - 1
    assert 0 <= report["rpo_seconds"] < took, "its first marker was found again"
    assert 0 < report["rto_seconds"] < took
    assert report["tables"] > 30
    assert keeper.poll() is None

    assert json.loads((one.place / drill.FILE).read_text())["rpo_seconds"] == report["rpo_seconds"]
    names = [artefact.name for artefact in targets_of(one.settings)[0].listed("drills/")]
    assert len(names) == kept + 1, "it survives the database"
    assert one.ask("select count(*) from weft.recovery_drills where ok") == before + 1
    assert one.ask("select count(*) from weft.recovery_markers") == report["markers_written"]

    seen = asyncio.run(_seen(one))
    assert health.verdicts(seen, Promise.of(one.settings), utc_now()) == {"proof": "ok", "wal": "ok"}
    addresses = embedded_addresses(one.home, one.server.start())
    answers = asyncio.run(doctor.look(addresses, one.settings, utc_now, running=True))
    assert {answer.topic: answer.verdict for answer in answers} == {"WAL": Verdict.ok, "drill": Verdict.ok}


async def _seen(one: Installation) -> health.Seen:
    connection = await connect(embedded_addresses(one.home, one.server.start()).app)
    try:
        return await health.look(connection, one.settings.wal.slot)
    finally:
        await connection.close()


def test_the_commands_show_what_there_is(one: Installation, keeper: subprocess.Popen[bytes], weft: Any) -> None:
    code, out, _ = weft("db", "wal", "status", "--json")
    shown = json.loads(out)
    assert code == 0
    assert shown["runs"]
    assert shown["windows"]
    code, out, _ = weft("db", "wal", "bases")
    assert code == 0
    assert "full" in out
    code, out, _ = weft("db", "wal", "bases", "--identity", str(one.settings.home / "backup_keys" / "identity"))
    assert (code, "full" in out) == (0, True)
    code, _, err = weft("db", "wal", "bases", "--identity", str(one.settings.home / "nowhere"))
    assert (code, "--identity" in err) == (2, True)
    code, out, _ = weft("db", "wal", "point", "before_lunch", "--json")
    assert (code, json.loads(out)["name"]) == (0, "before_lunch")
    for name in ("2026", "two words", "latest", "x" * 64, ""):
        code, _, err = weft("db", "wal", "point", name)
        assert code == 2
        assert "cannot be the name of a restore point" in err
    code, out, _ = weft("db", "wal", "restore", "--to", "latest", "--dry-run")
    assert code == 0
    assert "reachable" in out
    code, _, err = weft("db", "wal", "restore", "--to", "2020-01-01 00:00:00+00", "--dry-run")
    assert code == 6
    assert "cannot be reached" in err
    code, _, err = weft("db", "wal", "restore", "--to", "latest", "--switch", "--yes")
    assert code == 6
    assert "Nothing was switched" in err
    code, out, _ = weft("db", "wal", "prune", "--dry-run", "--json")
    assert (code, json.loads(out)["bases"]) == (0, [])
    code, _, err = weft("db", "wal", "run")
    assert code == 6
    assert "One is enough" in err


def test_a_file_for_somebody_elses_recovery(
    one: Installation, keeper: subprocess.Popen[bytes], weft: Any, tmp_path: Path
) -> None:
    vault = finding.to_look(one.settings)
    newest = max(vault.archived(16 * 2**20).shipped)
    code, _, _ = weft("db", "wal", "fetch", newest.name(), str(tmp_path / "segment"))
    assert code == 0
    assert (tmp_path / "segment").stat().st_size == 16 * 2**20
    assert weft("db", "wal", "fetch", "0000000900000000000000FF", str(tmp_path / "none"))[0] == 1
    shutil.move(one.settings.home / "backup_keys" / "identity", tmp_path / "identity")
    try:
        code, _, err = weft("db", "wal", "fetch", newest.name(), str(tmp_path / "again"))
        assert code == 200, "a recovery must stop, not end here"
        assert "key that opens backups is not here" in err
        code, _, _ = weft(
            "db", "wal", "fetch", newest.name(), str(tmp_path / "again"), "--identity", str(tmp_path / "identity")
        )
        assert code == 0
    finally:
        shutil.move(tmp_path / "identity", one.settings.home / "backup_keys" / "identity")


def test_the_keeper_stops_when_told_and_a_drill_without_it_fails(
    one: Installation, keeper: subprocess.Popen[bytes], weft: Any
) -> None:
    before = one.ask("select count(*) from weft.recovery_drills")
    keeper.send_signal(signal.SIGTERM)
    assert keeper.wait(60) == 0
    last = status.read(one.place)
    assert last is not None
    assert last.state == "ended"
    code, out, err = weft("db", "drill")
    assert code == 6
    assert "RPO" in out
    assert "the archive took in nothing within 5 s" in err, "nobody waits long for nobody"
    seen = asyncio.run(_seen(one))
    words = health.verdicts(seen, Promise.of(one.settings), utc_now())
    assert (words["drill"], words["wal"]) == ("failed", "idle")
    assert one.ask("select count(*) from weft.recovery_drills") == before + 1


def test_a_drill_with_a_backup_needs_one(
    one: Installation, weft: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WEFT_BACKUP_PLACE", str(tmp_path / "empty"))
    code, _, err = weft("db", "drill", "--logical")
    assert code == 5
    assert "There is no backup" in err


@pytest.mark.slow
def test_a_drill_with_a_backup_restores_and_compares_it(one: Installation, weft: Any) -> None:
    began = time.monotonic()
    code, _, err = weft("db", "backup")
    assert code == 0, err
    code, out, err = weft("db", "drill", "--logical", "--json")
    assert code == 0, err
    report = json.loads(out)
    assert (report["kind"], report["ok"], report["exact"]) == ("LOGICAL", True, True)
    assert 0 < report["rpo_seconds"] < time.monotonic() - began
    assert report["rto_seconds"] > 0
