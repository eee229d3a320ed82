"""`weft doctor`: a check-up of the installation, with the next step wherever something is not well."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import typer

from weft.cli import output

if TYPE_CHECKING:
    from weft.ops.doctor import Report

app = typer.Typer(add_completion=False)

UNHEALTHY = 1


@app.command()
def doctor() -> int:
    """Check everything an operator would ask: settings, home, database, roles, keys, queue, API, worker.

    Changes nothing. Exits with 1 if something fails; warnings do not count. Where nothing runs, the embedded server
    is started for the check and stopped again. WEFT_DATABASE_OWNER_URL lets it look across tenants.
    """
    from weft.ops.doctor import examine

    report = examine(os.environ)
    output.result(report.as_json(), lambda: _text(report))
    return 0 if report.healthy else UNHEALTHY


def _text(report: Report) -> str:
    width = max(len(answer.topic) for answer in report.answers)
    lines = []
    for answer in report.answers:
        lines.append(f"{answer.verdict:<7}  {answer.topic:<{width}}  {answer.sentence}")
        if answer.next_step:
            lines.append(f"{'':<7}  {'':<{width}}  -> {answer.next_step}")
    return "\n".join([*lines, "", _summary(report)])


def _summary(report: Report) -> str:
    from weft.ops.doctor import Verdict

    failures, warnings = report.count(Verdict.fail), report.count(Verdict.warning)
    if not failures and not warnings:
        return "Everything is well."
    said = [_counted(count, word) for count, word in ((failures, "failure"), (warnings, "warning")) if count]
    return f"{' and '.join(said)}."


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'s' if count != 1 else ''}"
