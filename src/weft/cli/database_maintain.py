"""`weft db maintain`: vacuum, analyze, reindex, partitions, retention and what else the database needs."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weft.cli import output

if TYPE_CHECKING:
    from weft.ops.upkeep.run import Progress, Report
    from weft.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True)

FAILED = 1


@app.command()
def maintain(
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task",
            help="Only this: partitions, retention, expired, orphans, vacuum, analyze, reindex or bloat. "
            "May be said several times.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Tell of the last run, and of the next one.")] = False,
    due: Annotated[
        datetime | None, typer.Option(help="Do it only if it was not done since this time (UTC); schedules say so.")
    ] = None,
) -> int:
    """Give the database what it needs now, going by its own statistics. Safe beside traffic, and to repeat.

    Needs the owner's address. Exits with 1 if a step failed; the other steps are done all the same.
    """
    from weft.settings import load_settings

    settings = load_settings(os.environ)
    if status:
        _status(settings)
        return 0
    report = _run(settings, tuple(task or ()), dry_run=dry_run, due=due.replace(tzinfo=UTC) if due else None)
    if report is None:
        output.result({"skipped": True}, "It was done since then: nothing to do.")
        return 0
    output.result(report.as_json(), lambda: _text(report))
    return 0 if report.is_ok else FAILED


def _run(settings: Settings, tasks: tuple[str, ...], *, dry_run: bool, due: datetime | None) -> Report | None:
    from weft.core import logs
    from weft.ops.installation import reach
    from weft.ops.upkeep.run import maintain as run

    logs.configure(level="warning", style=settings.log.format)
    with reach(settings) as addresses, _progress() as progress:
        return asyncio.run(
            run(
                addresses,
                settings,
                datetime.now(UTC),
                tasks=tasks or settings.maintain.tasks,
                dry_run=dry_run,
                due=due,
                progress=progress,
            )
        )


@contextmanager
def _progress() -> Iterator[Progress]:
    """A line that changes when a terminal reads it, else one note for each task."""
    if not sys.stderr.isatty() or output.as_json():
        yield lambda task, _what, number, count: output.note(f"{task}: {count} to do") if number == 1 else None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        line = shown.add_task("maintenance", total=None)

        def tell(task: str, what: str, number: int, count: int) -> None:
            shown.update(line, description=f"{task}: {what}", total=count or None, completed=max(0, number - 1))

        yield tell


def _text(report: Report) -> str:
    if not report.steps:
        return "Nothing needs to be done."
    lines = []
    width = max(len(step.task) for step in report.steps)
    for step in report.steps:
        head = f"{step.task:<{width}}  {step.what}: {step.why}" if step.why else f"{step.task:<{width}}  {step.what}"
        lines.append(f"{head} - {step.outcome}{f': {step.said}' if step.said not in ('', 'done') else ''}")
    failed = sum(step.outcome == "failed" for step in report.steps)
    if report.dry_run:
        lines.append("Nothing was done: this was a dry run.")
    elif failed:
        lines.append(f"{failed} steps failed; the others are done.")
    return "\n".join(lines)


def _status(settings: Settings) -> None:
    from weft.ops.installation import reach
    from weft.ops.monitoring import runs
    from weft.ops.upkeep.run import TASKS
    from weft.ops.upkeep.schedule import next_due

    with reach(settings) as addresses:
        last = asyncio.run(_last(addresses.app))
    following = next_due(settings.maintain, datetime.now(UTC))
    found: dict[str, Any] = {
        "kind": runs.MAINTENANCE,
        "last": last.as_json() if last is not None else None,
        "next": following.isoformat() if following is not None else None,
    }
    lines = []
    if last is None:
        lines.append("It was never done.")
    else:
        seconds = (last.ended_at - last.started_at).total_seconds()
        lines.append(f"Last done on {last.ended_at:%Y-%m-%d %H:%M} UTC, in {seconds:.1f} s.")
        done = last.details.get("tasks", {})
        for task, facts in ((task, done[task]) for task in TASKS if task in done):
            counts = [f"{facts[key]} {key.replace('_', ' ')}" for key in facts if key != "seconds" and facts[key]]
            lines.append(f"  {task:<10}  {', '.join(counts) or 'nothing to do'} ({facts['seconds']:.1f} s)")
        lines += [f"  failed: {failure}" for failure in last.details.get("failures", ())]
    if following is None:
        lines.append("No schedule: WEFT_MAINTAIN_SCHEDULE sets one.")
    else:
        lines.append(f"Next on {following:%Y-%m-%d %H:%M} UTC.")
    output.result(found, "\n".join(lines))


async def _last(dsn: str) -> Any:
    from weft.ops.connections import connect
    from weft.ops.monitoring import runs

    connection = await connect(dsn, application="weft db maintain")
    try:
        return (await runs.read(connection)).get(runs.MAINTENANCE)
    finally:
        await connection.close()
