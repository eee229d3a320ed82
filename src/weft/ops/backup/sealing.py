"""Encryption of artefacts with age, and the keys that it needs.

A backup is encrypted for *recipients*, public keys; whoever makes backups cannot open them. The *identity*, the secret
key, is needed to verify and to restore. Without recipients in the settings they are those of the identity that is here,
and where there is none a pair is made in the home at first use:

    backup_keys/recipient     the public key, derived from `identity`         stays here
    backup_keys/identity      the secret key, and who signed                  keep a copy offline
    backup_keys/signing_key   signs manifests; its public key is in `identity`

The master key (`weft.ops.keys`) is none of these and in no backup: a backup alone shows no tenant's secret.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import IO, Any, Final

import pyrage
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

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
from weft.ops.home import Home, write_private
from weft.settings import Settings

CHUNK: Final = 1 << 18
_SIGNER: Final = "# signer: "
_OPENSSH: Final = "-----BEGIN OPENSSH PRIVATE KEY-----"

Identity = Any  # pyrage's identities have no common class
Recipient = Any


class Sum:
    """What went past: its length and SHA-256."""

    def __init__(self) -> None:
        self.bytes = 0
        self._hash = sha256()

    def add(self, chunk: bytes) -> None:
        self.bytes += len(chunk)
        self._hash.update(chunk)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


def summed(chunks: Iterable[bytes], total: Sum) -> Iterator[bytes]:
    """The same chunks, added to `total` on their way."""
    for chunk in chunks:
        total.add(chunk)
        yield chunk


# -- encryption ------------------------------------------------------------------------------------------------


def recipients_from(texts: Iterable[str]) -> list[Recipient]:
    """Public keys as people write them. Raises `RecipientInvalid`."""
    found: list[Recipient] = []
    for text in texts:
        kind = pyrage.ssh.Recipient if text.startswith("ssh-") else _age_kind(text)
        try:
            found.append(kind.from_str(text))
        except (pyrage.RecipientError, ValueError) as error:
            raise RecipientInvalid(text) from error
    return found


def _age_kind(text: str) -> Any:
    for prefix, kind in (("age1tagpq1", pyrage.tagpq.Recipient), ("age1tag1", pyrage.tag.Recipient)):
        if text.startswith(prefix):
            return kind
    return pyrage.x25519.Recipient


def encrypted(source: IO[bytes], recipients: Sequence[str]) -> Iterator[bytes]:
    """What `source` holds, encrypted, a little at a time: nothing is held in memory or on a disk.

    The encryption pushes and the reader of this pulls, so a thread and a pipe stand between. An error on either side
    arrives here as an exception, never as an early end.
    """
    keys = recipients_from(recipients)
    reader, writer = os.pipe()
    failed: list[BaseException] = []

    def work() -> None:
        try:
            with os.fdopen(writer, "wb") as sink:
                pyrage.encrypt_io(source, sink, keys)  # type: ignore[arg-type]  # any readable file will do
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work, name="weft backup encryption", daemon=True)
    thread.start()
    try:
        with os.fdopen(reader, "rb") as pipe:
            while chunk := pipe.read(CHUNK):
                yield chunk
    finally:
        thread.join()  # the pipe is closed: it ends, in error if it was not done
    if failed:
        raise SealFailed(str(failed[0])) from failed[0]


def decrypt(source: IO[bytes], sink: IO[bytes], identities: Sequence[Identity], *, name: str, written_for: str) -> None:
    """Write the plain content of an encrypted artefact. Raises `IdentityWrong` or `SealBroken`.

    What reaches `sink` before `SealBroken` is authentic but not all: use nothing of it.
    """
    try:
        pyrage.decrypt_io(source, sink, identities)  # type: ignore[arg-type]  # any file will do
    except pyrage.DecryptError as error:
        if "No matching keys" in str(error):
            raise IdentityWrong(name, written_for) from error
        raise SealBroken(name) from error
    except OSError as error:
        if error.errno is not None:  # the disk, not the content
            raise
        raise SealBroken(name) from error


def as_file(chunks: Iterator[bytes]) -> IO[bytes]:
    """A file to read from chunks that arrive one by one."""
    return BufferedReader(_Raw(chunks), 1 << 16)


class _Raw(RawIOBase):
    """The raw side of `as_file`."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        super().__init__()
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        count = min(len(self._rest), len(buffer))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


# -- keys ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """The key files of a home."""

    directory: Path

    @staticmethod
    def of(settings: Settings) -> KeyFiles:
        return KeyFiles(settings.home / "backup_keys")

    @property
    def identity(self) -> Path:
        return self.directory / "identity"

    @property
    def recipient(self) -> Path:
        return self.directory / "recipient"

    @property
    def signing_key(self) -> Path:
        return self.directory / "signing_key"

    @property
    def lock(self) -> Path:
        return self.directory / "lock"


@dataclass(frozen=True, slots=True)
class MakersKeys:
    """What making a backup needs. `made`: the file with a secret key that was made just now, to be told about."""

    recipients: list[str]
    signing_key: Ed25519PrivateKey
    made: Path | None

    @property
    def signer(self) -> str:
        return public_text(self.signing_key)


def makers_keys(settings: Settings) -> MakersKeys:
    """The keys to encrypt for and to sign with; the home's own are made at first use.

    A secret key that is there is never replaced: the public one is derived from it. Raises `RecipientInvalid`,
    `RecipientUnknown`, `RecipientDiffers`, `IdentityInvalid` or `SigningKeyInvalid`.
    """
    with _files(settings) as files:
        key = _signing_key(files)
        if settings.backup.recipients:
            recipients_from(settings.backup.recipients)
            return MakersKeys(list(settings.backup.recipients), key, None)
        made = None
        if not files.recipient.exists():
            publics = _derived(settings, files)
            if publics is None:
                identity = pyrage.x25519.Identity.generate()
                publics, made = [str(identity.to_public())], files.identity
                write_private(files.identity, _identity_text(str(identity), publics[0], public_text(key)))
            write_private(files.recipient, "\n".join(publics) + "\n")
        recipients = files.recipient.read_text().split()
        _fits(files, recipients)
        return MakersKeys(recipients, key, made)


def signing_key(settings: Settings) -> Ed25519PrivateKey:
    """The key that signs what is found out here; made at first use. It neither needs nor makes any of the others."""
    with _files(settings) as files:
        return _signing_key(files)


@contextlib.contextmanager
def _files(settings: Settings) -> Iterator[KeyFiles]:
    """The key files, and nobody else at them: two that make keys at once would leave halves of two pairs."""
    files = KeyFiles.of(settings)
    Home(settings.home).ensure()
    files.directory.mkdir(mode=0o700, exist_ok=True)
    with os.fdopen(os.open(files.lock, os.O_RDWR | os.O_CREAT, 0o600)) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield files


def _derived(settings: Settings, files: KeyFiles) -> list[str] | None:
    """The public keys of the secret ones that are here; None where there is none."""
    there = files.identity.exists() or files.identity.is_symlink()
    if not there and settings.backup.identity is None:
        return None
    text, place = _identity_source(settings, files.identity if there else None)
    publics = _publics(text or "")
    if publics is None:
        raise IdentityInvalid(place)
    if not publics:
        raise RecipientUnknown(place)
    return publics


def _fits(files: KeyFiles, recipients: Sequence[str]) -> None:
    """Refuse to make backups that the secret key beside would not open."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        publics = _publics(files.identity.read_text())
        if publics and not set(publics) & set(recipients):
            raise RecipientDiffers(str(files.recipient), str(files.identity))


def _publics(text: str) -> list[str] | None:
    """The public halves of a key file's keys; empty where they cannot be told (OpenSSH), None where there is no key."""
    found = _identities(text)
    if not found:
        return None
    return [str(one.to_public()) for one in found if isinstance(one, pyrage.x25519.Identity)]


def _identity_text(secret: str, public: str, signer: str) -> str:
    return (
        "# The key that opens the backups of this weft. Keep a copy offline: without it no backup can be restored,\n"
        "# and whoever has it can read them all.\n"
        f"# public key: {public}\n"
        f"{_SIGNER}{signer}\n"
        f"{secret}\n"
    )


def _signing_key(files: KeyFiles) -> Ed25519PrivateKey:
    path = files.signing_key
    if not path.exists():
        write_private(path, base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode() + "\n")
    try:
        return Ed25519PrivateKey.from_private_bytes(base64.b64decode(path.read_text().strip(), validate=True))
    except (OSError, ValueError, binascii.Error) as error:
        raise SigningKeyInvalid(str(path)) from error


def public_text(key: Ed25519PrivateKey) -> str:
    """A signing key's public half, as settings and manifests write it."""
    return base64.urlsafe_b64encode(key.public_key().public_bytes_raw()).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class ReadersKeys:
    """What opening a backup needs: secret keys, and the public keys whose signatures count."""

    identities: list[Identity]
    signers: frozenset[str]


def trusted_signers(settings: Settings, given: Path | None = None) -> frozenset[str]:
    """Whose manifests are believed here: our own, those of the settings, and those named in the key file."""
    files = KeyFiles.of(settings)
    found = set(settings.backup.signers)
    if files.signing_key.exists():
        found.add(public_text(_signing_key(files)))
    text, place = _identity_source(settings, given)
    if text is None and given is not None:
        raise IdentityMissing(place)
    if text is not None:
        found |= {line.removeprefix(_SIGNER).strip() for line in text.splitlines() if line.startswith(_SIGNER)}
    return frozenset(found)


def readers_keys(settings: Settings, given: Path | None = None) -> ReadersKeys:
    """The keys to open backups with: of the file `given`, else of the settings, else of the home.

    Raises `IdentityMissing` or `IdentityInvalid`.
    """
    text, place = _identity_source(settings, given)
    if text is None:
        raise IdentityMissing(place)
    identities = _identities(text)
    if not identities:
        raise IdentityInvalid(place)
    return ReadersKeys(identities, trusted_signers(settings, given))


def can_open(settings: Settings) -> bool:
    """Whether a key is here without anybody giving one."""
    return _identity_source(settings, None)[0] is not None


def _identity_source(settings: Settings, given: Path | None) -> tuple[str | None, str]:
    if given is None and settings.backup.identity is not None:
        return settings.backup.identity, "WEFT_BACKUP_IDENTITY"
    path = given or KeyFiles.of(settings).identity
    try:
        return path.read_text(), str(path)
    except (OSError, UnicodeDecodeError):
        return None, str(path)


def _identities(text: str) -> list[Identity]:
    if _OPENSSH in text:
        try:
            return [pyrage.ssh.Identity.from_buffer(text.strip().encode() + b"\n")]
        except (pyrage.IdentityError, ValueError):
            return []
    found: list[Identity] = []
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            try:
                found.append(pyrage.x25519.Identity.from_str(line.strip()))
            except (pyrage.IdentityError, ValueError):
                return []
    return found
