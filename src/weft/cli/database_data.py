"""`weft db data`: rows of every tenant changed in batches, while traffic goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weft.cli import output

if TYPE_CHECKING:
    from weft.db.data_definitions import DataMigration
    from weft.ops.migrating.data import DataProgress, DataReport, Pace
    from weft.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True)
data = typer.Typer(add_completion=False, no_args_is_help=True, help="Data migrations: list, run, status.")
app.add_typer(data, name="data")

PAUSED = 128 + signal.SIGINT
"""The exit code of a run that Ctrl-C has paused."""


@app.callback()
def _group() -> None:
    """A single command would otherwise take the place of its group."""


@data.command("list")
def list_() -> None:
    """List the data migrations that this version of weft has."""
    _settings, known = _known()
    output.rows(
        [{"name": m.name, "after": m.after, "role": m.role, "title": m.title} for m in known.values()],
        ["name", "after", "title"],
        empty="This version has no data migrations.",
    )


@data.command()
def status() -> None:
    """Show how far each data migration is, and how many rows are left. Counts them, which reads the tables."""
    from weft.ops.installation import reach
    from weft.ops.migrating.data_status import standings

    settings, known = _known()
    with reach(settings) as addresses:
        found = asyncio.run(standings(addresses.require_owner(), known))
    output.rows(
        [one.as_json() for one in found],
        ["name", "state", "rows", "left", "after", "title"],
        empty="This version has no data migrations.",
    )


@data.command("run")
def run_(
    name: Annotated[str, typer.Argument(help="Its name; `weft db data list` shows them.")],
    rows: Annotated[int | None, typer.Option("--rows", min=1, max=100_000, help="Rows of one batch.")] = None,
    rest: Annotated[
        float, typer.Option("--rest", min=0, max=100, help="Rest after each batch, as a part of what it took.")
    ] = 1.0,
) -> None:
    """Carry a data migration out, or go on with it. Ctrl-C pauses it after the batch in hand."""
    from weft.db.data_definitions import DataMigrationUnknown
    from weft.ops.installation import reach
    from weft.ops.migrating.data import Pace

    settings, known = _known()
    if name not in known:
        raise DataMigrationUnknown(name)
    with reach(settings) as addresses, _Bar(name) as bar:
        report = asyncio.run(
            _run(settings, known[name], addresses.app, addresses.require_owner(), Pace(rows, rest), bar)
        )
    if not report.is_done:
        output.result(
            report.as_json(), f"Paused after {report.rows:,} rows. `weft db data run {name}` goes on from there."
        )
        raise typer.Exit(PAUSED)
    output.result(
        report.as_json(),
        f"{report.rows:,} rows of {report.tenants} tenants were changed; nothing is left."
        if report.rows
        else "Nothing to do: no row is left.",
    )


async def _run(
    settings: Settings, migration: DataMigration, app_dsn: str, owner: str, pace: Pace, bar: _Bar
) -> DataReport:
    from weft.ops.migrating import data as moving
    from weft.ops.migrating.run import directories_of

    pause = asyncio.Event()
    loop = asyncio.get_running_loop()
    for order in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(order, pause.set)
    return await moving.run(
        migration,
        app=app_dsn,
        owner=owner,
        directories=directories_of(settings),
        pace=pace,
        pause=pause,
        tell=bar.tell,
    )


def _known() -> tuple[Settings, dict[str, DataMigration]]:
    from weft.db import data_definitions
    from weft.ops.migrating.run import directories_of
    from weft.settings import load_settings

    settings = load_settings(os.environ)
    return settings, data_definitions.load(directories_of(settings))


class _Bar:
    """Progress on standard error: a bar where a terminal reads it, else a note at every tenth."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._progress: Any = None
        self._task: Any = None
        self._tenth = 0

    def __enter__(self) -> _Bar:  # noqa: PYI034  it is ours alone
        if sys.stderr.isatty() and not output.as_json():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._progress = Progress(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                console=Console(stderr=True),
            )  # fmt: skip
            self._progress.start()
            self._task = self._progress.add_task(self._name, total=None)
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def tell(self, progress: DataProgress) -> None:
        if self._progress is not None:
            self._progress.update(
                self._task,
                completed=progress.rows,
                total=progress.expected,
                description=f"{self._name}, tenant {progress.tenants + 1} of {progress.of}",
            )
            return
        tenth = progress.rows * 10 // max(1, progress.expected)
        if tenth > self._tenth and not output.as_json():
            self._tenth = tenth
            output.note(f"{progress.rows:,} of {progress.expected:,} rows, {progress.seconds:.0f} s")
