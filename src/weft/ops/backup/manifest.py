"""What is written beside the data: which artefacts belong together, what they hold, and who says so.

A document is signed as a whole (Ed25519 over its canonical JSON) and stored with its signature in one file, so that one
write makes both. Reading checks the signature before anything in it is used: an artefact's name and SHA-256 are then
as trustworthy as the signer.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final
from uuid import uuid4

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from weft.ops.backup.errors import (
    ArtefactCut,
    ArtefactDamaged,
    ManifestDamaged,
    ManifestTooNew,
    SignatureWrong,
    SignerUnknown,
)
from weft.ops.backup.sealing import Sum, public_text, summed
from weft.ops.backup.targets import Target

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
PROOF: Final = "proof.json"
LARGEST: Final = 16 << 20
"""Bytes of a document: more than that is no manifest of ours."""


@dataclass(frozen=True, slots=True)
class Part:
    """One artefact of a backup; `name` is its place within the backup's folder."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Count:
    """What a table holds: its rows, and the sum of their hashes, which no order changes."""

    rows: int
    checksum: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup is. `kind` says what its artefacts are: `logical` for a dump of `weft db backup`."""

    id: str
    kind: str
    reason: str
    weft: str
    database: str
    revision: str | None
    server_version: str
    fingerprint: str
    master_key: str | None
    """Which master key the tenants' keys in it are wrapped with, without saying anything about that key."""
    started_at: datetime
    finished_at: datetime
    recipients: list[str]
    artefacts: list[Part]
    tables: dict[str, Count] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    """What other kinds of backup add (a base backup's WAL position, say)."""

    @property
    def bytes(self) -> int:
        return sum(part.bytes for part in self.artefacts)

    @property
    def rows(self) -> int:
        return sum(count.rows for count in self.tables.values())

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"started_at": _text(self.started_at), "finished_at": _text(self.finished_at)}

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Manifest:
        given = dict(document)
        return Manifest(
            **given
            | {
                "started_at": moment(given["started_at"]),
                "finished_at": moment(given["finished_at"]),
                "artefacts": [Part(**part) for part in given["artefacts"]],
                "tables": {name: Count(**count) for name, count in given["tables"].items()},
            }
        )


NAMES = "2"
"""With what the name of every backup begins: a year. What else lies on a target, such as WAL, need not be looked at."""


def new_id(now: datetime) -> str:
    """A name that sorts by time and never repeats."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{uuid4().hex[:8]}"


def moment_of(backup_id: str) -> datetime | None:
    """When a backup of that name began; None when it is no name of ours."""
    try:
        return datetime.strptime(backup_id.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def master_key_id(master_key: bytes) -> str:
    """Tells one master key from another and nothing else: a hash of 32 random bytes cannot be turned round."""
    return sha256(b"weft master key 1\0" + master_key).hexdigest()[:16]


# -- signed documents ------------------------------------------------------------------------------------------


def sign(document: Mapping[str, Any], key: Ed25519PrivateKey) -> bytes:
    """A file with the document and its signature, readable by people and other tools."""
    signature = key.sign(_canonical(document))
    signed = {
        "format": FORMAT,
        "signer": public_text(key),
        "signature": base64.b64encode(signature).decode(),
        "document": document,
    }
    return (json.dumps(signed, indent=2, ensure_ascii=False, sort_keys=True) + "\n").encode()


def open_signed(name: str, content: bytes, signers: Iterable[str]) -> dict[str, Any]:
    """The document, if one of `signers` signed it. Raises `ManifestDamaged`, `SignatureWrong`, `SignerUnknown`."""
    try:
        signed = json.loads(content)
        found, signer, document = signed["format"], signed["signer"], signed["document"]
        signature = base64.b64decode(signed["signature"], validate=True)
        public = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(signer + "=" * (-len(signer) % 4)))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ManifestDamaged(name, str(error) or type(error).__name__) from error
    if found != FORMAT:
        raise ManifestTooNew(name, found)
    if not isinstance(document, dict):
        raise ManifestDamaged(name, "it holds no document")
    try:
        public.verify(signature, _canonical(document))
    except InvalidSignature as error:
        raise SignatureWrong(name) from error
    if signer not in set(signers):
        raise SignerUnknown(name, signer)
    return document


def _canonical(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def write(target: Target, manifest: Manifest, key: Ed25519PrivateKey) -> None:
    """Write the manifest: from now on the backup is there."""
    target.put(f"{manifest.id}/{MANIFEST}", [sign(manifest.as_json(), key)])


def read(target: Target, backup_id: str, signers: Iterable[str]) -> Manifest:
    """The manifest of one backup, its signature checked."""
    name = f"{backup_id}/{MANIFEST}"
    document = open_signed(name, small(target, name), signers)
    try:
        manifest = Manifest.from_json(document)
    except (KeyError, TypeError, ValueError) as error:
        raise ManifestDamaged(name, str(error) or type(error).__name__) from error
    if manifest.id != backup_id:
        raise ManifestDamaged(name, f"it is that of the backup {manifest.id}")
    return manifest


def small(target: Target, name: str) -> bytes:
    """A document's content; one that is too large to be one is refused before it fills the memory."""
    content = b""
    for chunk in target.get(name):
        content += chunk
        if len(content) > LARGEST:
            raise ManifestDamaged(name, "it is too large")
    return content


def checked(target: Target, manifest: Manifest, part: Part) -> Iterator[bytes]:
    """The content of an artefact. The last thing it does is to compare length and SHA-256: read it to its end.

    Raises `ArtefactMissing`, `ArtefactCut`, `ArtefactDamaged`.
    """
    name, total = f"{manifest.id}/{part.name}", Sum()
    yield from summed(target.get(name), total)
    if total.bytes != part.bytes:
        raise ArtefactCut(name, total.bytes, part.bytes)
    if total.sha256 != part.sha256:
        raise ArtefactDamaged(name, total.sha256, part.sha256)


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
