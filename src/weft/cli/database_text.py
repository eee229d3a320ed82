"""How plans and progress of migrations look to people."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from weft.cli import output

if TYPE_CHECKING:
    from weft.db.migrate import Progress
    from weft.ops.migrating.plan import Plan, PlannedRevision, Size

_WIDEST = 110


def plan_text(plan: Plan, *, most: int | None = None) -> str:
    """The plan, `most` statements of each revision; the rest is counted."""
    from weft.ops.migrating.plan import MOST_SHOWN

    if not plan.revisions:
        return f"Nothing to do: revision {plan.at} is there."
    lines = [f"From {plan.at or 'an empty database'} to {plan.revisions[-1].revision.id}:"]
    for planned in plan.revisions:
        lines += _revision(planned, plan.sizes, most or MOST_SHOWN)
    if plan.obstacles:
        lines += ["", "In the way now:", *(f"  - {obstacle}" for obstacle in plan.obstacles)]
    return "\n".join(lines)


def _revision(planned: PlannedRevision, sizes: dict[str, Size], most: int) -> list[str]:
    revision = planned.revision
    limit = f"a statement may take {planned.limit:.0f} s" if planned.limit else "no limit of time"
    lines = ["", f"{revision.id}  {revision.kind}  {revision.title}"]
    lines.append(f"  {'built without stopping writes' if revision.concurrently else 'one transaction'}, {limit}")
    if revision.needs:
        lines.append(f"  needs weft {revision.needs} or later everywhere; comes back from a backup only")
    if revision.requires_data:
        lines.append(f"  needs finished data migrations: {', '.join(revision.requires_data)}")
    if planned.problem:
        lines.append(f"  not shown: {planned.problem}")
    for step in planned.steps[:most]:
        lines.append(f"  {_short(step.sql)}")
        lines += [f"      {taken.words()}{_size(sizes.get(taken.table))}" for taken in step.locks if not taken.new]
    if len(planned.steps) > most:
        lines.append(f"  ... and {len(planned.steps) - most} more statements; --sql shows all of them")
    lines += [f"  {finding.level}: {finding.sentence()}" for finding in planned.findings]
    return lines


def _short(sql: str) -> str:
    line = " ".join(sql.split())
    return line if len(line) <= _WIDEST else line[: _WIDEST - 3] + "..."


def _size(size: Size | None) -> str:
    return "" if size is None else f", about {size.rows:,} rows, {bytes_text(size.bytes)}"


def bytes_text(count: float) -> str:
    """`12 MB`, for people."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} TB"


class Ticker:
    """Progress on standard error: a spinner where a terminal reads it, else a line for each thing that happened."""

    def __init__(self) -> None:
        self._status: Any = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty() and not output.as_json():
            from rich.console import Console

            self._status = Console(stderr=True).status("")
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def tell(self, progress: Progress) -> None:
        from weft.ops.migrating.run import describe

        line = describe(progress)
        if progress.of > 1 and progress.what == "begun":
            line = f"[{progress.number}/{progress.of}] {line}"
        if self._status is not None:
            from rich.text import Text

            self._status.update(Text(line.strip()))
        if line:
            output.note(line)
