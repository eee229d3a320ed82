"""Archive files: executions that have left the database, as compressed lines of JSON that any tool can read.

    archive/TENANT/2026/03/executions-20260301-1f0c6a52d0b3e9aa.jsonl.gz            one line for each execution
    archive/TENANT/2026/03/executions-20260301-1f0c6a52d0b3e9aa.jsonl.gz.sha256     for `sha256sum -c`
    archive/TENANT/2026/03/journals-20260301-77b0cf2be0d4a1f3.jsonl.gz              executions that stay

A line is `{"execution": {...}, "execution_logs": [...], ...}`: the row and whatever belonged to it, by table. The name
comes from the content: the same executions written twice are the same file. A file is there whole or not at all: it
is written under another name, forced to the disk, and renamed.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final
from uuid import UUID, uuid4

from weft.core.errors import Invalid, NotFound, Unavailable

SUFFIX: Final = ".jsonl.gz"
_PART: Final = ".part"
_CHUNK: Final = 1 << 20


class ArchiveUnwritable(Unavailable):
    code = "archive_unwritable"

    def __init__(self, directory: Path, said: str) -> None:
        super().__init__(
            f"Archives cannot be written to {directory} ({said}). Nothing was deleted. Make room there or give weft "
            "the right to write, or name another directory with WEFT_ARCHIVE_DIR."
        )


class ArchiveMissing(NotFound):
    code = "archive_missing"

    def __init__(self, path: Path) -> None:
        super().__init__(f"There is no archive {path}. `weft archive list` shows those there are.")


class ArchiveDamaged(Invalid):
    code = "archive_damaged"

    def __init__(self, path: Path, said: str) -> None:
        super().__init__(f"{path} is not what was written: {said}. Take it from your copies.")


class ExecutionNotArchived(NotFound):
    code = "execution_not_archived"

    def __init__(self, path: Path, execution_id: UUID) -> None:
        super().__init__(f"{path} does not hold an execution {execution_id}.")


@dataclass(frozen=True, slots=True)
class Written:
    """A file that is on the disk. `file` is its place within the archive directory."""

    file: str
    bytes: int
    sha256: str


class Writer:
    """Writes one file. `finish` makes it be there; leaving it without removes every trace."""

    def __init__(self, directory: Path, tenant_id: UUID, since: datetime, *, what: str = "executions") -> None:
        self._what = what
        self._root = directory
        self._since = since
        self._folder = directory / str(tenant_id) / f"{since:%Y}" / f"{since:%m}"
        self._part = self._folder / f".{uuid4().hex}{_PART}"
        self._content = hashlib.sha256()
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._raw: IO[bytes] = os.fdopen(os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        except OSError as error:
            raise ArchiveUnwritable(directory, error.strerror or str(error)) from error
        # No name and no time inside: the same content is the same file.
        self._packed = gzip.GzipFile(filename="", mode="wb", fileobj=self._raw, compresslevel=6, mtime=0)

    def write(self, text: str) -> None:
        data = text.encode()
        self._content.update(data)
        try:
            self._packed.write(data)
        except OSError as error:
            raise ArchiveUnwritable(self._root, error.strerror or str(error)) from error

    def finish(self) -> Written:
        """Force it to the disk and give it its name."""
        path = self._folder / f"{self._what}-{self._since:%Y%m%d}-{self._content.hexdigest()[:16]}{SUFFIX}"
        try:
            self._packed.close()
            self._raw.flush()
            os.fsync(self._raw.fileno())
            self._raw.close()
            found = _sha256(self._part)
            _replace(_sidecar(path), f"{found}  {path.name}\n")
            size = self._part.stat().st_size
            self._part.rename(path)
            _sync(self._folder)
        except OSError as error:
            raise ArchiveUnwritable(self._root, error.strerror or str(error)) from error
        return Written(str(path.relative_to(self._root)), size, found)

    def discard(self) -> None:
        """Remove what was begun; after `finish` there is nothing to remove."""
        with suppress(OSError, ValueError):
            self._packed.close()
        with suppress(OSError):
            self._raw.close()
        with suppress(OSError):
            self._part.unlink(missing_ok=True)


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _replace(path: Path, text: str) -> None:
    part = path.with_name(f".{uuid4().hex}{_PART}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)


def _sync(folder: Path) -> None:
    """A rename is on the disk when its directory is."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _sha256(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()


def sweep_parts(directory: Path, older_than: datetime) -> int:
    """Remove what a crash left half written; how many there were."""
    removed = 0
    for part in directory.glob(f"*/*/*/.*{_PART}"):
        with suppress(OSError):
            if part.stat().st_mtime < older_than.timestamp():
                part.unlink()
                removed += 1
    return removed


# -- reading -----------------------------------------------------------------------------------------------


def find_file(named: str, directory: Path) -> Path:
    """A file as people name it: a path, or its place within the archive directory. Raises `ArchiveMissing`."""
    for path in (Path(named), directory / named):
        if path.is_file():
            return path
    raise ArchiveMissing(directory / named)


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The executions of a file, one after the other. Raises `ArchiveDamaged`."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for text in file:
                found = json.loads(text)
                if not isinstance(found, dict) or "execution" not in found:
                    raise ArchiveDamaged(path, "a line is no execution")
                yield found
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise ArchiveDamaged(path, str(error) or type(error).__name__) from error


@dataclass(frozen=True, slots=True)
class Verified:
    """What a whole file holds."""

    executions: int
    rows: int
    bytes: int
    sha256: str


def verify(path: Path, sha256: str | None = None) -> Verified:
    """Read all of a file and compare it with its checksum: the one given, else the one beside it."""
    expected = sha256
    if expected is None:
        try:
            expected = _sidecar(path).read_text(encoding="utf-8").split()[0]
        except (OSError, UnicodeDecodeError, IndexError) as error:
            raise ArchiveDamaged(path, "the checksum beside it cannot be read") from error
    found = _sha256(path)
    if found != expected:
        raise ArchiveDamaged(path, f"its SHA-256 is {found}, and should be {expected}")
    executions = rows = 0
    for line in lines(path):
        executions += 1
        rows += sum(len(part) for name, part in line.items() if name != "execution")
    return Verified(executions, rows, path.stat().st_size, found)


def execution_in(path: Path, execution_id: UUID) -> dict[str, Any]:
    """One execution of a file. Raises `ExecutionNotArchived`."""
    for line in lines(path):
        if line["execution"].get("id") == str(execution_id):
            return line
    raise ExecutionNotArchived(path, execution_id)
