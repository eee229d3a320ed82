"""Archive files: whole or not there, the same for the same content, and found out when they were touched."""

from __future__ import annotations

import gzip
import json
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from weft.ops import archives
from weft.ops.archives import ArchiveDamaged, ArchiveMissing, ArchiveUnwritable, ExecutionNotArchived, Writer, Written

TENANT = UUID(int=7)
SINCE = datetime(2026, 3, 5, tzinfo=UTC)
IDS = [UUID(int=n) for n in (1, 2)]
LINES = [json.dumps({"execution": {"id": str(one)}, "execution_logs": [{"visit": 1}, {"visit": 2}]}) for one in IDS]


def written(directory: Path, *lines: str) -> Written:
    writer = Writer(directory, TENANT, SINCE)
    for line in lines or LINES:
        writer.write(line + "\n")
    return writer.finish()


def test_a_file_is_read_back_and_checked(tmp_path: Path) -> None:
    made = written(tmp_path)
    path = archives.find_file(made.file, tmp_path)
    assert made.file.startswith(f"{TENANT}/2026/03/executions-20260305-")
    assert path == archives.find_file(str(path), Path("/nowhere"))
    found = archives.verify(path)
    assert (found.executions, found.rows, found.bytes, found.sha256) == (2, 4, made.bytes, made.sha256)
    assert archives.verify(path, made.sha256) == found
    assert archives.execution_in(path, IDS[1])["execution"]["id"] == str(IDS[1])
    with pytest.raises(ExecutionNotArchived):
        archives.execution_in(path, UUID(int=3))
    with pytest.raises(ArchiveMissing):
        archives.find_file("x/y", tmp_path)


def test_other_tools_can_read_and_check_it(tmp_path: Path) -> None:
    path = tmp_path / written(tmp_path).file
    done = subprocess.run(["sha256sum", "-c", path.name + ".sha256"], cwd=path.parent, capture_output=True, check=False)
    assert done.returncode == 0, done
    assert gzip.decompress(path.read_bytes()).decode().splitlines() == LINES


def test_the_same_content_is_the_same_file(tmp_path: Path) -> None:
    first = written(tmp_path)
    before = (tmp_path / first.file).read_bytes()
    assert written(tmp_path) == first
    assert (tmp_path / first.file).read_bytes() == before
    assert written(tmp_path, LINES[0]).file != first.file
    assert sorted(path.suffix for path in (tmp_path / first.file).parent.iterdir()) == [
        ".gz",
        ".gz",
        ".sha256",
        ".sha256",
    ]


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / written(tmp_path).file
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_what_was_begun_and_not_finished_leaves_nothing(tmp_path: Path) -> None:
    writer = Writer(tmp_path, TENANT, SINCE)
    writer.write(LINES[0])
    writer.discard()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_a_crash_left_is_swept_up(tmp_path: Path) -> None:
    made = written(tmp_path)
    begun = Writer(tmp_path, TENANT, SINCE)
    begun.write(LINES[0])  # and never finished
    now = datetime.now(UTC)
    assert archives.sweep_parts(tmp_path, now - timedelta(days=1)) == 0, "somebody may be writing it"
    assert archives.sweep_parts(tmp_path, now + timedelta(days=1)) == 1
    assert archives.verify(tmp_path / made.file).executions == 2
    begun.discard()


def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(ArchiveUnwritable, match="WEFT_ARCHIVE_DIR"):
        Writer(tmp_path / "taken", TENANT, SINCE)


@pytest.mark.parametrize("how", ["flipped", "cut", "emptied", "no checksum", "not gzip"])
def test_damage_is_found(tmp_path: Path, how: str) -> None:
    path = tmp_path / written(tmp_path).file
    whole = path.read_bytes()
    if how == "no checksum":
        path.with_name(path.name + ".sha256").unlink()
    elif how == "not gzip":
        path.write_bytes(b"{}\n")
    else:
        middle = len(whole) // 2
        flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
        path.write_bytes({"flipped": flipped, "cut": whole[:-10], "emptied": b""}[how])
    with pytest.raises(ArchiveDamaged):
        archives.verify(path)
    if how in ("cut", "not gzip"):
        with pytest.raises(ArchiveDamaged):
            list(archives.lines(path))


def test_lines_that_are_no_executions_are_damage(tmp_path: Path) -> None:
    for line in ("[]", '{"x": 1}', "{"):
        path = tmp_path / written(tmp_path, line).file
        with pytest.raises(ArchiveDamaged):
            archives.verify(path)
