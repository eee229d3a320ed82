"""Manifests: signed as a whole, believed only from those who are known, and sharper than any damage."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from weft.ops.backup import manifest
from weft.ops.backup.errors import (
    ArtefactCut,
    ArtefactDamaged,
    ArtefactMissing,
    ManifestDamaged,
    ManifestTooNew,
    SignatureWrong,
    SignerUnknown,
)
from weft.ops.backup.manifest import MANIFEST, Count, Manifest, Part, checked, new_id, read
from weft.ops.backup.sealing import Sum, public_text
from weft.ops.backup.targets import Target, open_target

KEY = Ed25519PrivateKey.generate()
US = [public_text(KEY)]
AT = datetime(2026, 11, 25, 2, 0, tzinfo=UTC)
CONTENT = b"sealed" * 1000


def summed(content: bytes) -> str:
    total = Sum()
    total.add(content)
    return total.sha256


MADE = Manifest(
    id=new_id(AT),
    kind="logical",
    reason="test",
    weft="1.0",
    database="weft",
    revision="0001",
    server_version="18.6",
    fingerprint="f" * 64,
    master_key=manifest.master_key_id(bytes(32)),
    started_at=AT,
    finished_at=AT,
    recipients=["age1us"],
    artefacts=[Part("database.dump.age", len(CONTENT), summed(CONTENT))],
    tables={"tenants": Count(2, "-12345678901234567890")},
)


@pytest.fixture
def target(tmp_path: Path) -> Target:
    place = open_target(str(tmp_path))
    place.put(f"{MADE.id}/database.dump.age", [CONTENT])
    manifest.write(place, MADE, KEY)
    return place


def test_it_is_read_back_as_it_was(target: Target) -> None:
    assert read(target, MADE.id, US) == MADE
    assert (MADE.bytes, MADE.rows) == (6000, 2)
    assert b"".join(checked(target, MADE, MADE.artefacts[0])) == CONTENT


def test_names_tell_their_time_and_sort_by_it() -> None:
    assert new_id(AT).startswith("20261125T020000Z-")
    assert manifest.moment_of(new_id(AT)) == AT
    assert manifest.moment_of("lost+found") is None
    assert new_id(AT) != new_id(AT)


def test_every_change_is_found(target: Target, tmp_path: Path) -> None:
    path = tmp_path / MADE.id / MANIFEST
    whole = json.loads(path.read_text())
    changes: list[dict[str, Any]] = [{"revision": "0002"}, {"tables": {}}, {"artefacts": []}, {"id": "other"}]
    for change in changes:
        path.write_text(json.dumps(whole | {"document": whole["document"] | change}))
        with pytest.raises(SignatureWrong, match="changed after it was signed"):
            read(target, MADE.id, US)


def test_any_flipped_bit_of_the_file_is_refused(target: Target, tmp_path: Path) -> None:
    path = tmp_path / MADE.id / MANIFEST
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        changed = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        path.write_bytes(changed)
        try:
            same = read(target, MADE.id, US)
        except (ManifestDamaged, ManifestTooNew, SignatureWrong, SignerUnknown):
            continue
        assert same == MADE, "only what is no content may differ: space between words"


def test_a_stranger_is_not_believed(target: Target) -> None:
    stranger = Ed25519PrivateKey.generate()
    manifest.write(target, MADE, stranger)
    with pytest.raises(SignerUnknown, match=public_text(stranger)):
        read(target, MADE.id, US)
    assert read(target, MADE.id, [public_text(stranger)]) == MADE


def test_a_manifest_of_another_backup_is_refused(target: Target) -> None:
    target.put(f"20200101T000000Z-00000000/{MANIFEST}", target.get(f"{MADE.id}/{MANIFEST}"))
    with pytest.raises(ManifestDamaged, match=MADE.id):
        read(target, "20200101T000000Z-00000000", US)


@pytest.mark.parametrize("text", ["", "{}", "[]", "nonsense", '{"format": 1}', "[" * 100_000])
def test_what_is_no_manifest_is_refused(target: Target, text: str) -> None:
    target.put(f"{MADE.id}/{MANIFEST}", [text.encode()])
    with pytest.raises(ManifestDamaged):
        read(target, MADE.id, US)


def test_a_signed_document_that_is_no_manifest_is_refused(target: Target) -> None:
    target.put(f"{MADE.id}/{MANIFEST}", [manifest.sign({"id": MADE.id}, KEY)])
    with pytest.raises(ManifestDamaged):
        read(target, MADE.id, US)


def test_a_newer_format_is_said(target: Target) -> None:
    signed = json.loads(manifest.sign(MADE.as_json(), KEY))
    target.put(f"{MADE.id}/{MANIFEST}", [json.dumps(signed | {"format": 2}).encode()])
    with pytest.raises(ManifestTooNew, match="format 2"):
        read(target, MADE.id, US)


def test_an_endless_manifest_does_not_fill_the_memory(target: Target) -> None:
    target.put(f"{MADE.id}/{MANIFEST}", [b" " * (1 << 20)] * 17)
    with pytest.raises(ManifestDamaged, match="too large"):
        read(target, MADE.id, US)


def test_artefacts_are_compared_to_their_last_byte(target: Target) -> None:
    part, name = MADE.artefacts[0], f"{MADE.id}/database.dump.age"
    for content, refusal in (
        (CONTENT[:-1], ArtefactCut),
        (CONTENT + b"x", ArtefactCut),
        (b"", ArtefactCut),
        (b"S" + CONTENT[1:], ArtefactDamaged),
    ):
        target.put(name, [content])
        with pytest.raises(refusal, match="another copy"):
            list(checked(target, MADE, part))
    target.delete([name])
    with pytest.raises(ArtefactMissing):
        list(checked(target, MADE, part))


def test_the_master_key_is_told_apart_and_not_told() -> None:
    assert manifest.master_key_id(bytes(32)) == manifest.master_key_id(bytes(32)) != manifest.master_key_id(b"1" * 32)
    assert len(manifest.master_key_id(bytes(32))) == 16
