"""Where artefacts live: a directory, or a bucket of an S3-compatible store. Both keep the same promise.

What `put` writes is there whole or not at all: a directory gets it under another name, forced to the disk and then
renamed; a bucket gets it in parts that become visible together. Whatever fails on the way, also the reading of what
is to be written, leaves nothing under the name. Names have slashes: `20261125T020000Z-4f2a9c01/manifest.json`.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Final, Protocol
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

from weft.ops.backup.errors import ArtefactMissing, BackupPlaceInvalid, BackupPlaceUnreachable
from weft.settings import Settings

CHUNK: Final = 1 << 20
_PART: Final = ".part"
_SCHEMES: Final = ("s3", "file", "")


@dataclass(frozen=True, slots=True)
class Artefact:
    """One thing that is there whole."""

    name: str
    bytes: int
    modified: datetime


class Target(Protocol):
    """A place for artefacts. Blocking: call it from a thread when a loop runs."""

    @property
    def address(self) -> str:
        """For people: without keys."""
        ...

    def put(self, name: str, chunks: Iterable[bytes]) -> None:
        """Write it whole or not at all, over what was there."""
        ...

    def get(self, name: str) -> Iterator[bytes]:
        """Read it from its beginning. Raises `ArtefactMissing` before the first chunk."""
        ...

    def listed(self, under: str = "") -> list[Artefact]:
        """Everything whose name begins with `under`, sorted by name."""
        ...

    def delete(self, names: Iterable[str]) -> None:
        """Remove them; what is not there is no error."""
        ...

    def local(self, name: str) -> Path | None:
        """Its file, where a copy would be waste."""
        ...

    def sweep(self, older_than: datetime) -> int:
        """Remove what crashed writers left; how many things there were."""
        ...


@dataclass(frozen=True, slots=True)
class Credentials:
    """How to reach buckets. `endpoint` None is the cloud's own."""

    endpoint: str | None = None
    region: str = "us-east-1"
    access_key: str | None = None
    secret_key: str | None = None


def safe(name: str) -> str:
    """A name that stays within its target: names also come from files that somebody else may have written."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise ValueError(f"{name!r} is no name of an artefact")
    return str(path)


def ended(chunks: Iterable[bytes]) -> None:
    """Let what is written be closed where it was not read to its end: the error that is on its way keeps it alive.

    An encryption that still waits for its reader when the interpreter ends takes the process down with it.
    """
    if isinstance(chunks, Generator):
        chunks.close()


class Folder:
    """A directory of this machine, or one that is mounted here."""

    def __init__(self, path: Path) -> None:
        self._root = path

    @property
    def address(self) -> str:
        return str(self._root)

    def put(self, name: str, chunks: Iterable[bytes]) -> None:
        path = self._root / safe(name)
        part = path.parent / f".{uuid4().hex}{_PART}"
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            _sync(path.parent)
        except OSError as error:
            raise BackupPlaceUnreachable(self.address, error.strerror or str(error)) from error
        finally:
            ended(chunks)
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
                if not any(path.parent.iterdir()):
                    path.parent.rmdir()

    def get(self, name: str) -> Iterator[bytes]:
        try:
            file = (self._root / safe(name)).open("rb")
        except (FileNotFoundError, NotADirectoryError):
            raise ArtefactMissing(self.address, name) from None
        except OSError as error:
            raise BackupPlaceUnreachable(self.address, error.strerror or str(error)) from error
        with file:
            try:
                while chunk := file.read(CHUNK):
                    yield chunk
            except OSError as error:
                raise BackupPlaceUnreachable(self.address, error.strerror or str(error)) from error

    def listed(self, under: str = "") -> list[Artefact]:
        found = []
        try:
            for path in self._below(under):
                if path.suffix != _PART and path.is_file():
                    with contextlib.suppress(FileNotFoundError):  # somebody prunes at this moment
                        facts, name = path.stat(), path.relative_to(self._root).as_posix()
                        found.append(Artefact(name, facts.st_size, datetime.fromtimestamp(facts.st_mtime, UTC)))
        except OSError as error:
            raise BackupPlaceUnreachable(self.address, error.strerror or str(error)) from error
        return sorted(found, key=lambda artefact: artefact.name)

    def _below(self, under: str) -> Iterator[Path]:
        """What begins with `under`. Other folders are not walked through: one may hold the WAL of a year."""
        folder, _, start = under.rpartition("/")
        within = self._root / safe(folder) if folder else self._root
        if not within.is_dir():
            return
        for entry in within.iterdir():
            if entry.name.startswith(start):
                yield entry
                if entry.is_dir():
                    yield from entry.rglob("*")

    def delete(self, names: Iterable[str]) -> None:
        try:
            for name in names:
                path = self._root / safe(name)
                path.unlink(missing_ok=True)
                for folder in path.parents:
                    if folder == self._root or not folder.is_dir() or any(folder.iterdir()):
                        break
                    folder.rmdir()
        except OSError as error:
            raise BackupPlaceUnreachable(self.address, error.strerror or str(error)) from error

    def local(self, name: str) -> Path | None:
        path = self._root / safe(name)
        if not path.is_file():
            raise ArtefactMissing(self.address, name)
        return path

    def sweep(self, older_than: datetime) -> int:
        removed = 0
        for part in self._root.rglob(f".*{_PART}"):
            with contextlib.suppress(OSError):
                if part.stat().st_mtime < older_than.timestamp():
                    part.unlink()
                    removed += 1
        return removed


def _sync(folder: Path) -> None:
    """A rename is on the disk when its directory is."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def open_target(address: str, credentials: Credentials | None = None) -> Target:
    """The place that an address names. A bucket's `?region=` and `&endpoint=` win over `credentials`."""
    parts = urlsplit(address)
    if parts.scheme not in _SCHEMES or not address.strip():
        raise BackupPlaceInvalid(address)
    if parts.scheme == "s3":
        from weft.ops.backup.buckets import Bucket

        if not re.fullmatch(r"[\w.:-]+", parts.netloc, re.ASCII):
            raise BackupPlaceInvalid(address)
        given = credentials or Credentials()
        said = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        if said.keys() - {"region", "endpoint"}:
            raise BackupPlaceInvalid(address)
        place = Credentials(
            said.get("endpoint", given.endpoint), said.get("region", given.region), given.access_key, given.secret_key
        )
        return Bucket(parts.netloc, unquote(parts.path).strip("/"), place)
    path = Path(unquote(parts.path)) if parts.scheme == "file" else Path(address)
    return Folder(path.expanduser().absolute())


def targets_of(settings: Settings) -> list[Target]:
    """The places of an installation: the one where backups are made first, then those that get copies."""
    said = settings.backup
    first = Credentials(said.s3_endpoint, said.s3_region, said.s3_access_key, said.s3_secret_key)
    keys = (said.copy_s3_access_key, said.copy_s3_secret_key)
    other = Credentials(said.s3_endpoint, said.s3_region, *(keys if keys[0] else (first.access_key, first.secret_key)))
    home = str(settings.home / "backups")
    return [open_target(said.place or home, first), *(open_target(address, other) for address in said.copies)]


PARTS_KEPT: Final = timedelta(days=1)
"""How old a half-written artefact is before it counts as left by a crash."""
