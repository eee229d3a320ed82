"""`weft test` and `weft bench`: what a clone's developers and its CI run. They need the clone, not only the package."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from weft.core.errors import Invalid

app = typer.Typer(add_completion=False)

CLONE = Path(__file__).resolve().parents[3]
ALIVE_EVERY = 45.0
"""Seconds between signs of life, for those who watch a log."""


class CloneMissing(Invalid):
    code = "clone_missing"

    def __init__(self) -> None:
        super().__init__(
            "Tests and benchmarks are part of a clone of weft, not of an installed package. Clone it first."
        )


class TestsFailed(Invalid):
    __test__ = False
    code = "tests_failed"

    def __init__(self, stages: Sequence[str]) -> None:
        super().__init__(f"Failed: {', '.join(stages)}. The output above says where.")


@dataclass
class Tally:
    """What all pytest runs counted."""

    counts: dict[str, int] = field(default_factory=dict)

    def read(self, line: str) -> None:
        """Add up pytest's closing line: `=== 3 failed, 120 passed, 2 skipped in 3.21s ===`."""
        if not re.search(r"\bin \d+(\.\d+)?s\b", line):
            return
        for number, word in re.findall(r"(\d+) (passed|failed|skipped|errors?)\b", line):
            word = "failed" if word.startswith("error") else word
            self.counts[word] = self.counts.get(word, 0) + int(number)

    def line(self) -> str:
        skipped = self.counts.get("skipped", 0)
        said = f"{self.counts.get('passed', 0)} passed, {self.counts.get('failed', 0)} failed"
        return f"{said}, {skipped} skipped" if skipped else said


@app.command("test", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run_tests(
    context: typer.Context,
    fast: Annotated[bool, typer.Option("--fast", help="Leave out chaos, the launcher and other slow suites.")] = False,
) -> None:
    """Run everything that CI runs: style, types, import contracts, tests, chaos. Other words go to pytest."""
    _require_clone()
    tally = Tally()
    stages = _stages(fast=fast, more=context.args)
    failed = [name for name, command in stages if not _stage(name, command, tally)]
    print(tally.line(), flush=True)
    if failed:
        raise TestsFailed(failed)


@app.command("bench", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run_benchmarks(context: typer.Context) -> None:
    """Measure scenarios (`weft bench B1 B2 --quick`); each prints one line of JSON with its ratios."""
    _require_clone()
    sys.exit(subprocess.call([sys.executable, "-m", "benches", *context.args], cwd=CLONE))  # noqa: S603  our own module


def _require_clone() -> None:
    if not (CLONE / "tests").is_dir() or not (CLONE / "pyproject.toml").is_file():
        raise CloneMissing


def _stages(*, fast: bool, more: Sequence[str]) -> list[tuple[str, list[str]]]:
    python = [sys.executable, "-m"]
    processes = str(max(2, os.cpu_count() or 2))
    pytest = [*python, "pytest", "-q", "-p", "no:cacheprovider", "-n", processes, "--dist", "worksteal"]
    if more:
        return [("tests", [*python, "pytest", *more])]
    left_out = "not chaos and not slow" if fast else "not chaos"
    stages = [
        ("style", [*python, "ruff", "check", "."]),
        ("format", [*python, "ruff", "format", "--check", "."]),
        ("imports", [str(Path(sys.executable).with_name("lint-imports"))]),
        ("types", [*python, "mypy"]),
        ("tests", [*pytest, "-m", left_out]),
    ]
    if not fast:
        stages.append(("previous releases", [*python, "tests.compatibility.previous_releases"]))
        stages.append(("chaos", [*python, "pytest", "-q", "-p", "no:cacheprovider", "-m", "chaos", "tests/chaos"]))
    return stages


def _stage(name: str, command: Sequence[str], tally: Tally) -> bool:
    """Run one stage, pass on what it says, and whether it succeeded."""
    print(f"==> {name}", flush=True)
    begun = time.monotonic()
    with _signs_of_life(name):
        process = subprocess.Popen(  # noqa: S603  our own tools
            command, cwd=CLONE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
        )
        for line in process.stdout or ():
            sys.stdout.write(line)
            sys.stdout.flush()
            if "pytest" in command:
                tally.read(line)
        code = process.wait()
    print(f"    {name}: {'ok' if code == 0 else f'FAILED ({code})'}, {time.monotonic() - begun:.1f} s", flush=True)
    return code == 0


@contextmanager
def _signs_of_life(name: str) -> Iterator[None]:
    """A line now and then, so that a long stage is not taken for a dead one."""
    over = threading.Event()
    begun = time.monotonic()

    def tell() -> None:
        while not over.wait(ALIVE_EVERY):
            print(f"    ... {name} runs for {time.monotonic() - begun:.0f} s", flush=True)

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
