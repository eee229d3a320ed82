"""`weft db drill`: practise the loss of everything, and measure it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weft.cli import output

if TYPE_CHECKING:
    from weft.ops.recovery.drill import Report

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def _group() -> None:
    """A single command would otherwise take the place of its group."""


@app.command()
def drill(
    logical: Annotated[
        bool, typer.Option("--logical", help="With the newest backup of `weft db backup`, instead of base and WAL.")
    ] = False,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact", help="Compare every table; writers wait while they are counted, and it takes twice as long."
        ),
    ] = False,
    patience: Annotated[
        float | None, typer.Option("--patience", min=1, help="Seconds to wait until the archive has the first marker.")
    ] = None,
    identity: Annotated[
        Path | None, typer.Option("--identity", help="The file with the key that opens backups.")
    ] = None,
) -> None:
    """Suppose the machine is gone now: restore from the target into a throw-away place, and measure loss and time.

    What runs is not touched, but for a few rows in a table of their own. The result is kept beside the backups.
    """
    from weft.ops.installation import reach
    from weft.ops.recovery import drill as drills
    from weft.ops.recovery.errors import DrillFailed
    from weft.settings import load_settings

    settings = load_settings(os.environ)
    with reach(settings) as addresses:
        if logical:
            report = drills.logical(settings, addresses, identity=identity, say=output.note)
        else:
            report = drills.point_in_time(
                settings, addresses, exact=exact, patience=patience, identity=identity, say=output.note
            )
    output.result(report.as_json(), lambda: _text(report))
    if not report.ok:
        raise DrillFailed(report.problems)


def _text(report: Report) -> str:
    lost = f"{report.rpo_seconds:.1f} s" if report.rpo_seconds is not None else "everything"
    lines = [
        f"RPO  {lost} would have been lost",
        f"RTO  {report.rto_seconds:.1f} s until the database was there again, and proved",
        f"     from {report.base}, {report.segments} WAL segments: {report.rows} rows in {report.tables} tables",
    ]
    if report.kind == "POINT_IN_TIME":
        lines.append(
            f"     {report.markers_found} of {report.markers_written} markers were found again, without a hole"
        )
    if report.exact and report.ok:
        lines.append("     every table is equal to what was counted before")
    return "\n".join(lines)
