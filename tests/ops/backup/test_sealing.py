"""Encryption and keys: streams that end in an error rather than early, and keys that are made once."""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from weft.ops import home
from weft.ops.backup import sealing
from weft.ops.backup.errors import (
    IdentityInvalid,
    IdentityMissing,
    IdentityWrong,
    RecipientDiffers,
    RecipientInvalid,
    RecipientUnknown,
    SealBroken,
    SealFailed,
    SigningKeyInvalid,
)
from weft.ops.backup.sealing import KeyFiles, Sum, as_file, decrypt, encrypted, makers_keys, readers_keys, summed
from weft.settings import Settings, load_settings

PLAIN = os.urandom(700_000)
OPENSSH = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"WEFT_HOME": str(tmp_path / "home")})


def opened(settings: Settings, content: bytes) -> bytes:
    out = io.BytesIO()
    decrypt(io.BytesIO(content), out, readers_keys(settings).identities, name="the dump", written_for="us")
    return out.getvalue()


def test_what_is_encrypted_is_read_back_by_us_and_by_age(settings: Settings) -> None:
    keys = makers_keys(settings)
    total = Sum()
    content = b"".join(summed(encrypted(io.BytesIO(PLAIN), keys.recipients), total))
    assert content.startswith(b"age-encryption.org/v1\n")
    assert (total.bytes, len(total.sha256)) == (len(content), 64)
    assert opened(settings, content) == PLAIN
    secret = KEY_LINE(keys.made)
    assert pyrage.decrypt(content, [pyrage.x25519.Identity.from_str(secret)]) == PLAIN


def KEY_LINE(path: Path | None) -> str:  # noqa: N802 - reads as the fact it is
    assert path is not None
    return next(line for line in path.read_text().splitlines() if line.startswith("AGE-SECRET-KEY-"))


def test_keys_are_made_once_and_closed_to_others(settings: Settings) -> None:
    first, second = makers_keys(settings), makers_keys(settings)
    assert first.made is not None
    assert second.made is None
    assert (first.recipients, first.signer) == (second.recipients, second.signer)
    for path in first.made.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert f"# signer: {first.signer}" in first.made.read_text()
    assert readers_keys(settings).signers == {first.signer}


def test_making_needs_no_secret_key(settings: Settings) -> None:
    made = makers_keys(settings).made
    assert made is not None
    offline = Path(shutil.move(made, settings.home / "usb-stick"))
    content = b"".join(encrypted(io.BytesIO(PLAIN), makers_keys(settings).recipients))
    assert not made.exists(), "it is not made anew when it was taken away"
    assert not sealing.can_open(settings)
    with pytest.raises(IdentityMissing, match="--identity"):
        readers_keys(settings)
    out = io.BytesIO()
    decrypt(io.BytesIO(content), out, readers_keys(settings, offline).identities, name="x", written_for="us")
    assert out.getvalue() == PLAIN


def test_a_secret_key_that_is_there_is_never_replaced(settings: Settings, tmp_path: Path) -> None:
    """A machine that got nothing but a copy of the identity, as the guide says, and then does anything at all."""
    first = makers_keys(settings)
    assert first.made is not None
    other = load_settings({"WEFT_HOME": str(tmp_path / "other")})
    files = KeyFiles.of(other)
    files.directory.mkdir(parents=True)
    files.identity.write_text(first.made.read_text())
    sealing.signing_key(other)
    assert {path.name for path in files.directory.iterdir()} == {"identity", "lock", "signing_key"}
    keys = makers_keys(other)
    assert (keys.recipients, keys.made) == (first.recipients, None), "derived from it"
    assert files.identity.read_text() == first.made.read_text()
    assert makers_keys(other).recipients == first.recipients
    assert readers_keys(other).signers == {first.signer, keys.signer}


def test_a_secret_key_that_cannot_be_used_is_not_replaced_either(settings: Settings, tmp_path: Path) -> None:
    files = KeyFiles.of(settings)
    files.directory.mkdir(parents=True)
    files.identity.symlink_to(tmp_path / "a stick that is not here")
    with pytest.raises(IdentityInvalid):
        makers_keys(settings)
    assert files.identity.is_symlink()
    files.identity.unlink()
    files.identity.write_text(OPENSSH)
    with pytest.raises(RecipientUnknown, match="WEFT_BACKUP_RECIPIENTS"):
        makers_keys(settings)
    assert files.identity.read_text() == OPENSSH
    assert not files.recipient.exists()


def test_the_settings_secret_key_has_its_public_half(settings: Settings, tmp_path: Path) -> None:
    made = makers_keys(settings)
    assert made.made is not None
    given = load_settings({"WEFT_HOME": str(tmp_path / "other"), "WEFT_BACKUP_IDENTITY_FILE": str(made.made)})
    assert makers_keys(given).recipients == made.recipients
    assert not KeyFiles.of(given).identity.exists()


def test_halves_of_two_pairs_make_no_backup(settings: Settings) -> None:
    makers_keys(settings)
    files = KeyFiles.of(settings)
    files.recipient.write_text(f"{pyrage.x25519.Identity.generate().to_public()}\n")
    with pytest.raises(RecipientDiffers, match="derived anew"):
        makers_keys(settings)
    files.recipient.unlink()
    assert b"".join(encrypted(io.BytesIO(PLAIN), makers_keys(settings).recipients))


def test_those_that_make_keys_at_once_have_the_same(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each looks what is there before it writes: the second must not look before the first has written."""
    flock, write, everybody = fcntl.flock, home.write_private, threading.Barrier(4)
    inside, most = [0], [0]

    def locked(descriptor: Any, operation: int) -> None:
        everybody.wait(60)
        flock(descriptor, operation)

    def watched(path: Path, text: str) -> None:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        write(path, text)
        inside[0] -= 1

    monkeypatch.setattr(fcntl, "flock", locked)
    monkeypatch.setattr(sealing, "write_private", watched)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(makers_keys, [settings] * 4))
    assert len({(one.recipients[0], one.signer) for one in found}) == 1
    assert (most[0], sum(one.made is not None for one in found)) == (1, 1)
    assert f"# signer: {found[0].signer}" in KeyFiles.of(settings).identity.read_text()


def test_the_settings_may_hold_the_keys(settings: Settings, tmp_path: Path) -> None:
    one, other = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    (tmp_path / "key").write_text(f"# mine\n{one}\n")
    environ = {"WEFT_HOME": str(tmp_path / "other"), "WEFT_BACKUP_IDENTITY_FILE": str(tmp_path / "key")}
    environ["WEFT_BACKUP_RECIPIENTS"] = f"{one.to_public()}, {other.to_public()}"
    given = load_settings(environ)
    keys = makers_keys(given)
    assert keys.made is None
    assert not (tmp_path / "other/backup_keys/identity").exists()
    content = b"".join(encrypted(io.BytesIO(PLAIN), keys.recipients))
    assert opened(given, content) == PLAIN
    assert pyrage.decrypt(content, [other]) == PLAIN


def test_damage_is_found_and_a_wrong_key_is_said(settings: Settings) -> None:
    content = b"".join(encrypted(io.BytesIO(PLAIN), makers_keys(settings).recipients))
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    for damaged in (flipped, content[:-1], content[:200_000], content + b"x", b"x" + content, b""):
        with pytest.raises(SealBroken, match="another copy"):
            opened(settings, damaged)
    stranger = [str(pyrage.x25519.Identity.generate().to_public())]
    with pytest.raises(IdentityWrong, match="encrypted for us"):
        opened(settings, b"".join(encrypted(io.BytesIO(PLAIN), stranger)))


def test_a_source_that_fails_does_not_look_like_its_end(settings: Settings) -> None:
    def chunks() -> Iterator[bytes]:
        yield PLAIN
        raise OSError(5, "Input/output error")

    with pytest.raises(SealFailed):
        list(encrypted(as_file(chunks()), makers_keys(settings).recipients))


def test_a_reader_that_goes_away_ends_the_encryption(settings: Settings) -> None:
    source = encrypted(io.BytesIO(PLAIN * 10), makers_keys(settings).recipients)
    next(source)
    source.close()  # type: ignore[attr-defined]  # a generator; it waits for its thread, so it must end


def test_a_file_of_chunks_reads_like_a_file() -> None:
    file = as_file(iter([b"ab", b"", b"cde", b"f"]))
    assert file.read(3) == b"abc"
    assert file.read() == b"def"
    assert file.read() == b""


@pytest.mark.parametrize("text", ["age1wrong", "AGE-SECRET-KEY-1QQQ", "ssh-ed25519 nothing", "x"])
def test_what_is_no_recipient_is_refused(text: str, tmp_path: Path) -> None:
    settings = load_settings({"WEFT_HOME": str(tmp_path), "WEFT_BACKUP_RECIPIENTS": text})
    with pytest.raises(RecipientInvalid, match="WEFT_BACKUP_RECIPIENTS"):
        makers_keys(settings)


def test_what_is_no_key_is_refused(settings: Settings, tmp_path: Path) -> None:
    for text in ("", "# nothing\n", "AGE-SECRET-KEY-1WRONG\n", "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n"):
        (tmp_path / "key").write_text(text)
        with pytest.raises(IdentityInvalid):
            readers_keys(settings, tmp_path / "key")
    makers_keys(settings)
    (settings.home / "backup_keys/signing_key").write_text("not a key\n")
    with pytest.raises(SigningKeyInvalid):
        makers_keys(settings)
