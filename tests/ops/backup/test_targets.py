"""Places: what is written is there whole or not at all, in a directory and in a real S3-compatible store alike."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import obstore
import pyrage
import pytest
from obstore.exceptions import BaseError
from tests.ops.store import Store

from weft.ops.backup.errors import ArtefactMissing, BackupEndpointInvalid, BackupPlaceInvalid, BackupPlaceUnreachable
from weft.ops.backup.sealing import as_file, encrypted
from weft.ops.backup.targets import Credentials, Target, open_target, safe, targets_of
from weft.settings import SettingsInvalid, load_settings

LARGE = 20 << 20  # three parts of an upload


@pytest.fixture(params=["folder", "bucket"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    if request.param == "folder":
        return open_target(str(tmp_path / "place"))
    store: Store = request.getfixturevalue("store")
    credentials = Credentials(store.endpoint, "us-east-1", store.access_key, store.secret_key)
    return open_target(f"s3://backups/{uuid4().hex}", credentials)


def content(target: Target, name: str) -> bytes:
    return b"".join(target.get(name))


def test_what_is_put_is_listed_and_read_back(target: Target) -> None:
    target.put("b1/manifest.json", [b"{", b"}"])
    target.put("b1/database.dump.age", [b"x" * 1000] * 10)
    target.put("b10/manifest.json", [b"[]"])
    assert [(one.name, one.bytes) for one in target.listed()] == [
        ("b1/database.dump.age", 10_000), ("b1/manifest.json", 2), ("b10/manifest.json", 2),
    ]  # fmt: skip
    assert [one.name for one in target.listed("b1/")] == ["b1/database.dump.age", "b1/manifest.json"]
    assert [one.name for one in target.listed("b10")] == ["b10/manifest.json"]
    assert content(target, "b1/manifest.json") == b"{}"
    target.put("b1/manifest.json", [b"new"])
    assert content(target, "b1/manifest.json") == b"new"
    assert abs(target.listed("b1/")[0].modified - datetime.now(UTC)) < timedelta(minutes=5)


def test_a_large_artefact_is_the_same_afterwards(target: Target) -> None:
    whole = os.urandom(LARGE)
    target.put("b/large", (whole[start : start + 70_000] for start in range(0, LARGE, 70_000)))
    assert content(target, "b/large") == whole


@pytest.mark.parametrize("length", [0, 1000, LARGE])
def test_one_bucket_is_copied_to_another(store: Store, length: int) -> None:
    credentials = Credentials(store.endpoint, "us-east-1", store.access_key, store.secret_key)
    first, second = (open_target(f"s3://backups/{uuid4().hex}", credentials) for _ in range(2))
    whole = os.urandom(length)
    first.put("b/one", [whole])
    second.put("b/one", first.get("b/one"))
    assert content(second, "b/one") == whole
    with pytest.raises(ArtefactMissing):
        second.put("b/two", first.get("b/two"))
    assert [one.name for one in second.listed()] == ["b/one"]


@pytest.mark.parametrize("length", [0, 1000, LARGE])
def test_what_breaks_on_the_way_leaves_nothing_that_looks_whole(target: Target, length: int) -> None:
    class Broken(Exception):
        pass

    def chunks() -> Iterator[bytes]:
        for _ in range(0, length, 100_000):
            yield b"x" * min(length, 100_000)
        raise Broken

    with pytest.raises(Broken):
        target.put("b/broken", chunks())
    assert target.listed() == []
    with pytest.raises(ArtefactMissing, match="weft db backups"):
        content(target, "b/broken")


def test_an_empty_artefact_is_there(target: Target) -> None:
    target.put("b/empty", [])
    assert content(target, "b/empty") == b""


def test_what_is_deleted_is_gone_and_deleting_again_is_no_error(target: Target) -> None:
    target.put("b/one", [b"1"])
    target.put("b/two", [b"2"])
    target.delete(["b/one", "b/never"])
    assert [one.name for one in target.listed()] == ["b/two"]
    target.delete(["b/one", "b/two"])
    assert target.listed() == []


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "", "a\\b", "a\0b"])
def test_names_stay_within_their_place(target: Target, name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        target.put(name, [b"x"])
    with pytest.raises(ValueError, match="no name"):
        list(target.get(name))
    with pytest.raises(ValueError, match="no name"):
        safe(name)


def test_a_directory_is_closed_to_others_and_swept(tmp_path: Path) -> None:
    place = open_target(str(tmp_path / "place"))
    place.put("b/one", [b"1"])
    assert stat.S_IMODE((tmp_path / "place/b/one").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "place/b").stat().st_mode) == 0o700
    (tmp_path / "place/b/.rest.part").write_bytes(b"half")
    now = datetime.now(UTC)
    assert place.sweep(now - timedelta(days=1)) == 0, "somebody may be writing it"
    assert place.sweep(now + timedelta(days=1)) == 1
    assert [one.name for one in place.listed()] == ["b/one"]


def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(BackupPlaceUnreachable, match="WEFT_BACKUP_"):
        open_target(str(tmp_path / "taken")).put("b/one", [b"1"])


def test_a_store_that_does_not_answer_or_refuses_is_said_without_its_keys(store: Store) -> None:
    wrong = open_target("s3://backups/x", Credentials(store.endpoint, "us-east-1", "weft", "guessed-secret"))
    with pytest.raises(BackupPlaceUnreachable) as refused:
        wrong.put("b/one", [b"1"])
    assert "SignatureDoesNotMatch" in str(refused.value)
    assert "guessed-secret" not in str(refused.value)
    with pytest.raises(BackupPlaceUnreachable):
        wrong.listed()


@pytest.mark.parametrize(
    "address",
    ["", " ", "s3://", "ftp://x/y", "s3://two words/x", "s3://key:secret@bucket/x", "s3://bucket/x?colour=red"],
)
def test_what_is_no_place_is_refused(address: str) -> None:
    with pytest.raises(BackupPlaceInvalid):
        open_target(address)


@pytest.mark.parametrize(
    "endpoint", ["127.0.0.1:9000", "localhost", "http://", "http://a b", "s3.example.com/x", "http://x:p"]
)
def test_what_is_no_address_of_a_store_is_refused_before_it_is_asked(endpoint: str) -> None:
    with pytest.raises(BackupEndpointInvalid, match="http://"):
        open_target("s3://backups/x", Credentials(endpoint, "us-east-1", "weft", "secret"))
    with pytest.raises(BackupEndpointInvalid):
        open_target(f"s3://backups/x?endpoint={endpoint}")


def test_the_settings_name_the_places(tmp_path: Path) -> None:
    home = {"WEFT_HOME": str(tmp_path)}
    assert [one.address for one in targets_of(load_settings(home))] == [str(tmp_path / "backups")]
    more = {"WEFT_BACKUP_PLACE": "s3://first/weft/", "WEFT_BACKUP_COPIES": f"{tmp_path}/second, s3://third?region=eu-1"}
    found = targets_of(load_settings(home | more))
    assert [one.address for one in found] == ["s3://first/weft", f"{tmp_path}/second", "s3://third"]
    with pytest.raises(SettingsInvalid, match="go together"):
        load_settings(home | {"WEFT_BACKUP_S3_ACCESS_KEY": "half"})


@pytest.mark.parametrize("kind", ["directory", "store"])
def test_what_cannot_be_written_lets_the_encryption_end(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """One that waited for its reader when the interpreter ended took the process down: exit code 134."""
    if kind == "directory":
        (tmp_path / "taken").write_text("")
        place = open_target(str(tmp_path / "taken"))
    else:
        store: Store = request.getfixturevalue("store")
        place = open_target("s3://backups/x", Credentials(store.endpoint, "us-east-1", "weft", "guessed-secret"))
    recipient = str(pyrage.x25519.Identity.generate().to_public())
    chunks = encrypted(as_file(os.urandom(1 << 20) for _ in range(100)), [recipient])
    next(chunks)
    with pytest.raises(BackupPlaceUnreachable) as refused:
        place.put("b/one", chunks)
    assert not [one for one in threading.enumerate() if one.name == "weft backup encryption"]
    del refused


def test_a_store_that_fails_on_the_way_is_what_is_said(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    place = open_target("s3://backups/x", Credentials(store.endpoint, "us-east-1", store.access_key, store.secret_key))

    def fails(_store: object, _path: str, chunks: Iterator[bytes], **_options: object) -> None:
        next(chunks)
        chunks.close()  # type: ignore[attr-defined]  # as the store's client lets go of it
        raise BaseError("the store is full")

    monkeypatch.setattr(obstore, "put", fails)
    with pytest.raises(BackupPlaceUnreachable, match="the store is full"):
        place.put("b/one", [b"1", b"2"])
