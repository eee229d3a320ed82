"""An installation for the length of a demo: `weft up` with a home of its own, which nobody else's data can be in.

It is the real thing (embedded PostgreSQL, API process, worker process), so the demo shows what a user gets. Nothing
is left of it: it ends with the block, with Ctrl-C, and, by the kernel's doing, even when the demo is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from weft.core.errors import Unavailable
from weft.ops.processes import dies_with_us

PATIENCE: Final = 120.0
"""Seconds that a slow machine may take for the first start."""

_KEPT: Final = frozenset({"WEFT_DEBUG", "WEFT_PYTHON"})
_STOP_SECONDS: Final = 15.0
_HURRY_SECONDS: Final = 1.0
_POLL: Final = 0.1
_SHOWN_LINES: Final = 20


class TemporaryFailed(Unavailable):
    code = "temporary_installation_failed"

    def __init__(self, said: str) -> None:
        super().__init__(
            "The demo's own weft did not start. It said:\n"
            f"{_end_of(said)}\n"
            "Correct that, or use a weft that runs already: `weft demo --here`."
        )


class TemporaryLate(Unavailable):
    code = "temporary_installation_late"

    def __init__(self, seconds: float, said: str) -> None:
        super().__init__(
            f"The demo's own weft was not ready after {seconds:.0f} seconds. It said last:\n{_end_of(said)}\n"
            "Is this machine very busy? Try again, or use a weft that runs already: `weft demo --here`."
        )


class Temporary:
    """Starts on entry, is ready then, and is gone on exit. Enter it in the main thread."""

    def __init__(self, *, allow: str, say: Callable[[str], None], patience: float = PATIENCE) -> None:
        """`allow` is the one private place, `host:port`, that its workflows may call."""
        self._allow = allow
        self._say = say
        self._patience = patience
        self._home: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.facts: dict[str, Any] = {}

    @property
    def url(self) -> str:
        return str(self.facts["url"])

    @property
    def home(self) -> Path:
        assert self._home is not None, "entered"  # noqa: S101 - for the type checker
        return self._home

    def __enter__(self) -> Self:
        self._home = Path(tempfile.mkdtemp(prefix="weft-demo-"))
        try:
            self._start()
            self.facts = self._until_ready()
        except BaseException as error:
            self._end(hurry=not isinstance(error, Exception))
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(hurry=error is not None and not isinstance(error, Exception))

    def _start(self) -> None:
        with (self.home / "said").open("wb") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "weft", "up", "--port", "0", "--profile", "development", "--json"],
                env=self._environment(),
                cwd=self.home,  # a weft.toml where the user stands is for another installation
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
                process_group=0,  # Ctrl-C reaches us alone
                preexec_fn=dies_with_us(signal.SIGTERM),
            )

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WEFT_") or name in _KEPT}
        return kept | {
            "WEFT_HOME": str(self.home / "home"),
            "WEFT_HTTP_ALLOW": self._allow,
            "WEFT_METRICS_PORT": "0",
            "WEFT_WORKER_METRICS_PORT": "0",
            "WEFT_LOG_LEVEL": "warning",
            "WEFT_LOG_FORMAT": "text",
        }

    def _until_ready(self) -> dict[str, Any]:
        """The ready message: one JSON document, after which the pipe stays open."""
        assert self._process is not None, "started"  # noqa: S101 - for the type checker
        assert self._process.stdout is not None, "a pipe"  # noqa: S101 - likewise
        deadline = time.monotonic() + self._patience
        shown = b""
        told = 0
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while time.monotonic() < deadline:
                if selector.select(_POLL):
                    part = os.read(self._process.stdout.fileno(), 65536)
                    if not part:
                        raise TemporaryFailed(self._said())
                    shown += part
                    with contextlib.suppress(ValueError):
                        return dict(json.loads(shown))
                told = self._tell(told)
        raise TemporaryLate(self._patience, self._said())

    def _tell(self, told: int) -> int:
        """Hand on what `weft up` says about its progress; how many lines that makes so far."""
        lines = [line for line in self._said().splitlines(keepends=True) if line.endswith("\n")]
        for line in lines[told:]:
            if line.startswith("weft: "):
                said = line.removeprefix("weft: ").strip()
                self._say(said.replace(str(self.home / "home"), "a temporary directory"))
        return len(lines)

    def _said(self) -> str:
        return (self.home / "said").read_text(errors="replace")

    def _end(self, *, hurry: bool) -> None:
        """Stop everything and remove it. In a hurry (Ctrl-C) running steps are not waited for: nobody wants them.

        A second Ctrl-C does not interrupt this: it is short, and what it would leave behind is not wanted either.
        """
        with _uninterrupted():
            try:
                if self._process is not None:
                    self._stop(self._process, _HURRY_SECONDS if hurry else _STOP_SECONDS)
            finally:
                shutil.rmtree(self.home, ignore_errors=True)

    def _stop(self, process: subprocess.Popen[bytes], patience: float) -> None:
        for order, seconds in ((signal.SIGTERM, patience), (signal.SIGTERM, _STOP_SECONDS), (signal.SIGKILL, None)):
            if process.poll() is None:
                process.send_signal(order)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
                break
        if process.stdout is not None:
            process.stdout.close()


def _end_of(said: str) -> str:
    """The last lines, where the reason stands."""
    return "\n".join(said.strip().splitlines()[-_SHOWN_LINES:]) or "(nothing)"


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Signals that ask to stop are not heard meanwhile: stopping is what happens."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
