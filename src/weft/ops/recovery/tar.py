"""A base backup as it streams by: every file's digest, without writing anything to a disk.

`pg_basebackup` sends a plain ustar archive whose last file is the manifest, which names all others with their
SHA-256. So the backup is proved whole while it is sealed, in one pass.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from weft.ops.postgres_user import RunAs, hand_over

_BLOCK = 512
MANIFEST = "backup_manifest"
_MOST_MANIFEST = 512 * 1024 * 1024


class TarDamaged(ValueError):
    """What is wrong, for a sentence."""


@dataclass
class TarWatch:
    """Give it every byte with `feed`, then ask."""

    digests: dict[str, tuple[int, str]] = field(default_factory=dict)
    manifest: bytearray = field(default_factory=bytearray)
    total: int = 0
    _held: bytearray = field(default_factory=bytearray)
    _name: str = ""
    _size: int = 0
    _left: int = 0
    _padding: int = 0
    _digest: Any = None
    _ended: bool = False

    def feed(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if self._left:
                view = self._content(view)
            elif self._padding:
                skipped = min(self._padding, len(view))
                self._padding -= skipped
                view = view[skipped:]
            else:
                view = self._header(view)

    def check(self) -> dict[str, Any]:
        """The manifest, once everything in it was compared. Raises `TarDamaged` with the first difference."""
        if self._left or self._padding or not self._ended:
            raise TarDamaged("it ends in the middle")
        if not self.manifest:
            raise TarDamaged("it has no manifest")
        return check_manifest(bytes(self.manifest), self.digests)

    def _content(self, view: memoryview) -> memoryview:
        piece = view[: self._left]
        self._digest.update(piece)
        self._piece(piece)
        if self._name == MANIFEST:
            self.manifest += piece
        self._left -= len(piece)
        if not self._left:
            self._close()
        return view[len(piece) :]

    def _header(self, view: memoryview) -> memoryview:
        missing = _BLOCK - len(self._held)
        self._held += view[:missing]
        if len(self._held) == _BLOCK:
            block, self._held = bytes(self._held), bytearray()
            self._open(block)
        return view[missing:]

    def _open(self, block: bytes) -> None:
        if not block.strip(b"\0"):
            self._ended = True
            return
        if self._ended:
            raise TarDamaged("something follows its end")
        self._name = _text(block[345:500]) + ("/" if block[345] else "") + _text(block[0:100])
        self._size = self._left = int(_text(block[124:136]).strip() or "0", 8)
        self._padding = -self._size % _BLOCK
        self.total += self._size
        if self._name == MANIFEST and self._size > _MOST_MANIFEST:
            raise TarDamaged("its manifest is too large")
        self._digest = hashlib.sha256()
        kind = block[156:157]
        self._entry(self._name, kind)
        if not self._left and kind in (b"0", b"\0"):
            self._close()

    def _close(self) -> None:
        self.digests[self._name] = (self._size, self._digest.hexdigest())
        self._end()

    # What a subclass does besides:

    def _entry(self, name: str, kind: bytes) -> None:
        """A file or a directory begins."""

    def _piece(self, piece: memoryview) -> None:
        """Some of a file's content."""

    def _end(self) -> None:
        """The file is complete."""


class TarUnpack(TarWatch):
    """The same, and every file is written below a directory, for the server's account."""

    def __init__(self, place: Path, run_as: RunAs | None) -> None:
        super().__init__()
        self._place, self._run_as = place, run_as
        self._file: IO[bytes] | None = None

    def write(self, data: bytes) -> int:
        """So that it can be given where a file is expected."""
        self.feed(data)
        return len(data)

    def close(self) -> None:
        """Whatever happened, no file stays open."""
        self._end()

    def _entry(self, name: str, kind: bytes) -> None:
        path = self._place / _safe(name)
        if kind == b"5":
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            hand_over(path, self._run_as)
        elif kind in (b"0", b"\0"):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            self._file = os.fdopen(descriptor, "wb")
            if self._run_as is not None:
                os.fchown(descriptor, self._run_as.uid, self._run_as.gid)
        else:
            raise TarDamaged(f"{name} is no file; data in table spaces is not restored here")

    def _piece(self, piece: memoryview) -> None:
        assert self._file is not None, "a file was opened"  # noqa: S101 - a fact, for the type checker
        self._file.write(piece)

    def _end(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()


def check_manifest(text: bytes, digests: dict[str, tuple[int, str]]) -> dict[str, Any]:
    """Compare files with a manifest of PostgreSQL's; hands it back. Raises `TarDamaged`.

    What `pg_verifybackup` does: the manifest's own checksum covers every byte before its last line.
    """
    before, separator, rest = text.rpartition(b'"Manifest-Checksum"')
    try:
        manifest: dict[str, Any] = json.loads(text)
    except ValueError:
        raise TarDamaged("its manifest cannot be read") from None
    if not separator or json.loads(b"{" + separator + rest)["Manifest-Checksum"] != hashlib.sha256(before).hexdigest():
        raise TarDamaged("its manifest was changed")
    for entry in manifest["Files"]:
        name = str(entry.get("Path") or bytes.fromhex(entry["Encoded-Path"]).decode(errors="surrogateescape"))
        found = digests.get(name)
        if found is None:
            raise TarDamaged(f"{name} is missing")
        if found[0] != entry["Size"]:
            raise TarDamaged(f"{name} has {found[0]} bytes instead of {entry['Size']}")
        if entry.get("Checksum-Algorithm") == "SHA256" and found[1] != entry["Checksum"].lower():
            raise TarDamaged(f"{name} differs from its checksum")
    return manifest


def _safe(name: str) -> str:
    """A name that stays below the directory, whoever wrote the archive."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise TarDamaged(f"{name!r} leads out of it")
    return str(path)


def _text(part: bytes) -> str:
    return part.split(b"\0", 1)[0].decode(errors="surrogateescape")
