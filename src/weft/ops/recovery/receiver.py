"""`pg_receivewal` as our child: it writes what the server logs into the spool, and confirms only what is on the disk.

The slot moves on when the receiver has forced WAL to the disk, so whatever dies, receiver, server or machine, the
server still has what the spool has not. Finished segments lose their ending `.partial`; only those are taken away.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from weft.ops.postgres_files import Programs
from weft.ops.processes import dies_with_us
from weft.ops.recovery.segments import Segment, is_history
from weft.ops.recovery.source import Source

PARTIAL = ".partial"
_MOST_LOG = 1024 * 1024


@dataclass(slots=True)
class Spool:
    """The directory that the receiver writes and the archiver empties."""

    path: Path
    segment_bytes: int

    def ensure(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)

    def finished(self) -> list[Path]:
        """History files first, then whole segments in their order."""
        files = [path for path in self._files() if is_history(path.name) or self._segment(path.name) is not None]
        return sorted(files, key=lambda path: (not is_history(path.name), path.name))

    def partial(self) -> tuple[Segment, Path] | None:
        """The segment that is being written, if there is one."""
        found = []
        for path in self._files():
            segment = self._segment(path.name.removesuffix(PARTIAL)) if path.name.endswith(PARTIAL) else None
            with contextlib.suppress(FileNotFoundError):  # it was finished this moment
                # A receiver that just begins has not padded it yet.
                if segment is not None and path.stat().st_size == self.segment_bytes:
                    found.append((segment, path))
        return max(found, default=None)

    def clear_unpadded(self) -> None:
        """Remove what a receiver that was killed left half padded: it holds no WAL yet, and the next one refuses it."""
        for path in self._files():
            if path.name.endswith(PARTIAL) and path.stat().st_size not in (0, self.segment_bytes):
                path.unlink()

    def set_aside(self, name: str) -> Path | None:
        """Move everything away, for a server that went another way; it is kept beside, not deleted."""
        if not any(self._files()):
            return None
        aside = self.path.with_name(f"{self.path.name}.{name}")
        self.path.rename(aside)
        self.ensure()
        return aside

    def _files(self) -> list[Path]:
        return [path for path in self.path.iterdir() if path.is_file()] if self.path.is_dir() else []

    def _segment(self, name: str) -> Segment | None:
        return Segment.named(name, self.segment_bytes)


@dataclass(slots=True)
class Receiver:
    """One child at a time; `start` again after it ended."""

    source: Source
    programs: Programs
    spool: Spool
    slot: str
    log: Path
    _process: subprocess.Popen[bytes] | None = field(default=None)
    _log_from: int = field(default=0)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def has_ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def start(self) -> None:
        """From the main thread: the kernel ties the child to the thread that started it."""
        self.spool.ensure()
        self.spool.clear_unpadded()
        command, environment = self.source.command(
            self.programs, "pg_receivewal", "-D", str(self.spool.path), "--slot", self.slot,
            "--synchronous", "--no-loop", "--status-interval=1",
        )  # fmt: skip
        if self.log.exists() and self.log.stat().st_size > _MOST_LOG:
            self.log.replace(self.log.with_suffix(".log.1"))
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._log_from = os.fstat(descriptor).st_size
            self._process = subprocess.Popen(  # noqa: S603 - a program of PostgreSQL's
                command,
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                env=environment,
                process_group=0,
                preexec_fn=dies_with_us(signal.SIGTERM),
            )
        finally:
            os.close(descriptor)

    def stop(self, *, timeout: float = 10.0) -> None:
        """It confirms what it has, then ends."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        for order in (signal.SIGINT, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(order)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout)
                return

    def said(self) -> str:
        """Its last words, since it was started."""
        with contextlib.suppress(FileNotFoundError), self.log.open("rb") as file:
            file.seek(self._log_from)
            return file.read(64 * 1024).decode(errors="replace").strip()
        return ""
