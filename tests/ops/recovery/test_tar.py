"""A base backup is compared with its manifest while it streams; nothing in an archive leads out of its directory."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from weft.ops.recovery.tar import MANIFEST, TarDamaged, TarUnpack, TarWatch

FILES = {"PG_VERSION": b"18\n", "base/1/1259": bytes(range(256)) * 40, "global/empty": b""}


def manifest(files: dict[str, bytes]) -> bytes:
    listed = [
        {"Path": name, "Size": len(data), "Checksum-Algorithm": "SHA256", "Checksum": hashlib.sha256(data).hexdigest()}
        for name, data in files.items()
    ]
    head = json.dumps({"PostgreSQL-Backup-Manifest-Version": 2, "Files": listed})[:-1] + ",\n"
    return (head + f'"Manifest-Checksum": "{hashlib.sha256(head.encode()).hexdigest()}"}}\n').encode()


def archive(files: dict[str, bytes], *, kind: bytes = tarfile.REGTYPE) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for folder in ("base", "base/1", "global", "pg_wal"):
            one = tarfile.TarInfo(folder)
            one.type = tarfile.DIRTYPE
            tar.addfile(one)
        for name, data in files.items():
            one = tarfile.TarInfo(name)
            one.size, one.type = len(data), kind
            tar.addfile(one, io.BytesIO(data))
    return sink.getvalue()


def watched(content: bytes, step: int = 1000, into: Any = None) -> dict[str, Any]:
    watch = into or TarWatch()
    for begin in range(0, len(content), step):
        watch.feed(content[begin : begin + step])
    return dict(watch.check())


@pytest.mark.parametrize("step", [1, 511, 512, 513, 100_000])
def test_an_archive_that_fits_its_manifest_passes_however_it_is_cut(step: int) -> None:
    assert len(watched(archive({**FILES, MANIFEST: manifest(FILES)}), step)["Files"]) == 3


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"PG_VERSION": b"17\n"}, "PG_VERSION differs"),
        ({"PG_VERSION": b"18"}, "has 2 bytes instead of 3"),
        ({"base/1/1259": None}, "base/1/1259 is missing"),
        ({MANIFEST: None}, "has no manifest"),
        ({MANIFEST: manifest(FILES).replace(b'"Size": 3', b'"Size": 4')}, "manifest was changed"),
        ({MANIFEST: b"{"}, "cannot be read"),
    ],
)
def test_every_difference_is_found_and_named(files: dict[str, bytes | None], said: str) -> None:
    whole = {**FILES, MANIFEST: manifest(FILES), **files}
    with pytest.raises(TarDamaged, match=said):
        watched(archive({name: data for name, data in whole.items() if data is not None}))


def test_an_archive_that_is_cut_off_is_found() -> None:
    content = archive({**FILES, MANIFEST: manifest(FILES)})
    with pytest.raises(TarDamaged, match="ends in the middle"):
        watched(content[: len(content) // 3])


def test_files_are_written_for_their_owner_alone(tmp_path: Path) -> None:
    watched(archive({**FILES, MANIFEST: manifest(FILES)}), 700, TarUnpack(tmp_path, None))
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == FILES
    assert (tmp_path / "pg_wal").is_dir()
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.rglob("*"))


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "base/../../outside"])
def test_no_name_leads_out_of_the_directory(tmp_path: Path, name: str) -> None:
    unpack = TarUnpack(tmp_path / "data", None)
    (tmp_path / "data").mkdir()
    with pytest.raises(TarDamaged, match="leads out"):
        unpack.feed(archive({name: b"x"}))
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_links_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TarDamaged, match="table spaces"):
        TarUnpack(tmp_path, None).feed(archive({"pg_tblspc/1": b""}, kind=tarfile.SYMTYPE))
